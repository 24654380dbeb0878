# Reminders through the real scheduler, sidecar and Kafka: on time, once, and
# whatever becomes of the scheduler, the sidecar, the database or httpd's clock.
use v5.32;
use warnings;
use DBI;
use POSIX 'strftime';
use Test::More;
use TaskEvents::Stack;
use Time::HiRes qw(sleep time);

my $LEAD = 2;
my $dir  = "$ENV{TASKEVENTS_RUN}/httpd";

extra('environment');    # of a run that was interrupted
bring_up('dapr');
extra('more.conf' => "TaskEventsReminderLead ${LEAD}s\n");
ctl(httpd => 'restart');

sub extra {
    my ($name, $text) = @_;
    if (!defined $text) { unlink "$dir/$name"; return }
    open my $out, '>', "$dir/$name" or die "$dir/$name: $!";
    print {$out} $text;
    close $out;
}

my $db;

# A row, once the database is there.
sub row {
    my ($sql, @values) = @_;
    my $row;
    eventually 30, sub {
        $db ||= eval {
            DBI->connect('dbi:Pg:' . stack('TASKEVENTS_DSN') =~ s/ /;/gr, undef, undef,
                { RaiseError => 1, PrintError => 0 });
        } or return;
        eval { $row = $db->selectrow_hashref($sql, undef, @values); 1 } or do { undef $db; 0 };
    } or die "no answer to $sql\n";
    return $row;
}

sub in { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $_[0])) }

# A task whose reminder's time comes in some seconds: the user, and the
# reminder when it is scheduled.
sub due_in {
    my ($seconds, $name) = @_;
    my $user = new_user($name);
    TaskEvents::Stack::token($user);    # which takes its time, before it is told
    my $task = api($user, POST => 'tasks', { title => "Remind me: $name", due_date => in($seconds + $LEAD) });
    is $task->{status}, 201, "$name: a task";
    my $reminder;
    ok eventually(60, sub { $reminder = row('SELECT * FROM taskevents.reminders WHERE user_id = ?', $user) }),
      'has a reminder';
    return ($user, $reminder->{id}, $task->{json});
}

sub notifications {
    my ($user) = @_;
    my $answer = api($user, GET => 'notifications');
    return $answer->{status} == 200 ? @{ $answer->{json} } : ();
}

# Seconds behind its time; and behind its making, if that was later: the event that it
# comes of is not always here at once.
sub lateness {
    my ($id) = @_;
    return @{ row('SELECT extract(epoch FROM ended_at - remind_at) AS s, extract(epoch FROM ended_at - greatest(remind_at, scheduled_at)) AS made
        FROM taskevents.reminders WHERE id = ?', $id) }{qw(s made)};
}

# Seconds until its time.
sub left {
    my ($id) = @_;
    return row('SELECT extract(epoch FROM remind_at - clock_timestamp()) AS s FROM taskevents.reminders WHERE id = ?', $id)->{s};
}

# It was triggered once, not early, told of once, at most `late` seconds late.
sub came_once {
    my ($user, $id, $late, $what) = @_;
    ok eventually(60, sub { notifications($user) == 1 }), "$what: notified";
    my ($s, $made) = lateness($id);
    cmp_ok $s, '>=', 0, '… not before its time';
    cmp_ok $made, '<', $late, sprintf '… and %.2f s after it', $s;
    sleep 1;
    ok eventually(10, sub { notifications($user) == 1 }), '… once';
    is_deeply [ map { $_->{type} } first_occurrences(stream_of($user, 'reminders')) ],
      [qw(reminder.scheduled reminder.triggered)], '… its events are in Kafka, each once';
    ok gapless(stream_of($user, 'reminders')), '… without a gap';
}

sub job {
    my ($id) = @_;
    return TaskEvents::Stack::request(GET => stack('DAPR_HTTP_ENDPOINT') . "/v1.0/jobs/rem-$id",
        { 'dapr-api-token' => stack('DAPR_API_TOKEN') });
}
sub job_is { my ($id, $state) = @_; return sub { row('SELECT job_state FROM taskevents.reminders WHERE id = ?', $id)->{job_state} eq $state } }

# far enough ahead for a busy machine to make its job before
my ($user, $id) = due_in(8, 'job');
ok eventually(30, job_is($id, 'made')), 'its job is made';
is job($id)->{status}, 200, '… the scheduler has it';
came_once($user, $id, 5, 'job');
ok eventually(20, job_is($id, 'gone')), 'the job is gone';

($user, $id, my $task) = due_in(3600, 'cancelled');
ok eventually(30, job_is($id, 'made')), 'its job is made';
is api($user, POST => "tasks/$task->{id}/complete")->{status}, 200, 'the task is completed';
ok eventually(20, job_is($id, 'gone')), 'the job is taken back';
isnt job($id)->{status}, 200, '… the scheduler has it no more';
is row('SELECT state FROM taskevents.reminders WHERE id = ?', $id)->{state}, 'cancelled', 'the reminder is cancelled';

# the scheduler dies before the time, and comes back after it, with and without its data
for my $lost (0, 1) {
    my $what = $lost ? 'the scheduler loses its data' : 'the scheduler is killed';
    (undef, $id) = due_in(3600, 'much-later');
    ok eventually(40, job_is($id, 'made')), 'the scheduler takes jobs';
    ($user, $id) = due_in(8, $lost ? 'lost' : 'killed');
    ok eventually(30, job_is($id, 'made')), 'its job is made';
    ctl(scheduler => 'kill');
    my ($other, $its) = due_in(5, 'meanwhile');
    came_once($other, $its, 5, "$what; another one");
    system("rm -rf $ENV{TASKEVENTS_RUN}/scheduler/*") if $lost;
    my $left = left($id);
    sleep $left if $left > 0;
    ctl(scheduler => 'start');
    came_once($user, $id, 5, $what);
}
($user, $id) = due_in(20, 'later');

# a sidecar that knows no scheduler
{
    local $ENV{TASKEVENTS_SCHEDULER} = '';
    ctl(daprd => 'restart');
    my ($without, $its) = due_in(5, 'without');
    came_once($without, $its, 5, 'no scheduler');
}
ctl(daprd => 'restart');

# the database restarts at that very moment
my ($unlucky, $its) = due_in(8, 'unlucky');
my $wait = left($its);
sleep $wait - 0.5 if $wait > 0.5;
my $away = time;
ctl(postgres => 'restart');
$away = time - $away;
came_once($unlucky, $its, 15 + $away, 'PostgreSQL is restarted when it is due');
came_once($user, $id, 15 + $away, 'the one of before');

# httpd is away for an hour while the time of many comes: the oldest are told of
# first, each once, and requests are answered meanwhile
{
    my ($n, $users) = (450, q{user_id IN ('1', '2', '3', '4', '5', '6', '7', '8', '9')});
    my ($asked, $told) = (new_user('meanwhile'), 0);
    my @answers;
    row("DELETE FROM taskevents.$_ WHERE user_id !~ '[^0-9]' RETURNING 1 AS done") for qw(notifications reminders tasks);
    ctl(httpd => 'stop');
    my %seed = (reminders => $n, seconds => 3600, start => -3600, users => 9, jobs => 0);
    is system('psql', stack('TASKEVENTS_DSN'), '-Xq', '-v', 'ON_ERROR_STOP=1', (map { ('-v', "$_=$seed{$_}") } keys %seed), '-f', 't/bench/reminders.sql'), 0,
      'many come due while httpd is away';
    ctl(httpd => 'start');
    ok eventually(60, sub {
        push @answers, api($asked, POST => 'tasks', { title => 'meanwhile' })->{status}, api($asked, GET => 'tasks')->{status};
        $told = row("SELECT count(*) AS n FROM taskevents.notifications WHERE $users")->{n};
        $told >= $n;
    }), '… all are told of' or diag $told;
    is_deeply [ grep { !/^20[01]$/ } @answers ], [], '… and requests are answered meanwhile';
    sleep 1;
    is row("SELECT count(*) AS n FROM taskevents.notifications WHERE $users")->{n}, $n, '… once each';
    is row(qq{SELECT count(*) AS n FROM (SELECT r.remind_at < max(r.remind_at) OVER (PARTITION BY n.user_id ORDER BY n.id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS turned FROM taskevents.notifications n
        JOIN taskevents.reminders r ON r.id = n.reminder_id WHERE r.$users) AS s WHERE turned})->{n}, 0, '… each user of the oldest first';
    is row(qq{SELECT count(*) AS n FROM (SELECT low < max(high) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS turned
        FROM (SELECT max(ended_at) AS at, min(remind_at) AS low, max(remind_at) AS high FROM taskevents.reminders
        WHERE $users GROUP BY xmin::text) AS b) AS s WHERE turned})->{n}, 0, '… and all of them are triggered in that order';
}

# httpd's clock is wrong by an hour, either way: PostgreSQL's counts. Tokens would
# not be valid then, so users are asked before and after.
my ($lib) = glob '/usr/lib/*/faketime/libfaketime.so.1';
ok $lib, 'libfaketime is here';
for my $step ('+1h', '-1h') {
    my ($clocked, $one) = due_in(14, 'clock');
    ctl(httpd => 'stop');
    extra(environment => "LD_PRELOAD=$lib\nFAKETIME=$step\n");
    ctl(httpd => 'start');
    my $left = left($one);
    cmp_ok $left, '>', 1, "a clock at $step: started before the time";
    # on a busy machine the look may come when it is over
    my $look = sub { row('SELECT state, clock_timestamp() < remind_at AS early FROM taskevents.reminders WHERE id = ?', $one) };
    sleep $left - 0.7;
    my $before = $look->();
    ok $before->{state} eq 'scheduled' || !$before->{early}, '… still scheduled right before it';
    ok eventually(30, sub { $look->()->{state} eq 'triggered' }), '… triggered after it';
    ok eventually(30, sub { row('SELECT count(*) AS n FROM taskevents.notifications WHERE user_id = ?', $clocked)->{n} }), '… and told of';
    ctl(httpd => 'stop');
    extra('environment');
    ctl(httpd => 'start');
    came_once($clocked, $one, 5, "… a clock at $step");
}

# the lead of a day, which is the default, as are batches of reminders' events
extra('more.conf');
ctl(httpd => 'restart');
$LEAD = 24 * 3600;
my %asked = map { $_->{topic} => $_->{bulkSubscribe} } @{ json->decode(TaskEvents::Stack::request(
    GET => stack('TASKEVENTS_SIDECAR_URL') . '/dapr/subscribe', { 'dapr-api-token' => stack('APP_API_TOKEN') })->{content}) };
is_deeply [ grep { $asked{$_} } keys %asked ], ['reminders'], 'the sidecar is asked for batches of reminders, and of nothing else';
($user, $id) = due_in(8, 'day-ahead');
ok eventually(30, job_is($id, 'made')), 'its job is made';
came_once($user, $id, 5, 'day-ahead');
(undef, undef, $task) = due_in(60, 'completed');
is api($task->{user_id}, POST => "tasks/$task->{id}/complete")->{status}, 200, 'completed';
ok eventually(20, sub { row('SELECT state FROM taskevents.reminders WHERE task_id = ?', $task->{id})->{state} eq 'cancelled' }), '… its reminder is cancelled';
is scalar(notifications($task->{user_id})), 0, '… and tells nobody';
done_testing;
