# Dead letters are found, shown, handled again or discarded by an operator, and
# each of these is done once, whoever asks and how often.
use strict;
use warnings;
use utf8;
use Test::More;
use MIME::Base64 'decode_base64';
use TaskEvents::Test;

my $at = '/operator/status';
my @record = (__topic => 'tasks', __partition => 2, __offset => 1041);
sub deliver { my ($route, $body) = @_; return request(POST => "/api/events/$route", vhost => 'sidecar', type => 'application/cloudevents+json',
    headers => ['dapr-api-token' => APP_TOKEN, @record], body => ref $body ? encode_json_text($body) : $body) }
sub ask { my ($path, %option) = @_; return request(GET => "$at$path", vhost => 'status', %option) }
sub order { my ($path, %option) = @_; return request(POST => "$at$path", vhost => 'status', json => {}, %option) }
sub letter_of { my ($event_id, $stage) = @_; return row('SELECT * FROM taskevents.dead_letters WHERE event_id = ? AND stage = ?', $event_id, $stage // 'deadletter') }

# an event that the sidecar gave up: a completion, so that its effect can be seen
my $round = 0;
sub given_up
{
    my ($v) = @_;
    my $t = create($v, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');
    request(POST => task_path($v, $t->{id}, 'complete'), as => $v);
    my $event = (events($v))[-1];
    is deliver('dead-letters', { %$event, topic => 'tasks' })->{status}, 200, 'an event is given up';
    return ($event, letter_of($event->{id}), $t);
}
sub series { return scalar rows('SELECT 1 AS x FROM taskevents.tasks WHERE series_id = ?', $_[0]{series_id}) }

# ---- found and shown

my $u = user('letters');
my ($event, $letter, $task) = given_up($u);
is $letter->{state}, 'open', 'its letter is open';
is scalar(grep { /TE0401/ && /\Q$event->{id}\E/ } log_lines(qr/taskevents:alert/)), 1, 'one alert line';
deliver('dead-letters', { %$event, topic => 'tasks' }) for 1, 2;
is scalar(grep { /TE0401/ && /\Q$event->{id}\E/ } log_lines(qr/taskevents:alert/)), 1, 'and none for its copies';
is letter_of($event->{id})->{attempts}, 3, 'which are counted';

my $found = ask('/dead-letters?state=open&stage=deadletter');
is $found->{status}, 200, 'the list';
is $found->{headers}{'cache-control'}, 'no-store', 'is not to be kept';
my ($mine) = grep { $_->{event_id} eq $event->{id} } @{ $found->{json} };
is_deeply { map { $_ => $mine->{$_} } qw(id stage state source user_id topic partition offset attempts closed_at closed_by note alert) },
    { id => $letter->{id} + 0, stage => 'deadletter', state => 'open', source => '/taskevents/test', user_id => $u, topic => 'tasks', partition => 2, offset => 1041,
      attempts => 3, closed_at => undef, closed_by => undef, note => undef, alert => 'none' }, 'has it, with where its record was';
ok !exists $mine->{body}, 'without its body';
like $mine->{$_}, time_re(), $_ for qw(first_failed_at last_failed_at);
my $shown = ask("/dead-letters/$letter->{id}");
is $shown->{status}, 200, 'one letter';
is $shown->{json}{encoding}, 'json', 'with its body as JSON';
is_deeply $shown->{json}{body}, { %$event, topic => 'tasks' }, 'as it came';
is ask("/dead-letters/$letter->{id}", as => undef)->{body}, $shown->{body}, 'asking changes nothing';
is request(HEAD => "$at/dead-letters/$letter->{id}", vhost => 'status')->{headers}{'content-length'}, length $shown->{body}, 'HEAD';

my $binary = "\x00\xff\xfe not JSON " . user('binary');
deliver('tasks', $binary);
my ($odd) = grep { $_->{stage} eq 'malformed' } @{ ask('/dead-letters?stage=malformed&limit=1')->{json} };
my $odd_shown = ask("/dead-letters/$odd->{id}")->{json};
is $odd_shown->{encoding}, 'base64', 'what is no JSON comes in base64';
is decode_base64($odd_shown->{body}), $binary, 'byte by byte';

# pages
deliver('tasks', 'page ' . user("page$_")) for 1 .. 5;
my (@ids, $next);
for ($next = "$at/dead-letters?stage=malformed&limit=2"; $next; ) {
    my $page = request(GET => $next, vhost => 'status');
    push @ids, map { $_->{id} } @{ $page->{json} };
    ($next) = ($page->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/;
    like $next, qr{^\Q$at\E/dead-letters\?stage=malformed&limit=2&after=\d+$}, 'the next page is named' if $next && @ids < 4;
}
is_deeply \@ids, [sort { $b <=> $a } @ids], 'pages go from the newest on';
is_deeply \@ids, [map { $_->{id} } rows(q{SELECT id FROM taskevents.dead_letters WHERE stage = 'malformed' ORDER BY id DESC})], 'and leave none out';
is_deeply [map { $_->{id} } @{ ask('/dead-letters?limit=200&reason=' . escape($odd->{reason}))->{json} }],
    [map { $_->{id} } rows('SELECT id FROM taskevents.dead_letters WHERE reason = ? ORDER BY id DESC LIMIT 200', $odd->{reason})], 'by reason';

is_problem(ask("/dead-letters?$_"), 400, "?$_", '?' . (split /=/)[0])
    for 'state=closed', 'stage=lost', 'limit=0', 'limit=201', 'after=x', 'after=0', 'x=1', 'state=open&state=open';
is_problem(ask("/dead-letters/$_"), 404, "no letter '$_'") for 0, 'x', '999999999999', '99999999999999999999';
is_problem(ask($_), 404, "no route $_") for '/nothing', '/dead-letters/1/2', '/dead-letters/1/redrive/x', '/dead-letters/';

# ---- redriven

my $answer = order("/dead-letters/$letter->{id}/redrive");
is $answer->{status}, 200, 'a redrive';
is $answer->{json}{state}, 'redriven', 'closes the letter';
is $answer->{json}{note}, 'handled', 'says what came of it';
is $answer->{json}{closed_by}, '127.0.0.1', 'who';
like $answer->{json}{closed_at}, time_re(), 'and when';
is series($task), 2, 'and has the effect';
is scalar(grep { $_->{event_id} eq $event->{id} } history($u)), 1, 'and history';
my $again = order("/dead-letters/$letter->{id}/redrive");
is $again->{status}, 200, 'once more is answered alike';
is_deeply $again->{json}, $answer->{json}, 'with the letter as it is';
is series($task), 2, 'and has none';
is_problem(order("/dead-letters/$letter->{id}/discard"), 409, 'it cannot be discarded any more');
is scalar(log_lines(qr/TE0422.*dead letter $letter->{id} was redriven by 127\.0\.0\.1: handled/)), 1, 'the log has it once';
deliver('dead-letters', { %$event, topic => 'tasks' });
is letter_of($event->{id})->{state}, 'redriven', 'a late copy does not open it again';

# many operators, a copy of the event among them
my $races;
for my $n (1 .. 3) {
    my ($v, $e, $l, $t);
    my @answers = undisturbed(sub {
        $v = user('operators' . ++$races);
        ($e, $l, $t) = given_up($v);
        return at_once((map { [POST => "$at/dead-letters/$l->{id}/redrive", vhost => 'status', json => {}] } 1 .. 12),
            map { [POST => '/api/events/tasks', vhost => 'sidecar', type => 'application/cloudevents+json', headers => ['dapr-api-token' => APP_TOKEN], body => encode_json_text($e)] } 1 .. 4);
    });
    is_deeply [map { $_->{status} } @answers], [(200) x 16], "twelve operators and four copies at once ($n)";
    is series($t), 2, '… make one occurrence';
    is scalar(grep { $_->{event_id} eq $e->{id} } history($v)), 1, '… one row of history';
    is scalar(log_lines(qr/TE0422.*dead letter $l->{id} /)), 1, '… one line of audit';
}
# redrive against discard: one of them
{
    my ($e, $l, $t);
    my @answers = undisturbed(sub {
        ($e, $l, $t) = given_up(user('against' . ++$races));
        return at_once(map { [POST => "$at/dead-letters/$l->{id}/" . ($_ % 2 ? 'redrive' : 'discard'), vhost => 'status', json => {}] } 1 .. 10);
    });
    my $state = letter_of($e->{id})->{state};
    is series($t), $state eq 'redriven' ? 2 : 1, "redrive against discard: it is $state, and so is the effect";
    is scalar(grep { $_->{status} == 200 } @answers), 5, 'half of them are told so';
    is scalar(grep { $_->{status} == 409 } @answers), 5, 'the others that it was the other way';
}

# handled meanwhile
{
    my ($e, $l, $t) = given_up(user('meanwhile'));
    deliver('tasks', $e);
    is series($t), 2, 'an event that was delivered after all';
    is order("/dead-letters/$l->{id}/redrive")->{json}{note}, 'handled already', 'closes its letter';
    is series($t), 2, 'without another effect';
    my $v = user('before');
    my $s = create($v);
    my ($created) = events($v);
    deliver('tasks', $created);
    deliver('dead-letters', $created);
    is_deeply [@{ letter_of($created->{id}) }{qw(state note closed_by)}], ['redriven', 'handled already', 'taskevents'], 'one that was handled before is no open letter';
    is scalar(grep { /\Q$created->{id}\E/ } log_lines(qr/taskevents:alert/)), 0, 'and no alert';
}

# what fails again
{
    my $future = { %$event, id => '77777777-7777-4777-8777-777777777777', type => 'task.of-tomorrow' };
    deliver('tasks', $future);
    my $l = letter_of($future->{id}, 'handle');
    my $a = order("/dead-letters/$l->{id}/redrive");
    is_problem($a, 422, 'what still cannot be handled');
    like detail_of($a), qr/newer version|does not know the type/, 'says why';
    my $now = letter_of($future->{id}, 'handle');
    is_deeply [@{$now}{qw(state attempts note)}], ['open', $l->{attempts} + 1, 'a redrive by 127.0.0.1 failed'], 'stays open, counted';
    is_problem(order("/dead-letters/$odd->{id}/redrive"), 422, 'malformed stays malformed');
    is scalar(rows('SELECT 1 FROM taskevents.dead_letters WHERE event_id = ?', $odd->{event_id})), 1, 'and is no second letter';
    is order("/dead-letters/$odd->{id}/discard")->{json}{state}, 'discarded', 'so it is discarded';
    is order("/dead-letters/$odd->{id}/discard")->{status}, 200, 'once is enough';
    is_problem(order("/dead-letters/$odd->{id}/redrive"), 409, 'and it is not redriven any more');
}

# parked at publishing: back into the outbox under its own number
{
    my $v = user('parked');
    my $t = create($v);
    request(PATCH => task_path($v, $t->{id}), as => $v, json => { title => 'later' });
    my ($e) = events($v);
    db()->do(q{WITH o AS (DELETE FROM taskevents.outbox WHERE user_id = ? AND sequence = 1 RETURNING *)
        INSERT INTO taskevents.dead_letters (stage, source, event_id, topic, user_id, body, body_size, reason, attempts, first_failed_at, last_failed_at)
        SELECT 'publish', '/taskevents/test', event_id::text, topic, user_id, convert_to(event, 'UTF8'), octet_length(event), 'refused', 1, now(), now() FROM o}, undef, $v);
    my $l = letter_of($e->{id}, 'publish');
    my @at_once = at_once(map { [POST => "$at/dead-letters/$l->{id}/redrive", vhost => 'status', json => {}] } 1 .. 6);
    is_deeply [map { $_->{status} } @at_once], [(200) x 6], 'one that was never published';
    is letter_of($e->{id}, 'publish')->{note}, 'published again', 'goes out again';
    is_deeply [map { $_->{sequence} + 0 } outbox($v)], [1, 2], 'with its own number';
    is_deeply(JSON::PP->new->decode((outbox($v))[0]{event}), $e, 'and as it was');
    is scalar(history($v)), 0, 'and is not handled before that';
}

# ---- all of a reason

{
    my $v = user('batch');
    my @t = map { my ($e, $l, $t) = given_up($v); $t } 1 .. 7;
    my $reason = "a reason of $v";
    db()->do('UPDATE taskevents.dead_letters SET reason = ? WHERE user_id = ?', undef, $reason, $v);
    db()->do(q{UPDATE taskevents.dead_letters SET body = 'broken', body_size = 6 WHERE id = (SELECT min(id) FROM taskevents.dead_letters WHERE user_id = ?)}, undef, $v);
    my $a = order('/dead-letters/redrive', json => { reason => $reason, stage => 'deadletter' });
    is $a->{status}, 200, 'all of a reason';
    my $last = delete $a->{json}{after};
    is_deeply $a->{json}, { redriven => 6, failed => 1, more => JSON::PP::false }, 'are redriven, and one is not';
    is $last, row('SELECT max(id) AS id FROM taskevents.dead_letters WHERE user_id = ?', $v)->{id}, 'up to the last';
    is_deeply [map { series($_) } @t], [1, (2) x 6], 'each has its effect';
    is row(q{SELECT count(*) AS n FROM taskevents.dead_letters WHERE user_id = ? AND state = 'open'}, $v)->{n}, 1, 'the broken one is open';
    is order('/dead-letters/redrive', json => { reason => $reason })->{json}{redriven}, 0, 'once more: nothing to do';
    is_problem(order('/dead-letters/redrive', json => $_->[0]), 422, encode_json_text($_->[0]), $_->[1])
        for [{}, '#'], [{ reason => 7 }, '#/reason'], [{ stage => 'lost' }, '#/stage'], [{ reason => 'x', all => 1 }, '#/all'], [{ reason => 'x', after => -1 }, '#/after'];
    is_problem(request(GET => "$at/dead-letters/redrive", vhost => 'status'), 405, 'reading that');
}

# ---- by whom, and from where

my (undef, $open) = given_up(user('guarded'));
my $path = "/dead-letters/$open->{id}/discard";
is_problem(order($path, type => $_), 415, 'as ' . ($_ // 'nothing')) for 'text/plain', 'multipart/form-data', undef;
is_problem(order($path, headers => $_), 403, "@$_")
    for ['Sec-Fetch-Site' => 'cross-site'], ['Sec-Fetch-Site' => 'same-site'], [Origin => 'https://evil.example'], [Origin => 'null'], [Origin => 'http://taskevents.example:81'],
        ['Sec-Fetch-Site' => 'same-origin', Origin => 'http://evil.example'];
is_problem(order($path, json => { a => 1 }), 422, 'a member', '#/a');
is_problem(order($path, json => []), 400, 'no object');
is_problem(order("$path?x=1"), 400, 'a query');
is letter_of($open->{event_id})->{state}, 'open', 'none of these did anything';
for my $method (qw(PUT PATCH DELETE GET TRACE)) {
    my $a = request($method => "$at$path", vhost => 'status');
    is_problem($a, 405, "$method $path");
    is $a->{headers}{allow}, 'POST, OPTIONS', 'and what is allowed';
}
is request(OPTIONS => "$at/dead-letters", vhost => 'status')->{headers}{allow}, 'GET, HEAD, OPTIONS', 'OPTIONS';
is request(POST => "$at$path", vhost => 'status', body => '', headers => ['Sec-Fetch-Site' => 'same-origin', Origin => 'http://TASKEVENTS.example'])->{status}, 200, 'the same origin';
is order("/dead-letters/$open->{id}/discard", headers => ['Sec-Fetch-Site' => 'none'])->{status}, 200, 'no origin at all';

is_problem(request(GET => '/status', vhost => 'status_basic'), 401, 'nobody: a problem, whatever ErrorDocument says');
is_problem(request(GET => '/status/dead-letters', vhost => 'status_basic', headers => [Authorization => basic('bob')]), 401, 'somebody else');
my (undef, $named) = given_up(user('named'));
is request(POST => "/status/dead-letters/$named->{id}/redrive", vhost => 'status_basic', json => {}, headers => [Authorization => basic('alice')])->{json}{closed_by}, 'alice',
    'an operator with a name is remembered by it';
is_problem(request(GET => '/status', vhost => 'status_norequire'), 403, 'no Require, no service') for 1, 2;
is_problem(request(POST => '/status/dead-letters/1/discard', vhost => 'status_norequire', json => {}), 403, 'of whatever kind');

# ---- at a glance

for my $slash ('', '/') {
    my $glance = ask($slash);
    is $glance->{status}, 200, "the service at a glance ($slash)";
    is_deeply [sort keys %{ $glance->{json} }], [qw(breaker database dead_letters deliveries last_hour open_letters outbox pool published publishers reminders retries schema_needed schema_version transport version versions)], 'its members';
    is $glance->{json}{transport}, 'dapr', 'transport';
    is $glance->{json}{schema_version}, row('SELECT taskevents.schema_version() AS v')->{v}, 'schema';
    is_deeply $glance->{json}{dead_letters}, { map { $_ => row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE state = ?', $_)->{n} + 0 } qw(open redriven discarded) }, 'dead letters';
    is $glance->{json}{outbox}{depth}, row('SELECT count(*) AS n FROM taskevents.outbox')->{n}, 'what waits';
    cmp_ok $glance->{json}{outbox}{oldest_seconds}, '>', 0, 'and since when';
}
is_problem(request(POST => $at, vhost => 'status', json => {}), 405, 'a glance only');
is_problem(ask('?x=1'), 400, 'without questions');

expect_log(qr/\[taskevents:alert\].*TE0401/, 'the letters');
expect_log(qr/\[taskevents:error\].*TE0302/, 'the handler without Require');
expect_log(qr/\[auth_basic:error\]/, 'mod_auth_basic') if log_lines(qr/\[auth_basic:error\]/);
expect_log(qr/\[(?:authz_core|core):error\]/, 'httpd about a refusal') if log_lines(qr/\[(?:authz_core|core):error\]/);
finish();
