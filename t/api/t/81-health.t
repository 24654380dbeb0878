# Alive, and ready: two questions, and only the second asks the database.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

for my $path ('/healthz', '/readyz') {
    my $a = request(GET => $path, vhost => 'health');
    is $a->{status}, 200, "$path";
    like $a->{headers}{'content-type'}, qr{^application/json\b}, '… as JSON';
    is request(HEAD => $path, vhost => 'health')->{status}, 200, '… and HEAD';
    is request(POST => $path, vhost => 'health', json => {})->{status}, 405, '… but not POST';
}

# an older schema than this build needs: alive, not ready
my $ready = sub { request(GET => '/readyz', vhost => 'health')->{status} };
my $version = row('SELECT taskevents.schema_version() AS v')->{v};
my $set = sub { db()->do("CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN $_[0]") };
$set->(0);
is $ready->(), 503, 'the schema is too old';
is request(GET => '/healthz', vhost => 'health')->{status}, 200, 'which is not a matter of life';
$set->($version + 1);
is $ready->(), 200, 'a newer schema will do';
$set->($version);
is $ready->(), 200, 'and this one';
expect_log(qr/\[taskevents:error\].*schema/i, 'that the schema is too old') if log_lines(qr/\[taskevents:error\].*schema/i);
finish();
