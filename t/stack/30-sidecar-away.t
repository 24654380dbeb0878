# Nobody who creates a task notices that the sidecar or Kafka is away, and no
# event is lost by it.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

# Creates tasks while PART is away and looks for their events when it is back.
sub is_not_missed {
    my ($part, $away, $back) = @_;
    my $user = new_user($part);
    is api($user, POST => 'tasks', { title => 'before' })->{status}, 201, 'one before';

    ctl($part, $away);
    my @took;
    for my $n (1 .. 5) {
        my $answer = api($user, POST => 'tasks', { title => "during $n" });
        is $answer->{status}, 201, "$part $away: still created";
        push @took, $answer->{seconds};
    }
    # who waits for a sidecar that does not answer waits for 4 or 5 s, each time: one of
    # them alone may have met a busy machine
    cmp_ok +(sort { $a <=> $b } @took)[3], '<', 3, 'and without waiting';

    ctl($part, $back);
    is api($user, POST => 'tasks', { title => 'after' })->{status}, 201, 'one after';
    ok eventually(120, sub { first_occurrences(stream_of($user)) == 7 }),
      "after $back all events are in Kafka";
    my @events = first_occurrences(stream_of($user));
    is_deeply [ map { $_->{data}{task}{title} } @events ],
      [ 'before', (map { "during $_" } 1 .. 5), 'after' ], 'in the order of the changes';
    ok gapless(@events), 'without a gap';
}

is_not_missed('daprd', stop  => 'start');
is_not_missed('daprd', kill  => 'start');
is_not_missed('daprd', pause => 'resume');
is_not_missed('kafka', stop  => 'start');

# The way back works again, too.
my $user = new_user('after');
my $task = api($user, POST => 'tasks', {
    title              => 'Daily',
    due_date           => '2031-05-04T09:00:00Z',
    is_recurring       => json->true,
    recurring_interval => 'daily',
})->{json};
is api($user, POST => "tasks/$task->{id}/complete")->{status}, 200, 'a completion';
ok eventually(120, sub { tasks($user) == 2 }), 'comes back from Kafka as an occurrence';

done_testing;
