# Methods: OPTIONS for anybody, 405 with the true Allow, unknown ones too.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('methods');
my $task = create($u);
sub allow { return { map { $_ => 1 } split /\s*,\s*/, $_[0]{headers}{allow} // '' } }

# route => methods it must allow, methods it never will
my @routes = (
    [task_path($u), [qw(GET HEAD POST OPTIONS)], [qw(PUT PATCH DELETE)]],
    [task_path($u, $task->{id}), [qw(GET HEAD OPTIONS)], [qw(PUT POST)]],
    [task_path($u, $task->{id}, 'complete'), [qw(POST OPTIONS)], [qw(GET HEAD PUT PATCH DELETE)]],
    ["/api/$u/notifications", [qw(GET HEAD OPTIONS)], [qw(PUT POST PATCH DELETE)]],
    ["/api/$u/notifications/1", [qw(PATCH OPTIONS)], [qw(GET HEAD PUT POST DELETE)]],
    ["/api/$u/notifications/read", [qw(POST OPTIONS)], [qw(GET HEAD PUT PATCH DELETE)]],
);
for my $route (@routes) {
    my ($path, $allowed, $refused) = @$route;
    for my $option ([], [as => $u], [as => user('methods-other')], [vhost => 'basic']) {
        my $a = request(OPTIONS => $path, @$option);
        like $a->{status}, qr/^20[04]$/, "OPTIONS $path, @{[ @$option ? \"@$option\" : 'nobody' ]}";
        my $methods = allow($a);
        is_deeply [grep { !$methods->{$_} } @$allowed], [], '… allows ' . join ' ', @$allowed;
        is_deeply [grep { $methods->{$_} } @$refused, 'TRACE'], [], '… and not what it refuses';
    }
    for my $method (@$refused, 'FROBNICATE', 'PROPFIND') {
        my $a = request($method => $path, as => $u, json => {});
        if ($method eq 'HEAD') { is $a->{status}, 405, "HEAD $path is 405" }
        else { is_problem($a, 405, "$method $path is 405") }
        my $methods = allow($a);
        is_deeply [grep { !$methods->{$_} } @$allowed], [], '… with an Allow of ' . join ' ', @$allowed;
        is_deeply [grep { $methods->{$_} } @$refused, 'FROBNICATE', 'TRACE'], [], '… and nothing else';
    }
    is_problem(request($refused->[0] => $path, json => {}), 401, 'nobody gets no 405 but 401') if $refused->[0] ne 'HEAD' && $refused->[0] ne 'GET';
    is_problem(request('PUT' => $path, as => user('methods-other'), json => {}), 403, 'another user gets 403');
}
is request(GET => task_path($u, $task->{id}), as => $u)->{json}{version}, 1, 'nothing was changed by all that';

# httpd's own refusals come as problem+json too
is_problem(request(TRACE => task_path($u), as => $u), 405, 'TRACE');
is_problem(request(GET => task_path($u) . '%2F1', as => $u), 404, 'an encoded slash');
is_problem(request(GET => task_path($u), as => $u, raw => 'GET ' . task_path($u) . " HTTP/1.1\r\n\r\n"), 400, 'no Host');
is_problem(request(POST => task_path($u), as => $u, raw =>
    'POST ' . task_path($u) . " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . token($u)
    . "\r\nContent-Type: application/json\r\nContent-Length: x\r\n\r\n"), 400, 'a length that is no number');
expect_log(qr/AH00485|AH00566|AH01587|AH02418|AH0\d+: /, 'what httpd says about a bad request') if log_lines(qr/\[core:error\]/);
finish();
