# Bad values stop `httpd -t` with a sentence that names the directive, the value
# and what is allowed; an impossible set-up stops the start.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $database = qq{TaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"};
my $good = "TaskEventsEngine On\nTaskEventsTransport local\n$database\n";
my $dir = root() . '/try';
my ($status, $said) = httpd_try(server_config(lines => $good), '-t');
is $status, 0, 'a small configuration is fine' or diag $said;
like $said, qr/Syntax OK/, 'and said to be';
is((httpd_try(server_config(), '-t'))[0], 0, 'the module alone, without a directive');

TaskEvents::Test::write_file("$dir/token", "a-token\n");
TaskEvents::Test::write_file("$dir/empty", '');
TaskEvents::Test::write_file("$dir/three", "a\nb\nc\n");
for my $line (
    'TaskEventsEngine Off', 'TaskEventsPrefix /a/b-c', 'TaskEventsTransport local',
    'TaskEventsDaprURL http://127.0.0.1:3500', 'TaskEventsDaprURL https://dapr.example', 'TaskEventsDaprURL http://[::1]:3500', 'TaskEventsDaprURL http://127.0.0.1:3500/',
    "TaskEventsDaprTokenFile $dir/token", "TaskEventsAppTokenFile $dir/token", 'TaskEventsPubsub my-pubsub.v1',
    'TaskEventsTopic tasks prod.tasks', 'TaskEventsTopic reminders r', 'TaskEventsTopic deadletter dead_letters',
    'TaskEventsSource /x', 'TaskEventsSource https://tasks.example/api', 'TaskEventsSource urn:x:y',
    'TaskEventsPublishTimeout 5', 'TaskEventsPublishTimeout 500ms', 'TaskEventsPublishBatch 1', 'TaskEventsPublishBatch 256',
    'TaskEventsBreaker 5 1s', 'TaskEventsBreaker 1 500ms', 'TaskEventsCatchUp Each', 'TaskEventsCatchUp skip', 'TaskEventsBulkSubscribe On', 'TaskEventsBulkSubscribe reminders', 'TaskEventsBulkSubscribe Off',
    'TaskEventsReminderLead 2s', 'TaskEventsReminderLead 366d', 'TaskEventsReminderLate Off', 'TaskEventsReminderLate 1h',
    'TaskEventsJobs On', 'TaskEventsJobs Off',
    'TaskEventsPool 1 1 1', 'TaskEventsPool 0 4 16', 'TaskEventsPoolWait 2', 'TaskEventsPoolWait 250ms',
    'TaskEventsMaxBody 1024', 'TaskEventsMaxBody 65536', 'TaskEventsOpen Off', 'TaskEventsSidecarToken Off',
) {
    ($status, $said) = httpd_try(server_config(lines => "$good$line"), '-t');
    is $status, 0, "$line is fine" or diag $said;
}

# directive, bad value, what the sentence must say of what is allowed
for my $case (
    ['TaskEventsEngine', 'Maybe', qr/On|Off/], ['TaskEventsEngine', '', qr//],
    ['TaskEventsTransport', 'kafka', qr/dapr.*local|local.*dapr/], ['TaskEventsTransport', 'dapr local', qr//],
    ['TaskEventsPrefix', 'api', qr{/}], ['TaskEventsPrefix', '/api/', qr{/}],
    ['TaskEventsDaprURL', 'localhost:3500', qr/http/], ['TaskEventsDaprURL', 'ftp://x', qr/http/], ['TaskEventsDaprURL', 'http://', qr/http/],
    ['TaskEventsDaprTokenFile', "$dir/nothing", qr/file|read/i], ['TaskEventsDaprTokenFile', "$dir/empty", qr/empty/i],
    ['TaskEventsAppTokenFile', "$dir/nothing", qr/file|read/i], ['TaskEventsAppTokenFile', "$dir/empty", qr/empty/i],
    ['TaskEventsReminderLead', '0', qr/1 second to 366 days/], ['TaskEventsReminderLead', '367d', qr/366 days/], ['TaskEventsReminderLead', 'Off', qr/time/],
    ['TaskEventsReminderLate', 'never', qr/Off, or a time/], ['TaskEventsReminderLate', '', qr//], ['TaskEventsJobs', 'Maybe', qr/On|Off/],
    ['TaskEventsDaprTokenFile', "$dir/three", qr/one token/], ['TaskEventsAppTokenFile', "$dir/three", qr/or two/],
    ['TaskEventsAlertURL', 'ftp://x', qr/http or https/], ['TaskEventsAlertURL', 'https://user@x/', qr/without user/], ['TaskEventsAlertURL', 'https://x/#y', qr/fragment/],
    ['TaskEventsAlertSecretFile', "$dir/token", qr/whsec_/],
    ['TaskEventsRetention', 'letters 5d', qr/history, deadletters, notifications or idempotency/], ['TaskEventsRetention', 'history 1d', qr/8 to 3660 days/],
    ['TaskEventsPubsub', 'a/b', qr//], ['TaskEventsPubsub', '""', qr//],
    ['TaskEventsTopic', 'dead x', qr/tasks.*reminders.*deadletter/], ['TaskEventsTopic', 'tasks', qr//], ['TaskEventsTopic', 'tasks "a b"', qr//],
    ['TaskEventsSource', '"a b"', qr/URI/i], ['TaskEventsSource', '""', qr//],
    ['TaskEventsPublishTimeout', 'soon', qr/\d|time|second/], ['TaskEventsPublishTimeout', '0', qr/\d/], ['TaskEventsPublishTimeout', '-1', qr/\d/],
    ['TaskEventsPublishBatch', '0', qr/1/], ['TaskEventsPublishBatch', 'many', qr/\d/], ['TaskEventsPublishBatch', '1000000', qr/\d/],
    ['TaskEventsBreaker', '0 1s', qr/1/], ['TaskEventsBreaker', '5', qr//], ['TaskEventsBreaker', '5 never', qr/\d|time|second/], ['TaskEventsBreaker', 'x 1s', qr/\d/],
    ['TaskEventsCatchUp', 'Both', qr/Each.*Skip|Skip.*Each/i], ['TaskEventsBulkSubscribe', 'Some', qr/On, Reminders or Off/],
    ['TaskEventsPool', '4 2 16', qr//], ['TaskEventsPool', '1 4 0', qr//], ['TaskEventsPool', '1 4', qr//], ['TaskEventsPool', '1 4 x', qr/\d/], ['TaskEventsPool', '1 20 16', qr//],
    ['TaskEventsPoolWait', 'x', qr/\d|time|second/], ['TaskEventsPoolWait', '-2', qr/\d/],
    ['TaskEventsMaxBody', '0', qr/\d/], ['TaskEventsMaxBody', '64K', qr/\d/], ['TaskEventsMaxBody', '-1', qr/\d/], ['TaskEventsMaxBody', '99999999999999999999', qr/\d/],
    ['TaskEventsOpen', 'Yes', qr/On|Off/], ['TaskEventsSidecarToken', '0', qr/On|Off/],
    ['TaskEventsDatabase', '"host"', qr/conninfo|=/], ['TaskEventsDatabase', '"nonsense=1"', qr/=/],
) {
    my ($directive, $value, $allowed) = @$case;
    ($status, $said) = httpd_try(server_config(lines => "$good$directive $value"), '-t');
    is $status, 1, "$directive $value stops httpd -t" or diag $said;
    like $said, qr/\Q$directive\E/, '… names the directive';
    # the wrong count of arguments is told by httpd; else the value is repeated
    my ($last) = reverse split / /, $value =~ tr/"//dr;
    like $said, qr/takes|argument|must be|\Q$last\E/, '… and the value' if defined $last;
    like $said, $allowed, '… and what is allowed';
    unlike $said, qr/AddressSanitizer|Segmentation/, '… and ends in order';
}
# a password must not be repeated, here or in any log
(undef, $said) = httpd_try(server_config(lines => qq{$good\nTaskEventsDatabase "host=x nonsense=1 password=hunter2"}), '-t');
unlike $said, qr/hunter2/, 'a password is not repeated';

(undef, $said) = httpd_try(server_config(lines => qq{$good\nTaskEventsAlertURL "ftp://x/hunter3"}), '-t');
unlike $said, qr/hunter3/, 'nor an address of alerts, which may hold a secret';

# each of them is fine, and together they are not
for my $case (
    ["TaskEventsTopic tasks one\nTaskEventsTopic reminders one", qr/TE0004: TaskEventsTopic names 'one' twice/],
    ["TaskEventsReminderLead 1h\nTaskEventsReminderLate 1h", qr/TE0016: TaskEventsReminderLate .* must be shorter/],
) {
    my ($lines, $what) = @$case;
    ($status, $said) = httpd_try(server_config(lines => "$good$lines"), '-t');
    is $status, 1, ($lines =~ s/\n/, /r) . ' stops httpd -t';
    like $said, $what, '… and is told why';
}

# what the environment of the sidecar's says, and is no URL
{
    my $httpd = TaskEvents::Test::read_file(root() . '/httpd') =~ s/^exec /exec env DAPR_HTTP_ENDPOINT='not a URL' /mr;
    TaskEvents::Test::write_file("$dir/httpd", $httpd);
    chmod 0755, "$dir/httpd";
    local $TaskEvents::Test::httpd = "$dir/httpd";
    ($status, $said) = httpd_try(server_config(lines => "TaskEventsEngine On\n$database"), '-t');
    is $status, 1, 'DAPR_HTTP_ENDPOINT that is no URL stops httpd -t';
    like $said, qr/TE0011: DAPR_HTTP_ENDPOINT .*TaskEventsDaprURL/, '… and is told what to do';
}

# where they may stand
for my $directive ('TaskEventsEngine On', $database, 'TaskEventsTransport local', 'TaskEventsPool 1 4 16') {
    ($status, $said) = httpd_try(server_config(lines => "$good<Location /x>\n$directive\n</Location>"), '-t');
    is $status, 1, ($directive =~ s/ .*//r) . ' is not for a <Location>';
    like $said, qr/not allowed (?:here|in)/, '… which httpd says';
}
# a process has one database, one transport, one publisher
for my $directive ($database, 'TaskEventsTransport local', 'TaskEventsPool 1 4 16', 'TaskEventsSource /x', 'TaskEventsPubsub x') {
    ($status, $said) = httpd_try(server_config(lines => "$good<VirtualHost *:1>\n$directive\n</VirtualHost>"), '-t');
    my ($name) = $directive =~ /^(\w+)/;
    is $status, 1, "$name is not for a <VirtualHost>";
    like $said, qr/$name/, '… and said';
}
($status, $said) = httpd_try(server_config(lines => "$good<VirtualHost *:1>\nTaskEventsEngine Off\nTaskEventsPrefix /x\nTaskEventsMaxBody 2048\nTaskEventsOpen Off\nTaskEventsSidecarToken On\n</VirtualHost>"), '-t');
is $status, 0, 'what a <VirtualHost> may say' or diag $said;
($status, $said) = httpd_try(server_config(lines => "$good<Location /x>\nRequire taskevents-owner bob\n</Location>"), '-t');
is $status, 1, 'Require taskevents-owner takes no argument' or diag $said;
($status, $said) = httpd_try(server_config(lines => "$good<Location /x>\nRequire taskevents-sidecar x\n</Location>"), '-t');
is $status, 1, 'Require taskevents-sidecar neither' or diag $said;

# an engine without a database
($status, $said) = httpd_try(server_config(lines => "TaskEventsEngine On\nTaskEventsTransport local\n"));
isnt $status, 'runs', 'an engine that is on without a database does not start';
like $said, qr/TaskEventsDatabase/, 'and says which directive is missing';

# a process model without threads has nowhere to publish from
($status, $said) = httpd_try(server_config(mpm => 'prefork', lines => $good));
isnt $status, 'runs', 'prefork with the engine on does not start';
like $said, qr/prefork|thread|MPM/i, 'and says why' or diag $said;
unlike $said, qr/Segmentation|AddressSanitizer|exit signal/, 'in order';
($status, $said) = httpd_try(server_config(mpm => 'prefork', lines => "TaskEventsEngine Off\n"), undef, 2);
is $status, 'runs', 'prefork with the engine off does' or diag $said;
($status, $said) = httpd_try(server_config(mpm => 'worker', lines => $good), undef, 3);
ok $status eq 'runs' || $said =~ /worker.*event|event.*worker/, 'the worker MPM will do, or event is asked for' or diag $said;

# dapr: a sidecar route that no <Location> maps would lose every event
my $dapr = "TaskEventsEngine On\nTaskEventsTransport dapr\nTaskEventsDaprURL http://127.0.0.1:1\n$database\n";
($status, $said) = httpd_try(server_config(lines => $dapr));
isnt $status, 'runs', 'dapr without its routes mapped does not start';
like $said, qr{/dapr|/api/events|taskevents-sidecar}, 'and says what to map' or diag $said;
my $mapped = $dapr . qq{TaskEventsAppTokenFile $dir/token
<LocationMatch "^/(dapr|job|api/events)(/|\$)">
    SetHandler taskevents
    Require taskevents-sidecar
</LocationMatch>};
($status, $said) = httpd_try(server_config(lines => $mapped), undef, 3);
is $status, 'runs', 'with them mapped it does' or diag $said;

# the database is not needed to start: it comes back by itself
($status, $said) = httpd_try(server_config(lines =>
    qq{TaskEventsEngine On\nTaskEventsTransport local\nTaskEventsDatabase "host=127.0.0.1 port=1 dbname=x connect_timeout=1"}), undef, 3);
is $status, 'runs', 'a start without the database' or diag $said;
finish();
