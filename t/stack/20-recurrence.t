# Completing a recurring task makes its next occurrence, through Kafka, once.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

# Completes the user's open task and returns all of them when there is one more.
sub complete_open {
    my ($user) = @_;
    my @before = tasks($user);
    my ($open) = grep { !$_->{completed} } @before;
    my $done = api($user, POST => "tasks/$open->{id}/complete");
    is $done->{status}, 200, "$open->{due_date} is completed";
    return eventually 60, sub { my @t = tasks($user); @t > @before && \@t };
}

sub is_due {
    my ($task, $due, $what) = @_;
    like $task->{due_date}, qr/^\Q$due\E(\.0+)?Z$/, $what;
}

for my $case (
    [ daily   => '2031-05-04T09:00:00', '2031-05-05T09:00:00' ],
    [ weekly  => '2031-05-04T09:00:00', '2031-05-11T09:00:00' ],
    [ monthly => '2031-01-31T09:00:00', '2031-02-28T09:00:00', '2031-03-31T09:00:00' ],
) {
    my ($interval, $first, @next) = @$case;
    my $user = new_user($interval);
    my $created = api($user, POST => 'tasks', {
        title              => "Every so often: $interval",
        priority           => 'low',
        tags               => ['again'],
        due_date           => "${first}Z",
        is_recurring       => json->true,
        recurring_interval => $interval,
    });
    is $created->{status}, 201, "a $interval task is created";

    my $occurrence = 1;
    for my $due (@next) {
        $occurrence++;
        my $all = complete_open($user);
        is scalar(@{ $all // [] }), $occurrence, 'exactly one more task appears';
        my $new = $all->[-1];
        is_due $new, $due, "due $due";
        is $new->{occurrence}, $occurrence, "it is occurrence $occurrence";
        is $new->{series_id}, $created->{json}{series_id}, 'of the same series';
        is $new->{priority}, 'low', 'with the same priority';
        is_deeply $new->{tags}, ['again'], 'and tags';
        ok !$new->{completed}, 'and open';
    }

    my ($completed) = grep { $_->{type} eq 'task.completed' } stream_of($user);
    for my $time (1, 2) {
        is deliver(tasks => $completed)->{status}, 200, "redelivery $time is accepted";
        is scalar(tasks($user)), $occurrence, 'and makes nothing';
    }

    # a task is there before its event is published
    my @made;
    eventually 60, sub {
        @made = grep { $_->{type} eq 'task.created' && $_->{data}{origin} eq 'recurrence' }
          first_occurrences(stream_of($user));
        @made >= @next;
    };
    is @made, @next, 'each occurrence has one event';
    is $made[0]{causationid}, $completed->{id}, 'caused by the completion';
    is $made[0]{correlationid}, $completed->{correlationid}, 'in the same chain';
    ok gapless(stream_of($user)), 'and the stream has no gap';
}

done_testing;
