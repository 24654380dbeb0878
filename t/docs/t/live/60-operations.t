# What docs/operations.md says to do after a restore, done: the numbers of every
# stream go on far behind those that can have been given. Needs TASKEVENTS_DSN.
use strict;
use warnings;

use JSON::PP ();
use Test::More;
use TaskEvents::Docs qw(blocks read_file src);

plan skip_all => 'TASKEVENTS_DSN names no database' if !$ENV{TASKEVENTS_DSN};

my ($sql) = grep { $_->{language} eq 'sql' } blocks(read_file(src() . '/docs/operations.md'));
ok($sql, 'there is a statement');

sub make_task {
    open my $curl, '-|', 'curl', '-sS', '-H', "Authorization: Bearer $ENV{TASKEVENTS_TOKEN}", '-H', 'Content-Type: application/json',
        '-d', '{"title":"Restored"}', "$ENV{TASKEVENTS_URL}/api/alice/tasks" or die "curl: $!\n";
    local $/;
    return JSON::PP->new->decode(scalar <$curl>)->{id};
}

sub query {
    open my $psql, '-|', 'psql', '-XAtq', '-d', $ENV{TASKEVENTS_DSN}, '-c', $_[0] or die "psql: $!\n";
    chomp(my @lines = <$psql>);
    close $psql or die "psql failed\n";
    return $lines[0];
}

# The event is in the outbox, or handled already.
sub sequence_of {
    my ($id) = @_;
    return query("SELECT max(coalesce(o.event, p.event)::jsonb ->> 'sequence')
                    FROM (SELECT event::text FROM taskevents.outbox WHERE event::jsonb ->> 'subject' = 'tasks/$id') o
               FULL JOIN (SELECT event::text FROM taskevents.processed_events WHERE task_id = $id) p ON true");
}

my $before = sequence_of(make_task());
query($sql->{text});
my $after = sequence_of(make_task());
like($before, qr/^\d{20}$/, 'a number before');
is($after - $before, 1_000_001, 'the next number is a million further');

done_testing();
