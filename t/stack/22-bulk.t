# With TaskEventsBulkSubscribe On the sidecar delivers in batches: order, effects
# and the recovery from an outage are the same.
use v5.32;
use warnings;
use IO::Handle;
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');
bulk('On');

my @users = map { new_user("bulk$_") } 1 .. 6;
my $each  = 25;

# A backlog, so that batches are full: the sidecar is away while it grows.
ctl(daprd => 'stop');
my %task;
for my $user (@users) {
    my $created = api($user, POST => 'tasks', {
        title => 'Again', due_date => '2031-05-04T09:00:00Z', is_recurring => json->true, recurring_interval => 'daily' });
    is $created->{status}, 201, 'a recurring task is created';
    $task{$user} = $created->{json};
    for my $n (1 .. $each) {
        api($user, PATCH => "tasks/$task{$user}{id}", { title => "Again, number $n" })->{status} == 200 or fail "change $n";
    }
    is api($user, POST => "tasks/$task{$user}{id}/complete")->{status}, 200, 'changed many times, and completed';
}
ctl(daprd => 'start');

for my $user (@users) {
    ok eventually(60, sub { tasks($user) == 2 }), 'its next occurrence appears';
    ok eventually(60, sub { history($user) == $each + 3 }), 'and all of its events are handled, once each';
    my @sequences = map { $_->{sequence} + 0 } history($user);
    is_deeply \@sequences, [1 .. $each + 3], 'in their order';
    is scalar(tasks($user)), 2, 'still one next occurrence';
}
cmp_ok bulk_requests(), '>', 0, 'the sidecar delivered in batches';
cmp_ok bulk_requests(), '<', @users * ($each + 3), 'of several events each';

# An event that cannot be handled now makes its user wait, and the sidecar brings
# it again.
my $held = $users[0];
ctl(daprd => 'stop');
for my $user (@users) {
    my ($open) = grep { !$_->{completed} } tasks($user);
    $task{$user} = $open;
    api($user, PATCH => "tasks/$open->{id}", { title => 'Before' });
    api($user, POST  => "tasks/$open->{id}/complete");
    api($user, PATCH => "tasks/$open->{id}", { title => 'After' });
}
open my $holder, '|-', 'psql', '-XqAt', stack('TASKEVENTS_DSN') or die "psql: $!";
$holder->autoflush;
print {$holder} "BEGIN; SELECT id FROM taskevents.tasks WHERE id = $task{$held}{id} FOR UPDATE \\g /dev/null\n";
ok eventually(30, sub {
    (sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%WHERE id = $task{$held}{id} FOR UPDATE%'"))[0]
}), 'somebody holds a task';
my $failures = failures();
ctl(daprd => 'start');
ok eventually(60, sub { failures() > $failures }), 'while a task is held its completion is answered RETRY';
cmp_ok scalar(history($held)), '<', $each + 5, 'and its user does not get past it';
close $holder;
for my $user (@users) {
    ok eventually(60, sub { history($user) == $each + 7 }), 'then everything is handled';
    is_deeply [ map { $_->{sequence} + 0 } history($user) ], [ 1 .. $each + 7 ], 'all in order, nothing lost, nothing twice';
    is scalar(tasks($user)), 3, 'and one more occurrence';
}
is_deeply [ grep { my $e = $_; grep { $e->{key} eq $_ } @users } records('tasks-dlq') ], [], 'no dead letter';

bulk('Off');
my $after = new_user('single');
api($after, POST => 'tasks', { title => 'One' });
ok eventually(60, sub { history($after) == 1 }), 'Off: events come singly again';

done_testing;

# The sidecar asks once in its life.
sub bulk {
    my ($on) = @_;
    my $conf = "$ENV{TASKEVENTS_RUN}/httpd/more.conf";
    open my $out, '>', $conf or die "$conf: $!";
    print {$out} "TaskEventsBulkSubscribe $on\n";
    close $out or die "$conf: $!";
    ctl(httpd => 'restart');
    ctl(daprd => 'restart');
}

# The user's handled events of tasks, in the order of their handling.
sub history {
    my ($user) = @_;
    my $sql = "SELECT event FROM taskevents.processed_events WHERE user_id = '$user' AND type LIKE 'task.%' ORDER BY position";
    open my $out, '-|', 'psql', '-XAtc', $sql, stack('TASKEVENTS_DSN') or die "psql: $!";
    my @events = map { json->decode($_) } <$out>;
    close $out or die "psql failed\n";
    return @events;
}

sub failures {
    open my $in, '<', "$ENV{TASKEVENTS_RUN}/log/httpd.log" or die "httpd.log: $!";
    return scalar grep { /TE0403/ } <$in>;
}

sub bulk_requests {
    open my $in, '<', "$ENV{TASKEVENTS_RUN}/ports" or die "ports: $!";
    my ($port) = map { /^dapr-metrics=(\d+)/ } <$in>;
    my $answer = TaskEvents::Stack::request(GET => "http://127.0.0.1:$port/metrics", {});
    my $n = 0;
    $n += $1 while $answer->{content} =~ /^dapr_component_pubsub_ingress_bulk_count\{[^}]*\} (\d+)/mg;
    return $n;
}
