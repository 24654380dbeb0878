# How a pod ends (k8s/base/deployment.yaml): the sidecar, told to end, takes no
# more events and publishes on, until httpd is gone; then it goes by itself.
use v5.32;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use TaskEvents::Stack;

bring_up('dapr');
my $run = $ENV{TASKEVENTS_RUN};

{
    local $ENV{TASKEVENTS_AS_POD} = 1;
    ctl(httpd2 => 'start');
    ctl(daprd2 => 'start');
}
my ($httpd, $daprd) = map { pid_of($_) } qw(httpd2 daprd2);
my $port = do {
    open my $ports, '<', "$run/ports" or die "ports: $!";
    (grep { /^dapr2-http=/ } <$ports>)[0] =~ /=(\d+)/;
    $1;
};

sub pid_of {
    open my $in, '<', "$run/pid/$_[0]" or die "pid/$_[0]: $!";
    return (split ' ', <$in>)[0];
}

# A zombie has ended too.
sub ended {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return 1;
    return <$in> =~ /\) Z /;
}

sub logged {
    my ($what) = @_;
    open my $in, '<', "$run/log/daprd2.log" or die "daprd2.log: $!";
    my ($since) = do { local $/; <$in> } =~ /.*(^---- started.*)/ms;
    return scalar(() = $since =~ /$what/g);
}

sub publishes {
    my $answer = TaskEvents::Stack::request(
        POST => "http://127.0.0.1:$port/v1.0/publish/kafka-pubsub/tasks?metadata.partitionKey=k",
        { 'dapr-api-token' => stack('DAPR_API_TOKEN'), 'content-type' => 'application/cloudevents+json' },
        json->encode({
            specversion => '1.0', id => "pod-$$-" . time, source => '/other', type => 'unknown',
            data => {} }));
    return $answer->{status};
}

ok eventually(60, sub { publishes() == 204 }), 'the sidecar of the second pod publishes';
# it is ready before it subscribes, and what is not subscribed is not paused
ok eventually(60, sub { logged('app is subscribed to the following topics') }), 'and subscribes';
my $before = records('tasks-dlq');

kill TERM => $daprd;
ok eventually(30, sub { logged('[Bb]locking.*shutdown') }), 'told to end, it waits for httpd';
ok eventually(30, sub { logged('pausing subscription on topic (tasks|reminders) ') == 2 }),
  'and takes no more events';
is publishes(), 204, 'but publishes on';

# Users of every partition.
my @users = map { new_user("pod$_") } 1 .. 8;
for my $user (@users) {
    my $task = api($user, POST => 'tasks', {
        title => 'Daily', due_date => '2031-05-04T09:00:00Z',
        is_recurring => json->true, recurring_interval => 'daily',
    })->{json};
    api($user, POST => "tasks/$task->{id}/complete");
}
ok eventually(60, sub { !grep { tasks($_) != 2 } @users }),
  'the events of all partitions go to the other pod meanwhile';

kill WINCH => $httpd;
ok eventually(30, sub { ended($httpd) }), 'httpd ends';
my $began = time;
ok eventually(40, sub { ended($daprd) }), sprintf 'and then its sidecar, by itself (%.1f s)', time - $began;
is records('tasks-dlq'), $before, 'nothing was given up on';

ctl($_ => 'stop') for qw(daprd2 httpd2);
done_testing;
