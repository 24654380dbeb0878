# What the logs say of a request: one JSON object a line by the formats of
# conf/taskevents.conf, ids to join them by, and no flood when things go on failing.
use strict;
use warnings;
use utf8;
use Test::More;
use JSON::PP ();
use TaskEvents::Test;

my $conf = TaskEvents::Test::read_file("$ENV{TASKEVENTS_TEST_CONF}/taskevents.conf");
my ($error_format) = $conf =~ /^#(ErrorLogFormat .*)$/m;
my ($access_format) = $conf =~ /^#(LogFormat .* json)$/m;
ok $error_format && $access_format, 'conf/taskevents.conf has both formats' or BAIL_OUT('no formats');

my $dir = root() . '/try';
mkdir $dir;
my $common = <<"EOF";
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MinSpareThreads 16
MaxSpareThreads 16
MaxRequestWorkers 16
$error_format
$access_format
CustomLog $dir/access.json json
CustomLog $dir/outcomes.json json env=taskevents_outcome
TaskEventsEngine On
TaskEventsTransport dapr
TaskEventsDaprURL http://127.0.0.1:1
TaskEventsBreaker 1 10ms
TaskEventsSidecarToken Off
TaskEventsOpen On
TaskEventsBulkSubscribe On
TaskEventsSource /taskevents/test
<Location "/api">
    SetHandler taskevents
    Require taskevents-owner
</Location>
<LocationMatch "^/(dapr|job|api/events)(/|\$)">
    SetHandler taskevents
    Require taskevents-sidecar
</LocationMatch>
EOF
my $decoder = JSON::PP->new->utf8;
my $port;

sub start
{
    my ($database, $level) = @_;
    unlink "$dir/access.json", "$dir/outcomes.json";
    ($port, my $stop) = httpd_start(server_config(
        lines => qq{TaskEventsDatabase "$database"\nLogLevel warn taskevents:$level\n$common}));
    return $stop;
}

sub objects
{
    my ($name) = @_;
    return map { eval { $decoder->decode($_) } // { broken => $_ } }
        split /\n/, TaskEvents::Test::read_file("$dir/$name");
}

# In the order in which the requests began: httpd writes a line after the answer
# has gone, so the next request's may be there before it.
sub accesses
{
    my ($name) = @_;
    return sort { ($a->{time} // '') cmp ($b->{time} // '') } objects($name);
}

sub deliver
{
    my ($bytes) = @_;
    return request(POST => '/api/events/tasks', vhost => $port, body => $bytes, type => 'application/cloudevents+json')
        ->{status};
}

# ---- one request after the other, and what is said of each

my $stop = start($ENV{TASKEVENTS_TEST_DSN}, 'debug');
my $u = user('logs');
my $task = request(POST => task_path($u), vhost => $port,
    json => { title => 'Kauf "eine" Überraschung', description => "line\r\none", tags => ['geheim'] });
is $task->{status}, 201, 'a task is made';
my $id = $task->{json}{id};
request(PATCH => task_path($u, $id), vhost => $port, json => { title => 'other', completed => \1 });
request(GET => task_path($u, $id), vhost => $port);
request(POST => task_path($u, $id, 'complete'), vhost => $port, headers => ['Idempotency-Key' => 'k']) for 1 .. 2;
my @events = outbox($u);
is scalar @events, 3, 'three events came of it';
my $event = Encode::encode_utf8($events[0]{event});
my $ours = $decoder->decode($event);
is deliver($event), 200, 'a delivery';
is deliver($event), 200, 'again';
is deliver(encode_json_text({ %$ours, type => 'other.thing', source => '/elsewhere',
    id => "x\" \\ \r\n[alert] forged \x{1b}[2J\x{e4}" })), 200, 'one of another source, with an evil id';
is deliver('{"specversion":"0.1","id":"a\nb\"c","source":"/x"}'), 200, 'a malformed one';
is deliver(encode_json_text({ id => 'b', topic => 'tasks', pubsubname => 'x', type => 'com.dapr.event.sent.bulk', metadata => {}, entries => [map { {
    entryId => "$_", contentType => 'application/cloudevents+json', metadata => {},
    event => { %$ours, id => "bulk-$_-$u" } } } 1 .. 3] })), 200, 'a bulk delivery';
is request(POST => '/job/other', vhost => $port, body => '{}')->{status}, 200, 'a job of somebody else';
is request(DELETE => task_path($u, $id), vhost => $port)->{status}, 204, 'it is deleted';
my ($deletion) = grep { $_->{type} eq 'task.deleted' } events($u);
is $stop->(), 0, 'the server ends in order';

my $log = TaskEvents::Test::read_file("$dir/error_log");
unlike $log, qr/Kauf|berraschung|geheim|line.{0,4}one/, 'no text of a user is in the log, not at level debug either';
is_deeply [grep { /TE0|forged|2J/ && !/^\{"time":/ } split /\n/, $log], [], 'nobody made a line of his own';
my @ours = grep { exists $_->{broken} ? $_->{broken} =~ /TE0/ : $_->{module} eq 'taskevents' } objects('error_log');
is_deeply [map { $_->{broken} // () } @ours], [], 'every line of the module is a JSON object';
is_deeply [grep { ($_->{message} // '') !~ /^TE\d{4}: / } @ours], [], '… that begins with its code';

my @said = accesses('access.json');
is_deeply [grep { exists $_->{broken} } @said], [], 'every line of the access log is a JSON object';
my %by_route;
push @{ $by_route{ $_->{route} } }, $_ for @said;
my ($made) = grep { $_->{status} == 201 } @{ $by_route{tasks} };
is $made->{user}, $u, 'of the POST: its user';
is $made->{task}, $id, '… the task that was made';
is $made->{events}, $events[0]{event_id}, '… the event that it wrote';
is $made->{outcome}, '-', '… no outcome';
like $made->{db_us}, qr/^[1-9]\d*$/, '… the time with the database';
cmp_ok $made->{db_us}, '<=', $made->{us}, '… which is not more than all of it';
is $made->{trace}, $ours->{traceparent}, '… and its trace';
my ($patched) = grep { $_->{method} eq 'PATCH' } @said;
is_deeply [sort split /, ?/, $patched->{events}], [sort map { $_->{event_id} } @events[1, 2]],
    'a request that wrote two events has both';
my ($read) = grep { $_->{method} eq 'GET' } @{ $by_route{task} };
is $read->{events}, '-', 'one that wrote none has none';
is $read->{task}, $id, 'but its task';
is_deeply [map { $_->{outcome} } @{ $by_route{task_complete} }], ['-', 'replayed'], 'a repeated POST says that it was';
my ($deleted) = grep { $_->{method} eq 'DELETE' } @said;
is $deleted->{events}, $deletion->{id}, 'a deletion has its event';
my @delivered = @{ $by_route{events_tasks} };
is_deeply [map { $_->{outcome} } @delivered], ['handled', 'duplicate', 'ignored', 'dead_letter', '3 of 3 done'],
    'each delivery has its outcome';
is $delivered[0]{events}, $ours->{id}, '… its event';
is $delivered[0]{user}, $u, '… its user';
is $delivered[0]{task}, $id, '… and its task';
like $delivered[2]{events}, qr/^x[!-~]*forged[!-~]*$/, 'an id that others chose is printable';
like $delivered[3]{events}, qr/^a\?b/, '… also that of what is malformed';
is $by_route{job}[0]{outcome}, 'ignored', 'a job of somebody else is ignored';
is_deeply [map { $_->{request} } accesses('outcomes.json')],
    [map { $_->{request} } grep { $_->{outcome} ne '-' } @said], 'env=taskevents_outcome picks those that have one';

# the two logs are joined by the request's id
my ($request) = grep { $_->{message} =~ /^TE0102: tasks answered 201 / } @ours;
like $request->{message}, qr/\Q$u\E, task $id, event \Q$events[0]{event_id}\E/, 'at level debug a request has a line with its ids';
is $request->{request}, $made->{request}, '… and the id that the access log has';
my ($handled) = grep { $_->{message} =~ /^TE0405: event \Q$ours->{id}\E .*: handled, 1 of 1 in \d+ us/ } @ours;
is $handled->{request}, $delivered[0]{request}, 'what is said while an event is handled has the id of its request';
my ($letter) = grep { $_->{message} =~ /^TE0401/ } @ours;
is $letter->{request}, $delivered[3]{request}, 'so has the alert of a dead letter';
ok scalar(grep { $_->{message} =~ /^TE0511: 0 of \d+ event/ } @ours), 'the publisher tells of its waves';

# ---- a sidecar that is away, and many writes

$stop = start($ENV{TASKEVENTS_TEST_DSN}, 'info');
my @unwritten;
for (1 .. 30) {
    push @unwritten, grep { $_->{status} != 201 }
        at_once(map { [POST => task_path($u), vhost => $port, json => { title => 'x' }, timeout => 60] } 1 .. 10);
}
is scalar @unwritten, 0, '300 tasks are written while the sidecar is away';
is $stop->(), 0, 'the server ends in order';
my @about = grep { /TE05/ } map { $_->{message} // '' } objects('error_log');
cmp_ok scalar @about, '<=', 12, 'few lines come of it' or diag join "\n", @about;
is scalar(grep { /^TE0507: the dapr transport does not take events; they wait/ } @about), 1, 'that it is away is said once';
my @still = grep { /^TE0507: .* still: .*\(said \d+ times in the last \d+ s, this one \d+ s ago\)$/ } @about;
cmp_ok scalar @still, '>=', 1, 'then how often it was tried' or diag join "\n", @about;

# ---- a database that is away, and many deliveries

$stop = start('host=127.0.0.1 port=1 dbname=nothing connect_timeout=2', 'notice');
is_deeply [grep { $_ != 500 } map { deliver($event) } 1 .. 60], [], '60 deliveries fail';
is $stop->(), 0, 'the server ends in order';
my @failed = grep { /^TE0403/ } map { $_->{message} // '' } objects('error_log');
is scalar @failed, 11, 'ten lines and one more come of it' or diag join "\n", @failed;
like $failed[0], qr/the first is event \Q$ours->{id}\E$/, 'each with the id of the event';
like $failed[-1], qr/\(said 50 times in the last \d+ s, this one \d+ s ago\)$/, 'the last one with the count of the others';
is scalar(grep { $_->{outcome} eq 'failed' } accesses('access.json')), 60, 'the access log has all of them';

finish();
