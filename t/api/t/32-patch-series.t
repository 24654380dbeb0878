# PATCH and recurrence: becoming recurring, ending a series, and counting on from
# where the task was moved to.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $u = user('series');
sub patch { my ($id, $json) = @_; return request(PATCH => task_path($u, $id), as => $u, json => $json) }
sub series { return rows('SELECT * FROM taskevents.tasks WHERE series_id = ? ORDER BY occurrence', $_[0]) }
sub state_of { return row('SELECT *, ended_at IS NOT NULL AS ended FROM taskevents.series WHERE series_id = ?', $_[0]) }
sub due_is { my ($task, $want, $name) = @_; is seconds_of($task->{due_date} // '1999-09-09Z'), seconds_of($want), $name }
sub daily { return create($u, is_recurring => $true, recurring_interval => 'daily', due_date => '2031-05-01T09:00:00Z', @_) }
sub preview { return map { $_->{due_date} } @{ request(GET => task_path($u, $_[0], 'occurrences') . '?limit=' . ($_[1] // 3), as => $u)->{json} } }
sub settle { ok wait_for(sub { !outbox($u) }), '… all handled' }

# Completes the newest of a series: the task that follows, or undef.
sub next_of
{
    my ($task, $json) = @_;
    request(PATCH => task_path($u, $task->{id}), as => $u, json => { completed => $true, %{ $json // {} } })->{status} == 200 or return;
    wait_for(sub { !outbox($u) });
    my ($row) = grep { $_->{occurrence} == $task->{occurrence} + 1 } series($task->{series_id}) or return;
    return request(GET => task_path($u, $row->{id}), as => $u)->{json};
}

# becoming recurring
my $plain = create($u, title => 'plain', due_date => '2031-05-01T09:00:00Z');
my $a = patch($plain->{id}, { is_recurring => $true, recurring_interval => 'weekly' });
is $a->{status}, 200, 'a task begins to recur';
like $a->{json}{series_id}, uuid_re(), '… with a series of its own';
is $a->{json}{occurrence}, 1, '… as its first';
is_deeply [sort keys %{ (events($u))[-1]{data}{changes} }], [qw(is_recurring occurrence recurring_interval series_id)], '… which the event names';
due_is(next_of($a->{json}), '2031-05-08T09:00:00Z', '… and goes on');

# {"is_recurring":false} says enough; null of it too
for my $end ({ is_recurring => $false }, { is_recurring => undef }, { is_recurring => $false, recurring_interval => undef }) {
    my $task = daily();
    $a = patch($task->{id}, $end);
    is $a->{status}, 200, encode_json_text($end);
    is $a->{json}{is_recurring}, $false, '… no longer recurs';
    is $a->{json}{recurring_interval}, undef, '… and has no interval';
    is $a->{json}{series_id}, $task->{series_id}, '… but was of its series';
    is_deeply [sort keys %{ (events($u))[-1]{data}{changes} }], [qw(is_recurring recurring_interval)], '… the event names both';
    ok state_of($task->{series_id})->{ended}, '… which has ended';
    is next_of($a->{json}), undef, '… and completing it makes nothing';
    is scalar(series($task->{series_id})), 1, '… at all';
    is_deeply [preview($task->{id})], [], '… as the preview says';
}
is_problem(patch(daily()->{id}, { recurring_interval => undef }), 422, 'no interval while it recurs', '#/recurring_interval');
is_problem(patch($plain->{id}, { is_recurring => $false, recurring_interval => 'daily' }), 422, 'an interval that does not recur', '#/recurring_interval');

# in the middle of a series: no later one
my $second = next_of(daily());
patch($second->{id}, { is_recurring => $false });
is next_of($second), undef, 'ended by its second task';

# ended and begun again: the same series, no number twice
my $again = daily();
patch($again->{id}, { is_recurring => $false });
$a = patch($again->{id}, { is_recurring => $true, recurring_interval => 'daily' });
is $a->{json}{series_id}, $again->{series_id}, 'begun again where it ended';
is $a->{json}{occurrence}, 1, '… at its number';
ok !state_of($again->{series_id})->{ended}, '… and no longer ended';
due_is(next_of($a->{json}), '2031-05-02T09:00:00Z', '… it goes on');
# an earlier task of a series that has gone on starts one of its own
$a = patch($again->{id}, { is_recurring => $false });
$a = patch($again->{id}, { is_recurring => $true, recurring_interval => 'monthly', completed => $false });
isnt $a->{json}{series_id}, $again->{series_id}, 'an earlier task begins a series of its own';
is $a->{json}{occurrence}, 1, '… at one';
is row('SELECT count(*) AS n FROM (SELECT 1 FROM taskevents.tasks WHERE user_id = ? AND series_id IS NOT NULL GROUP BY series_id, occurrence HAVING count(*) > 1) AS d', $u)->{n}, 0,
    'no number of a series is there twice';

# moved: the next counts from the new due date
my $moved = daily();
is patch($moved->{id}, { due_date => '2031-06-15T18:30:00Z' })->{status}, 200, 'the due date is moved';
is_deeply [preview($moved->{id}, 2)], ['2031-06-16T18:30:00Z', '2031-06-17T18:30:00Z'], '… the preview counts from it';
$moved = next_of($moved);
due_is($moved, '2031-06-16T18:30:00Z', '… and so does the next');
due_is(next_of($moved), '2031-06-17T18:30:00Z', '… and the one after');

# by the month: from a day that not every month has
my $month = create($u, is_recurring => $true, recurring_interval => 'monthly', due_date => '2031-01-15T09:00:00Z');
patch($month->{id}, { due_date => '2031-01-31T09:00:00Z' });
for my $want ('2031-02-28T09:00:00Z', '2031-03-31T09:00:00Z', '2031-04-30T09:00:00Z') {
    $month = next_of($month);
    due_is($month, $want, "monthly, moved to the 31st: $want");
}
# a shortened one that is moved keeps its new day, not the old anchor's
patch($month->{id}, { due_date => '2031-04-29T09:00:00Z' });
due_is(next_of($month), '2031-05-29T09:00:00Z', 'moved from the 30th, which stood for a 31st, to the 29th');
# a PATCH that touches neither due date, zone nor interval leaves the anchor
$month = create($u, is_recurring => $true, recurring_interval => 'monthly', due_date => '2031-01-31T09:00:00Z');
$month = next_of($month);
patch($month->{id}, { title => 'renamed', due_date => $month->{due_date} });
due_is(next_of($month), '2031-03-31T09:00:00Z', 'a new title leaves the anchor: 31 Jan, 28 Feb, 31 Mar');

# another zone: the same instant, another wall clock
my $zone = create($u, is_recurring => $true, recurring_interval => 'daily', due_date => '2031-03-29T08:00:00Z', time_zone => 'UTC');
patch($zone->{id}, { time_zone => 'Europe/Berlin' });
$zone = next_of($zone);
is $zone->{time_zone}, 'Europe/Berlin', 'another zone is kept';
due_is($zone, '2031-03-30T07:00:00Z', '… and counted in');
# another interval
my $interval = daily();
patch($interval->{id}, { recurring_interval => 'monthly' });
due_is(next_of($interval), '2031-06-01T09:00:00Z', 'another interval');
# all together with the completion itself
due_is(next_of(daily(), { due_date => '2031-12-31T20:00:00+01:00', recurring_interval => 'weekly', time_zone => 'Europe/Vienna' }), '2032-01-07T20:00:00+01:00',
    'moved and completed by one PATCH');
# the due date cleared: counted from the completion
my $undue = daily();
patch($undue->{id}, { due_date => undef });
my $next = next_of($undue);
my $at = request(GET => task_path($u, $undue->{id}), as => $u)->{json}{completed_at};
cmp_ok abs(seconds_of($next->{due_date} // '1999-09-09Z') - seconds_of($at) - 86400), '<', 2, 'the due date cleared: a day after the completion';

# an earlier task that is moved does not move the series
my $first = daily();
$second = next_of($first);
patch($first->{id}, { due_date => '2035-01-01T00:00:00Z' });
due_is(next_of($second), '2031-05-03T09:00:00Z', 'the series follows its last task, not an earlier one');

# what a title, tags, a priority become is what the next one has
$a = daily();
patch($a->{id}, { title => 'Neu', tags => ['x'], priority => 'low', description => 'd' });
$next = next_of($a);
is_deeply { map { $_ => $next->{$_} } qw(title tags priority description) }, { title => 'Neu', tags => ['x'], priority => 'low', description => 'd' },
    'the next is made of the task as it was then';
settle();
is_deeply [map { $_->{sequence} + 0 } events($u)], [1 .. scalar(my @all = events($u))], 'a stream without a gap';
is row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE user_id = ?', $u)->{n}, 0, 'nothing was given up on';
finish();
