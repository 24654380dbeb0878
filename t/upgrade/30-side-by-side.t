# A rolling update: a newer schema comes while the service is under load, then
# two builds serve the same users on the same database.
use v5.32;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Stack;
use Upgrade;

my $other = $ENV{TASKEVENTS_UPGRADE_MODULE} || undef;
diag defined $other
    ? "the second build is that of $ENV{TASKEVENTS_UPGRADE_FROM}"
    : 'the second build is this one again: there is no release to build';

empty_database();
migrate_to();
log_mark();
ctl(httpd => 'start');
attach();
my @users = map { new_user("roll$_") } 1 .. 4;
TaskEvents::Stack::token($_) for @users;
my ($second, $stop, $second_sidecar) = second_httpd($other);
ok $second, 'the second build serves too';

# --- the schema of the future, under load ---------------------------------------

my $end = time + 6;
my @clients = map { client($_) } 1 .. 3;
sleep 2;
my $took = time;
my $tries = 0;
# as taskevents-migrate does: a lock that is not to be had now may be the next time
ok eventually(60, sub { ++$tries; system('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', stack('TASKEVENTS_DSN'),
    '-c', 'SET client_min_messages = warning', '-f', root() . '/t/upgrade/next/deploy.sql') == 0 }), 'a newer schema comes';
$took = time - $took;
my %made;
for my $client (@clients) {
    my $told = do { local $/; readline $client->{out} };
    waitpid $client->{pid}, 0;
    my ($failed, $longest, @made) = split /\n/, $told;
    is $failed, '', "client $client->{number}: no request failed";
    diag sprintf 'the newer schema took %.1f s (%d tries); the longest request of client %d %.0f ms', $took, $tries,
        $client->{number}, 1000 * $longest;
    for (@made) { my ($user, $id) = split; $made{$user}{$id} = 1 }
}
is_deeply [sort map { $_->{id} } tasks($_)], [sort keys %{ $made{$_} // {} }], "$_ has the tasks that were answered 201" for @users;

# --- side by side ----------------------------------------------------------------

for my $round ([undef, $second], [$second, undef]) {
    my ($here, $there) = map { defined $_ ? [url => $_] : [] } @$round;
    my $name = $here->[1] ? 'made by the second' : 'made by the first';
    my $user = new_user('both');
    my $task = api($user, POST => 'tasks', { title => 'Both', due_date => '2040-05-04T09:00:00Z', is_recurring => \1, recurring_interval => 'daily' }, @$here);
    is $task->{status}, 201, "$name build: a recurring task";
    my $path = "tasks/$task->{json}{id}";
    my $changed = api($user, PATCH => $path, { priority => 'high' }, @$there);
    is $changed->{status}, 200, '… changed by the other';
    is $changed->{json}{version}, 2, '… its next version';
    is api($user, POST => "$path/complete", {}, @$here)->{status}, 200, '… completed by the first of them';
    my @events = outbox($user);
    is_deeply [map { $_->{type} } @events], [qw(task.created task.updated task.completed)], '… three events';
    is_deeply [map { $_->{sequence} + 0 } @events], [1, 2, 3], '… numbered without a gap, whoever wrote them';

    # each build gets each of them, the copies too
    for my $event (@events) {
        is deliver_to($_, $event)->{status}, 200, "… $event->{type} handled by " . (defined $_ ? 'the second' : 'the first')
            for @$round;
    }
    my @tasks = tasks($user);
    is scalar(@tasks), 2, '… the next task was made once';
    is_deeply [map { $_->{occurrence} } @tasks], [1, 2], '… with the next number';
}

# --- events of a newer build -------------------------------------------------------

my $user = new_user('newer');
my $task = api($user, POST => 'tasks', { title => 'Newer', due_date => '2040-05-04T09:00:00Z', is_recurring => \1, recurring_interval => 'daily' });
api($user, POST => "tasks/$task->{json}{id}/complete", {});
my ($created, $completed) = outbox($user);
for my $event ($created, $completed) {
    $event->{futureattribute} = 'more';
    $event->{data}{future} = { more => [1, 2] };
    is deliver_to($second, $event)->{status}, 200, "$event->{type} with members that only a newer build knows is taken";
}
is scalar(tasks($user)), 2, '… and handled';
my $unknown = { %$completed, id => '00000000-0000-4000-8000-0000000000aa', type => 'task.shared' };
is deliver_to($second, $unknown)->{status}, 200, 'an event of a type that only a newer build knows is taken';
is_deeply [sql(qq{SELECT to_json(state) FROM taskevents.dead_letters WHERE event_id = '$unknown->{id}'})], ['open'],
    '… and kept for that build, as a dead letter to redrive';

is $stop->(), 0, 'the second one ends well';
ok !log_has(qr/(?:TE0101.*failed|TE0204)/), 'nothing failed on the newer schema';
ctl(httpd => 'stop');
empty_database();
done_testing;

# The user's events, as the outbox has them: there is no sidecar to take them.
sub outbox {
    my ($user) = @_;
    return sql(qq{SELECT event FROM taskevents.outbox WHERE user_id = '$user' AND topic = 'tasks' ORDER BY sequence});
}

sub deliver_to {
    my ($url, $event) = @_;
    return deliver(tasks => $event, defined $url ? $second_sidecar : undef);
}

sub client {
    my ($number) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    return { pid => $pid, out => $out, number => $number } if $pid;

    my (@made, @failed);
    my $longest = 0;
    for (my $n = $number; time < $end; $n++) {
        my $user = $users[ $n % @users ];
        my @url = $n % 2 ? () : (url => $second);
        for my $answer (api($user, POST => 'tasks', { title => "task $n" }, @url)) {
            push @made, "$user $answer->{json}{id}" if $answer->{status} == 201;
            push @failed, "POST $answer->{status}" if $answer->{status} != 201;
            $longest = $answer->{seconds} if $answer->{seconds} > $longest;
        }
        for my $answer (api($user, GET => 'tasks?limit=5', undef, @url)) {
            push @failed, "GET $answer->{status}" if $answer->{status} != 200;
            $longest = $answer->{seconds} if $answer->{seconds} > $longest;
        }
    }
    print join(' ', @failed), "\n$longest\n", map { "$_\n" } @made;
    close STDOUT;
    POSIX::_exit(0);
}
