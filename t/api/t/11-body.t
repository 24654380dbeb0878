# The body of a request before its rules: media type, syntax, encoding, depth, size.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('body');
my $path = task_path($u);
sub post { my ($body, %option) = @_; return request(POST => $path, as => $u, body => $body, %option) }
sub deep { my ($levels) = @_; return '{"title":"x","tags":' . '[' x ($levels - 1) . ']' x ($levels - 1) . '}' }

# 400: not JSON, or JSON that two readers could read in two ways
for my $case (
    ['nothing', ''], ['white space', "  \n"], ['a word', 'title'], ['half an object', '{"title":"x"'], ['a trailing comma', '{"title":"x",}'],
    ['something behind it', '{"title":"x"} {}'], ['single quotes', "{'title':'x'}"], ['a comment', '{"title":"x"/**/}'],
    ['NaN', '{"title":NaN}'], ['a leading zero', '{"title":"x","id":01}'], ['a bare control character', "{\"title\":\"a\nb\"}"],
    ['a bad escape', '{"title":"\\x41"}'], ['half a surrogate pair', '{"title":"\\ud800"}'], ['the other half', '{"title":"\\udc00x"}'],
    ['NUL as an escape', '{"title":"a\\u0000b"}'], ['NUL in a name', '{"ti\\u0000tle":"x"}'], ['NUL as a byte', "{\"title\":\"a\0b\"}"],
    ['NUL behind it', "{\"title\":\"x\"}\0"],
    ['not UTF-8', "{\"title\":\"\xff\"}"], ['Latin-1', "{\"title\":\"M\xfcll\"}"], ['an overlong encoding', "{\"title\":\"\xc0\xaf\"}"],
    ['a surrogate in UTF-8', "{\"title\":\"\xed\xa0\x80\"}"], ['above Unicode', "{\"title\":\"\xf4\x90\x80\x80\"}"], ['cut UTF-8', "{\"title\":\"\xe2\x82\"}"],
    ['UTF-16', "{\0\"\0t\0"], ['a member twice', '{"title":"x","title":"y"}'], ['a member twice, the same', '{"title":"x","title":"x"}'],
    ['a member twice, once escaped', '{"title":"x","titl\\u0065":"y"}'],
    ['33 levels', deep(33)], ['50,000 levels', '[' x 50000],
    ['an array', '[]'], ['a string', '"title"'], ['a number', '7'], ['null', 'null'], ['true', 'true'],
) {
    my ($name, $body) = @$case;
    my $answer = post($body);
    is_problem($answer, 400, "$name is 400");
    like $answer->{headers}{connection} // '', qr/close/i, '… which closes the connection';
}
like detail_of(post('{"title":"x","title":"y"}')), qr/title|duplicate|twice/i, 'the detail says which';
like detail_of(post('{"title":"a\\u0000b"}')), qr/u0000|NUL|null character/i, 'the detail says NUL';
like detail_of(post("{\"title\":\"\xff\"}")), qr/UTF-8/i, 'the detail says UTF-8';
like detail_of(post(deep(33))), qr/32|deep|nest/i, 'the detail says how deep';
is_problem(post(deep(32)), 422, '32 levels are read, and break a rule', qr{^#/tags});
is post('{"title":"\\ud83d\\ude00 \\u00fc"}')->{json}{title}, "\x{1f600} \x{fc}", 'escapes are read';
is post("{\"title\":\"\xf0\x9f\x98\x80\"}")->{json}{title}, "\x{1f600}", 'and UTF-8 is';
is post(" \r\n\t{ \"title\" : \"x\" }\n ")->{status}, 201, 'white space is free';
is post('{"title":"x"}', chunked => 1)->{status}, 201, 'a chunked body';
is post('{"title":"x"}', headers => [Expect => '100-continue'])->{status}, 201, 'a client that asks first';

# 415 before the body is looked at
for my $type ('text/plain', 'application/x-www-form-urlencoded', 'application/merge-patch+json', 'application/jsonx', 'application/xml',
              'application/cloudevents+json', 'json', '') {
    is_problem(post('{"title":"x"', type => $type), 415, "Content-Type '$type' is 415");
}
is_problem(post('{"title":"x"}', type => undef), 415, 'no Content-Type is 415');
is post('{"title":"x"}', type => $_)->{status}, 201, "Content-Type $_"
    for 'application/json', 'application/json; charset=utf-8', 'Application/JSON;charset="UTF-8"', 'application/json ;foo=bar';

# 413: the default cap is 64 KiB; exactly that is accepted
my $cap = 64 * 1024;
sub sized { my ($size) = @_; my $start = '{"title":"x"'; return $start . ' ' x ($size - length($start) - 1) . '}' }
for my $chunked (0, 1) {
    my $how = $chunked ? 'chunked' : 'with a length';
    is post(sized($cap), chunked => $chunked)->{status}, 201, "exactly the cap, $how";
    is_problem(post(sized($cap + 1), chunked => $chunked), 413, "one byte more, $how");
    is_problem(post(sized(40 * $cap), chunked => $chunked), 413, "much more, $how");
}
is_problem(request(POST => $path, as => $u, headers => ['Content-Type' => 'application/json', 'Content-Length' => 10 * $cap]),
    413, 'told by its length, before a byte of it came');
is_problem(request(POST => $path, as => $u, vhost => 'limitbody', body => sized(600)), 413, 'the limit of httpd itself');
is_problem(request(POST => $path, as => $u, vhost => 'limitbody', body => sized(600), chunked => 1), 413, 'the limit of httpd itself, chunked');
is request(POST => '/todo/v2/' . escape($u) . '/tasks', as => $u, vhost => 'own', body => sized(1024))->{status}, 201, 'a host with its own cap';
is_problem(request(POST => '/todo/v2/' . escape($u) . '/tasks', as => $u, vhost => 'own', body => sized(1025)), 413, 'and no more than that');

# broken framing
my $head = "POST $path HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . token($u) . "\r\nContent-Type: application/json\r\n";
is request(POST => $path, raw => "${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")->{status}, 400, 'a broken chunk is 400';
my $made = row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n};
my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => vhost('oidc'));
print {$socket} "${head}Content-Length: 100\r\n\r\n{\"title\":\"x\"}";
close $socket;
sleep 1;
is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, $made, 'a body that was cut off makes nothing';
expect_log(qr/AH01588|AH01589|AH02609|AH00569|AH01590|chunk|LimitRequestBody|larger than|exceeds|AH01587|AH02612/i, 'what httpd says about a body it refuses');
finish();
