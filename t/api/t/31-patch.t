# PATCH: a merge patch of RFC 7396. null clears or restores the default, every
# fault is told at once, and one change is one version and its events.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $u = user('patch');
sub path { return task_path($u, $_[0]) }
sub patch { my ($id, $json, %option) = @_; return request(PATCH => path($id), as => $u, json => $json, %option) }
sub read_task { return request(GET => path($_[0]), as => $u)->{json} }
sub events_of { my ($id) = @_; return grep { $_->{data}{task_id} == $id } events($u) }
sub last_event { return (events_of($_[0]))[-1] }
sub same { my ($got, $want, $name) = @_; is_deeply $got, $want, $name }

# each member set, and put back by null
my %start = (title => 'Water', description => 'the ficus', priority => 'high', tags => ['Home', 'b'],
    due_date => '2031-03-10T09:00:00Z', time_zone => 'Europe/Berlin');
my $task = create($u, %start);
my $id = $task->{id};
my $version = 1;
# member, what is given, what is stored; after a null
for my $case (
    ['title', '  Feed the cat ', 'Feed the cat'], ['title', 'ü' x 200, 'ü' x 200],
    ['description', 'twice', 'twice'], ['description', '', ''], ['description', undef, undef], ['description', '😀' x 1000, '😀' x 1000],
    ['priority', 'low', 'low'], ['priority', undef, 'medium'], ['priority', 'high', 'high'],
    ['tags', ['x', ' Ünder '], ['x', 'Ünder']], ['tags', [], []], ['tags', ['a'], ['a']], ['tags', undef, []],
    ['due_date', '2032-02-29T10:00:00.5+02:00', '2032-02-29T08:00:00.500000Z'], ['due_date', undef, undef], ['due_date', '2031-01-01T00:00:00Z', '2031-01-01T00:00:00Z'],
    ['time_zone', 'America/New_York', 'America/New_York'], ['time_zone', undef, 'UTC'], ['time_zone', 'Asia/Kolkata', 'Asia/Kolkata'],
    ) {
    my ($name, $given, $stored) = @$case;
    my $before = read_task($id);
    my $r = patch($id, { $name => $given });
    my $what = "$name: " . substr(encode_json_text($given), 0, 40);
    is $r->{status}, 200, $what;
    same $r->{json}{$name}, $stored, '… is stored';
    is $r->{json}{version}, ++$version, '… as a version';
    is $r->{headers}{etag}, "\"$version\"", '… and ETag';
    same { %{ $r->{json} }, map { $_ => 0 } $name, qw(version updated_at) }, { %$before, map { $_ => 0 } $name, qw(version updated_at) }, '… and nothing else';
    isnt $r->{json}{updated_at}, $before->{updated_at}, '… updated now';
    same read_task($id), $r->{json}, '… as it is read';
    my $event = last_event($id);
    is $event->{type}, 'task.updated', '… one task.updated';
    same $event->{data}{changes}, { $name => { old => $before->{$name}, new => $stored } }, '… of exactly that';
    same $event->{data}{task}, $r->{json}, '… with the whole task';
}
is scalar(events_of($id)), $version, 'an event a version';

# nothing changed: no version, no time, no event
my $now = read_task($id);
for my $same ({}, { title => $now->{title} }, { title => " $now->{title}\n" }, { description => $now->{description} }, { tags => [] }, { tags => undef },
              { due_date => '2031-01-01T00:00:00Z' }, { due_date => '2031-01-01T02:00:00+02:00' }, { priority => 'high' }, { completed => $false },
              { completed => undef }, { is_recurring => $false }, { is_recurring => undef }, { recurring_interval => undef },
              { is_recurring => $false, recurring_interval => undef }, { time_zone => 'Asia/Kolkata' },
              { map { $_ => $now->{$_} } qw(title description completed priority tags due_date time_zone is_recurring recurring_interval) }) {
    my $r = patch($id, $same);
    is $r->{status}, 200, 'no change: ' . substr encode_json_text($same), 0, 60;
    same $r->{json}, $now, '… is none';
    is $r->{headers}{etag}, "\"$version\"", '… and the ETag stays';
}
is scalar(events_of($id)), $version, 'none of them made an event';

# media types
is request(PATCH => path($id), as => $u, type => $_, body => '{"title":"a"}')->{status}, 200, "PATCH as $_"
    for 'application/json', 'application/merge-patch+json', 'application/merge-patch+json; charset=utf-8', 'Application/Merge-Patch+JSON';
is_problem(request(PATCH => path($id), as => $u, type => $_, body => '{"title":"b"}'), 415, 'PATCH as ' . ($_ // 'nothing'))
    for 'text/plain', 'application/json-patch+json', 'application/merge-patch+jsonx', 'application/x-www-form-urlencoded', '', undef;
is_problem(request(PATCH => path($id), as => $u, type => 'text/plain', body => '{'), 415, '415 before the body is looked at');
is_problem(request(PATCH => path($id), as => $u, body => $_), 400, 'body ' . substr $_, 0, 30)
    for '', '[]', 'null', '"x"', '{', '{"title":"a","title":"b"}', '{"title":"\u0000"}', "{\"title\":\"\xff\"}", '[{"op":"remove","path":"/title"}]';
is_problem(request(PATCH => path($id), as => $u, body => '{}' . ' ' x 65535), 413, 'a large body');
is_problem(request(PATCH => path($id) . '?x=1', as => $u, json => {}), 400, 'a query');

# broken rules: the task and its stream stay as they are
$now = read_task($id);
$version = $now->{version};
my $count = events_of($id);
for my $case (
    ['#/title', { title => undef }], ['#/title', { title => '' }], ['#/title', { title => " \n" }], ['#/title', { title => 'x' x 201 }], ['#/title', { title => 7 }],
    ['#/description', { description => 'x' x 1001 }], ['#/description', { description => [] }],
    ['#/completed', { completed => 'yes' }], ['#/completed', { completed => 1 }],
    ['#/priority', { priority => 'urgent' }], ['#/priority', { priority => 1 }],
    [qr{^#/tags}, { tags => ['a', 'A'] }], [qr{^#/tags}, { tags => ['ÄPFEL', 'äpfel'] }], [qr{^#/tags}, { tags => [undef] }], ['#/tags', { tags => 'a' }],
    ['#/tags', { tags => [map { "t$_" } 1 .. 11] }], [qr{^#/tags/1}, { tags => ['a', 'x' x 51] }],
    ['#/due_date', { due_date => '2031-01-01T00:00:00' }], ['#/due_date', { due_date => 7 }],
    ['#/time_zone', { time_zone => 'Mars/Olympus' }], ['#/time_zone', { time_zone => 7 }], ['#/time_zone', { time_zone => 'posix/UTC' }],
    ['#/recurring_interval', { recurring_interval => 'daily' }], ['#/recurring_interval', { is_recurring => $true }],
    ['#/recurring_interval', { is_recurring => $true, recurring_interval => undef }], ['#/recurring_interval', { is_recurring => $true, recurring_interval => 'yearly' }],
    ['#/recurring_interval', { is_recurring => $false, recurring_interval => 'daily' }], ['#/is_recurring', { is_recurring => 'yes' }],
    ['#/colour', { colour => undef }], ['#/Title', { Title => 'x' }], ['#/a~1b~0c', { 'a/b~c' => 1 }],
    (map { ["#/$_", { $_ => $now->{$_} }] } qw(id user_id completed_at series_id occurrence version created_at updated_at)),
    ) {
    my ($pointer, $json) = @$case;
    is_problem(patch($id, $json), 422, substr(encode_json_text($json), 0, 60) . ' breaks a rule', $pointer);
}
is_problem(patch($id, { title => '', priority => 'urgent', tags => ['a', 'A'], due_date => 'soon', time_zone => 'Nowhere', description => 7,
    is_recurring => $true, recurring_interval => 'yearly', completed => 'no', id => 1, version => undef, colour => 'red' }), 422, 'every fault at once',
    '#/title', '#/priority', qr{^#/tags}, '#/due_date', '#/time_zone', '#/description', '#/recurring_interval', '#/completed', '#/id', '#/version', '#/colour');
is_problem(patch($id, { description => 'fine', title => '' }), 422, 'one fault refuses the whole');
same read_task($id), $now, 'nothing of that was kept';
is scalar(events_of($id)), $count, 'or told';

# which answer comes first
is_problem(patch($id + 1, { title => 'x' }), 404, 'no such task');
is_problem(patch($_, { title => 'x' }), 404, "task id $_") for 'abc', '0', '-1', '99999999999999999999';
is_problem(patch($id + 1, { title => '' }, headers => ['If-Match' => '"1"']), 404, '404 before 412 and 422');
is_problem(patch($id, { title => '' }, headers => ['If-Match' => '"1"']), 412, '412 before 422');
is_problem(patch($id, { title => 'x' }, headers => ['If-Match' => '"1"']), 412, 'a stale If-Match');
is_problem(patch($id, {}, headers => ['If-Match' => '"1"']), 412, 'a stale If-Match, nothing to change');
is_problem(request(PATCH => path($id), as => user('patch-other'), json => { title => 'x' }), 403, 'another user');
is_problem(request(PATCH => path($id), as => user('patch-other'), body => '{', headers => ['If-Match' => '"1"']), 403, '403 before everything');
is_problem(request(PATCH => path($id), json => { title => 'x' }), 401, 'nobody');
my $other = user('patch-other');
is_problem(request(PATCH => task_path($other, $id), as => $other, json => { title => 'x' }), 404, "another user's task under one's own path");
same read_task($id), $now, 'still the same';

# completing and reopening by PATCH
sub types { return join ' ', map { $_->{type} =~ s/task\.//r } events_of($_[0]) }
$task = create($u, title => 'plain');
my $r = patch($task->{id}, { completed => $true });
is $r->{json}{completed}, $true, 'a PATCH completes';
is $r->{json}{completed_at}, $r->{json}{updated_at}, '… now';
is types($task->{id}), 'created completed', '… as one task.completed';
same last_event($task->{id})->{data}{task}, $r->{json}, '… with the task';
$r = patch($task->{id}, { completed => $true });
is $r->{json}{version}, 2, 'again is no change';
my $done = read_task($task->{id});
$r = patch($task->{id}, { completed => $false, title => 'open again' });
is $r->{json}{completed_at}, undef, 'a PATCH reopens';
is types($task->{id}), 'created completed updated', '… as one task.updated';
same last_event($task->{id})->{data}{changes}, { completed => { old => $true, new => $false }, completed_at => { old => $done->{completed_at}, new => undef },
    title => { old => 'plain', new => 'open again' } }, '… with everything that changed';
patch($task->{id}, { completed => $true });
is patch($task->{id}, { completed => undef })->{json}{completed}, $false, 'null restores the default of completed: open';

# with other changes: task.updated, then task.completed, of one transaction
$task = create($u, title => 'old', description => 'd');
$r = patch($task->{id}, { completed => $true, title => 'new', description => undef });
is $r->{json}{version}, 2, 'one change is one version';
my (undef, $updated, $completed) = events_of($task->{id});
is types($task->{id}), 'created updated completed', 'what else changed comes first';
same $updated->{data}{changes}, { title => { old => 'old', new => 'new' }, description => { old => 'd', new => undef } }, '… names what it changed, and not the completion';
is $updated->{data}{task}{completed}, $false, '… still open in it';
is $updated->{data}{task}{completed_at}, undef, '… without a time';
same $completed->{data}{task}, $r->{json}, '… and complete in the other';
ok !exists $completed->{data}{changes}, '… which is the completion alone';
is $completed->{sequence} - $updated->{sequence}, 1, '… two numbers in a row';
isnt $completed->{id}, $updated->{id}, '… two ids';
is $_->{correlationid}, $_->{id}, '… each the first of its chain' for $updated, $completed;
is row('SELECT last_event_id FROM taskevents.tasks WHERE id = ?', $task->{id})->{last_event_id}, $completed->{id}, '… the task knows the last';
ok wait_for(sub { !outbox($u) }), 'all handled';

# the same transaction: nobody sees the one without the other. A lock on the
# stream holds the writer where half of it is done.
my ($v, $both);
undisturbed(sub {
    $v = user('patch-atomic' . ($v // ''));
    $task = create($v);
    ok wait_for(sub { !outbox($v) }), 'its creation is handled';
    db()->begin_work;
    db()->do(q{SELECT FROM taskevents.streams WHERE user_id = ? AND name = 'tasks' FOR UPDATE}, undef, $v);
    my $socket = TaskEvents::Test::connection();
    print {$socket} TaskEvents::Test::compose(PATCH => task_path($v, $task->{id}), as => $v, json => { completed => $true, title => 'both' });
    ok wait_held(), 'half of a change is done';
    is request(GET => task_path($v, $task->{id}), as => $v)->{json}{version}, 1, 'before the commit nobody sees it';
    is row('SELECT count(*) AS n FROM taskevents.outbox WHERE user_id = ?', $v)->{n}, 0, 'nor an event';
    db()->commit;
    return $both = TaskEvents::Test::answer($socket, 'PATCH');
});
is $both->{json}{version}, 2, 'then it is there';
is_deeply [map { $_->{type} } events($v)], [qw(task.created task.updated task.completed)], 'with both';
my @xmin = rows('SELECT DISTINCT xmin::text FROM taskevents.outbox WHERE user_id = ?', $v);
cmp_ok scalar @xmin, '<=', 1, 'by one transaction';

# several at once: each change once, and those that saw an old version lose
my $n;
my @answers = undisturbed(sub {
    $v = user('patch-race' . ++$n);
    $task = create($v);
    return at_once(map { [PATCH => task_path($v, $task->{id}), as => $v, json => { title => "title $_" }] } 1 .. 24);
});
is_deeply [map { $_->{status} } @answers], [(200) x 24], '24 changes at once';
is_deeply [map { $_ + 0 } sort map { sprintf "%04d", $_->{json}{version} } @answers], [2 .. 25], 'are 24 versions';
my @events = events($v);
is_deeply [map { $_->{data}{task}{version} } @events], [1 .. 25], 'in the order of the stream';
is_deeply [map { $_->{data}{changes}{title}{old} } @events[1 .. 24]], [map { $_->{data}{task}{title} } @events[0 .. 23]], 'each from what was before';
is_deeply [map { $_->{sequence} + 0 } @events], [1 .. 25], 'and the stream has no gap';
@answers = undisturbed(sub {
    $v = user('patch-won' . ++$n);
    $task = create($v);
    return at_once(map { [PATCH => task_path($v, $task->{id}), as => $v, json => { title => "won by $_" }, headers => ['If-Match' => '"1"']] } 1 .. 16);
});
is_deeply [sort map { $_->{status} } @answers], [200, (412) x 15], 'If-Match lets one through';
is_deeply [map { $_->{sequence} + 0 } events($v)], [1, 2], 'and the stream has no gap';
finish();
