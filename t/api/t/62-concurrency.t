# The same moment: however many ask, one change, one event, one next occurrence.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('race');
for my $round (1 .. 3) {
    my $task;
    my @answers = undisturbed(sub {
        $task = create($u, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T00:00:00Z');
        my $path = task_path($u, $task->{id}, 'complete');
        return at_once(map { [POST => $path, as => $u, json => { completed => JSON::PP::true }] } 1 .. 32);
    });
    is_deeply [map { $_->{status} } @answers], [(200) x 32], "round $round: 32 completions at once are all answered";
    is_deeply [map { $_->{json}{version} } @answers], [(2) x 32], '… with the same version';
    is scalar(grep { $_->{type} eq 'task.completed' && $_->{data}{task_id} == $task->{id} } events($u)), 1, '… one event';
    ok wait_for(sub { row('SELECT count(*) AS n FROM taskevents.tasks WHERE series_id = ?', $task->{series_id})->{n} == 2 }), '… one next occurrence';
    ok wait_for(sub { !outbox($u) }), '… all handled';
    is row('SELECT count(*) AS n FROM taskevents.tasks WHERE series_id = ?', $task->{series_id})->{n}, 2, '… and no more';
}

# only one of those who saw version 1 wins
my @answers = undisturbed(sub {
    my $task = create($u);
    return at_once(map { [POST => task_path($u, $task->{id}, 'complete'), as => $u, headers => ['If-Match' => '"1"'], body => '{"completed":true}'] } 1 .. 16);
});
is_deeply [sort map { $_->{status} } @answers], [200, (412) x 15], 'If-Match lets one through';

# creates of one user at the same moment: a gapless stream
my ($v, $n);
@answers = undisturbed(sub {
    $v = user('race-create' . ++$n);
    return at_once(map { [POST => task_path($v), as => $v, json => { title => "task $_" }] } 1 .. 48);
});
is_deeply [map { $_->{status} } @answers], [(201) x 48], '48 tasks at once';
is scalar(keys %{ { map { $_->{json}{id} => 1 } @answers } }), 48, 'with ids of their own';
is_deeply [map { $_->{sequence} + 0 } events($v)], [1 .. 48], 'one stream without a gap';
ok wait_for(sub { history($v) == 48 }), 'all handled';
is_deeply [map { $_->{position} } history($v)], [1 .. 48], 'in a history without a gap';
is_deeply [map { $_->{event_id} } history($v)], [map { $_->{id} } events($v)], 'in the order of the stream';

# complete and reopen against each other: the events alternate
my $w = user('race-toggle');
my $task = create($w);
for my $round (1 .. 3) {
    at_once(map { [POST => task_path($w, $task->{id}, 'complete'), as => $w, json => { completed => $_ % 2 ? JSON::PP::true : JSON::PP::false }] } 1 .. 24);
}
my @types = map { $_->{type} } events($w);
shift @types;
is scalar(grep { $types[$_] eq $types[$_ - 1] } 1 .. $#types), 0, 'completed and reopened alternate (' . @types . ' changes)';
is request(GET => task_path($w, $task->{id}), as => $w)->{json}{version}, 1 + @types, 'a version for each';
is_deeply [map { $_->{data}{task}{version} } events($w)], [1 .. 1 + @types], 'in the order of the stream';
# 48 at once leave just as many threads as httpd wants to spare
may_log(qr/AH10159: server is within MinSpareThreads/);
finish();
