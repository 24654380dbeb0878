# With TaskEventsBulkSubscribe the sidecar delivers in batches: order, effects
# and the recovery from an outage are the same.
use v5.32;
use warnings;
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
    ok eventually(30, sub { history($user) == $each + 3 }), 'and all of its events are handled, once each';
    my @sequences = map { $_->{sequence} + 0 } history($user);
    is_deeply \@sequences, [1 .. $each + 3], 'in their order';
    is scalar(tasks($user)), 2, 'still one next occurrence';
}
cmp_ok bulk_requests(), '>', 0, 'the sidecar delivered in batches';
cmp_ok bulk_requests(), '<', @users * ($each + 3), 'of several events each';

# PostgreSQL goes away for a moment while deliveries come
for my $user (@users) {
    api($user, PATCH => "tasks/$task{$user}{id}", { title => "Before, number $_" }) for 1 .. 5;
}
ctl(postgres => 'restart');
for my $user (@users) {
    ok eventually(30, sub { api($user, PATCH => "tasks/$task{$user}{id}", { title => 'After' })->{status} == 200 }),
      'the database is back';
}
# those that the sidecar gave up on too soon, on a slow machine
sub dead { my ($user) = @_; return grep { $_->{user_id} eq $user } map { $_->{event}{data} } records('tasks-dlq') }
for my $user (@users) {
    ok eventually(90, sub { history($user) + dead($user) == $each + 9 }), 'what came meanwhile is handled, or kept';
    my @sequences = map { $_->{sequence} + 0 } history($user);
    is_deeply \@sequences, [ sort { $a <=> $b } @sequences ], 'in order, nothing twice';
}

bulk('Off');
my $after = new_user('single');
api($after, POST => 'tasks', { title => 'One' });
ok eventually(30, sub { history($after) == 1 }), 'Off: events come singly again';

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

# The user's handled events, in the order of their handling.
sub history {
    my ($user) = @_;
    my $sql = "SELECT event FROM taskevents.processed_events WHERE user_id = '$user' ORDER BY position";
    open my $out, '-|', 'psql', '-XAtc', $sql, stack('TASKEVENTS_DSN') or die "psql: $!";
    my @events = map { json->decode($_) } <$out>;
    close $out or die "psql failed\n";
    return @events;
}

sub bulk_requests {
    open my $in, '<', "$ENV{TASKEVENTS_RUN}/ports" or die "ports: $!";
    my ($port) = map { /^dapr-metrics=(\d+)/ } <$in>;
    my $answer = TaskEvents::Stack::request(GET => "http://127.0.0.1:$port/metrics", {});
    my $n = 0;
    $n += $1 while $answer->{content} =~ /^dapr_component_pubsub_ingress_bulk_count\{[^}]*\} (\d+)/mg;
    return $n;
}
