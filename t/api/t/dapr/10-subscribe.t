# What the sidecar asks for first, and who may ask.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my @token = (vhost => 'sidecar', headers => ['dapr-api-token' => APP_TOKEN]);
my $answer = request(GET => '/dapr/subscribe', @token);
is $answer->{status}, 200, 'exactly 200';
like $answer->{headers}{'content-type'}, qr{^application/json\b}, 'as JSON';
is ref $answer->{json}, 'ARRAY', 'an array';
my %by_topic = map { $_->{topic} => $_ } @{ $answer->{json} };
is scalar @{ $answer->{json} }, 3, 'of three subscriptions';
sub route { my ($s) = @_; return $s->{route} // $s->{routes}{default} }
is_deeply { map { $_ => route($by_topic{$_}) } keys %by_topic },
    { tasks => '/api/events/tasks', reminders => '/api/events/reminders', 'tasks-dlq' => '/api/events/dead-letters' }, 'topics and routes';
is_deeply [map { $_->{pubsubname} } @{ $answer->{json} }], [('test-pubsub') x 3], 'of the configured pubsub';
is $by_topic{$_}{deadLetterTopic}, 'tasks-dlq', "$_: top-level deadLetterTopic" for qw(tasks reminders);
ok !exists $by_topic{'tasks-dlq'}{deadLetterTopic}, 'the dead letter topic has none itself';
is_deeply [grep { ref } map { values %{ $_->{metadata} // {} } } @{ $answer->{json} }], [], 'metadata, if any, is of strings';
cmp_ok length($answer->{raw}) - length($answer->{body}), '<', 4096, 'a head that the sidecar can read';
is request(HEAD => '/dapr/subscribe', @token)->{status}, 200, 'HEAD';

is request(GET => '/dapr/config', @token)->{status}, 404, '/dapr/config is 404';
is request(GET => '/dapr', @token)->{status}, 404, '/dapr is 404';
is request(GET => '/dapr/nothing', @token)->{status}, 404, '/dapr/nothing is 404';
is request(POST => '/api/events/nothing', @token, json => {})->{status}, 404, '/api/events/nothing is 404';
is request(POST => '/dapr/subscribe', @token, json => {})->{status}, 405, 'POST /dapr/subscribe is 405';
is request(GET => '/api/events/tasks', @token)->{status}, 405, 'GET of a delivery route is 405';

# tokens
my @routes = ([GET => '/dapr/subscribe'], [POST => '/api/events/tasks'], [POST => '/api/events/reminders'], [POST => '/api/events/dead-letters']);
for my $route (@routes) {
    my ($method, $path) = @$route;
    my @body = $method eq 'POST' ? (body => '{"not":"an event"}', type => 'application/cloudevents+json') : ();
    my $ask = sub { my ($vhost, @headers) = @_; return request($method => $path, vhost => $vhost, @body, headers => [@headers])->{status} };
    is $ask->('sidecar'), 401, "$method $path: no token is 401";
    is $ask->('sidecar', 'dapr-api-token' => $_), 403, "$method $path: token '" . substr($_, 0, 20) . "' is 403"
        for 'wrong', substr(APP_TOKEN, 0, -1), APP_TOKEN . 'x', uc APP_TOKEN, 'x' x 5000;
    like $ask->('sidecar', 'dapr-api-token' => ''), qr/^40[13]$/, "$method $path: an empty token";
    like $ask->('sidecar', Authorization => 'Bearer ' . APP_TOKEN), qr/^401$/, "$method $path: in another header it is none";
    is $ask->('sidecar', 'dapr-api-token' => APP_TOKEN), 200, "$method $path: the token";
    is $ask->('sidecar', 'Dapr-Api-Token' => APP_TOKEN), 200, "$method $path: header names have no case";
    is $ask->('sidecar_unasked'), 200, "$method $path: TaskEventsSidecarToken Off from loopback";
    is $ask->('sidecar_unasked', $_ => '192.0.2.1'), 403, "… but not with $_"
        for 'X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'Via';
    is $ask->('sidecar_granted', 'dapr-api-token' => APP_TOKEN), 403, "$method $path: Require all granted fails closed";
}
is_problem(request(GET => '/dapr/subscribe', vhost => 'sidecar'), 401, 'refusals are problem documents');
is_problem(request(GET => '/dapr/subscribe', vhost => 'sidecar', headers => ['dapr-api-token' => 'x']), 403, 'this one too');

# the sidecar is no user and a user no sidecar
my $u = user('sub');
is request(GET => task_path($u), vhost => 'sidecar', headers => ['dapr-api-token' => APP_TOKEN])->{status} =~ /^40[134]$/, 1, 'no tasks for the sidecar';
like request(POST => '/api/events/tasks', as => 'events', json => {})->{status}, qr/^40[134]$/, 'no deliveries from a user named events';
like request(POST => '/api/events/tasks', as => $u, json => {})->{status}, qr/^40[134]$/, 'nor from another';
like request(GET => '/dapr/subscribe', as => $u)->{status}, qr/^40[134]$/, 'no subscriptions for a user';
is row(q{SELECT count(*) AS n FROM taskevents.dead_letters WHERE body = '{}'})->{n}, 0, 'and nothing of it was kept';
expect_log(qr/\[taskevents:error\].*(?:sidecar|token)/i, 'who was refused') if log_lines(qr/\[taskevents:error\].*(?:sidecar|token)/i);
expect_log(qr/\[taskevents:(?:error|alert)\].*TE\d+/, 'what was no event');
expect_log(qr/\[(?:authz_core|core|auth_openidc):error\]/, 'httpd about a refusal') if log_lines(qr/\[(?:authz_core|core|auth_openidc):error\]/);
finish();
