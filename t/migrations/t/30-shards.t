# shard_of is part of the data: fixed values, sixteen shards, evenly used.
use strict;
use warnings;
use Test::More;
use Digest::SHA 'sha256';
use Migrations;

my $db = connect_db();
my %fixed = (alice => 11, bob => 1, 'auth0|5f7c8ec7c33c6c004bbafe82' => 1, 'a@b.example' => 11, '~' => 10, ('x' x 128) => 4);
for my $user (sort keys %fixed) {
    is $db->selectrow_array('SELECT taskevents.shard_of(?)', undef, $user), $fixed{$user}, "shard of $user";
}

my $users = $db->selectall_arrayref(q{
    SELECT u, taskevents.shard_of(u) FROM (SELECT 'user-' || n AS u FROM generate_series(1, 16000) n) AS users});
my %count;
my $wrong = grep { $count{ $_->[1] }++; $_->[1] != (ord(sha256($_->[0])) & 15) } @$users;
is $wrong, 0, 'the first byte of SHA-256, its lower four bits, for 16,000 users';
is_deeply [sort { $a <=> $b } keys %count], [0 .. 15], 'all sixteen shards and no other';
# expected 1,000 each, standard deviation 31: five of them either way
is_deeply [grep { $_ < 845 || $_ > 1155 } values %count], [], 'evenly used';

like join("\n", @{ $db->selectcol_arrayref(
        'EXPLAIN (VERBOSE, COSTS OFF) SELECT taskevents.shard_of(user_id) FROM taskevents.streams') }),
    qr/get_byte\(sha256/, 'the planner inlines it';

done_testing;
