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

# an older schema than this build needs: alive, not ready, and no half work
my $ready = sub { request(GET => '/readyz', vhost => 'health') };
my $version = row('SELECT taskevents.schema_version() AS v')->{v};
my $set = sub { db()->do("CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN $_[0]") };
my $u = user('migrating');
create($u, title => 'before');
$set->($version - 1);
my $a = $ready->();
is $a->{status}, 503, 'the schema is too old';
is $a->{json}{database}, 'up', 'the database is there';
is $a->{json}{schema_version}, $version - 1, 'it says what it found';
is $a->{json}{detail}, "the schema has version @{[$version - 1]}, this build needs $version: run the migrations", 'and what to do';
is request(GET => '/healthz', vhost => 'health')->{status}, 200, 'which is not a matter of life';
# each child says so for itself, whoever of them is asked
my $each = sub {
    my ($code) = @_;
    return wait_for(sub { my %said = map { /\[pid (\d+)/ ? ($1 => 1) : () } log_lines($code); !grep { !exists $said{$_} } server_children() }, 30);
};
ok $each->(qr/TE0204/), 'each child notices';
for my $case ([GET => "/api/$u/tasks"], [POST => "/api/$u/tasks", json => { title => 'during' }], [GET => "/api/$u/stats"]) {
    my ($method, $path, @more) = @$case;
    my $answer = request($method, $path, as => $u, @more);
    is_problem($answer, 503, "$method $path waits for the migrations");
    like $answer->{json}{detail}, qr/migrations/, '… and says so';
    ok $answer->{headers}{'retry-after'}, '… and when to ask again';
}
ok wait_for(sub { log_lines(qr/TE0204/) && log_lines(qr/TE0501.*schema/) }), 'the log says it';
$set->($version + 1);
ok $each->(qr/TE0205/), 'a newer schema will do, without a restart';
is $ready->()->{status}, 200, '… and is ready';
is request(GET => "/api/$u/tasks", as => $u)->{json}[0]{title}, 'before', 'and serves';
is scalar @{ request(GET => "/api/$u/tasks", as => $u)->{json} }, 1, 'nothing was done meanwhile';
$set->($version);
is $ready->()->{status}, 200, 'and this one';
expect_log(qr/TE0204/, 'that the schema is too old');
expect_log(qr/TE0501/, 'what that means for events');
finish();
