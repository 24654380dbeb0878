# The preview of a series is what completing its tasks one after the other makes.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $u = user('preview');
sub preview { my ($id, $query) = @_; return request(GET => task_path($u, $id, 'occurrences') . (defined $query ? "?$query" : ''), as => $u) }
sub recurring { my (%member) = @_; return create($u, is_recurring => $true, recurring_interval => 'daily', %member) }
sub due { return map { $_->{due_date} } @{ preview(@_)->{json} } }

# Completes a task and waits for the next: as the API answers it.
sub next_of
{
    my ($task) = @_;
    request(POST => task_path($u, $task->{id}, 'complete'), as => $u);
    my ($row) = wait_for(sub { (rows('SELECT id FROM taskevents.tasks WHERE series_id = ? AND occurrence = ?', $task->{series_id}, $task->{occurrence} + 1))[0] }) or return {};
    return request(GET => task_path($u, $row->{id}), as => $u)->{json};
}

for my $case (
    ['daily', due_date => '2031-03-10T09:00:00Z'],
    ['weekly, over a year', recurring_interval => 'weekly', due_date => '2031-12-20T20:00:00.5Z'],
    ['the end of the month', recurring_interval => 'monthly', due_date => '2031-10-31T09:00:00Z'],
    ['the end of the month, into a leap year', recurring_interval => 'monthly', due_date => '2031-11-30T23:30:00-05:00', time_zone => 'America/New_York'],
    ['into summer time', due_date => '2031-03-28T02:30:00+01:00', time_zone => 'Europe/Berlin'],
    ['out of it', due_date => '2031-10-24T02:30:00+02:00', time_zone => 'Europe/Berlin'],
    ['half an hour of summer', due_date => '2031-10-03T02:15:00+10:30', time_zone => 'Australia/Lord_Howe'],
    ['past', due_date => '2020-02-27T08:00:00Z'],
) {
    my ($name, %member) = @$case;
    my $task = recurring(%member);
    my $a = preview($task->{id}, 'limit=5');
    is $a->{status}, 200, "$name: a preview";
    is_deeply [map { $_->{occurrence} } @{ $a->{json} }], [2 .. 6], '… of the numbers after the task itself';
    is_deeply [map { join ',', sort keys %$_ } @{ $a->{json} }], [('due_date,occurrence') x 5], '… and nothing else';
    is row('SELECT count(*) AS n FROM taskevents.tasks WHERE series_id = ?', $task->{series_id})->{n}, 1, '… which makes none of them';
    my @promised = map { $_->{due_date} } @{ $a->{json} };
    my $from = $task;
    my @made = map { $task = next_of($task); $task->{due_date} } 1 .. 5;
    is_deeply \@made, \@promised, '… and is what comes';
    is_deeply [due($from->{id}, 'limit=5')], \@promised, '… also seen from the first, when all are there';
    is_deeply [(due($task->{id}, 'limit=2'))[0]], [next_of($task)->{due_date}], '… and from the last';
}

# how many
my $task = recurring(due_date => '2031-01-01T09:00:00Z');
for my $limit (1, 2, 365, 366) {
    is scalar(due($task->{id}, "limit=$limit")), $limit, "limit=$limit";
}
my $some = due($task->{id});
cmp_ok $some, '>=', 1, 'without a limit some';
my @year = due($task->{id}, 'limit=366');
is $year[-1], '2032-01-02T09:00:00Z', 'a year and a day on';
for my $query ('limit=0', 'limit=367', 'limit=-1', 'limit=', 'limit=x', 'limit=1.5', 'limit=99999999999999999999', 'limit=+1', 'limit=1&limit=2', 'foo=1', 'after=x', 'sort_by=created_asc', 'limit') {
    my $a = preview($task->{id}, $query);
    is_problem($a, 400, "?$query is 400");
    my ($named) = $query =~ /^(\w+)/;
    like detail_of($a), qr/$named/, '… naming it';
}

# none to come
is_deeply preview(create($u, due_date => '2031-01-01T00:00:00Z')->{id})->{json}, [], 'a task that does not recur';
my $ended = recurring(due_date => '2031-01-01T00:00:00Z');
request(PATCH => task_path($u, $ended->{id}), as => $u, json => { is_recurring => $false });
is_deeply preview($ended->{id})->{json}, [], 'one that does no more';
my $first = recurring(due_date => '2031-01-01T00:00:00Z');
my $second = next_of($first);
is scalar(due($first->{id}, 'limit=3')), 3, 'a completed task of a series that goes on';
request(DELETE => task_path($u, $second->{id}), as => $u);
is_deeply preview($first->{id})->{json}, [], 'the series ended with an open task deleted';
is_deeply preview(recurring()->{id})->{json}, [], 'no due date: nobody knows when it will be completed';
my $undue = recurring(recurring_interval => 'weekly');
my $next = next_of($undue);
is_deeply [(due($undue->{id}, 'limit=1'))[0]], [$next->{due_date}], 'completed without one: a week after that';
my @last = due(recurring(due_date => '9999-12-29T00:00:00Z')->{id}, 'limit=10');
is_deeply \@last, ['9999-12-30T00:00:00Z', '9999-12-31T00:00:00Z'], 'the calendar ends';

# after a move it counts anew
request(PATCH => task_path($u, $task->{id}), as => $u, json => { due_date => '2031-01-31T10:00:00Z', recurring_interval => 'monthly' });
is_deeply [due($task->{id}, 'limit=3')], ['2031-02-28T10:00:00Z', '2031-03-31T10:00:00Z', '2031-04-30T10:00:00Z'], 'moved, by the month, to the 31st';

# as any task route
is_problem(preview(9223372036854775807), 404, 'no such task');
is_problem(preview($_), 404, "task id $_") for 'abc', 0, '-1';
is_problem(preview(9223372036854775807, 'limit=0'), 400, 'a bad query of no task');
is_problem(request(GET => task_path($u, $task->{id}, 'occurrences')), 401, 'nobody');
my $other = user('preview-other');
is_problem(request(GET => task_path($u, $task->{id}, 'occurrences'), as => $other), 403, 'another user');
is_problem(request(GET => task_path($other, $task->{id}, 'occurrences'), as => $other), 404, "another user's task");
my $head = request(HEAD => task_path($u, $task->{id}, 'occurrences'), as => $u);
is $head->{status}, 200, 'HEAD';
is $head->{body}, '', '… without a body';
is_problem(request(POST => task_path($u, $task->{id}, 'occurrences'), as => $u, json => {}), 405, 'only read');
finish();
