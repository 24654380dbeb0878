package TaskEvents::Test;

# What the tests speak with: requests over plain sockets (a test must be able to
# send what no library would), tokens, the database, and the error log.
#
#   my $u = user('alice');                          # unique in this run
#   my $a = request(POST => "/api/$u/tasks", as => $u, json => { title => 'x' });
#   is $a->{status}, 201;                           # {status} {headers} {body} {json}
#   is_problem($a, 422, 'name', '#/title');         # problem+json, with these pointers
#   expect_log(qr/AH01617/, 'a wrong password');    # this test makes that line
#   finish();                                       # instead of done_testing
#
# expect_log is a promise both ways: an undeclared line of level error or worse
# fails the test, a declared one that never comes does too.

use strict;
use warnings;
use Exporter 'import';
use Test::More ();
use Apache::Test ();
use Apache::TestConfig ();
use Digest::SHA qw(hmac_sha256 hmac_sha384 sha1);
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64 encode_base64url);
use Time::HiRes qw(sleep time);
use DBI;
use TaskEvents::Secrets;

our @EXPORT = (qw(
    vhost user root request at_once undisturbed token basic create task_path is_problem is_number
    db row rows outbox events history wait_for uuid_re time_re seconds_of encode_json_text
    detail_of expect_log may_log log_lines finish escape httpd_try httpd_start server_config
    server_pid server_children children_of fresh_children wait_held
), @TaskEvents::Secrets::EXPORT);

# test names say … and umlauts; all tests are written in UTF-8
binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $json = JSON::PP->new->utf8->canonical->allow_nonref;
my $run = sprintf '%x%04x', time, int rand 65536;      # makes the user ids of this run its own

sub uuid_re { qr/^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/ }
sub time_re { qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z$/ }
sub encode_json_text { $json->encode($_[0]) }

sub user { "$_[0]-$run" }
sub root { $ENV{TASKEVENTS_TEST_ROOT} }
sub escape { $_[0] =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger }

# The port of a virtual host of extra.conf.in, or of another server.
sub vhost
{
    my ($name) = @_;
    return $name if $name =~ /^\d+$/;
    local $_;       # which Apache::Test reads files into
    my $host = Apache::Test::config()->{vhosts}{$name} or die "no virtual host $name";
    return $host->{port};
}

# A JWT; claims override, undef removes. -header and -key make wrong ones; with
# -rsa => NAME it is signed by conf/NAME.pem.
sub token
{
    my ($user, %claim) = @_;
    my $header = delete $claim{-header} // { alg => 'HS256', typ => 'JWT' };
    my $key = delete $claim{-key} // TOKEN_KEY;
    my $rsa = delete $claim{-rsa};
    my %all = (sub => $user, iat => int time, exp => int time + 600, %claim);
    delete @all{ grep { !defined $all{$_} } keys %all };
    my $text = join '.', map { encode_base64url($json->encode($_)) } $header, \%all;
    return "$text." . encode_base64url(rsa_signature($text, $rsa)) if defined $rsa;
    return "$text." . ($header->{alg} eq 'none' ? '' : encode_base64url(hmac_sha256($text, $key)));
}

sub rsa_signature
{
    my ($text, $name) = @_;
    my $file = root() . "/t/conf/$$.jwt";
    write_file($file, $text);
    my $signature = qx(openssl dgst -sha256 -sign "@{[root()]}/t/conf/$name.pem" "$file");
    unlink $file;
    return $signature;
}

sub basic { 'Basic ' . encode_base64("$_[0]:" . ($_[1] // PASSWORD), '') }

# The bytes of a request. Options: as (bearer token of that user), headers
# ([name, value, ...]), json or body, type, vhost, chunked, close, raw (all bytes).
sub compose
{
    my ($method, $path, %option) = @_;
    return $option{raw} if defined $option{raw};
    my @headers = (Host => 'taskevents.example');
    push @headers, Authorization => 'Bearer ' . token($option{as}) if defined $option{as};
    my $body = exists $option{json} ? $json->encode($option{json}) : $option{body};
    if (defined $body) {
        my $type = exists $option{type} ? $option{type} : 'application/json';
        push @headers, 'Content-Type' => $type if defined $type;
        if ($option{chunked}) {
            push @headers, 'Transfer-Encoding' => 'chunked';
            my @pieces = $body =~ /(.{1,4000})/gs;
            $body = join('', map { sprintf "%x\r\n%s\r\n", length, $_ } @pieces) . "0\r\n\r\n";
        }
        else {
            push @headers, 'Content-Length' => length $body;
        }
    }
    push @headers, @{ $option{headers} // [] };
    push @headers, Connection => 'close' if !$option{keep};
    my $text = "$method $path HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    return "$text\r\n" . ($body // '');
}

sub connection
{
    my ($name) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => vhost($name // 'oidc'), Timeout => 30)
        || die 'cannot connect to ' . ($name // 'oidc') . ": $!";
}

# The next answer on that connection; undef status when there is none in time.
sub answer
{
    my ($socket, $method, $seconds) = @_;
    my $until = time + ($seconds // 30);
    my $text = '';
    my $more = sub {
        while ((my $left = $until - time) > 0) {
            # a signal to this process ends a wait, not an answer
            IO::Select->new($socket)->can_read($left) or next;
            return sysread $socket, $text, 65536, length $text;
        }
        return;
    };
    my ($head, $rest);
    until (($head, $rest) = $text =~ /\A(.*?\r\n)\r\n(.*)\z/s) {
        $more->() or return bless { status => 0, headers => {}, body => $text, raw => $text }, 'TaskEvents::Answer';
        # an interim answer (100 Continue) is not the answer
        $text =~ s/\AHTTP\/1\.1 1\d\d .*?\r\n\r\n//s;
    }
    my ($status, $reason) = $head =~ m{\AHTTP/1\.\d (\d{3}) ?(.*?)\r\n};
    my (%headers, @lines);
    for (split /\r\n/, $head =~ s/\A.*?\r\n//sr) {
        my ($name, $value) = /^([^:]+):\s*(.*?)\s*$/ or next;
        push @{ $headers{lc $name} }, $value;
    }
    $_ = join ', ', @$_ for values %headers;
    my $start = length($head) + 2;
    my $body = '';
    if ($method eq 'HEAD' || $status == 204 || $status == 304) {
        # any byte after the head would be a fault
        if (!defined $headers{connection} || $headers{connection} !~ /keep-alive/i) { 1 while $more->() }
        $body = substr $text, $start;
    }
    elsif (($headers{'transfer-encoding'} // '') =~ /chunked/i) {
        my $at = $start;
        while (1) {
            pos($text) = $at;
            if ($text !~ /\G([0-9a-fA-F]+)[^\r\n]*\r\n/g) { $more->() or last; next }
            my ($size, $from) = (hex $1, pos $text);
            while (length $text < $from + $size + 2) { $more->() or last }
            last if !$size;
            $body .= substr $text, $from, $size;
            $at = $from + $size + 2;
        }
    }
    else {
        my $length = $headers{'content-length'};
        while (!defined $length || length($text) < $start + $length) { $more->() or last }
        $body = substr $text, $start, $length // length $text;
    }
    my $value = ($headers{'content-type'} // '') =~ m{^application/(?:[\w.-]+\+)?json} && length $body
        ? eval { $json->decode($body) } : undef;
    return bless {
        status => $status, reason => $reason, headers => \%headers, body => $body, json => $value,
        raw => $text,
    }, 'TaskEvents::Answer';
}

sub request
{
    my ($method, $path, %option) = @_;
    my $socket = connection($option{vhost});
    # a server that refuses early may stop reading: its answer still counts
    local $SIG{PIPE} = 'IGNORE';
    my $bytes = compose($method, $path, %option);
    my $sent = 0;
    while ($sent < length $bytes) {
        my $count = syswrite $socket, $bytes, 65536, $sent or last;
        $sent += $count;
    }
    return answer($socket, $method, $option{timeout});
}

# All at the same moment: every request is on the wire except its last byte,
# then the last bytes follow in one go.
sub at_once
{
    my @requests = @_;
    local $SIG{PIPE} = 'IGNORE';
    my @flights = map {
        my ($method, $path, %option) = @$_;
        my $bytes = compose($method, $path, %option);
        my $socket = connection($option{vhost});
        $socket->autoflush(1);
        print {$socket} substr $bytes, 0, -1;
        [$socket, substr($bytes, -1), $method];
    } @requests;
    sleep 0.2;                      # let a worker of the server take each of them
    syswrite $_->[0], $_->[1] for @flights;
    return map { answer($_->[0], $_->[2]) } @flights;
}

# What that code answers. Nobody waits for a lock, or to be connected, for more than 2 s:
# when a machine stood still for so long, a 503 says nothing about the server, and the
# code, which makes all of it anew, has another try.
sub undisturbed
{
    my ($code) = @_;
    for my $left (2, 1, 0) {
        my $began = time;
        my @answers = $code->();
        return @answers if !$left || time - $began < 1.9 || !grep { $_->{status} >= 500 } @answers;
        Test::More::note(sprintf 'took %.1f s: again', time - $began);
        may_log(qr/\[taskevents:error\].*TE0202: .*timeout/);
    }
}

sub task_path { my ($user, @rest) = @_; return join '/', '/api', escape($user), 'tasks', @rest }

# Makes a task or ends the test: the answer's JSON.
sub create
{
    my ($user, %member) = @_;
    my $answer = request(POST => task_path($user), as => $user, json => { title => 'a task', %member });
    Test::More::BAIL_OUT("cannot make a task: $answer->{status} $answer->{body}") if $answer->{status} == 0;
    die "cannot make a task: $answer->{status} $answer->{body}\n" if $answer->{status} != 201;
    return $answer->{json};
}

sub is_number { defined $_[0] && !ref $_[0] && $json->encode($_[0]) =~ /^-?\d/ }

sub detail_of { my ($answer) = @_; return ref $answer->{json} eq 'HASH' ? $answer->{json}{detail} // '' : '' }

# A problem document of RFC 9457 that gives nothing away; @pointers must all be
# among its errors.
sub is_problem
{
    my ($answer, $status, $name, @pointers) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::subtest($name => sub {
        Test::More::is($answer->{status}, $status, 'status');
        Test::More::like($answer->{headers}{'content-type'} // '', qr{^application/problem\+json\b}, 'media type');
        my $problem = $answer->{json};
        if (!Test::More::is(ref $problem, 'HASH', 'a JSON object')) {
            Test::More::diag(substr $answer->{raw} // '', 0, 600);
            return;
        }
        Test::More::is($problem->{status}, $status, 'status inside');
        Test::More::ok(is_number($problem->{status}), 'which is a number');
        for my $member (qw(type title detail instance)) {
            Test::More::ok(defined $problem->{$member} && !ref $problem->{$member} && length $problem->{$member},
                "$member is said");
        }
        Test::More::unlike($answer->{body},
            qr/SELECT|INSERT|SQLSTATE|PGRES|psql|postgres|taskevents\.\w|\.c:\d|0x[0-9a-f]{6}|\Q@{[root()]}\E|Apache Server at/i,
            'no SQL, stack or path');
        if (@pointers) {
            my @given = map { $_->{pointer} // '' } @{ $problem->{errors} // [] };
            for my $pointer (@pointers) {
                my $found = ref $pointer ? grep { $_ =~ $pointer } @given : grep { $_ eq $pointer } @given;
                Test::More::ok($found, "errors name $pointer") or Test::More::diag("given: @given");
            }
            Test::More::is_deeply([grep { !length($_->{detail} // '') } @{ $problem->{errors} // [] }], [],
                'each with a detail');
        }
        Test::More::diag(substr $answer->{raw} // '', 0, 600) if !Test::More->builder->is_passing;
    });
}

# ---- the database

my $db;
sub db
{
    # the PG* environment of the caller names it
    return $db ||= DBI->connect('dbi:Pg:', undef, undef,
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1 });
}

# After the server has ended this session too.
sub reconnect
{
    undef $db;
    return wait_for(sub { local $SIG{__WARN__} = sub { }; eval { db() } || do { undef $db; 0 } }, 60);
}

sub row { my ($sql, @values) = @_; return db()->selectrow_hashref($sql, undef, @values) }
sub rows { my ($sql, @values) = @_; return @{ db()->selectall_arrayref($sql, { Slice => {} }, @values) } }

sub outbox { return rows('SELECT * FROM taskevents.outbox WHERE user_id = ? ORDER BY topic, sequence', $_[0]) }

# The user's handled events in the order of the history, of all topics or of one.
sub history
{
    my ($user, $topic) = @_;
    return rows('SELECT * FROM taskevents.processed_events WHERE user_id = ? AND type LIKE ? ORDER BY position', $user,
        defined $topic ? ($topic =~ s/s$//r) . '.%' : '%');
}

# All events of that user and topic as envelopes, in order, wherever they are now.
sub events
{
    my ($user, $topic) = @_;
    $topic //= 'tasks';
    my $prefix = $topic eq 'reminders' ? 'reminder.' : 'task.';
    my %seen;
    my @events =
           sort { $a->{sequence} cmp $b->{sequence} }
           grep { index($_->{type}, $prefix) == 0 && !$seen{ $_->{id} }++ }
           map { $json->decode(Encode::encode_utf8($_->{event})) }
           rows(q{SELECT event FROM taskevents.outbox WHERE user_id = ?
                  UNION ALL SELECT event FROM taskevents.processed_events WHERE user_id = ?}, $user, $user);
    return @events;
}

# Repeats until true or the time is over: the last value.
sub wait_for
{
    my ($code, $seconds) = @_;
    my $until = time + ($seconds // 30);
    my $value;
    until ($value = $code->()) {
        return $value if time > $until;
        sleep 0.02;
    }
    return $value;
}

# Until somebody waits for a lock that our own session has.
sub wait_held
{
    return wait_for(sub { row('SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))')->{n} });
}

# Epoch seconds of a time of ours.
sub seconds_of { return db()->selectrow_array('SELECT extract(epoch FROM ?::timestamptz)', undef, $_[0]) }

# ---- processes

sub server_pid { return read_file(root() . '/t/logs/httpd.pid') + 0 }
sub server_children { return children_of(server_pid()) }

# Others in the place of all children, for a test that kills some: a process that is
# killed takes along what it has counted of the lines that it reached.
sub fresh_children
{
    my %old = map { $_ => 1 } server_children();
    kill USR1 => server_pid();
    return wait_for(sub { my @now = server_children(); @now >= 2 && !grep { $old{$_} } @now }, 30);
}

# Who is a child of that process now.
sub children_of
{
    my ($parent) = @_;
    my @children;
    for my $name (glob '/proc/[0-9]*/stat') {
        open my $file, '<', $name or next;
        push @children, $name =~ m{/(\d+)/} if (<$file> // '') =~ /\) \S $parent /;
    }
    return @children;
}

# ---- httpd -t and start-up

my $base_config;
# A whole configuration around these lines, for httpd_try.
sub server_config
{
    my (%option) = @_;
    $base_config //= join '', grep { /^LoadModule/ } split /^/, read_file(root() . '/t/conf/modules.conf');
    my $mpm = $option{mpm} // 'event';
    my $text = $base_config =~ s/mpm_event/mpm_$mpm/gr;
    my $dir = root() . '/try';
    mkdir $dir;
    return qq{ServerRoot "$dir"\nServerName taskevents.example\nPidFile "$dir/httpd.pid"\nErrorLog "$dir/error_log"\n}
        . qq{DefaultRuntimeDir "$dir"\nListen 127.0.0.1:} . free_port() . "\n$text"
        . qq{LoadModule taskevents_module "$ENV{TASKEVENTS_TEST_MODULE}"\n}
        . ($option{lines} // '') . "\n";
}

sub free_port
{
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1) or die "bind: $!";
    return $socket->sockport;
}

# httpd_try($config, '-t') or httpd_try($config): (exit status, all it said).
our $httpd;     # not the one of this server root
# Without -t the server is started in the foreground; one that does start is
# stopped after $seconds, or when its log has $enough, and its status is 'runs'.
sub httpd_try
{
    my ($config, $flag, $seconds, $enough) = @_;
    my $dir = root() . '/try';
    unlink "$dir/error_log", "$dir/httpd.pid";
    write_file("$dir/httpd.conf", $config);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', "$dir/out" or die;
        open STDERR, '>&', \*STDOUT or die;
        # at its end httpd signals its whole process group
        setpgrp 0, 0;
        exec $httpd // root() . '/httpd', '-f', "$dir/httpd.conf", $flag ? $flag : '-DFOREGROUND';
        exit 127;
    }
    my ($status, $until) = (undef, time + ($seconds // 60));
    while (time < $until) {
        if (waitpid($pid, POSIX::WNOHANG()) > 0) { $status = $? >> 8 || ($? & 127 ? 'signal ' . ($? & 127) : 0); last }
        last if $enough && -e "$dir/error_log" && read_file("$dir/error_log") =~ $enough;
        sleep 0.05;
    }
    if (!defined $status) {
        kill TERM => $pid;
        waitpid $pid, 0;
        $status = 'runs';
    }
    return ($status, join '', map { -e "$dir/$_" ? read_file("$dir/$_") : '' } qw(out error_log));
}

# A server of its own beside the one under test: (port, code that stops it).
sub httpd_start
{
    my ($config) = @_;
    my $dir = root() . '/try';
    unlink "$dir/error_log", "$dir/httpd.pid";
    write_file("$dir/httpd.conf", $config);
    my ($port) = $config =~ /^Listen 127\.0\.0\.1:(\d+)/m;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', "$dir/out" or die;
        open STDERR, '>&', \*STDOUT or die;
        setpgrp 0, 0;
        exec(root() . '/httpd', '-f', "$dir/httpd.conf", '-DFOREGROUND') or POSIX::_exit(127);
    }
    # it listens a moment before it has its log
    wait_for(sub { -e "$dir/error_log" && IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }, 60)
        or Test::More::diag(map { -e "$dir/$_" ? read_file("$dir/$_") : () } qw(out error_log));
    # gracefully: at a plain stop mpm_event may trip over a connection that ends then
    return ($port, sub {
        kill WINCH => $pid;
        waitpid $pid, 0;
        return $? || read_file("$dir/error_log") =~ /(exit signal[^\n]*)/ ? $1 // $? : 0;
    });
}

sub read_file { open my $file, '<', $_[0] or die "$_[0]: $!"; local $/; return scalar <$file> // '' }
sub write_file { open my $file, '>', $_[0] or die "$_[0]: $!"; print {$file} $_[1]; close $file or die "$_[0]: $!" }

# ---- the error log

my $log_name = root() . '/t/logs/error_log';
my $log_from = -s $log_name;
my @expected;
my $bad = qr/\[[\w-]*:(?:error|crit|alert|emerg)\]/;
# lines that this whole server makes, at whatever moment: conf/log-SUITE.txt
my @always = -e root() . '/expected'
    ? map { qr/$_/ } grep { !/^(?:#|$)/ } split /\n/, read_file(root() . '/expected') : ();

# This test makes lines like that. Checked and written down by finish.
sub expect_log
{
    my ($pattern, $why) = @_;
    push @expected, { pattern => $pattern, why => $why };
}

# This test may make lines like that, or not: it depends on what is quicker.
sub may_log
{
    my ($pattern) = @_;
    push @expected, { pattern => $pattern };
}

# The codes of lines that were declared by now. What is held back of such a flood
# may be told minutes later, in another test.
sub declared_codes
{
    my %at = map { $_ => 1 } -e root() . '/declared' ? split /\n/, read_file(root() . '/declared') : ();
    my %codes;
    open my $log, '<', $log_name or die "$log_name: $!";
    while (my $line = <$log>) {
        $codes{$1} = 1 if $at{tell($log) - length $line} && $line =~ /\b(TE\d{4}): /;
    }
    return \%codes;
}

sub is_held_back
{
    my ($line, $codes) = @_;
    return $line =~ /\b(TE\d{4}): .*\(said \d+ times in the last / && $codes->{$1};
}

# The lines since this test began, of any level.
sub log_lines
{
    my ($pattern) = @_;
    return map { $_->[1] } grep { !$pattern || $_->[1] =~ $pattern } log_since();
}

sub log_since
{
    open my $log, '<', $log_name or die "$log_name: $!";
    seek $log, $log_from // 0, 0;
    my @lines;
    while (my $line = <$log>) {
        push @lines, [tell($log) - length $line, $line];
    }
    return @lines;
}

sub finish
{
    for my $expected (grep { $_->{why} } @expected) {
        my $came = wait_for(sub { scalar log_lines($expected->{pattern}) });
        Test::More::ok($came, "the error log has $expected->{why} ($expected->{pattern})");
    }
    my @undeclared;
    open my $declared, '>>', root() . '/declared' or die $!;
    for my $line (log_since()) {
        next if grep { $line->[1] =~ $_ } @always;
        if (grep { $line->[1] =~ $_->{pattern} } @expected) {
            print {$declared} "$line->[0]\n";
        }
        elsif ($line->[1] =~ $bad && !is_held_back($line->[1], declared_codes())) {
            push @undeclared, $line->[1];
        }
    }
    close $declared;
    Test::More::is(scalar @undeclared, 0, 'the error log has no line of level error that was not declared')
        or Test::More::diag(@undeclared[0 .. ($#undeclared > 9 ? 9 : $#undeclared)]);
    Test::More::done_testing();
}

use Encode ();
use POSIX ();

1;
