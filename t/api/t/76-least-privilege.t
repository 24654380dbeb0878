# httpd does all its work as the role of conf/postgresql-role.sql, which can do no
# more than that.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $dsn = $ENV{TASKEVENTS_TEST_SERVICE_DSN};
if (!$dsn) {
    plan skip_all => 'TASKEVENTS_TEST_SERVICE_DSN is not set';
}
my ($port, $stop) = httpd_start(server_config(lines => <<"EOF"));
LogLevel warn taskevents:info
TaskEventsEngine On
TaskEventsTransport local
TaskEventsDatabase "$dsn"
TaskEventsSource /taskevents/least
TaskEventsOpen On
<LocationMatch "^/(api|readyz)">
    SetHandler taskevents
    Require taskevents-owner
</LocationMatch>
<Location "/status">
    SetHandler taskevents-status
    Require local
</Location>
<Location "/metrics">
    SetHandler taskevents-metrics
    Require local
</Location>
EOF
my @at = (vhost => $port);
my $u = user('least');
# with the lead of the server under test, whose publisher may be the one that handles it
my $task = request(POST => task_path($u), @at, json => { title => 'x', due_date => POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + 86400 + 6)), is_recurring => JSON::PP::true, recurring_interval => 'daily', tags => ['a'] });
is $task->{status}, 201, 'a task is made';
my $path = task_path($u, $task->{json}{id});
is request(PATCH => $path, @at, json => { description => 'more' })->{status}, 200, '… changed';
is request(GET => task_path($u) . '?q=more&tags=a&sort_by=due_date_asc', @at)->{json}[0]{id}, $task->{json}{id}, '… found';
is request(GET => "$path/occurrences?limit=3", @at)->{status}, 200, '… looked ahead of';
ok wait_for(sub { row(q{SELECT 1 FROM taskevents.notifications WHERE user_id = ?}, $u) }, 30), '… reminded of';
is request(POST => "/api/$u/notifications/read", @at, json => {})->{status}, 200, '… which is read';
is request(POST => "$path/complete", @at, headers => ['Idempotency-Key' => 'least'])->{status}, 200, '… completed, with a key';
ok wait_for(sub { row(q{SELECT 1 FROM taskevents.tasks WHERE user_id = ? AND occurrence = 2}, $u) }, 30), 'the next one is made';
is request(DELETE => $path, @at)->{status}, 204, '… and it is deleted';
ok wait_for(sub { scalar(grep { $_->{type} eq 'task.deleted' } history($u)) }, 30), 'all is handled';
is request(GET => "/api/$u/$_", @at)->{status}, 200, "its $_" for 'stats', 'events', 'notifications';
my $id = row(q{INSERT INTO taskevents.dead_letters (stage, source, event_id, topic, user_id, body, body_size, reason, attempts, first_failed_at, last_failed_at)
    VALUES ('malformed', '/least', ?, 'tasks', ?, 'x', 1, 'a test', 1, now(), now()) RETURNING id}, $u, $u)->{id};
is request(POST => "/status/dead-letters/$id/redrive", @at, json => {})->{status}, 422, 'a dead letter is tried again';
is request(POST => "/status/dead-letters/$id/discard", @at, json => {})->{status}, 200, '… and discarded';
is request(GET => $_, @at)->{status}, 200, $_ for '/status', '/metrics', '/readyz';
# a publisher may end the session of another one
my $held = DBI->connect("dbi:Pg:$dsn" =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 });
my $other = DBI->connect("dbi:Pg:$dsn" =~ s/ /;/gr, undef, undef, { RaiseError => 1, PrintError => 0 });
is $other->selectrow_array('SELECT pg_terminate_backend(?)', undef, $held->selectrow_array('SELECT pg_backend_pid()')), 1, 'it may end a session of its own role';

for my $sql ('CREATE TABLE taskevents.x ()', 'DROP TABLE taskevents.tasks', 'ALTER TABLE taskevents.tasks ADD x int', 'TRUNCATE taskevents.tasks', 'CREATE SCHEMA x',
             'CREATE TABLE public.x ()', 'CREATE TEMPORARY TABLE x ()', 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer LANGUAGE sql RETURN 99', 'SELECT * FROM sqitch.changes',
             'CREATE ROLE x', 'SET ROLE taskevents', 'COPY taskevents.tasks TO PROGRAM \'true\'', 'SELECT pg_read_file(\'/etc/passwd\')', 'SELECT rolpassword FROM pg_authid',
             'CREATE TRIGGER x BEFORE INSERT ON taskevents.tasks EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()') {
    eval { $other->do($sql) };
    like $@, qr/permission denied|must be (?:owner|a member|superuser)/, "it may not: $sql";
}
is $stop->(), 0, 'the server ends in order';
unlike TaskEvents::Test::read_file(root() . '/try/error_log'), qr/permission denied|TE0101.*failed|TE0601.*\(failed\)/, 'nothing was missing';
finish();
