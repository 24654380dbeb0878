# The connection ends between a COMMIT and its answer, statement by statement: what
# was done is found out, and neither done again nor denied.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;
use TaskEvents::Between;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $between = TaskEvents::Between->new($ENV{TASKEVENTS_TEST_DSN}, root())
    or plan skip_all => 'PostgreSQL is not at a port of an address';
# a server that reaches PostgreSQL only by way of that; its own publisher does not
# take part in what is cut, since each order names a statement of requests
my ($port, $stop) = httpd_start(server_config(lines => <<"CONF"));
LogLevel info taskevents:debug
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
TaskEventsEngine On
TaskEventsTransport local
TaskEventsSource /taskevents/test
TaskEventsOpen On
TaskEventsDatabase "@{[ $between->dsn ]}"
<Location "/api">
    SetHandler taskevents
    Require taskevents-owner
</Location>
CONF
sub via { my ($method, $path, %option) = @_; return request($method => $path, vhost => $port, %option) }
# the same, but not waited for
sub send_via
{
    my ($method, $path, %option) = @_;
    my $socket = TaskEvents::Test::connection($port);
    print {$socket} TaskEvents::Test::compose($method, $path, %option);
    return sub { return TaskEvents::Test::answer($socket, $method) };
}
sub settled { ok wait_for(sub { !outbox($_[0]) }, 15), '… all handled' }
sub told { my ($u) = @_; my @e = events($u); is_deeply [map { $_->{sequence} + 0 } @e], [1 .. @e], '… a stream without a gap';
    is scalar(keys %{ { map { $_->{id} => 1 } @e } }), scalar(@e), '… of different events'; return map { $_->{type} =~ s/task\.//r } @e }
my $n = 0;
sub fresh { my $u = user('commit' . ++$n); return ($u, create($u, title => 'before', @_)) }

is via(GET => task_path(user('commit')))->{status}, 200, 'a server behind something that loses';

# 'answer': done, but not said; 'question': neither
for my $what ('answer', 'question') {
    # a POST
    my $u = user("commit-$what");
    $between->lose($what, 'te_task_create');
    my $a = via(POST => task_path($u), json => { title => 'made' });
    is $a->{status}, 201, "the $what of a POST is lost: 201";
    ok $between->wait_lost, '… it was';
    is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, 1, '… one task';
    is_deeply [told($u)], ['created'], '… one event';
    is_deeply request(GET => task_path($u, $a->{json}{id}), as => $u)->{json}, $a->{json}, '… and it is that';

    # of several that are written together
    my @together = map { user("commit-$what-$_") } 1 .. 12;
    $between->lose($what, 'eleventh');
    my @flights = map { send_via(POST => task_path($together[$_]), json => { title => $_ == 10 ? 'the eleventh' : 'another' }) } 0 .. 11;
    is_deeply [map { $_->()->{status} } @flights], [(201) x 12], "the $what of twelve POSTs at once";
    ok $between->wait_lost, '… it was';
    is_deeply [map { join ' ', told($_) } @together], [('created') x 12], '… one event each';
    is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ANY(?)', \@together)->{n}, 12, '… one task each';

    # of a recurring task
    $between->lose($what, 'te_task_create_series');
    $a = via(POST => task_path($u), json => { title => 'again', is_recurring => $true, recurring_interval => 'daily' });
    is $a->{status}, 201, "the $what of a POST of a series: 201";
    is row('SELECT count(*) AS n FROM taskevents.series WHERE user_id = ?', $u)->{n}, 1, '… one series';

    # with a key
    $between->lose($what, 'te_key_put');
    $a = via(POST => task_path($u), json => { title => 'keyed' }, headers => ['Idempotency-Key' => 'k']);
    if ($a->{status} == 409) {      # the first try is still ending
        $a = wait_for(sub { my $again = via(POST => task_path($u), json => { title => 'keyed' }, headers => ['Idempotency-Key' => 'k']); $again->{status} == 409 ? undef : $again });
    }
    is $a->{status}, 201, "the $what of a keyed POST: 201";
    is via(POST => task_path($u), json => { title => 'keyed' }, headers => ['Idempotency-Key' => 'k'])->{body}, $a->{body}, '… and kept';
    is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, 3, '… one task';

    # a change
    my ($v, $task) = fresh();
    $between->lose($what, 'te_task_update');
    $a = via(PATCH => task_path($v, $task->{id}), json => { title => 'changed', completed => $true });
    is $a->{status}, 200, "the $what of a PATCH: 200";
    is $a->{json}{version}, 2, '… one version';
    is_deeply [told($v)], [qw(created updated completed)], '… its events once';
    $between->lose($what, 'te_task_update');
    $a = via(PATCH => task_path($v, $task->{id}), json => { title => 'again' }, headers => ['If-Match' => '"2"']);
    is $a->{status}, 200, "the $what of a PATCH with If-Match: 200, not 412";
    is $a->{json}{version}, 3, '… one version';
    $between->lose($what, 'te_task_update');
    $a = via(POST => task_path($v, $task->{id}, 'complete'), json => { completed => $false });
    is $a->{json}{version}, 4, "the $what of a reopening";
    is_deeply [told($v)], [qw(created updated completed updated updated)], '… all once';

    # a deletion
    $between->lose($what, 'te_task_delete');
    is via(DELETE => task_path($v, $task->{id}), headers => ['If-Match' => '"4"'])->{status}, 204, "the $what of a DELETE: 204";
    is_deeply [(told($v))[-2, -1]], [qw(updated deleted)], '… once';
    # what was never there, or is another's, is not deleted by losing sight of it
    for my $id (9223372036854775807, create(user('commit-theirs'))->{id}) {
        $between->lose($what, 'te_task_lock');
        is_problem(via(DELETE => task_path($v, $id)), 404, "the $what of a look for what is not there: 404");
        $between->lose($what, 'te_task_lock');
        is_problem(via(PATCH => task_path($v, $id), json => { title => 'x' }), 404, '… for a PATCH too');
    }
    $between->lose($what, 'te_task_list');
    is via(GET => task_path($u))->{status}, 200, "the $what of a list";
    settled($_) for $u, $v;
}

# others change the task before it is tried again: what was done is not done twice
for my $case (
    ['a PATCH', [PATCH => '', json => { title => 'mine' }], [PATCH => '', json => { title => 'theirs' }], [qw(created updated updated)], 'theirs'],
    ['a completion', [POST => 'complete'], [POST => 'complete', json => { completed => $false }], [qw(created completed updated)], 'before'],
    ['a PATCH with If-Match', [PATCH => '', json => { title => 'mine' }, headers => ['If-Match' => '"1"']], [PATCH => '', json => { title => 'theirs' }], [qw(created updated updated)], 'theirs'],
    ['a PATCH, and gone since', [PATCH => '', json => { title => 'mine' }], [DELETE => ''], [qw(created updated deleted)], undef],
) {
    my ($name, $mine, $theirs, $types, $title) = @$case;
    my ($u, $task) = fresh();
    my $path = sub { return task_path($u, $task->{id}, length $_[0] ? $_[0] : ()) };
    $between->lose('answer', 'te_task_update', 1);
    my ($method, $what, %option) = @$mine;
    my $answer = send_via($method => $path->($what), %option);
    ok $between->wait_lost, "$name is done, and its answer lost";
    ($method, $what, %option) = @$theirs;
    like request($method => $path->($what), as => $u, %option)->{status}, qr/^20[04]$/, '… another changes it meanwhile';
    $between->go_on;
    my $a = $answer->();
    is $a->{status}, 200, '… it is told that it was done';
    is $a->{json}{version}, 2, '… as it was';
    is_deeply [told($u)], $types, '… once';
    is row('SELECT title FROM taskevents.tasks WHERE id = ?', $task->{id})->{title}, $title, '… and the other stays' if defined $title;
    settled($u);
    is scalar(history($u)), scalar(@$types), '… each handled';
}

# a server that falls silent after the login, or in the middle, holds nobody for long
for my $pattern ('statement_timeout', 'te_task_get') {
    my ($u, $task) = fresh();
    # a connection that has to be made anew
    row(q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'mod_taskevents'});
    $between->lose('silence', $pattern);
    my $start = time;
    my @flights = map { send_via(GET => task_path($u, $task->{id})) } 1 .. 4;
    my %status;
    $status{ $_->()->{status} }++ for @flights;
    my $took = time - $start;
    is_deeply [grep { !/^(?:200|503)$/ } keys %status], [], "silence at $pattern: " . join ', ', map { "$status{$_} x $_" } sort keys %status;
    cmp_ok $took, '<', 5, sprintf '… in %.2f s', $took;
    ok wait_for(sub { via(GET => task_path($u, $task->{id}))->{status} == 200 }, 10), '… and it is served again';
}
is $stop->(), 0, 'the server ends in order';
my $known = qr/TE0(?:202|50[1-4])\b|TE0507: .*(?:not connected|connection|terminat|in time)/;
expect_log(qr/\[taskevents:error\].*$known/, 'that connections were lost') if log_lines(qr/\[taskevents:error\].*$known/);
finish();
