# Two httpds with one database, both publishing: what all is healthy for is
# published once, in order, whoever publishes it.
use v5.32;
use warnings;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);
use TaskEvents::Stack;

bring_up('dapr');
my ($second, $stop) = second_httpd();

# Each user writes through both, four clients at the same time.
my @users = map { new_user("two$_") } 1 .. 6;
TaskEvents::Stack::token($_) for @users;
my $end = time + 12;
my @clients = map { start_client($_) } 1 .. 4;
my %created;
for my $client (@clients) {
    my $told = do { local $/; readline $client->{out} };
    waitpid $client->{pid}, 0;
    my ($failed, @counts) = split /\n/, $told;
    is $failed, '', "client $client->{number}: no request failed";
    for (@counts) { my ($user, $n) = split; $created{$user} += $n }
}

for my $user (@users) {
    eventually 60, sub { first_occurrences(stream_of($user)) >= $created{$user} };
    my @events = stream_of($user);
    is scalar(@events), $created{$user}, "$user: one record for each of $created{$user} tasks, none twice";
    ok gapless(@events), 'in order and without a gap';
}
# Who has a stream may keep it for as long as there is something left of it: with little
# to do each comes to its turn.
my $calm = new_user('calm');
for my $one ([ first => stack('TASKEVENTS_URL') ], [ second => $second ]) {
    my ($name, $url) = @$one;
    ok eventually(60, sub {
        my $n = published($url);
        api($calm, POST => 'tasks', { title => 'calm' }, url => $url) if !$n;
        return $n;
    }), "the $name published some (" . published($url) . ')';
}
is $stop->(), 0, 'the second one ends well';
is api($users[0], POST => 'tasks', { title => 'after' })->{status}, 201, 'another task';
ok eventually(60, sub { first_occurrences(stream_of($users[0])) > $created{ $users[0] } }),
  'whose event the first publishes alone';
done_testing;

sub published {
    my $metrics = HTTP::Tiny->new->get("$_[0]/taskevents-metrics")->{content};
    my $n = 0;
    $n += $1 while $metrics =~ /^taskevents_events_published_total\{[^}]*\} (\d+)/mg;
    return $n;
}

sub start_client {
    my ($number) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    return { pid => $pid, out => $out, number => $number } if $pid;

    my (%count, @failed);
    for (my $n = $number; time < $end; $n++) {
        my $user   = $users[ $n % @users ];
        my $answer = api($user, POST => 'tasks', { title => "task $n" },
            $n % 3 ? () : (url => $second), );
        if ($answer->{status} == 201) { $count{$user}++ }
        else                          { push @failed, "$answer->{status} $answer->{content}" }
    }
    print join(' ', map { s/\s+/ /gr } @failed), "\n", map { "$_ $count{$_}\n" } keys %count;
    close STDOUT;
    POSIX::_exit(0);
}
