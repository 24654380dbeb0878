# An event that cannot be handled is not lost: it waits for an operator, and
# handling it again does what it should have done at first.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

sub status {
    my ($method, $path) = @_;
    my $url = stack('TASKEVENTS_STATUS_URL');
    return TaskEvents::Stack::request($method, "$url$path", {
        accept => 'application/json',
        $method eq 'GET' ? () : (
            'content-type'   => 'application/json',
            'sec-fetch-site' => 'same-origin',
            origin           => stack('TASKEVENTS_URL'),
        ),
    }, $method eq 'GET' ? undef : '{}');
}

# The letter that holds this event.
sub letter {
    my ($event_id) = @_;
    my $list = status(GET => '/dead-letters')->{json};
    $list = $list->{dead_letters} // $list->{items} // [] if ref $list eq 'HASH';
    my ($letter) = grep { ($_->{event_id} // '') eq $event_id } @{ $list // [] };
    return $letter;
}

my $user = new_user('letter');
my $task = api($user, POST => 'tasks', {
    title              => 'Daily',
    due_date           => '2031-05-04T09:00:00Z',
    is_recurring       => json->true,
    recurring_interval => 'daily',
})->{json};

is api($user, POST => "tasks/$task->{id}/complete")->{status}, 200, 'a daily task is completed';
my $completed = eventually 60, sub {
    my ($event) = grep { $_->{type} eq 'task.completed' } stream_of($user);
    $event;
};
ok $completed, 'its event is in Kafka';
ok eventually(30, sub { tasks($user) == 2 }), 'and handled: the next occurrence is there';

# The same completion under another id, as if it came for the first time, with
# no database to handle it.
my $event = { %$completed, id => sprintf('00000000-0000-4000-8000-%012x', $$) };
ctl(postgres => 'stop');
is publish(tasks => $user, $event)->{status}, 204, 'an event arrives while the database is away';
ok eventually(60, sub { grep { $_->{event}{id} eq $event->{id} } records('tasks-dlq') }),
  'after its tries it is on the dead letter topic';
ctl(postgres => 'start');

my $letter;
ok eventually(60, sub { $letter = letter($event->{id}) }), 'and then among the dead letters';
is $letter->{state}, 'open', 'open';

my $redriven = status(POST => "/dead-letters/$letter->{id}/redrive");
like $redriven->{status}, qr/^2/, 'an operator redrives it';
ok eventually(15, sub { (letter($event->{id}) // { state => 'redriven' })->{state} eq 'redriven' }),
  'it is redriven';
is scalar(tasks($user)), 2, 'and an occurrence that was there already is not made twice';

done_testing;
