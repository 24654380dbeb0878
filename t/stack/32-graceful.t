# Graceful restarts under load fail no request and lose no event.
use v5.32;
use warnings;
use POSIX ();
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

my @users = map { new_user("load$_") } 1 .. 4;
TaskEvents::Stack::token($_) for @users;    # not in the middle of it

# One child for each user, creating tasks until told to stop; it answers with
# how many were created and what went wrong.
my @children = map { start_client($_) } @users;
for my $n (1 .. 3) {
    ctl(httpd => 'restart');
}
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

sub start_client {
    my ($user) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    return { pid => $pid, out => $out, user => $user } if $pid;

    my ($stop, $count, @failed) = (0, 0);
    local $SIG{TERM} = sub { $stop = 1 };
    my $end = time + 60;
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
