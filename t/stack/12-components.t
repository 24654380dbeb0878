# The sidecar runs with the files of k8s/, and those that are for the cluster
# alone (the declared subscriptions) work in it too.
use v5.32;
use warnings;
use Test::More;
use TaskEvents::Stack;

bring_up('dapr');
my $root = Cwd::realpath(File::Basename::dirname(File::Spec->rel2abs(__FILE__)) . '/../..');

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or return "no $file: $!";
    local $/;
    return scalar <$in>;
}

my %place = (
    'kafka-pubsub.yaml' => 'components', 'resiliency.yaml' => 'components',
    'configuration.yaml' => 'conf',
);
is slurp("$ENV{TASKEVENTS_RUN}/$place{$_}/$_"), slurp("$root/k8s/components/$_"), "$_ is the one of k8s/"
  for sort keys %place;

# ---- what the Configuration allows -------------------------------------------

sub sidecar {
    my ($method, $path, $body) = @_;
    return TaskEvents::Stack::request($method, stack('DAPR_HTTP_ENDPOINT') . $path,
        { 'dapr-api-token' => stack('DAPR_API_TOKEN'), 'content-type' => 'application/json' }, $body)
      ->{status};
}

is sidecar(GET => '/v1.0/healthz/outbound'), 204, 'its health can be asked';
is sidecar(DELETE => '/v1.0/jobs/rem-none'), 204, 'jobs can be made';
is sidecar(GET => $_), 404, "GET $_ is not there"
  for qw(/v1.0/metadata /v1.0/secrets/x/bulk /v1.0/state/x/y /v1.0/invoke/taskevents/method/healthz);

# ---- declared subscriptions --------------------------------------------------

my $asked = TaskEvents::Stack::request(
    GET => stack('TASKEVENTS_SIDECAR_URL') . '/dapr/subscribe',
    { 'dapr-api-token' => stack('APP_API_TOKEN') })->{json};
open my $declared, '-|', 'python3', '-c', <<'PYTHON', "$root/k8s/declarative/subscriptions.yaml" or die "python3: $!";
import json, sys, yaml
for one in yaml.safe_load_all(open(sys.argv[1])):
    spec = one["spec"]
    spec["route"] = spec.pop("routes")["default"]
    print(json.dumps(spec))
PYTHON
is_deeply [ map { json->decode($_) } <$declared> ], $asked,
  'they say what GET /dapr/subscribe answers';

{
    local $ENV{TASKEVENTS_DECLARATIVE} = 1;
    ctl(daprd => 'restart');
}
my $log = "$ENV{TASKEVENTS_RUN}/log/daprd.log";
# it is ready before it subscribes
ok eventually(30, sub { (slurp($log) =~ /.*(^---- started.*)/ms)[0] =~ /Skipping programmatic subscription/ }),
  'with them httpd is not asked';

sub completes {
    my ($what) = @_;
    my $user = new_user('declared');
    # a child of httpd may not know yet that the database is back
    my $task = eventually(30, sub {
        my $made = api($user, POST => 'tasks', {
            title => 'Daily', due_date => '2031-05-04T09:00:00Z',
            is_recurring => json->true, recurring_interval => 'daily',
        });
        $made->{status} == 201 && $made->{json};
    });
    is api($user, POST => "tasks/$task->{id}/complete")->{status}, 200, "$what: a task is completed";
    ok eventually(60, sub { tasks($user) == 2 }), "$what: and its next one comes, through Kafka";
}

completes('with declared subscriptions');
is publish(tasks => 'k' => { specversion => '1.0' })->{status}, 204, 'an event that is none is published';

# While httpd has no database, what comes is dead-lettered in Kafka: that way
# is declared too.
my $before = records('tasks-dlq');
ctl(postgres => 'stop');
is publish(tasks => 'k' => {
        specversion => '1.0', id => "declared-$$", source => '/other', type => 'task.created',
        data => { user_id => 'k', task_id => 1 } })->{status}, 204, 'one that cannot be handled now';
ok eventually(60, sub { records('tasks-dlq') > $before }), 'comes to the dead letter topic';
ctl(postgres => 'start');

ctl(daprd => 'restart');
completes('asked again');

done_testing;
