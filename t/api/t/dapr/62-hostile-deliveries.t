# What somebody hostile would send to the sidecar's routes, with and without its token.
use strict;
use warnings;
use utf8;
use Test::More;
use Compress::Zlib ();
use Time::HiRes qw(time);
use TaskEvents::Test;

my @sidecar = (vhost => 'sidecar', type => 'application/cloudevents+json');
my @token = (headers => ['dapr-api-token' => APP_TOKEN]);
my $u = user('hostile-deliveries');
create($u);
my ($event) = events($u);
my $body = encode_json_text($event);
sub letters { return row('SELECT count(*) AS n FROM taskevents.dead_letters')->{n} }

# ---- the token

my $before = letters();
for my $path ('/api/events/tasks', '/api/events/reminders', '/api/events/dead-letters', '/job/rem-6d040f8b-c3c2-4515-be90-8daa7e2cf714') {
    for my $case (['none', [], 401], ['a wrong one', ['dapr-api-token' => 'x' . substr APP_TOKEN, 1], 403], ['the first half of it', ['dapr-api-token' => substr APP_TOKEN, 0, 10], 403],
                  ['it and more', ['dapr-api-token' => APP_TOKEN . 'x'], 403], ['it in another case', ['dapr-api-token' => uc APP_TOKEN], 403], ['an empty one', ['dapr-api-token' => ''], 403],
                  ['it twice', ['dapr-api-token' => APP_TOKEN, 'dapr-api-token' => APP_TOKEN], 403], ['it as a bearer token', [Authorization => 'Bearer ' . APP_TOKEN], 401],
                  ['it a thousand times', ['dapr-api-token' => APP_TOKEN x 200], 403]) {
        my ($name, $headers, $status) = @$case;
        is request(POST => $path, @sidecar, headers => $headers, body => $body)->{status}, $status, "$path: $name";
    }
    is request(POST => "$path?dapr-api-token=" . APP_TOKEN, @sidecar, body => $body)->{status}, 401, '… in the query it is none';
}
is request(GET => '/dapr/subscribe?dapr-api-token=' . APP_TOKEN, @sidecar)->{status}, 401, 'to be asked for subscriptions neither';
is scalar(history($u)), 0, 'none of them handled anything';
is letters(), $before, '… or kept anything';
# without a token the address decides, and the name that was asked for
is request(POST => '/api/events/tasks', vhost => 'sidecar_unasked', raw => join "\r\n", 'POST /api/events/tasks HTTP/1.1', "Host: $_->[0]", 'Content-Type: application/json',
    'Content-Length: ' . length $body, 'Connection: close', '', $body)->{status}, $_->[1], "TaskEventsSidecarToken Off, asked for as $_->[0]"
    for ['evil.example', 403], ['127.0.0.1.evil.example:80', 403], ['localhost:3500', 200], ['127.0.0.1', 200];

# ---- sizes

sub bulk { my ($n, $entry) = @_; return '{"id":"x","type":"com.dapr.event.sent.bulk","topic":"tasks","metadata":{},"entries":[' . join(',', map { $entry->($_) } 1 .. $n) . ']}' }
for my $case (['events that are none', 900, sub { qq({"entryId":"$_[0]","event":{"n":$_[0],"u":"$u"}}) }], ['entries that are none', 300_000, sub { '7' }], ['one event over and over', 3000, sub { qq({"entryId":"$_[0]","event":$body}) }]) {
    my ($name, $n, $entry) = @$case;
    my $bytes = substr bulk($n, $entry), 0, 4 << 20;
    my $began = time;
    my $a = request(POST => '/api/events/tasks', @sidecar, @token, body => $bytes, timeout => 60);
    like $a->{status}, qr/^(?:200|500)$/, "a batch of $n $name is answered ($a->{status})";
    cmp_ok time - $began, '<', 20, sprintf '… in time (%.1f s)', time - $began;
    is request(GET => task_path($u), as => $u)->{status}, 200, '… and the server goes on';
}
is request(POST => '/api/events/tasks', @sidecar, @token, body => '[' x (4 << 20))->{status}, 200, 'four million brackets';
is request(POST => '/api/events/tasks', @sidecar, @token, body => '{"type":"com.dapr.event.sent.bulk","entries":' . '[' x 500_000)->{status}, 200, 'a batch of brackets';
is request(POST => '/api/events/tasks', @sidecar, @token, body => '{"a":' x 600_000)->{status}, 200, 'many objects in objects';
is request(GET => task_path($u), as => $u)->{status}, 200, 'and the server goes on';

# ---- somebody else where the sidecar should be

my ($issuer) = TaskEvents::Test::read_file(root() . '/t/conf/extra.conf') =~ /^Define ISSUER_PORT (\d+)/m;
my ($port, $stop) = httpd_start(server_config(lines => <<"EOF"));
TaskEventsEngine On
TaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"
TaskEventsDaprURL https://127.0.0.1:$issuer
TaskEventsBreaker 1 10ms
TaskEventsSidecarToken Off
<LocationMatch "^/(dapr|job|api/events)(/|\$)">
    SetHandler taskevents
    Require taskevents-sidecar
</LocationMatch>
EOF
my $log = root() . '/try/error_log';
ok wait_for(sub { TaskEvents::Test::read_file($log) =~ /TE0507: .*(?:SSL|certificate)/ }, 20), 'who shows a certificate that nobody signed is sent no event'
    or diag TaskEvents::Test::read_file($log);
is $stop->(), 0, 'the server ends in order';
is scalar(outbox($u)), 1, 'the event waits';

expect_log(qr/\[taskevents:alert\].*TE0401/, 'the letters');
expect_log(qr/\[(?:authz_core|core):error\]/, 'what httpd says about a refusal') if log_lines(qr/\[(?:authz_core|core):error\]/);
finish();
