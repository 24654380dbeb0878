# What somebody hostile would send: requests that two servers read differently, paths
# that two parts of one server read differently, names that are not ours, bodies that
# grow, clients that never end. Nothing of it changes another user's task, and the
# server goes on.
use strict;
use warnings;
use utf8;
use Test::More;
use Compress::Zlib ();
use IO::Select;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;

my ($u, $victim) = (user('hostile'), user('victim'));
my $task = create($victim, title => 'precious');
my $own = create($u, title => 'own');
my $token = token($u);
my $path = task_path($u);
my $target = task_path($victim, $task->{id});
my $json = "Content-Type: application/json\r\n";
my $bearer = "Authorization: Bearer $token\r\n";
sub count_of { return row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $_[0])->{n} }

# All that is answered to these bytes until the server closes or, having begun, is silent
# for a moment.
sub talk
{
    my ($bytes, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => vhost($option{vhost} // 'oidc')) or die "connect: $!";
    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, $bytes;
    my $text = '';
    while (IO::Select->new($socket)->can_read(length $text ? 3 : 30)) {
        sysread $socket, $text, 65536, length $text or last;
    }
    return $text;
}
sub statuses { return $_[0] =~ m{^HTTP/1\.[01] (\d{3}) }mg }

# ---- requests that two servers read differently

my $inner = "DELETE $path/$own->{id} HTTP/1.1\r\nHost: x\r\n$bearer\r\n";
my $before = count_of($u);
for my $case (
    ['both a length and chunks', "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"],
    ['two lengths', "Content-Length: 2\r\nContent-Length: @{[2 + length $inner]}\r\n", '{}'],
    ['a list of lengths', "Content-Length: 2, @{[2 + length $inner]}\r\n", '{}'],
    ['a signed length', "Content-Length: +2\r\n", '{}'],
    ['a negative length', "Content-Length: -2\r\n", '{}'],
    ['a length beyond all numbers', "Content-Length: 99999999999999999999999\r\n", '{}'],
    ['chunks under another name', "Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n", '{}'],
    ['chunks twice', "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"],
    ['chunks, then something else', "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"],
    ['a blank before the colon', "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"],
    ['a folded header', "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"],
    ['a vertical tab', "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"],
    ['a chunk of a negative size', "Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"],
    ['a chunk larger than any', "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"],
    ['a chunk that lies', "Transfer-Encoding: chunked\r\n", "2\r\n{}xx\r\n0\r\n\r\n"],
    ['a header with a NUL', "X-A: a\0b\r\nContent-Length: 2\r\n", '{}'],
    ['a bare CR in a header', "X-A: a\rContent-Length: 0\r\nContent-Length: 2\r\n", '{}'],
) {
    my ($name, $headers, $body) = @$case;
    my $text = talk("POST $path HTTP/1.1\r\nHost: x\r\n$bearer$json$headers\r\n$body$inner");
    my @statuses = statuses($text);
    ok @statuses >= 1 && @statuses <= 2 && $statuses[0] !~ /^[25]00|^20/, "$name: refused (@statuses)" or diag $text;
    is request(GET => "$path/$own->{id}", as => $u)->{status}, 200, '… and what came behind it did nothing';
}
is count_of($u), $before, 'none of them made a task';

# ---- a method in another place

for my $header ('X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override') {
    request(POST => "$path/$own->{id}/complete", as => $u, headers => [$header => 'DELETE']);
    is request(GET => "$path/$own->{id}", as => $u)->{status}, 200, "$header is no method";
}
is_problem(request(POST => "$path?_method=DELETE", as => $u, json => { title => 'x' }), 400, '_method neither');
is_problem(request(GET => "$path?access_token=$token", as => $u), 400, 'nor is access_token a parameter');

# ---- a page of somebody else, in the browser of a user whose password it keeps

my $mine = request(POST => '/api/alice/tasks', vhost => 'basic', headers => [Authorization => basic('alice')], json => { title => 'x' })->{json}{id};
my $complete = "/api/alice/tasks/$mine/complete";
for my $headers (['Sec-Fetch-Site' => 'cross-site'], ['Sec-Fetch-Site' => 'same-site'], [Origin => 'https://evil.example'], [Origin => 'null'],
                 ['Sec-Fetch-Site' => 'cross-site', Origin => 'https://evil.example', 'Sec-Fetch-Mode' => 'no-cors']) {
    is_problem(request(POST => $complete, vhost => 'basic', headers => [Authorization => basic('alice'), @$headers]), 403, "a POST that was sent unasked (@$headers)");
    for my $type ('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data') {
        is_problem(request(POST => $_, vhost => 'basic', headers => [Authorization => basic('alice'), @$headers], type => $type, body => '{"title":"x"}'), 415, "… as $type")
            for $complete, '/api/alice/tasks', '/api/alice/notifications/read';
    }
}
is request(GET => "/api/alice/tasks/$mine", vhost => 'basic', headers => [Authorization => basic('alice')])->{json}{version}, 1, 'did nothing';
for my $headers (['Sec-Fetch-Site' => 'same-origin', Origin => 'https://behind.a.proxy.example'], ['Sec-Fetch-Site' => 'none'], [Origin => 'http://taskevents.example'], []) {
    is request(POST => $complete, vhost => 'basic', headers => [Authorization => basic('alice'), @$headers])->{status}, 200, "the user's own page may (@$headers)";
}
is request(POST => "$path/$own->{id}/complete", as => $u, headers => ['Sec-Fetch-Site' => 'cross-site', Origin => 'https://app.example'])->{status}, 200, 'a page with a token of its own may';
is request(POST => $complete, vhost => 'basic', headers => [Authorization => basic('alice'), Origin => 'https://app.example'], json => {})->{status}, 200, 'and one that was asked for';

# ---- paths, also where httpd is told to take more of them

my $lines = <<"EOF";
TaskEventsEngine On
TaskEventsTransport local
TaskEventsDatabase "$ENV{TASKEVENTS_TEST_DSN}"
AllowEncodedSlashes On
MergeSlashes Off
LimitRequestFields 60
RequestReadTimeout header=2 body=2
<Location "/api">
    SetHandler taskevents
    AuthType Basic
    AuthName tasks
    AuthBasicProvider file
    AuthUserFile @{[root()]}/t/conf/htpasswd
    Require taskevents-owner
</Location>
<Location "/api/zipped">
    SetInputFilter DEFLATE
</Location>
<LocationMatch "^/api/alice/notifications">
    SetInputFilter DEFLATE
</LocationMatch>
EOF
my ($port, $stop) = httpd_start(server_config(lines => "LoadModule deflate_module " . (glob '{/usr/lib/apache2,/usr/lib64/httpd,/usr/lib/httpd}/modules/mod_deflate.so')[0] . "\n$lines"));
my @alice = (vhost => $port, headers => [Authorization => basic('alice')]);
my @bob = (vhost => $port, headers => [Authorization => basic('bob')]);
is request(GET => '/api/alice/tasks', @alice)->{status}, 200, 'alice reads';
my @variants = ('/api/alice%2ftasks', '/api/alice%2F..%2Fbob/tasks', '/api/bob/..%2falice/tasks', '/api//alice/tasks', '//api/alice/tasks', '/api/alice//tasks',
    '/api/alice/tasks/', '/api/alice/tasks%00', '/api/alice/tasks%0d%0aX:1', '/api/bob%00/../alice/tasks', '/api/./alice/tasks', '/api/bob/../alice/tasks',
    '/api/%61lice/tasks', '/api/alice;x/tasks', '/api/alice/tasks;x', '/API/alice/tasks', '/api/Alice/tasks', '/api/alice%20/tasks', '/api/alice/tasks%3Flimit=1',
    '/api/alice/%74asks', '/api\\alice\\tasks', '/api/alice%5ctasks', '/api/alice/tasks/..;/tasks', 'http://other.example/api/alice/tasks', '/api/alice%252ftasks',
    '/api/%c0%afalice/tasks', '/api/%ff/tasks', '/api/alice/tasks/%31', '/api/alice/tasks/1%2f..%2f..%2fbob');
for my $where (@variants) {
    # of a path to bob, alice is the other
    for my $who ($where =~ /bob\/tasks$/ ? ['alice', @alice] : ['bob', @bob], ['nobody', vhost => $port]) {
        my ($name, @as) = @$who;
        my $a = request(GET => $where, @as);
        like $a->{status}, qr/^40[01345]$/, "$where is not for $name";
        is ref $a->{json}, 'HASH', '… and told in JSON' if ($a->{headers}{'content-type'} // '') =~ /json/;
    }
}

# ---- bodies that grow

my $large = '{"title":"x"' . ' ' x (100 << 20) . '}';
my $zipped = Compress::Zlib::memGzip($large);
undef $large;
cmp_ok length $zipped, '<', 200_000, 'a hundred MiB in a few';
for my $chunked (0, 1) {
    my $began = time;
    my $a = request(POST => '/api/alice/notifications/read', vhost => $port, headers => [Authorization => basic('alice'), 'Content-Encoding' => 'gzip'], body => substr($zipped, 0, 60_000), chunked => $chunked);
    like $a->{status}, qr/^4(?:00|13)$/, "what unpacks to more than the cap is refused ($a->{status})";
    cmp_ok time - $began, '<', 10, '… without unpacking all of it';
}
# what is over the cap is refused at once, not at its end, which never comes
for my $case (['as it is', '', 'x' x 70_000], ['packed', "Content-Encoding: gzip\r\n", substr $zipped, 0, 30_000]) {
    my ($name, $header, $bytes) = @$case;
    my $text = talk("POST /api/alice/notifications/read HTTP/1.1\r\nHost: x\r\nAuthorization: " . basic('alice') . "\r\n$json${header}Transfer-Encoding: chunked\r\n\r\n"
        . sprintf("%x\r\n", length $bytes) . "$bytes\r\n", vhost => $port);
    like +(statuses($text))[0] // '', $name eq 'packed' ? qr/^4(?:00|13)$/ : qr/^413$/, "a body that goes on and on is cut off at the cap, $name" or diag substr $text, 0, 300;
}
is request(POST => '/api/alice/notifications/read', vhost => $port, headers => [Authorization => basic('alice'), 'Content-Encoding' => 'gzip'], body => Compress::Zlib::memGzip('{}'))->{status}, 200, 'what unpacks to little is read';
is_problem(request(POST => '/api/alice/tasks', @alice, json => { title => 'x', tags => [('t') x 15_000] }), 422, 'fifteen thousand tags', qr{^#/tags});
is_problem(request(POST => '/api/alice/tasks', @alice, body => '{' . join(',', map { qq("m$_":1) } 1 .. 4000) . '}'), 422, 'four thousand members', '#/m1');
my $began = time;
is_problem(request(GET => '/api/alice/tasks?' . join('&', map { "p$_=1" } 1 .. 1000), @alice), 400, 'a thousand parameters');
is_problem(request(GET => '/api/alice/tasks?' . join('&', ('limit=1') x 900), @alice), 400, 'one parameter, nine hundred times');
cmp_ok time - $began, '<', 5, '… at no cost';
is_problem(request(GET => '/api/alice/tasks?tags=' . ('a,' x 3500), @alice), 400, 'three thousand tags in the query', '?tags');
is_problem(request(GET => '/api/alice/tasks?q=' . 'a+' x 2000, @alice), 400, 'two thousand words to search', '?q');
is request(GET => '/api/alice/tasks?q=' . 'x' x 9000, @alice)->{status}, 414, 'a line longer than httpd takes';
my @many = map { ("X-$_" => 'x') } 1 .. 80;
is request(GET => '/api/alice/tasks', vhost => $port, headers => [Authorization => basic('alice'), @many])->{status}, 400, 'too many headers';
is request(GET => '/api/alice/tasks', vhost => $port, headers => [Authorization => basic('alice'), 'X-A' => 'x' x 9000])->{status}, 400, 'too large a header';

# ---- headers of the module

for my $key ("a\tb", "\x{7f}", "a\x{80}b", '', 'x' x 256, "\xe2\x82\xac") {
    is_problem(request(POST => '/api/alice/tasks', vhost => $port, headers => [Authorization => basic('alice'), 'Idempotency-Key' => $key], json => { title => 'x' }), 400,
        'an Idempotency-Key that is none (' . length($key) . ')');
}
my ($n) = (0);
for my $trace ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\tX", '00-' . '0' x 32 . '-' . '0' x 16 . '-01', 'x' x 4000, "\x{80}", '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01') {
    my $a = request(POST => $path, as => $u, headers => [traceparent => $trace], json => { title => 'trace ' . ++$n });
    is $a->{status}, 201, 'a traceparent that is none does not matter';
    my ($event) = grep { ($_->{data}{task}{title} // '') eq "trace $n" } events($u);
    like $event->{traceparent}, qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/, '… a new one is made';
    isnt $event->{traceparent}, $trace, '… instead';
}
for my $answer (request(POST => task_path("a|b~$u"), as => "a|b~$u", json => { title => "x\r\nSet-Cookie: a=b" }),
                request(GET => "$path?limit=1&sort_by=created_asc&tags=%0d%0aSet-Cookie:a=b", as => $u), request(GET => "$path?q=%0d%0aSet-Cookie%3Aa&limit=1", as => $u)) {
    unlike $answer->{raw} =~ s/\r\n\r\n.*//sr, qr/Set-Cookie/i, 'nothing that was sent becomes a header';
}

# ---- clients that never end

my $before_slow = time;
my @slow = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) } 1 .. 20;
my $head = "POST /api/alice/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: " . basic('alice') . "\r\n$json";
syswrite $slow[$_], $_ % 2 ? "${head}X-Slow: " : "${head}Content-Length: 100\r\n\r\n{" for 0 .. $#slow;
is request(GET => '/api/alice/tasks', @alice, timeout => 10)->{status}, 200, 'others are served meanwhile';
my @ended = grep { my $s = $_; my $text = ''; while (IO::Select->new($s)->can_read(20)) { sysread $s, $text, 4096, length $text or last } $text =~ m{^HTTP/1\.1 408 } } @slow;
is scalar @ended, 20, 'who sends no head or no body in time is told so, and cut off';
cmp_ok time - $before_slow, '<', 30, '… soon';
is $stop->(), 0, 'the server ends in order';

# ---- names that are not ours: a page whose own name was made to point here

for my $name ('taskevents.example', 'TASKEVENTS.example:8080', 'localhost', 'localhost:8529', '127.0.0.1', '127.0.0.1:80', '[::1]', '[::1]:8080') {
    my $head = "HTTP/1.1\r\nHost: $name\r\nConnection: close\r\n\r\n";
    is +(statuses(talk("GET $path $head", vhost => 'open')))[0], 200, "TaskEventsOpen: asked for as $name";
    is +(statuses(talk("GET /operator/status/dead-letters $head", vhost => 'status')))[0], 200, '… and the status handler';
}
for my $name ('evil.example', 'evil.example:8080', 'taskevents.example.evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '1.evil.example', 'x') {
    my $head = "HTTP/1.1\r\nHost: $name\r\nConnection: close\r\n";
    like +(statuses(talk("GET $path $head\r\n", vhost => 'open')))[0], qr/^40[13]$/, "TaskEventsOpen: not as $name";
    my $read = talk("GET /operator/status/dead-letters $head\r\n", vhost => 'status');
    is +(statuses($read))[0], 421, '… nor the status handler';
    like $read, qr{application/problem\+json}, '… which says so';
    is +(statuses(talk("POST /operator/status/dead-letters/1/discard ${head}Origin: http://$name\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", vhost => 'status')))[0], 421, '… nor to write';
}
is +(statuses(talk("GET /status HTTP/1.1\r\nHost: evil.example\r\nAuthorization: " . basic('alice') . "\r\nConnection: close\r\n\r\n", vhost => 'status_basic')))[0], 200,
    'who has a name of his own may ask by any';

is_deeply request(GET => $target, as => $victim)->{json}, $task, 'the task of the other user is as it was';
is scalar(grep { $_->{type} ne 'task.created' } events($victim)), 0, 'and nothing happened to it';
expect_log(qr/\[(?:core|authz_core|auth_basic|deflate|reqtimeout|taskevents):error\]/, 'what httpd says about such requests')
    if log_lines(qr/\[(?:core|authz_core|auth_basic|deflate|reqtimeout|taskevents):error\]/);
finish();
