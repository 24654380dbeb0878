# What was answered with 201 is kept, whatever is killed right after.
use v5.32;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use TaskEvents::Stack;

bring_up('dapr');

# With no sidecar to take it, the event can only be in the database.
my $user = new_user('killed');
ctl(daprd => 'stop');
my $created = api($user, POST => 'tasks', { title => 'Kept' });
is $created->{status}, 201, 'a task is created';
ctl($_ => 'kill') for qw(httpd postgres kafka scheduler);
ctl($_ => 'start') for qw(postgres kafka scheduler httpd daprd);

is scalar(tasks($user)), 1, 'after everything was killed the task is there';
ok eventually(60, sub { stream_of($user) }), 'and its event reaches Kafka';
ok gapless(stream_of($user)), 'as the first of its stream';

# In the middle of many, with the publisher at work.
my $busy = new_user('busy');
TaskEvents::Stack::token($busy);
my $pid = fork // die "fork: $!";
if (!$pid) {
    eventually 10, sub { tasks($busy) >= 20 };
    ctl(httpd => 'kill');
    POSIX::_exit(0);
}
my ($answered, $end) = (0, time + 60);
while (time < $end) {
    my $answer = api($busy, POST => 'tasks', { title => "task $answered" });
    last if $answer->{status} != 201;
    $answered++;
}
waitpid $pid, 0;
cmp_ok $answered, '>', 0, "$answered tasks were created before httpd was killed";
ctl(httpd => 'start');
my $kept = tasks($busy);
cmp_ok $kept, '>=', $answered, 'all of them are there';

my $after = api($busy, POST => 'tasks', { title => 'after' });
is $after->{status}, 201, 'another one after the start';
my $last = eventually 60, sub {
    my @events = first_occurrences(stream_of($busy));
    @events && $events[-1]{data}{task_id} == $after->{json}{id} && \@events;
};
ok $last, 'its event is the last of the stream';
ok gapless(@{ $last // [] }), 'and the stream is in order without a gap';
cmp_ok scalar(@{ $last // [] }), '>', $answered, 'with an event for each task';

# Its parent alone: who is left finishes its work, ends, and frees the ports.
my @children = children();
kill KILL => TaskEvents::Stack::httpd_pid();
ok eventually(30, sub { !grep { kill 0, $_ } @children }),
  'children whose parent was killed end by themselves';
ctl(httpd => 'start');
is api($busy, POST => 'tasks', { title => 'anew' })->{status}, 201, 'and httpd can be started anew';

done_testing;
