# Deliveries: an event has its effect once, however often and at whatever moment
# it comes.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my @sidecar = (vhost => 'sidecar', type => 'application/cloudevents+json', headers => ['dapr-api-token' => APP_TOKEN]);
# the record as a sidecar hands it over: topic and pubsub filled in, keys sorted
sub delivered { my ($event) = @_; return encode_json_text({ %$event, topic => 'tasks', pubsubname => 'test-pubsub' }) }
sub deliver { my ($event, $route) = @_; return request(POST => '/api/events/' . ($route // 'tasks'), @sidecar, body => ref $event ? delivered($event) : $event) }
sub is_done { my ($a, $name) = @_; is $a->{status}, 200, $name; is $a->{body}, '', '… with an empty body'; }

my $u = user('delivery');
my $task = create($u, title => 'again', is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');
is request(POST => task_path($u, $task->{id}, 'complete'), as => $u)->{status}, 200, 'complete while no sidecar listens';
my ($created, $completed) = events($u);
is $completed->{type}, 'task.completed', 'its event waits';
is scalar(outbox($u)), 2, 'in the outbox';
is scalar(history($u)), 0, 'not handled';

is_done(deliver($created), 'a new event');
is_deeply [map { $_->{event_id} } history($u)], [$created->{id}], 'is in the history';
is_done(deliver($created), 'the same again');
is scalar(history($u)), 1, 'has no second effect';
is_done(deliver($completed), 'the completion');
sub series { return rows('SELECT * FROM taskevents.tasks WHERE series_id = ? ORDER BY occurrence', $_[0]) }
is_deeply [map { $_->{occurrence} } series($task->{series_id})], [1, 2], 'makes the next occurrence before it is answered';
is_done(deliver($completed), 'again');
is scalar(series($task->{series_id})), 2, 'once';
is_deeply [map { $_->{position} } history($u)], [1, 2], 'two positions';
my ($follow_up) = (events($u))[-1];
is $follow_up->{type}, 'task.created', 'its follow-up';
is $follow_up->{sequence} + 0, 3, 'is next in the stream';
is $follow_up->{causationid}, $completed->{id}, 'and names its cause';
is $follow_up->{data}{origin}, 'recurrence', 'and origin';
is_done(deliver($follow_up), 'the follow-up');
is scalar(series($task->{series_id})), 2, 'starts no other round';
is scalar(events($u)), 3, 'and no other event';

# 32 copies at the same moment
my $races;
for my $round (1 .. 3) {
    my ($v, $t, $event);
    my @answers = undisturbed(sub {
        $v = user('delivery-race' . ++$races);
        $t = create($v, is_recurring => JSON::PP::true, recurring_interval => 'weekly', due_date => '2031-01-01T09:00:00Z');
        request(POST => task_path($v, $t->{id}, 'complete'), as => $v);
        $event = (events($v))[-1];
        return at_once(map { [POST => '/api/events/tasks', @sidecar, body => delivered($event)] } 1 .. 32);
    });
    is_deeply [map { $_->{status} } @answers], [(200) x 32], "round $round: 32 copies at once are all answered 200";
    is_deeply [grep { length $_->{body} } @answers], [], '… without a word';
    is scalar(series($t->{series_id})), 2, '… one next occurrence';
    is scalar(grep { $_->{event_id} eq $event->{id} } history($v)), 1, '… one row of history';
    is_deeply [map { $_->{sequence} + 0 } events($v)], [1, 2, 3], '… one follow-up, no gap';
}

# out of order, and after the fact: the effect follows what is now
my $v = user('delivery-order');
my $t = create($v, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');
request(POST => task_path($v, $t->{id}, 'complete'), as => $v, json => { completed => $_ ? JSON::PP::true : JSON::PP::false }) for 1, 0;
my ($first, $done, $reopened) = events($v);
is_done(deliver($_), "late: $_->{type}") for $reopened, $done, $first;
is scalar(series($t->{series_id})), 1, 'a completion that was taken back makes nothing';
request(POST => task_path($v, $t->{id}, 'complete'), as => $v);
is_done(deliver((events($v))[-1]), 'completed again');
is scalar(series($t->{series_id})), 2, 'makes the next';

# TaskEventsCatchUp Skip: the next is later than now
my $past = create($v, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2020-01-01T09:00:00Z');
request(POST => task_path($v, $past->{id}, 'complete'), as => $v);
deliver((events($v))[-1]);
my $next = (series($past->{series_id}))[1];
is row('SELECT due > now() AND due <= now() + interval \'1 day\' AND due::time = \'09:00\' AS ok FROM (SELECT ?::timestamptz AT TIME ZONE \'UTC\' AS due) AS d',
    $next->{due_date})->{ok}, 1, 'Skip: at nine, and not in the past' or diag $next->{due_date};

# strangers
my %foreign = (%$created, id => '7', source => 'https://other.example/', type => 'com.example.thing', data => { a => 1 });
delete $foreign{partitionkey};
is_done(deliver(\%foreign), 'an unknown type of another source');
is_done(deliver({ %$completed, id => '11111111-1111-4111-8111-111111111111', subject => 'tasks/1',
    data => { %{ $completed->{data} }, task_id => 1, task => { %{ $completed->{data}{task} }, id => 1 } } }), 'a task that is not there');
is row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE event_id IN (?, ?)', 7, '11111111-1111-4111-8111-111111111111')->{n}, 0, 'are no dead letters';
is scalar(series($task->{series_id})), 2, 'and make nothing';
# the same id of another source is another event
is_done(deliver({ %$created, source => 'https://other.example/' }), 'our id under another source');
is row('SELECT count(*) AS n FROM taskevents.processed_events WHERE event_id = ?', $created->{id})->{n} >= 1, 1, 'does not disturb ours';

# from a newer version of ourselves: kept, to redrive
is_done(deliver({ %$created, id => '22222222-2222-4222-8222-222222222222', type => 'task.archived' }), 'an unknown type of our own');
is row('SELECT state FROM taskevents.dead_letters WHERE event_id = ?', '22222222-2222-4222-8222-222222222222')->{state}, 'open', 'is kept';
is_done(deliver({ %$created, id => '22222222-2222-4222-8222-222222222223', type => 'reminder.snoozed', source => '/taskevents/test' }, 'reminders'), 'on reminders too');
is row('SELECT state FROM taskevents.dead_letters WHERE event_id = ?', '22222222-2222-4222-8222-222222222223')->{state}, 'open', 'is kept';

# attributes added by others are no fault; a chunked body neither
is_done(deliver({ %$completed, id => '33333333-3333-4333-8333-333333333333', expiration => '2031-01-01T00:00:00Z', myextension => 'x' }), 'further attributes');
is request(POST => '/api/events/tasks', @sidecar, chunked => 1, body => delivered({ %$created, id => '33333333-3333-4333-8333-333333333334' }))->{status}, 200, 'chunked';
is request(POST => '/api/events/tasks', vhost => 'sidecar', type => 'application/json', headers => ['dapr-api-token' => APP_TOKEN],
    body => delivered({ %$created, id => '33333333-3333-4333-8333-333333333335' }))->{status}, 200, 'as application/json';

expect_log(qr/\[taskevents:alert\].*TE\d+/, 'the letters kept');
finish();
