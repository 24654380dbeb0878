# No token is configured, neither by file nor by environment: nobody is the sidecar.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

for my $route ([GET => '/dapr/subscribe'], [POST => '/api/events/tasks'], [POST => '/api/events/reminders'], [POST => '/api/events/dead-letters']) {
    my ($method, $path) = @$route;
    my @body = $method eq 'POST' ? (body => '{"not":"an event"}', type => 'application/cloudevents+json') : ();
    for my $headers ([], ['dapr-api-token' => ''], ['dapr-api-token' => ' '], ['dapr-api-token' => APP_TOKEN], [Authorization => 'Bearer ']) {
        is_problem(request($method => $path, vhost => 'sidecar', @body, headers => $headers), 403,
            "$method $path" . (@$headers ? " with $headers->[0] '$headers->[1]'" : ''));
    }
}
expect_log(qr/\[taskevents:error\].*(?:sidecar|token)/i, 'who was refused') if log_lines(qr/\[taskevents:error\].*(?:sidecar|token)/i);
expect_log(qr/\[authz_core:error\]/, 'httpd about a refusal') if log_lines(qr/\[authz_core:error\]/);
finish();
