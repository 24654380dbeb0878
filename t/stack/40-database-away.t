# Without its database the service says so at once, and comes back by itself.
use v5.32;
use warnings;
use Encode ();
use POSIX ();
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

my $user = new_user('database');
my $before = api($user, POST => 'tasks', { title => 'Before' });
is $before->{status}, 201, 'a task is created';

ctl(postgres => 'stop');
for my $case (
    [ POST  => 'tasks', { title => 'Never' } ],
    [ GET   => 'tasks' ],
    [ GET   => "tasks/$before->{json}{id}" ],
    [ POST  => "tasks/$before->{json}{id}/complete" ],
) {
    my ($method, $path, $body) = @$case;
    my $answer = api($user, $method => $path, $body);
    is $answer->{status}, 503, "$method $path: 503";
    like $answer->{headers}{'content-type'}, qr{^application/problem\+json}, 'a problem';
    like $answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, 'that says when to try again';
    cmp_ok $answer->{seconds}, '<', 5, 'within 5 s';
    unlike $answer->{content}, qr/SELECT|libpq|FATAL|127\.0\.0\.1/, 'and tells no secrets';
}
is deliver(tasks => $_)->{status}, 500, 'a delivery is to be tried again'
  for event_of($before->{json});
is TaskEvents::Stack::request(GET => stack('TASKEVENTS_URL') . $_->[0], {})->{status},
  $_->[1], "$_->[0] answers $_->[1]"
  for [ '/healthz' => 200 ], [ '/readyz' => 503 ];

ctl(postgres => 'start');
my $back = eventually 30, sub {
    my $answer = api($user, POST => 'tasks', { title => 'After' });
    $answer->{status} == 201 && $answer;
};
ok $back, 'it is back by itself when the database is';
# one of httpd's children may not know it yet
ok eventually(30, sub { tasks($user) == 2 }), 'nothing was kept of what was refused';
ok eventually(60, sub { first_occurrences(stream_of($user)) == 2 }), 'events flow again';
ok gapless(stream_of($user)), 'without a gap';

# In the middle of deliveries: completions, their events, and then no database.
my @busy = map { new_user("busy$_") } 1 .. 4;
TaskEvents::Stack::token($_) for @busy;
my (@to_complete, %refused);
for my $who (@busy) {
    for my $n (1 .. 8) {
        my $made = eventually 30, sub {
            my $answer = api($who, POST => 'tasks', {
                title              => "task $n",
                due_date           => '2031-05-04T09:00:00Z',
                is_recurring       => json->true,
                recurring_interval => 'daily',
            });
            $answer->{status} == 201 && $answer;
        };
        push @to_complete, $made->{json};
    }
}
my ($stop, $n);
for my $task (@to_complete) {
    $stop = stop_postgres() if ++$n == @to_complete / 2;
    my $answer = api($task->{user_id}, POST => "tasks/$task->{id}/complete");
    $refused{ $task->{id} } = 1 if $answer->{status} != 200;
}
waitpid $stop, 0;
sleep 3;
ctl(postgres => 'start');

# Whatever was not answered was done or not; what was done has its event.
my $mine = join ', ', map { "'$_'" } @busy;
my $none_left = sub {
    my ($left) = sql("SELECT (SELECT sum(last) FROM taskevents.streams WHERE user_id IN ($mine) AND name <> 'history')"
          . " - (SELECT count(*) FROM taskevents.processed_events WHERE user_id IN ($mine))");
    return $left == 0;
};
# What was given up on meanwhile is handed in again, as an operator would.
my %again;    # the last answer of each
my $redrive = sub {
    for my $letter (sql("SELECT to_json(convert_from(body, 'UTF8')) FROM taskevents.dead_letters"
          . " WHERE user_id IN ($mine) AND stage = 'deadletter' ORDER BY id")) {
        my $event = json->decode(Encode::encode_utf8($letter));
        my $topic = $event->{type} =~ /^reminder\./ ? 'reminders' : 'tasks';
        $again{ $event->{id} } = deliver($topic => $event)->{status};
    }
};
my $failing = sub { grep { $_ != 200 } values %again };
ok eventually(90, sub { sleep 1; $redrive->(); $none_left->() && !$failing->() }), 'after its return every event is handled';
note keys(%refused) . ' requests refused, ' . keys(%again) . ' dead letters delivered';
is_deeply [ $failing->() ], [], 'also those that were dead letters';
my (%series, @wrong);
push @{ $series{ $_->{series_id} } }, $_ for map { tasks($_) } @busy;
for my $task (@to_complete) {
    my @line = sort { $a->{occurrence} <=> $b->{occurrence} } @{ $series{ $task->{series_id} } };
    push @wrong, \@line if $line[0]{completed} ? @line != 2 : @line != 1 || !$refused{ $task->{id} };
}
is_deeply \@wrong, [], 'each completed task has one next task, and no other has';
my @holes = sql("SELECT to_json(user_id) FROM taskevents.processed_events WHERE user_id IN ($mine)"
      . ' GROUP BY user_id HAVING max(position) <> count(*)');
is_deeply \@holes, [], 'each event was handled once';
for my $who (@busy) {
    ok gapless(stream_of($who)), "the stream of $who has no gap";
}

done_testing;

sub stop_postgres {
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    ctl(postgres => 'stop');
    POSIX::_exit(0);
}

sub event_of {
    my ($task) = @_;
    return {
        specversion     => '1.0',
        id              => '00000000-0000-4000-8000-' . sprintf('%012x', $$),
        source          => '/taskevents',
        type            => 'task.created',
        subject         => "tasks/$task->{id}",
        time            => $task->{created_at},
        datacontenttype => 'application/json',
        partitionkey    => $user,
        sequence        => '00000000000000000099',
        data            => {
            user_id   => $user,
            task_id   => $task->{id},
            timestamp => $task->{created_at},
            origin    => 'user',
            task      => $task,
        },
    };
}
