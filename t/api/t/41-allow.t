# 405 with exactly the methods of a route in Allow, HEAD wherever GET, and OPTIONS.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('allow');
my $task = create($u, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T00:00:00Z');
my $one = task_path($u, $task->{id});
my @known = qw(GET HEAD POST PUT PATCH DELETE);
my @unknown = qw(PROPFIND LOCK MKCOL REPORT FROBNICATE get Post QUERY);
# route, vhost, methods in the order of Allow
my @routes = (
    [task_path($u), 'oidc', qw(GET HEAD POST OPTIONS)],
    [$one, 'oidc', qw(GET HEAD PATCH DELETE OPTIONS)],
    ["$one/complete", 'oidc', qw(POST OPTIONS)],
    ["$one/occurrences", 'oidc', qw(GET HEAD OPTIONS)],
    ['/api/openapi.json', 'oidc', qw(GET HEAD OPTIONS)],
    ['/healthz', 'health', qw(GET HEAD OPTIONS)],
    ['/readyz', 'health', qw(GET HEAD OPTIONS)],
);
sub allow { join ' ', sort split /\s*,\s*/, $_[0]{headers}{allow} // '' }
for my $route (@routes) {
    my ($path, $vhost, @methods) = @$route;
    my %allowed = map { $_ => 1 } @methods;
    my $want = join ' ', sort @methods;
    for my $method (grep { !$allowed{$_} } @known, @unknown) {
        my $a = request($method => $path, as => $u, vhost => $vhost, $method =~ /^(?:POST|PUT|PATCH)$/ ? (json => {}) : ());
        if ($method eq 'HEAD') { is $a->{status}, 405, "HEAD $path"; is $a->{body}, '', '… without a body' }
        else { is_problem($a, 405, "$method $path") }
        is allow($a), $want, "… Allow: $want";
    }
    my $a = request(OPTIONS => $path, vhost => $vhost);
    is $a->{status}, 204, "OPTIONS $path, nobody";
    is allow($a), $want, "… Allow: $want";
    is $a->{body}, '', '… without a body';
    next if !$allowed{GET};
    my ($get, $head) = map { request($_ => $path, as => $u, vhost => $vhost) } qw(GET HEAD);
    is $head->{status}, $get->{status}, "HEAD $path as GET";
    is $head->{body}, '', '… without a body';
    is $head->{headers}{$_}, $get->{headers}{$_}, "… and its $_" for qw(content-type content-length etag link);
}
# the refusals of one who may not come first, and OPTIONS tells nothing of what is there
is_problem(request(PUT => $one, json => {}), 401, 'nobody: 401, not 405');
is_problem(request(PUT => $one, as => user('allow-other'), json => {}), 403, 'another: 403, not 405');
is allow(request(OPTIONS => task_path($u, 1))), allow(request(OPTIONS => $one)), 'OPTIONS of a task that is not there, of one that is';
is_problem(request(PUT => task_path($u, 9223372036854775807), as => $u, json => {}), 405, '405 before 404');
is request(GET => $one, as => $u)->{json}{version}, 1, 'nothing was changed by all that';
finish();
