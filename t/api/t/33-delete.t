# DELETE, and what it means for a series.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $u = user('delete');
sub delete_task { my ($id, %option) = @_; return request(DELETE => task_path($u, $id), as => $u, %option) }
sub ended { return row('SELECT ended_at IS NOT NULL AS ended FROM taskevents.series WHERE series_id = ?', $_[0])->{ended} }
sub daily { return create($u, is_recurring => $true, recurring_interval => 'daily', due_date => '2031-05-01T09:00:00Z', @_) }
sub complete { return request(POST => task_path($u, $_[0], 'complete'), as => $u) }
sub second_of
{
    my ($task) = @_;
    wait_for(sub { !outbox($u) });
    return (rows('SELECT * FROM taskevents.tasks WHERE series_id = ? AND occurrence = ?', $task->{series_id}, $task->{occurrence} + 1))[0];
}

my $task = create($u, title => 'Away "with" it', description => 'd');
my $answer = delete_task($task->{id});
is $answer->{status}, 204, 'deleted';
is $answer->{body}, '', 'without a body';
is $answer->{headers}{'content-type'}, undef, 'or a type of one';
is $answer->{headers}{etag}, undef, 'or a version';
is_problem(delete_task($task->{id}), 404, 'again');
is_problem(request(GET => task_path($u, $task->{id}), as => $u), 404, 'it is gone');
is_problem(request(PATCH => task_path($u, $task->{id}), as => $u, json => {}), 404, 'for a PATCH too');
is_problem(complete($task->{id}), 404, 'and cannot be completed');
is_deeply request(GET => task_path($u), as => $u)->{json}, [], 'nor listed';
my @events = events($u);
is_deeply [map { $_->{type} } @events], [qw(task.created task.deleted)], 'one event';
my $event = $events[1];
is $event->{subject}, "tasks/$task->{id}", 'of that task';
is $event->{data}{title}, $task->{title}, 'with its title';
is $event->{data}{task_id}, $task->{id}, 'and id';
is $event->{data}{origin}, 'user', 'by the user';
ok exists $event->{data}{series_id} && !defined $event->{data}{series_id}, 'of no series';
like $event->{data}{timestamp}, time_re(), 'at a time';
like $event->{dataschema}, qr{/task\.deleted\.v1\.json$}, 'with its schema';
is $event->{correlationid}, $event->{id}, 'the first of its chain';

# refused: nothing changes
$task = create($u);
is_problem(delete_task($task->{id} + 1), 404, 'no such task');
is_problem(delete_task($_), 404, "task id $_") for 'abc', 0, '-1', '9223372036854775808', "$task->{id}x";
is_problem(delete_task($task->{id} + 1, headers => ['If-Match' => '"1"']), 404, '404 before 412');
is_problem(delete_task($task->{id}, headers => ['If-Match' => $_]), 412, "If-Match: $_") for '"2"', 'W/"1"', '1', '"0", "2"';
is_problem(request(DELETE => task_path($u, $task->{id}) . '?force=1', as => $u), 400, 'a query');
my $other = user('delete-other');
is_problem(request(DELETE => task_path($u, $task->{id}), as => $other), 403, 'another user');
is_problem(request(DELETE => task_path($other, $task->{id}), as => $other), 404, "another user's task under one's own path");
is_problem(request(DELETE => task_path($u, $task->{id})), 401, 'nobody');
is_problem(request(DELETE => task_path($u), as => $u), 405, 'not the whole list');
is request(GET => task_path($u, $task->{id}), as => $u)->{json}{version}, 1, 'still there';
is delete_task($task->{id}, headers => ['If-Match' => '"7", "1"'])->{status}, 204, 'a fresh If-Match';
is delete_task(create($u)->{id}, headers => ['If-Match' => '*'])->{status}, 204, 'If-Match: *';
is delete_task(create($u)->{id}, json => { title => 'x' })->{status}, 204, 'a body is of no interest';

# an open task of a series ends it
my $open = daily(title => 'Water');
is delete_task($open->{id})->{status}, 204, 'an open task of a series';
ok ended($open->{series_id}), 'ends it';
$event = (events($u))[-1];
is $event->{data}{series_id}, $open->{series_id}, 'the event names the series';
is $event->{data}{occurrence}, 1, 'and the number';
is $event->{data}{title}, 'Water', 'and the title';
ok !second_of($open), 'there is no next';
# a completed one does not
my $first = daily();
complete($first->{id});
my $second = second_of($first);
ok $second, 'a second occurrence';
is delete_task($first->{id})->{status}, 204, 'the completed first is deleted';
ok !ended($first->{series_id}), 'which does not end the series';
is request(GET => task_path($u, $second->{id}), as => $u)->{status}, 200, 'the second stays';
complete($second->{id});
my $third = second_of($second);
is $third->{occurrence}, 3, 'and is followed by a third';
delete_task($third->{id});
ok ended($first->{series_id}), 'the open third ends it';
is second_of($third), undef, 'for good';

# completed and deleted before anything was handled: the next comes all the same
my $v = user('delete-quick');
my $quick = create($v, is_recurring => $true, recurring_interval => 'daily', due_date => '2031-05-01T09:00:00Z', title => 'quick');
db()->begin_work;
# the handlers wait here, the requests do not
db()->do('INSERT INTO taskevents.streams (user_id, name, last) VALUES (?, ?, 0) ON CONFLICT (user_id, name) DO UPDATE SET last = streams.last', undef, $v, 'history');
is request(POST => task_path($v, $quick->{id}, 'complete'), as => $v)->{status}, 200, 'completed';
is request(DELETE => task_path($v, $quick->{id}), as => $v)->{status}, 204, 'and deleted before that was handled';
db()->rollback;
ok wait_for(sub { !outbox($v) }, 20), 'then all is handled';
my ($next) = rows('SELECT * FROM taskevents.tasks WHERE series_id = ?', $quick->{series_id});
is $next->{occurrence}, 2, 'the next of a completed task that is gone';
is $next->{title}, 'quick', 'is made of what it was';

# many at once: one deletes
my ($w, $n);
for my $round (1 .. 3) {
    my @answers = undisturbed(sub {
        $w = user('delete-race' . ++$n);
        my $task = create($w);
        return at_once(map { [DELETE => task_path($w, $task->{id}), as => $w] } 1 .. 16);
    });
    is_deeply [sort map { $_->{status} } @answers], [204, (404) x 15], "round $round: one of 16 deletes it";
    is_deeply [map { $_->{type} } events($w)], [qw(task.created task.deleted)], '… with one event';
    is_deeply [map { $_->{sequence} + 0 } events($w)], [1, 2], '… and no gap';
}
# against changes of the same task: nobody changes what is gone
my @answers = undisturbed(sub {
    $task = create($w);
    return at_once([DELETE => task_path($w, $task->{id}), as => $w],
        map { [PATCH => task_path($w, $task->{id}), as => $w, json => { title => "t$_" }] } 1 .. 12);
});
is $answers[0]{status}, 204, 'deleted among changes';
is_deeply [grep { !/^(?:200|404)$/ } map { $_->{status} } @answers[1 .. 12]], [], 'which were made before, or find nothing';
my @after = grep { $_->{data}{task_id} == $task->{id} } events($w);
is $after[-1]{type}, 'task.deleted', 'the last event of a task is its deletion';
is scalar(@after), 2 + grep({ $_->{status} == 200 } @answers[1 .. 12]), 'an event for each answer';
finish();
