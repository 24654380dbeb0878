# A delivery that fails comes again three times, then it is a dead letter; what is
# behind it waits that long, and nothing is lost by it.
use v5.32;
use warnings;
use Encode ();
use Test::More;
use Time::HiRes qw(time);
use Time::Local qw(timegm_modern);
use TaskEvents::Stack;

bring_up('dapr');

# What the sidecar asked of a route since then: [time, status].
my $log = "$ENV{TASKEVENTS_RUN}/log/httpd-access.log";
my $from = -s $log;

sub asked {
    my ($route) = @_;
    open my $lines, '<', $log or die "$log: $!";
    seek $lines, $from, 0;
    my @asked;
    while (<$lines>) {
        my ($y, $mo, $d, $h, $m, $s, $ms, $status) =
          m{^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+) .*"POST /api/events/\Q$route\E HTTP/1\.1" (\d+)}
          or next;
        push @asked, [ timegm_modern($s, $m, $h, $d, $mo - 1, $y) + $ms / 1000, $status ];
    }
    return sort { $a->[0] <=> $b->[0] } @asked;
}

my $user = new_user('retries');
# so many that some are of another partition
my @others = map { new_user("other$_") } 1 .. 12;
TaskEvents::Stack::token($_) for $user, @others;

# It takes a second each time, so that there is time enough for what happens meanwhile.
my $SLOW = 1;
sql(<<"EOT");
CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS
  \$\$ BEGIN PERFORM pg_sleep($SLOW); RAISE EXCEPTION 'this one is broken'; END \$\$;
CREATE TRIGGER broken BEFORE INSERT ON taskevents.processed_events FOR EACH ROW
  WHEN (NEW.user_id = '$user' AND NEW.type = 'task.completed') EXECUTE FUNCTION public.broken()
EOT
sub mend { sql('SET client_min_messages = error; DROP FUNCTION IF EXISTS public.broken CASCADE') }
END { local $?; mend() if eval { stack('TASKEVENTS_DSN') } }

# The user's handled events of the topic.
sub handled {
    my ($what, $user) = @_;
    return sql("SELECT $what FROM taskevents.processed_events WHERE user_id = '$user'"
          . " AND starts_with(type, 'task.') ORDER BY position");
}
sub history    { return handled('to_json(type)', @_) }
sub handled_at { return handled('extract(epoch FROM processed_at)', @_) }

my $task = api($user, POST => 'tasks', {
    title              => 'Daily',
    due_date           => '2031-05-04T09:00:00Z',
    is_recurring       => json->true,
    recurring_interval => 'daily',
})->{json};
ok eventually(30, sub { history($user) == 1 }), 'deliveries work';
is api($user, POST => "tasks/$task->{id}/complete")->{status}, 200, 'a task is completed';
is api($user, POST => 'tasks', { title => 'later' })->{status}, 201, 'and another one made';
api($_, POST => 'tasks', { title => 'of another user' }) for @others;

ok eventually(60, sub { grep { $_->[1] == 200 } asked('dead-letters') }),
  'the completion, which cannot be handled, comes to the dead-letter route';
# a line is written behind the answer
my @failed;
eventually 10, sub { (@failed = grep { $_->[1] == 500 } asked('tasks')) >= 4 };
is @failed, 4, 'after 1 + 3 deliveries';
# exponential: 0.5 s, half as much again each time, from half to one and a half by chance;
# and what a busy machine adds
for my $n (1 .. $#failed) {
    my $wait = $failed[$n][0] - $failed[ $n - 1 ][0] - $SLOW;
    my $about = 0.5 * 1.5**($n - 1);
    ok $wait > 0.45 * $about && $wait < 1.5 * $about + 4, sprintf 'after about %.2f s', $about
      or diag $wait;
}

my ($letter) = sql("SELECT row_to_json(d) FROM (SELECT stage, topic, event_id, source, state, convert_from(body, 'UTF8') AS body"
      . " FROM taskevents.dead_letters WHERE user_id = '$user') AS d");
my $body = json->decode(Encode::encode_utf8($letter->{body}));
is $letter->{stage}, 'deadletter', 'it is kept as a dead letter';
is $letter->{state}, 'open', 'which is open';
is $letter->{event_id}, $body->{id}, 'with its id';
like $letter->{topic}, qr/^tasks/, 'its topic';
is_deeply [ @$body{qw(type subject)} ], [ 'task.completed', "tasks/$task->{id}" ], 'and itself';

ok eventually(60, sub { history($user) == 2 }), "the user's later event is handled then";
my ($created, $later) = handled_at($user);
cmp_ok $later, '>', $failed[-1][0], 'it has waited';
# those of the same partition come behind it
my @at;
eventually 60, sub { (@at = map { handled_at($_) } @others) >= @others };
is @at, @others, 'events of others are handled';
ok scalar(grep { $_ < $failed[-1][0] } @at), 'those of other partitions meanwhile';
is scalar(tasks($user)), 2, 'the completion had no effect';

# As an operator would, when what was wrong is mended.
mend();
is deliver(tasks => $letter->{body})->{status}, 200, 'handed in again' for 1, 2;
is_deeply [ history($user) ], [qw(task.created task.created task.completed task.created)],
  'it is handled, late and once'
  if ok eventually(60, sub { history($user) == 4 }), 'its effect comes back as an event';
is scalar(grep { ($_->{series_id} // '') eq $task->{series_id} } tasks($user)), 2, 'one next task';
ok gapless(stream_of($user)), 'and the stream has no gap';

done_testing;
