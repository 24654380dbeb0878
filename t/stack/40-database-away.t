# Without its database the service says so at once, and comes back by itself.
use v5.32;
use warnings;
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
my $back = eventually 15, sub {
    my $answer = api($user, POST => 'tasks', { title => 'After' });
    $answer->{status} == 201 && $answer;
};
ok $back, 'it is back by itself when the database is';
is scalar(tasks($user)), 2, 'nothing was kept of what was refused';
ok eventually(60, sub { first_occurrences(stream_of($user)) == 2 }), 'events flow again';
ok gapless(stream_of($user)), 'without a gap';

done_testing;

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
