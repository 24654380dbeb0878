# Idempotency-Key: a POST that comes twice is done once and answered twice alike.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $u = user('idem');
my $path = task_path($u);
sub post { my ($key, $json, %option) = @_; return request(POST => $path, as => $u, json => $json, headers => ['Idempotency-Key' => $key], %option) }
sub tasks { return row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $_[0] // $u)->{n} }
sub kept { return row('SELECT count(*) AS n FROM taskevents.idempotency_keys WHERE user_id = ? AND key = ?', $_[1] // $u, $_[0])->{n} }
sub is_replay
{
    my ($answer, $first, $name) = @_;
    is $answer->{status}, $first->{status}, $name;
    is $answer->{body}, $first->{body}, '… the same bytes';
    is $answer->{headers}{'idempotent-replayed'}, 'true', '… and says so';
    is $answer->{headers}{$_}, $first->{headers}{$_}, "… with the same $_" for qw(etag location content-type);
}

# the same again
my $first = post('key 1', { title => 'once' });
is $first->{status}, 201, 'a keyed POST';
is $first->{headers}{'idempotent-replayed'}, undef, 'is no replay';
is_replay(post('key 1', { title => 'once' }), $first, 'the same again') for 1 .. 3;
is tasks(), 1, 'one task';
is scalar(events($u)), 1, 'one event';
is post('key 2', { title => 'once' })->{json}{id} == $first->{json}{id}, '', 'another key is another task';
is request(POST => $path, as => $u, json => { title => 'once' })->{status}, 201, 'and no key is no promise';

# also when the task has changed or gone since
my $id = $first->{json}{id};
is request(PATCH => task_path($u, $id), as => $u, json => { title => 'changed' })->{status}, 200, 'the task is changed';
is_replay(post('key 1', { title => 'once' }), $first, 'the first answer, as it was');
is request(DELETE => task_path($u, $id), as => $u)->{status}, 204, 'the task is deleted';
is_replay(post('key 1', { title => 'once' }), $first, 'the first answer, of a task that is gone');
is_problem(request(GET => task_path($u, $id), as => $u), 404, 'which does not come back');

# another body
my $before = tasks();
is_problem(post('key 1', $_), 422, 'another body: ' . encode_json_text($_)) for { title => 'other' }, { title => 'once', priority => 'high' };
is_problem(request(POST => $path, as => $u, body => '{"title": "once"}', headers => ['Idempotency-Key' => 'key 1']), 422, 'the same in other bytes is another body');
like detail_of(post('key 1', { title => 'other' })), qr/Idempotency-Key/, 'the detail says why';
is_problem(post('key 1', { title => '' }), 422, 'its rules come first', '#/title');
is_problem(request(POST => $path, as => $u, body => '{', headers => ['Idempotency-Key' => 'key 1']), 400, 'and so does its syntax');
is tasks(), $before, 'nothing was made of that';

# only success is kept
is_problem(post('refused', { title => '' }), 422, 'a refused POST', '#/title');
is kept('refused'), 0, 'is not kept';
is post('refused', { title => 'better' })->{status}, 201, 'the key is free for a better body';
is_problem(request(POST => task_path($u, 1, 'complete'), as => $u, headers => ['Idempotency-Key' => 'gone']), 404, 'a task that is not there');
is kept('gone'), 0, 'is not kept either';

# a key is of a user, a method and a path
my $v = user('idem-other');
my $theirs = request(POST => task_path($v), as => $v, json => { title => 'once' }, headers => ['Idempotency-Key' => 'key 1']);
is $theirs->{status}, 201, "another user's key";
is $theirs->{headers}{'idempotent-replayed'}, undef, '… is another';
is_problem(request(POST => $path, as => $v, json => { title => 'once' }, headers => ['Idempotency-Key' => 'key 1']), 403, '… and opens nothing');
is_problem(request(POST => $path, json => { title => 'once' }, headers => ['Idempotency-Key' => 'key 1']), 401, '… nor for nobody');
my ($one, $two) = map { create($u, title => $_) } 'one', 'two';
for my $task ($one, $two) {
    my $a = request(POST => task_path($u, $task->{id}, 'complete'), as => $u, headers => ['Idempotency-Key' => 'key 1']);
    is $a->{status}, 200, "the same key on $task->{title}";
    is $a->{json}{id}, $task->{id}, '… is its own';
    is $a->{headers}{'idempotent-replayed'}, undef, '… and no replay';
}

# complete with a key
sub complete { my ($task, $key, @rest) = @_; return request(POST => task_path($u, $task->{id}, 'complete'), as => $u, headers => ['Idempotency-Key' => $key, @{ $rest[0] // [] }], @rest > 1 ? (json => $rest[1]) : ()) }
my $task = create($u, title => 'do it');
my $done = complete($task, 'c');
is $done->{json}{version}, 2, 'completed with a key';
is request(POST => task_path($u, $task->{id}, 'complete'), as => $u, json => { completed => $false })->{json}{version}, 3, 'reopened meanwhile';
is_replay(complete($task, 'c'), $done, 'the same again');
is request(GET => task_path($u, $task->{id}), as => $u)->{json}{completed}, $false, '… does not complete it again';
is_problem(complete($task, 'c', [], { completed => $false }), 422, '… another body');
is_replay(complete($task, 'c', ['If-Match' => '"99"']), $done, '… whatever its If-Match');
is_problem(complete($task, 'd', ['If-Match' => '"99"']), 412, 'a stale one under a new key');
is kept('d'), 0, 'is not kept';
is complete($task, 'd', ['If-Match' => '"3"'])->{json}{version}, 4, 'and the key is free';
my $again = complete($task, 'e');
is $again->{json}{version}, 4, 'already complete: no change';
is_replay(complete($task, 'e'), $again, 'kept all the same');
# not on what is idempotent by itself, or changes nothing
is request(PATCH => task_path($u, $task->{id}), as => $u, json => { title => "t$_" }, headers => ['Idempotency-Key' => 'p'])->{status}, 200, 'PATCH takes no notice of it' for 1, 2;
is request(GET => $path, as => $u, headers => ['Idempotency-Key' => ''])->{status}, 200, 'nor GET';

# 1 to 255 printable characters
is post($_, { title => 'x' })->{status}, 201, 'key of ' . length . ' characters' for 'x', 'k' x 255, 'a b c', '"quoted"', '~!@#$%^&*()', "';--";
is_problem(post($_, { title => 'x' }), 400, 'key ' . substr encode_json_text($_), 0, 30) for '', 'k' x 256, "caf\xe9", "\xc3\xa9", "a\tb", "\x7f";
is_problem(request(POST => $path, as => $u, json => { title => 'x' }, headers => ['Idempotency-Key' => '']), 400, 'an empty one');

# at the same moment, over several children: one task
for my $round (1 .. 3) {
    my $w = user("idem-race$round");
    my @answers = at_once(map { [POST => task_path($w), as => $w, json => { title => 'once' }, headers => ['Idempotency-Key' => 'same']] } 1 .. 32);
    my %status;
    $status{ $_->{status} }++ for @answers;
    is_deeply [grep { !/^(?:201|409)$/ } keys %status], [], "round $round: 32 at once are answered 201 or 409 (" . join(', ', map { "$status{$_} x $_" } sort keys %status) . ')';
    cmp_ok $status{201} // 0, '>=', 1, '… 201 at least once';
    is scalar(keys %{ { map { $_->{body} => 1 } grep { $_->{status} == 201 } @answers } }), 1, '… with one and the same body';
    is scalar(grep { $_->{status} == 201 && !$_->{headers}{'idempotent-replayed'} } @answers), 1, '… one of them not a replay';
    for my $busy (grep { $_->{status} == 409 } @answers) {
        is $busy->{headers}{'retry-after'}, '1', '… 409 says when to try again';
        is_problem($busy, 409, '… as a problem');
        last;
    }
    is tasks($w), 1, '… one task';
    is_deeply [map { $_->{sequence} + 0 } events($w)], [1], '… one event';
    is request(POST => task_path($w), as => $w, json => { title => 'once' }, headers => ['Idempotency-Key' => 'same'])->{headers}{'idempotent-replayed'}, 'true', '… and a replay later';
}
# different bodies under one key at once: one wins, and the others are told
my $w = user('idem-bodies');
my @answers = at_once(map { [POST => task_path($w), as => $w, json => { title => "title $_" }, headers => ['Idempotency-Key' => 'same']] } 1 .. 16);
is scalar(grep { $_->{status} == 201 } @answers), 1, 'one of 16 bodies wins';
is_deeply [grep { !/^(?:201|409|422)$/ } map { $_->{status} } @answers], [], 'the others are 409 or 422';
is tasks($w), 1, 'one task';

# while it is under way: 409 for the second, whichever child it comes to
$w = user('idem-held');
create($w);
ok wait_for(sub { !outbox($w) }), 'nothing else is under way';
sub hold { db()->begin_work; db()->do(q{SELECT FROM taskevents.streams WHERE user_id = ? AND name = 'tasks' FOR UPDATE}, undef, $_[0]) }
sub send_keyed
{
    my ($key) = @_;
    my $socket = TaskEvents::Test::connection();
    print {$socket} TaskEvents::Test::compose(POST => task_path($w), as => $w, json => { title => 'held' }, headers => ['Idempotency-Key' => $key]);
    # it has taken the key by then
    wait_held();
    return $socket;
}
hold($w);
my $socket = send_keyed('held');
for (1 .. 4) {
    my $a = request(POST => task_path($w), as => $w, json => { title => 'held' }, headers => ['Idempotency-Key' => 'held']);
    is_problem($a, 409, 'still under way');
    is $a->{headers}{'retry-after'}, '1', '… in a second, perhaps';
}
db()->commit;
is TaskEvents::Test::answer($socket, 'POST')->{status}, 201, 'then it is answered';
is request(POST => task_path($w), as => $w, json => { title => 'held' }, headers => ['Idempotency-Key' => 'held'])->{headers}{'idempotent-replayed'}, 'true', 'and replayed';
is tasks($w), 2, 'made once';

# the child that has it in hand is killed: nothing is left behind, and the key is free
ok fresh_children(), 'children that have nothing else in hand';
hold($w);
$socket = send_keyed('killed');
kill KILL => server_children();
sleep 0.2;
db()->commit;
is TaskEvents::Test::answer($socket, 'POST', 3)->{status}, 0, 'killed before it answered';
# 503: the new children may have no connection yet
my $after = wait_for(sub {
    my $a = eval { request(POST => task_path($w), as => $w, json => { title => 'held' }, headers => ['Idempotency-Key' => 'killed']) };
    return $a && $a->{status} !~ /^(?:0|409|503)$/ ? $a : undef;
});
is $after->{status}, 201, 'the same key again makes the task';
is $after->{headers}{'idempotent-replayed'}, undef, 'for the first time';
is tasks($w), 3, 'once';
my @stream = events($w);
is_deeply [map { $_->{sequence} + 0 } @stream], [1 .. 3], 'in a stream without a gap';

# TaskEventsRetention idempotency 1h: an older answer is forgotten, and its key is free
$first = post('old', { title => 'once' });
my $age = sub { db()->do('UPDATE taskevents.idempotency_keys SET created_at = clock_timestamp() - ?::interval WHERE user_id = ? AND key = ?', undef, $_[0], $u, 'old') };
$age->('59 minutes');
is_replay(post('old', { title => 'once' }), $first, 'within the hour');
$age->('61 minutes');
my $fresh = post('old', { title => 'quite another body' });
is $fresh->{status}, 201, 'after it the key is free';
is $fresh->{headers}{'idempotent-replayed'}, undef, 'for something new';
is_replay(post('old', { title => 'quite another body' }), $fresh, 'which is kept in turn');

is_deeply [map { $_->{sequence} + 0 } events($u)], [1 .. scalar(my @all = events($u))], 'no gap where an answer was replayed or refused';
finish();
