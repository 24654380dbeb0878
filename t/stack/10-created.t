# One change is one record in Kafka, keyed by its user, a CloudEvent as promised.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');

# A Kafka that was just made may take longer for the first event than a publish may:
# that one could be there twice.
my $first = new_user('first');
is api($first, POST => 'tasks', { title => 'The first of all' })->{status}, 201, 'a first task';
ok eventually(60, sub { stream_of($first) }), 'events reach Kafka';

my $user = new_user('created');
my $created = api($user, POST => 'tasks', {
    title    => 'Büroklammern "<&>" kaufen',
    priority => 'high',
    tags     => ['home', 'Ärger'],
});
is $created->{status}, 201, 'a task is created';
my $task = $created->{json};

ok eventually(60, sub { stream_of($user) }), 'its event reaches Kafka';

# A second one behind it: when that is there, all of the first has come.
is api($user, POST => 'tasks', { title => 'Second' })->{status}, 201, 'another task';
ok eventually(60, sub { (stream_of($user))[1] }), 'its event comes behind';

my @mine = grep { ($_->{event}{data}{task_id} // 0) == $task->{id} } records('tasks');
is @mine, 1, 'exactly one record for the first task';

my ($record) = @mine;
my $event = $record->{event};
is $record->{key}, $user, 'its key is the user';

is $event->{specversion}, '1.0', 'specversion';
like $event->{id}, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'id is a uuid';
is $event->{source}, '/taskevents', 'source is the one configured';
is $event->{type}, 'task.created', 'type';
is $event->{subject}, "tasks/$task->{id}", 'subject names the task';
like $event->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/, 'time is UTC';
is $event->{datacontenttype}, 'application/json', 'datacontenttype';
is $event->{partitionkey}, $user, 'partitionkey is the user';
is $event->{sequence}, '00000000000000000001', 'sequence counts from one';
is $event->{correlationid}, $event->{id}, 'the first of a chain correlates to itself';
ok !exists $event->{causationid}, 'and has no cause';
like $event->{traceparent}, qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/, 'traceparent';
like $event->{dataschema}, qr{task\.created\.v1\.json$}, 'dataschema';

is $event->{data}{user_id}, $user, 'data has the user';
is $event->{data}{task_id}, $task->{id}, 'and the task id';
is $event->{data}{origin}, 'user', 'and who it comes from';
ok $event->{data}{timestamp}, 'and a timestamp';
is_deeply $event->{data}{task}, $task, 'and the whole task, as it was answered';

my ($second) = grep { $_->{data}{task}{title} eq 'Second' } stream_of($user);
is $second->{sequence}, '00000000000000000002', 'the next event counts on';

done_testing;
