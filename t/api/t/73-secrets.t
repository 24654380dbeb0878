# Secrets come from files whose permissions are looked at, and are shown nowhere.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $dir = root() . '/try';
mkdir $dir;
my $good = qq{TaskEventsEngine On\nTaskEventsTransport local\nTaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"\n};
my %secret = (
    app => 'the-app-token-that-nobody-may-see', next => 'the-next-app-token-that-nobody-may-see', dapr => 'the-dapr-token-that-nobody-may-see',
    alert => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', password => 'hunter2-of-the-database', url => 'T0KEN-OF-THE-URL',
);
for my $name (qw(app dapr alert)) {
    TaskEvents::Test::write_file("$dir/$name-file", "$secret{$name}\n");
    chmod 0600, "$dir/$name-file";
}
sub check
{
    my ($line) = @_;
    return httpd_try(server_config(lines => "$good$line"), '-t');
}

# ---- permissions

for my $directive (qw(TaskEventsAppTokenFile TaskEventsDaprTokenFile TaskEventsAlertSecretFile)) {
    my $file = "$dir/" . { AppToken => 'app', DaprToken => 'dapr', AlertSecret => 'alert' }->{$directive =~ s/TaskEvents|File//gr} . '-file';
    for my $mode (0600, 0400, 0640, 0440) {
        chmod $mode, $file;
        my ($status, $said) = check("$directive $file");
        is $status, 0, sprintf '%s of mode %04o is taken', $directive, $mode or diag $said;
        unlike $said, qr/TE0017/, '… without a word';
    }
    for my $case ([0644, qr/everybody may read it/], [0604, qr/everybody may read it/], [0660, qr/its group may write to it/]) {
        chmod $case->[0], $file;
        my ($status, $said) = check("$directive $file");
        is $status, 0, sprintf '%s of mode %04o is taken', $directive, $case->[0] or diag $said;
        like $said, qr/TE0017: \Q$directive '$file'\E: $case->[1]/, '… with a warning';
        is scalar(() = $said =~ /TE0017/g), 1, '… once';
    }
    for my $mode (0666, 0602, 0646) {
        chmod $mode, $file;
        my ($status, $said) = check("$directive $file");
        is $status, 1, sprintf '%s of mode %04o is refused', $directive, $mode;
        like $said, qr/\Q$directive: everybody may write to '$file'\E/, '… and said why';
    }
    chmod 0600, $file;
}

# as Kubernetes mounts them: a link to a link; what counts is the file
mkdir "$dir/..data";
TaskEvents::Test::write_file("$dir/..data/token", "$secret{app}\n");
symlink '..data/token', "$dir/mounted";
chmod 0440, "$dir/..data/token";
my ($status, $said) = check("TaskEventsAppTokenFile $dir/mounted");
is $status, 0, 'a link to a file is taken' or diag $said;
unlike $said, qr/TE0017/, '… without a word';
chmod 0666, "$dir/..data/token";
($status, $said) = check("TaskEventsAppTokenFile $dir/mounted");
is $status, 1, 'a link to a file that everybody may write to is not';
unlike $said, qr/\Q$secret{app}\E/, 'and no secret is repeated';
($status, $said) = check("TaskEventsAppTokenFile $dir");
is $status, 1, 'a folder is not a file with a token';

($status, $said) = httpd_try(server_config(lines => qq{TaskEventsEngine On\nTaskEventsTransport local\nTaskEventsDatabase "host=127.0.0.1 port=1 password=$secret{password}"}), '-t');
is $status, 0, 'a password in TaskEventsDatabase is taken';
like $said, qr/TE0018/, '… with a warning';
unlike $said, qr/\Q$secret{password}\E/, '… that does not repeat it';
unlike((check(''))[1], qr/TE0018/, 'a passfile needs none');

# ---- nowhere to be seen

# two, while one replaces the other
TaskEvents::Test::write_file("$dir/app-file", "$secret{app}\n$secret{next}\n");
my $everything = <<"EOF";
LoadModule info_module @{[module('info')]}
LogLevel warn taskevents:debug
ExtendedStatus On
TaskEventsEngine On
TaskEventsTransport dapr
TaskEventsDaprURL http://127.0.0.1:1
TaskEventsDatabase "host=127.0.0.1 port=1 dbname=x user=y password='$secret{password}' connect_timeout=2"
TaskEventsAppTokenFile $dir/app-file
TaskEventsDaprTokenFile $dir/dapr-file
TaskEventsAlertURL https://127.0.0.1:1/hook/$secret{url}?key=$secret{url}
TaskEventsAlertSecretFile $dir/alert-file
TaskEventsOpen On
<Location "/api">
    SetHandler taskevents
    Require taskevents-owner
</Location>
<LocationMatch "^/(dapr|job|api/events)(/|\$)">
    SetHandler taskevents
    Require taskevents-sidecar
</LocationMatch>
<Location "/readyz">
    SetHandler taskevents
    Require all granted
</Location>
<Location "/info">
    SetHandler server-info
    Require local
</Location>
<Location "/server-status">
    SetHandler server-status
    Require local
</Location>
<Location "/status">
    SetHandler taskevents-status
    Require local
</Location>
<Location "/metrics">
    SetHandler taskevents-metrics
    Require local
</Location>
EOF
my $secrets = join '|', map { quotemeta } values %secret;

sub module { return (glob "{/usr/lib/apache2,/usr/lib64/httpd,/usr/lib/httpd}/modules/mod_$_[0].so")[0] // die "no mod_$_[0]" }

($status, $said) = httpd_try(server_config(lines => $everything), '-tDDUMP_CONFIG');
is $status, 0, 'the configuration can be dumped' or diag $said;
like $said, qr/TaskEventsDatabase/, '… with our directives';
like $said, qr/TaskEventsAlertURL https:\/\/127\.0\.0\.1:1\//, '… the receiver of the alerts';
unlike $said, qr/$secrets/, '… and no secret';

my ($port, $stop) = httpd_start(server_config(lines => $everything));
my $token = [headers => ['dapr-api-token' => $secret{app}]];
for my $case (['/info', 200], ['/info?config', 200], ['/info?server', 200], ['/server-status', 200], ['/server-status?auto', 200], ['/status', qr/200|503/], ['/metrics', 200],
              ['/readyz', 503], ['/dapr/subscribe', 200, @$token], ['/api/u/tasks', 503]) {
    my ($path, $expected, @option) = @$case;
    my $answer = request(GET => $path, vhost => $port, @option);
    like $answer->{status}, ref $expected ? $expected : qr/^$expected$/, "$path answers";
    unlike $answer->{raw}, qr/$secrets/, '… and has no secret';
}
is request(GET => '/dapr/subscribe', vhost => $port, headers => ['dapr-api-token' => "x$secret{app}"])->{status}, 403, 'a wrong token';
wait_for(sub { TaskEvents::Test::read_file("$dir/error_log") =~ /TE0501/ }, 20);
is request(GET => '/dapr/subscribe', vhost => $port, headers => ['dapr-api-token' => $secret{$_}])->{status}, 200,
    "while one token replaces the other, both are taken: the $_ one" for qw(app next);
my ($pid) = TaskEvents::Test::read_file("$dir/httpd.pid") =~ /(\d+)/;
for my $process ($pid, children_of($pid)) {
    unlike TaskEvents::Test::read_file("/proc/$process/cmdline"), qr/$secrets/, 'no secret is in the arguments of a process';
    unlike TaskEvents::Test::read_file("/proc/$process/environ"), qr/$secrets/, '… or in its environment';
}
is $stop->(), 0, 'the server ends in order';
unlike TaskEvents::Test::read_file("$dir/error_log"), qr/$secrets/, 'no secret is in the log at level debug';

finish();
