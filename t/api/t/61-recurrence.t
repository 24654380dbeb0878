# Completing a recurring task makes the next one, once, by the wall clock.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('recur');
sub series { return rows('SELECT * FROM taskevents.tasks WHERE user_id = ? AND series_id = ? ORDER BY occurrence', $u, $_[0]) }
sub complete { return request(POST => task_path($u, $_[0]), as => $u) }
sub done { return request(POST => task_path($u, $_[0], 'complete'), as => $u)->{json} }

# Completes the newest of a series and waits for the next: as the API answers it.
sub next_of
{
    my ($task) = @_;
    done($task->{id});
    my ($row) = wait_for(sub {
        my ($next) = grep { $_->{occurrence} == $task->{occurrence} + 1 } series($task->{series_id});
        return $next;
    }) or return {};
    return request(GET => task_path($u, $row->{id}), as => $u)->{json};
}
sub recurring { my (%member) = @_; return create($u, is_recurring => JSON::PP::true, recurring_interval => 'daily', %member) }
sub due_is { my ($task, $want, $name) = @_; is seconds_of($task->{due_date} // '1999-09-09Z'), seconds_of($want), $name }

my $first = recurring(title => 'Water', description => 'the ficus', priority => 'high', tags => ['Home', 'b'],
    due_date => '2031-03-10T09:00:00Z', time_zone => 'UTC');
my $second = next_of($first);
due_is($second, '2031-03-11T09:00:00Z', 'daily');
is $second->{series_id}, $first->{series_id}, 'of the same series';
is $second->{occurrence}, 2, 'the second occurrence';
is $second->{version}, 1, 'a task of its own';
is_deeply { map { $_ => $second->{$_} } qw(title description priority tags time_zone is_recurring recurring_interval completed completed_at) },
    { (map { $_ => $first->{$_} } qw(title description priority tags time_zone is_recurring recurring_interval)),
      completed => JSON::PP::false, completed_at => undef }, 'with everything kept, open again';

# its event
my @events = events($u);
my ($completed) = grep { $_->{type} eq 'task.completed' } @events;
my ($made) = grep { $_->{type} eq 'task.created' && $_->{data}{task_id} == $second->{id} } @events;
is $made->{data}{origin}, 'recurrence', 'made by recurrence';
is $made->{causationid}, $completed->{id}, 'caused by the completion';
is $made->{correlationid}, $completed->{correlationid}, 'of the same chain';
isnt $made->{id}, $completed->{id}, 'an event of its own';
like $made->{id}, qr/^.{14}5/, 'with a derived id (UUIDv5)';
is_deeply $made->{data}{task}, $second, 'with the whole task';
is substr($made->{traceparent}, 3, 32), substr($completed->{traceparent}, 3, 32), 'in the same trace';

# a number is used once: reopening and completing again makes nothing new
request(POST => task_path($u, $first->{id}, 'complete'), as => $u, json => { completed => JSON::PP::false });
done($first->{id});
ok wait_for(sub { !outbox($u) }), 'all handled';
is scalar(series($first->{series_id})), 2, 'completing the first again makes no other second';
my $third = next_of($second);
is $third->{occurrence}, 3, 'the series goes on from its last';
due_is($third, '2031-03-12T09:00:00Z', 'a day later');

# weekly, monthly, month end
my $weekly = recurring(recurring_interval => 'weekly', due_date => '2031-12-29T20:00:00Z');
due_is(next_of($weekly), '2032-01-05T20:00:00Z', 'weekly, over the new year');
my $month = recurring(recurring_interval => 'monthly', due_date => '2031-01-31T09:00:00Z');
for my $want ('2031-02-28T09:00:00Z', '2031-03-31T09:00:00Z', '2031-04-30T09:00:00Z') {
    $month = next_of($month);
    due_is($month, $want, "monthly from the 31st: $want");
}
due_is(next_of(recurring(recurring_interval => 'monthly', due_date => '2032-01-31T09:00:00Z')), '2032-02-29T09:00:00Z', 'a leap year');

# the wall clock of the zone
due_is(next_of(recurring(due_date => '2031-03-29T09:00:00+01:00', time_zone => 'Europe/Berlin')), '2031-03-30T09:00:00+02:00', 'into summer time');
due_is(next_of(recurring(due_date => '2031-10-25T09:00:00+02:00', time_zone => 'Europe/Berlin')), '2031-10-26T09:00:00+01:00', 'out of it');
due_is(next_of(recurring(due_date => '2031-03-08T02:30:00-05:00', time_zone => 'America/New_York')), '2031-03-09T03:30:00-04:00', 'a time that spring skips');
due_is(next_of(recurring(recurring_interval => 'monthly', due_date => '2031-01-31T23:30:00-05:00', time_zone => 'America/New_York')),
    '2031-02-28T23:30:00-05:00', 'the end of the month where the user is');
due_is(next_of(recurring(due_date => '2031-10-04T12:00:00+10:30', time_zone => 'Australia/Lord_Howe')), '2031-10-05T12:00:00+11:00', 'half an hour');

# TaskEventsCatchUp Each: the one after this, even if past
due_is(next_of(recurring(due_date => '2020-02-27T08:00:00Z')), '2020-02-28T08:00:00Z', 'a past one is caught up each in turn');

# no due date: counted from the completion
my $undue = recurring(recurring_interval => 'weekly');
my $next = next_of($undue);
my $at = request(GET => task_path($u, $undue->{id}), as => $u)->{json}{completed_at};
cmp_ok abs(seconds_of($next->{due_date} // '1999-09-09Z') - seconds_of($at) - 7 * 86400), '<', 2, 'no due date: a week after the completion';

# one that does not recur makes nothing
my $single = create($u, due_date => '2031-01-01T00:00:00Z');
done($single->{id});
ok wait_for(sub { !outbox($u) }), 'all handled';
my @streams = events($u);
is_deeply [map { $_->{sequence} + 0 } @streams], [1 .. @streams], 'the stream has no gap';
is scalar(grep { $_->{type} eq 'task.completed' && $_->{data}{task_id} == $single->{id} } @streams), 1, 'it is complete';
my @history = history($u);
is_deeply [map { $_->{position} } @history], [1 .. @history], 'nor has the history';
is scalar(history($u, 'tasks')), scalar(@streams), 'every event is in it';
is row('SELECT count(*) AS n FROM taskevents.dead_letters WHERE user_id = ?', $u)->{n}, 0, 'nothing was given up on';
finish();
