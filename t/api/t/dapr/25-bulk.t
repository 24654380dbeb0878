# Bulk deliveries: several events of one partition in a request, handled in one
# transaction, in order for each user, and answered one by one.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my @sidecar = (vhost => 'sidecar', type => 'application/json', headers => ['dapr-api-token' => APP_TOKEN]);
my $n = 0;
# the event's text as it is in the entry; ids count from 0
sub bulk_text
{
    my $i = 0;
    my $entries = join ',', map { '{"contentType":"application/cloudevents+json","entryId":"' . $i++ . '","event":' . (ref $_ ? encode_json_text($_) : $_) . ',"metadata":{"__key":"x"}}' } @_;
    return qq({"entries":[$entries],"id":"9a7a3d9c-6d6e-4d0b-9c5f-3c9d6f0f4f5d","metadata":{"pubsubName":"test-pubsub"},"pubsubname":"test-pubsub","topic":"tasks","type":"com.dapr.event.sent.bulk"});
}
sub bulk { my @events = @_; return request(POST => '/api/events/tasks', @sidecar, body => bulk_text(@events)) }
sub statuses
{
    my ($answer) = @_;
    is_deeply [sort keys %{ $answer->{json} // {} }], ['statuses'], 'an answer of statuses' or diag $answer->{raw};
    return { map { $_->{entryId} => $_->{status} } @{ $answer->{json}{statuses} // [] } };
}
sub all_are { my ($count, $status) = @_; return { map { $_ => $status } 0 .. $count - 1 } }
sub series { return rows('SELECT * FROM taskevents.tasks WHERE series_id = ? ORDER BY occurrence', $_[0]) }
sub types { return [map { $_->{type} } history($_[0])] }
sub recurring { my ($u, @more) = @_; return create($u, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z', @more) }
sub complete { my ($u, $t, $done) = @_; return request(POST => task_path($u, $t->{id}, 'complete'), as => $u, json => { completed => $done // JSON::PP::true })->{status} }
sub letters { return row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE position(convert_to(?, \'UTF8\') IN body) > 0', $_[0])->{n} }

# what is asked for
my $subscribed = request(GET => '/dapr/subscribe', vhost => 'sidecar', headers => ['dapr-api-token' => APP_TOKEN]);
my %by_topic = map { $_->{topic} => $_ } @{ $subscribed->{json} };
for my $topic (qw(tasks reminders)) {
    my $asked = $by_topic{$topic}{bulkSubscribe};
    is ref $asked && $asked->{enabled}, JSON::PP::true, "$topic: in batches";
    cmp_ok $asked->{maxMessagesCount}, '>', 1, '… of several';
    cmp_ok $asked->{maxAwaitDurationMs}, '<=', 50, '… that nobody waits for long';
    is_deeply [grep { !is_number($_) } @$asked{qw(maxMessagesCount maxAwaitDurationMs)}], [], '… as numbers';
}
ok !exists $by_topic{'tasks-dlq'}{bulkSubscribe}, 'dead letters come singly';

# several users, in order
my ($u, $v) = map { user("bulk-$_") } qw(a b);
my ($t, $s) = (recurring($u), recurring($v));
is complete($u, $t), 200, 'completed';
is complete($v, $s), 200, 'the other one too';
my ($u1, $u2) = events($u);
my ($v1, $v2) = events($v);
my $answer = bulk($u1, $v1, $u2, $v2);
is $answer->{status}, 200, 'a batch';
like $answer->{headers}{'content-type'}, qr{^application/json\b}, 'is answered in JSON';
is_deeply statuses($answer), all_are(4, 'SUCCESS'), 'each is a success';
is_deeply types($_), ['task.created', 'task.completed'], "the history of $_ has their order" for $u, $v;
is scalar(series($_->{series_id})), 2, 'each completion made its next occurrence' for $t, $s;
is_deeply [map { $_->{sequence} + 0 } events($_)], [1, 2, 3], 'and one event, without a gap' for $u, $v;
is_deeply statuses(bulk($u1, $u2, $v1, $v2, $u2)), all_are(5, 'SUCCESS'), 'again';
is scalar(series($t->{series_id})), 2, 'changes nothing';
is scalar(history($u)), 2, 'at all';

# the same single and in batches at the same moment
my $races;
for my $round (1 .. 3) {
    my ($w, @tasks);
    my @answers = undisturbed(sub {
        $w = user('bulk-race' . ++$races);
        @tasks = map { recurring($w) } 1 .. 3;
        complete($w, $_) for @tasks;
        my @events = events($w);
        return at_once((map { [POST => '/api/events/tasks', @sidecar, body => bulk_text(@events)] } 1 .. 8),
            map { [POST => '/api/events/tasks', @sidecar, body => encode_json_text($_)] } @events, @events, @events);
    });
    is_deeply [map { $_->{status} } @answers], [(200) x @answers], "round $round: copies at once, in batches and singly, are all answered 200";
    is scalar(history($w)), 6, '… and handled once';
    is_deeply [map { scalar series($_->{series_id}) } @tasks], [2, 2, 2], '… each with one next occurrence';
    is_deeply [map { $_->{sequence} + 0 } events($w)], [1 .. 9], '… and the stream has no gap';
    is row('SELECT sum(n) AS n FROM taskevents.event_counts WHERE user_id = ?', $w)->{n}, 6, '… and each is counted once';
}

# what is no event hides no other, and is kept
my $w = user('bulk-malformed');
my $task = create($w);
my ($good) = events($w);
sub but { my (%change) = @_; return { %$good, id => sprintf('77777777-7777-4777-8777-%06d%06d', $$ % 1e6, ++$n), %change } }
my @bad = ('null', qq("$w is no object"), '[' x 5000 . ']' x 5000, qq({"mark":"$w","nul":"\\u0000"}), qq({"mark":"$w twice","a":1,"a":2}),
    but(specversion => '0.3', mark => $w), but(data => { mark => $w }), qq({"mark":"$w long","x":") . 'x' x (256 * 1024) . '"}');
is_deeply statuses(bulk(@bad, $good)), all_are(@bad + 1, 'SUCCESS'), 'malformed ones are done with, like the good one';
is_deeply [map { $_->{event_id} } history($w)], [$good->{id}], 'which is handled';
is letters($w), @bad - 2, 'each of the others is kept';
is row('SELECT body_size > 262144 AND octet_length(body) < 262144 AS ok FROM taskevents.dead_letters WHERE position(convert_to(?, \'UTF8\') IN body) > 0', "$w long")->{ok}, 1,
    'of a long one its head and size';
is_deeply statuses(bulk(but(type => 'com.example.thing', source => 'https://other.example/'), but(type => 'task.archived'))), all_are(2, 'SUCCESS'), 'unknown types too';

# an event that has to wait holds up its user, and nobody else
my ($x, $y, $xt, $yt, $x2, $later);
my $holder = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, AutoCommit => 1 });
# 4 s are waited, and after 5 s nothing else is begun: a machine that stood still is asked again
for my $try (1 .. 3) {
    ($x, $y) = map { user("bulk-wait$try-$_") } qw(a b);
    # (without a due date, so that making it touches no reminder)
    ($xt, $yt) = (create($x, is_recurring => JSON::PP::true, recurring_interval => 'daily'), recurring($y));
    complete($_->[0], $_->[1]) for [$x, $xt], [$y, $yt];
    (my $x1, $x2) = events($x);
    my ($y1, $y2) = events($y);
    # without a due date it has no reminder, and so needs no task
    $x1 = { %$x1, data => { %{ $x1->{data} }, task => { %{ $x1->{data}{task} }, due_date => undef } } };
    $later = { %$x1, id => sprintf('88888888-8888-4888-%04d-%012d', 8000 + $try, $$), type => 'task.updated' };
    $holder->begin_work;
    $holder->do('SELECT 1 FROM taskevents.tasks WHERE id = ? FOR UPDATE', undef, $xt->{id});
    my $began = time;
    $answer = bulk($x1, $y1, $x2, $later, $y2);
    $holder->rollback;
    last if time - $began < 5;
}
is $answer->{status}, 200, 'somebody holds a task';
is_deeply statuses($answer), { 0 => 'SUCCESS', 1 => 'SUCCESS', 2 => 'RETRY', 3 => 'RETRY', 4 => 'SUCCESS' },
    'its completion and what follows it for that user come again, the rest is done';
is_deeply types($x), ['task.created'], 'nothing has overtaken it';
is scalar(series($yt->{series_id})), 2, 'the other user has the next occurrence';
is_deeply statuses(bulk($x2, $later)), all_are(2, 'SUCCESS'), 'when they come again';
is_deeply types($x), ['task.created', 'task.completed', 'task.updated'], 'they are handled in their order';
is scalar(series($xt->{series_id})), 2, 'with its next occurrence';

# envelopes that are broken, or none
for my $case (['no entries', '"entries":[]'], ['entries that are none', '"entries":7'], ['none at all', '"topic":"tasks"']) {
    $answer = request(POST => '/api/events/tasks', @sidecar, body => qq({$case->[1],"type":"com.dapr.event.sent.bulk"}));
    is $answer->{status}, 200, $case->[0];
    is_deeply statuses($answer), {}, '… has no status, which means again';
}
my $z = user('bulk-title');
create($z, title => 'what is "type":"com.dapr.event.sent.bulk" about?');
$answer = request(POST => '/api/events/tasks', @sidecar, body => encode_json_text((events($z))[0]));
is $answer->{status}, 200, 'a title that quotes the word';
is $answer->{body}, '', 'is one event';
is scalar(history($z)), 1, 'and handled';

# up to 4 MiB in all
my @many = map { but(pad => 'x' x 40_000, type => 'task.updated') } 1 .. 90;
$answer = request(POST => '/api/events/tasks', @sidecar, body => bulk_text(@many));
is_deeply statuses($answer), all_are(90, 'SUCCESS'), 'a batch of 3.6 MB';
is scalar(history($w)), 91, 'is handled';
is request(POST => '/api/events/dead-letters', @sidecar, body => bulk_text($good))->{body}, '', 'the dead-letter route knows no batches';

expect_log(qr/\[taskevents:alert\].*TE0401/, 'the letters kept');
expect_log(qr/\[taskevents:warn\].*TE040[34]/, 'what has to come again');
finish();
