# Graceful restarts, children that end after 200 connections, and a stop, all
# under load, fail no request and lose no event, and children end in time.
use v5.32;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use TaskEvents::Stack;

bring_up('dapr');

my @users = map { new_user("load$_") } 1 .. 4;
TaskEvents::Stack::token($_) for @users;    # not in the middle of it

# One child for each user, creating tasks until told to stop; it answers with
# how many were created and what went wrong.
my @children = map { start_client($_) } @users;
for my $n (1 .. 3) {
    my @old = children();
    ctl(httpd => 'restart');
    my $took = time_to_end(@old);
    cmp_ok $took, '<', 5, sprintf 'restart %d: the old children end in time (%.1f s)', $n, $took;
}
configure('MaxConnectionsPerChild 200');
my %seen;
ok eventually(150, sub { $seen{$_} = 1 for children(); keys %seen >= 8 }),
  'with MaxConnectionsPerChild 200 children end and others come (' . keys(%seen) . ')';
kill TERM => map { $_->{pid} } @children;

my %created;
for my $child (@children) {
    my $told = do { local $/; readline $child->{out} };
    waitpid $child->{pid}, 0;
    my ($count, $failed) = split /\n/, $told, 2;
    $created{ $child->{user} } = $count;
    is $failed, '', "$child->{user}: none of $count requests failed";
    cmp_ok $count, '>', 10, 'and there were some';
}

for my $user (@users) {
    my $all = eventually 60, sub {
        my @events = first_occurrences(stream_of($user));
        @events >= $created{$user} && \@events;
    };
    is scalar(@{ $all // [] }), $created{$user}, "$user: one event for each task";
    ok gapless(@{ $all // [] }), 'in order and without a gap';
}

my @busy = grep { !eventually(15, sub { kill(0, $_) == 0 }) } ended(keys %seen);
is "@busy", '', 'none of those children is left over';
configure('');

# A stop in the middle of the load: what was answered is kept and published.
my @last = children();
my $client = start_client($users[0]);
eventually 10, sub { first_occurrences(stream_of($users[0])) > $created{ $users[0] } + 5 };
kill WINCH => TaskEvents::Stack::httpd_pid();
my $took = time_to_end(@last);
cmp_ok $took, '<', 5, sprintf 'after a graceful stop the children end in time (%.1f s)', $took;
kill TERM => $client->{pid};
my ($answered) = split /\n/, do { local $/; readline $client->{out} }, 2;
waitpid $client->{pid}, 0;
ctl(httpd => 'start');
$created{ $users[0] } += $answered;
my $events = eventually 60, sub {
    my @events = first_occurrences(stream_of($users[0]));
    @events >= $created{ $users[0] } && \@events;
};
ok $events, 'every task that was answered before has its event';
ok gapless(@{ $events // [] }), 'in order and without a gap';

# Seconds until these processes are gone.
sub time_to_end {
    my @pids  = @_;
    my $began = time;
    eventually 15, sub { !grep { kill 0 => $_ } @pids };
    return time - $began;
}

# Those that are no children of httpd any more.
sub ended {
    my %now = map { $_ => 1 } children();
    return grep { !$now{$_} } @_;
}

sub start_client {
    my ($user) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    return { pid => $pid, out => $out, user => $user } if $pid;

    my ($stop, $count, @failed) = (0, 0);
    local $SIG{TERM} = sub { $stop = 1 };
    my $end = time + 180;    # longer than whoever stops it waits
    until ($stop || time > $end) {
        my $answer = api($user, POST => 'tasks', { title => "load $count" });
        if ($answer->{status} == 201) { $count++ }
        else { push @failed, "$answer->{status} $answer->{content}" }
    }
    print "$count\n@failed";
    close STDOUT;
    POSIX::_exit(0);    # Test::More must not end the test here
}

done_testing;
