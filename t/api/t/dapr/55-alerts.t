# Each new dead letter is announced to TaskEventsAlertURL: signed, once, and again
# while nobody takes it; nothing else waits for that.
use strict;
use warnings;
use utf8;
use Test::More;
use Digest::SHA 'hmac_sha256';
use IO::Socket::INET;
use IO::Select;
use MIME::Base64 qw(decode_base64 encode_base64);
use POSIX ();
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

my $key = 'whsec_' . encode_base64(join('', map { chr } 1 .. 32), '');
my $bare = $key =~ s/^whsec_//r;
my $dir = root() . '/t/conf';
open my $secret, '>', "$dir/alert-secret" or die $!;
print {$secret} "$key\n";
close $secret;

# The receiver: a process that answers as $dir/alert-answer says, and writes down
# what it was asked.
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64, ReuseAddr => 1) or die $!;
my $port = $listener->sockport;
sub answer_with { open my $f, '>', "$dir/alert-answer.new" or die $!; print {$f} $_[0]; close $f; rename "$dir/alert-answer.new", "$dir/alert-answer" or die $! }
sub receive
{
    my ($client) = @_;
    my $text = '';
    until ($text =~ /\r\n\r\n/ && length($text) >= index($text, "\r\n\r\n") + 4 + ($text =~ /^content-length: (\d+)/im ? $1 : 0)) {
        IO::Select->new($client)->can_read(5) && sysread($client, $text, 65536, length $text) or return;
    }
    open my $answer, '<', "$dir/alert-answer" or die $!;
    my $status = <$answer>;
    sleep 60 if $status eq 'hang';
    open my $log, '>>', "$dir/alert-log" or die $!;
    syswrite $log, "$status " . encode_base64($text, '') . "\n";
    close $log;
    print {$client} "HTTP/1.1 $status X\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:$port/elsewhere\r\nConnection: close\r\n\r\n";
}
my $receiver;
sub receiver_start
{
    # those of the last one may take a moment to be gone
    $listener ||= wait_for(sub { IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 64, ReuseAddr => 1) }) or die $!;
    $receiver = fork // die $!;
    if (!$receiver) {
        $SIG{CHLD} = 'IGNORE';
        setpgrp 0, 0;
        while (my $client = $listener->accept) {
            if (!(fork // 1)) { receive($client); POSIX::_exit(0) }
            close $client;
        }
        POSIX::_exit(0);
    }
    close $listener;
    undef $listener;
}
sub receiver_stop { kill TERM => -$receiver; waitpid $receiver, 0; undef $receiver }
sub asked
{
    open my $log, '<', "$dir/alert-log" or return;
    return map {
        my ($status, $text) = /^(\d+) (\S+)/;
        my ($head, $body) = split /\r\n\r\n/, decode_base64($text), 2;
        my %header = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
        { status => $status, line => ($head =~ /^([^\r]*)/)[0], header => \%header, body => $body, json => JSON::PP->new->utf8->decode($body) };
    } grep { /\n\z/ } <$log>;
}
sub about { my ($event_id) = @_; return grep { $_->{json}{data}{event_id} eq $event_id } asked() }
# by the specification, with other code than the module's
sub is_signed
{
    my ($asked, $name) = @_;
    my $h = $asked->{header};
    my $mac = encode_base64(hmac_sha256("$h->{'webhook-id'}.$h->{'webhook-timestamp'}.$asked->{body}", decode_base64($bare)), '');
    is $h->{'webhook-signature'}, "v1,$mac", $name;
    cmp_ok abs($h->{'webhook-timestamp'} - time), '<', 60, 'its time is now';
}

unlink "$dir/alert-log";
answer_with(200);
receiver_start();
my $lines = <<"END";
StartServers 3
TaskEventsEngine On
TaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"
TaskEventsTransport dapr
TaskEventsDaprURL http://127.0.0.1:1
TaskEventsSource /taskevents/test
TaskEventsSidecarToken Off
TaskEventsBreaker 3 500ms
TaskEventsAlertURL http://127.0.0.1:$port/hook/5f3?token=not-for-logs
TaskEventsAlertSecretFile $dir/alert-secret
LogLevel taskevents:info
<LocationMatch "^/(dapr|job|api/events)(/|\$)">
    SetHandler taskevents
    Require taskevents-sidecar
</LocationMatch>
<Location "/status">
    SetHandler taskevents-status
    Require local
</Location>
END
my ($server, $stop) = httpd_start(server_config(lines => $lines));
my $test = $$;
# whatever happens, nobody is left behind
END { local $?; if ($test && $$ == $test) { $stop->() if $stop; receiver_stop() if $receiver } }
my $n = 0;
sub bad_event
{
    my $id = sprintf '55555555-5555-4555-8555-%06d%06d', $$ % 1000000, ++$n;
    my $began = time;
    my $a = request(POST => '/api/events/tasks', vhost => $server, type => 'application/cloudevents+json',
        headers => [__topic => 'tasks'], body => encode_json_text({ specversion => '0.3', id => $id, source => '/alerting', type => 'task.created', data => { title => 'a text of a user' } }));
    is $a->{status}, 200, "event $n is kept";
    # who waited for one that hangs would do so for 5 s
    cmp_ok time - $began, '<', 4, 'without waiting for the receiver';
    return $id;
}

# taken
my $id = bad_event();
ok wait_for(sub { about($id) == 1 }, 15), 'its letter is announced';
my ($asked) = about($id);
is $asked->{line}, 'POST /hook/5f3?token=not-for-logs HTTP/1.1', 'at the whole URL';
is $asked->{header}{'content-type'}, 'application/json', 'as JSON';
is_signed($asked, 'signed');
my $letter = row('SELECT * FROM taskevents.dead_letters WHERE event_id = ?', $id);
is $asked->{header}{'webhook-id'}, "letter_$letter->{alert_id}", 'by its id';
is_deeply $asked->{json}{data}, { id => $letter->{id} + 0, stage => 'malformed', reason => $letter->{reason}, source => '/alerting', event_id => $id, user_id => undef, topic => 'tasks',
    attempts => 1 }, 'with what an operator needs';
is $asked->{json}{type}, 'taskevents.dead_letter', 'its type';
like $asked->{json}{timestamp}, time_re(), 'and time';
unlike $asked->{body}, qr/a text of a user/, 'and no word of users';
ok wait_for(sub { request(GET => "/status/dead-letters/$letter->{id}", vhost => $server)->{json}{alert} eq 'sent' }), 'the letter says so';
request(POST => '/api/events/tasks', vhost => $server, type => 'application/json', body => encode_json_text({ specversion => '0.3', id => $id, source => '/alerting', type => 'task.created' }));
my @many = map { bad_event() } 1 .. 20;
ok wait_for(sub { !grep { about($_) != 1 } @many }, 30), 'many at once: each is announced';
is scalar(about($id)), 1, 'a copy is not';

# not taken, then taken
for my $status (500, 302, 429) {
    answer_with($status);
    my $e = bad_event();
    ok wait_for(sub { about($e) >= 1 }, 15), "answered $status";
    answer_with(204);
    ok wait_for(sub { grep { $_->{status} == 204 } about($e) }, 20), 'it is sent again';
    my @tries = about($e);
    is_deeply [map { $_->{header}{'webhook-id'} } @tries], [($tries[0]{header}{'webhook-id'}) x @tries], 'as the same';
    is_signed($tries[-1], 'signed anew');
}
is scalar(grep { $_->{line} !~ m{^POST /hook/5f3\?} } asked()), 0, 'redirects are not followed';

# down, slow, and back
receiver_stop();
my @missed = map { bad_event() } 1 .. 4;
sleep 2;
answer_with('hang');
receiver_start();
push @missed, map { bad_event() } 1 .. 2;
sleep 2;
receiver_stop();
answer_with(200);
receiver_start();
ok wait_for(sub { !grep { !about($_) } @missed }, 60), 'what came while nobody listened, or nobody answered, is announced when somebody does';
is_signed($_, 'signed') for map { (about($_))[-1] } $missed[0], $missed[-1];
is row(q{SELECT count(*) AS n FROM taskevents.dead_letters WHERE source = '/alerting' AND alert_state = 'pending'}, )->{n}, 0, 'none is left' if wait_for(sub {
    row(q{SELECT count(*) AS n FROM taskevents.dead_letters WHERE source = '/alerting' AND alert_state = 'pending'})->{n} == 0 }, 20);

# a child that ends does not wait for a receiver that hangs
answer_with('hang');
bad_event();
sleep 2.5;
my $began = time;
is $stop->(), 0, 'the server ends';
undef $stop;
cmp_ok time - $began, '<', 6, 'soon, while an alert hangs';
receiver_stop();
my $error_log = root() . '/try/error_log';
my $log = TaskEvents::Test::read_file($error_log);
like $log, qr/\[taskevents:warn\].*TE0611/, 'the log tells of the receiver';

# Each child tells of what it saw itself, so here there is but one.
answer_with(500);
receiver_start();
($server, $stop) = httpd_start(server_config(lines => $lines =~ s/^StartServers 3/ServerLimit 1\nStartServers 1\nThreadsPerChild 25\nMaxRequestWorkers 25/r));
my $refused = bad_event();
ok wait_for(sub { about($refused) && TaskEvents::Test::read_file($error_log) =~ /TE0611/ }, 15), 'refused: the log says so';
answer_with(200);
ok wait_for(sub { TaskEvents::Test::read_file($error_log) =~ /\[taskevents:notice\].*TE0612/ }, 30), 'and that they are taken again';
ok wait_for(sub { grep { $_->{status} == 200 } about($refused) }), 'the alert is sent again';
is $stop->(), 0, 'the server ends';
undef $stop;
receiver_stop();
$log .= TaskEvents::Test::read_file($error_log);
unlike $log, qr/not-for-logs|\Q$bare\E|whsec_/, 'but not the URL or the secret';

# what httpd shows of its configuration has the file's name, not what is in it
my ($modules) = server_config() =~ m{^LoadModule \w+ "?(\S+)/mod_}m;
my ($status, $said) = httpd_try(server_config(lines => qq(LoadModule info_module "$modules/mod_info.so"\n$lines)), '-t');
is $status, 0, 'the configuration is good' or diag $said;
$said = qx("@{[root()]}/httpd" -t -D DUMP_CONFIG -f "@{[root()]}/try/httpd.conf" 2>&1);
like $said, qr/TaskEventsAlertSecretFile/, '-D DUMP_CONFIG shows it';
unlike $said, qr/\Q$bare\E/, 'without what is in the file';
($status, $said) = httpd_try(server_config(lines => $lines =~ s/^TaskEventsAlertSecretFile.*\n//mr), '-t');
isnt $status, 0, 'no secret, no start';
like $said, qr/TE0015: TaskEventsAlertURL needs a TaskEventsAlertSecretFile/, 'in these words';
unlike $said, qr/not-for-logs/, 'without the URL';

finish();
