# Who may: nobody 401, another user 403, and no token that merely looks like one.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my ($u, $other) = (user('access'), user('access-other'));
my $task = create($u);
my $path = task_path($u);
my @routes = ([GET => $path], [POST => $path, json => { title => 'x' }], [GET => "$path/$task->{id}"], [POST => "$path/$task->{id}/complete"]);
sub bearer { return [Authorization => "Bearer $_[0]"] }

for my $route (@routes) {
    my ($method, $where, @rest) = @$route;
    my $a = request($method, $where, @rest);
    is_problem($a, 401, "$method $where by nobody");
    like $a->{headers}{'www-authenticate'} // '', qr/^Bearer\b/, '… is told how';
    is_problem(request($method, $where, @rest, as => $other), 403, "$method $where by another");
}

# the same words whether that user exists, and before query or body are looked at
my %said;
for my $request ([GET => $path], [GET => task_path(user('nobody-ever'))], [GET => "$path?foo=1"], [GET => "$path?limit=0"],
                 [GET => "$path/$task->{id}"], [GET => "$path/99999999"], [GET => "$path/abc"],
                 [POST => $path, body => '{'], [POST => $path, body => '{}', type => 'text/plain'], [POST => $path, body => ' ' x 70000],
                 [POST => "$path/$task->{id}/complete", headers => ['If-Match' => '"77"']]) {
    my ($method, $where, %option) = @$request;
    my $a = request($method, $where, as => $other, %option);
    is_problem($a, 403, "$method " . substr($where =~ s/\Q$path\E/…/r, 0, 50) . ' by another is 403 and nothing else');
    $said{ join '|', @{ $a->{json} // {} }{qw(type title detail)} }++;
}
is keys %said, 1, 'always in the same words' or diag explain \%said;

# tokens
my $good = token($u);
is request(GET => $path, headers => bearer($good))->{status}, 200, 'a good token';
my ($head, $claims, $signature) = split /\./, $good;
my %bad = (
    'signed with another key' => token($u, -key => 'another key, also thirty-two bytes long or so'),
    'expired' => token($u, exp => time - 3600, iat => time - 7200),
    'of another user, claims exchanged' => join('.', $head, (split /\./, token($other))[1], $signature),
    'alg none' => token($u, -header => { alg => 'none', typ => 'JWT' }),
    'alg none, signature kept' => join('.', (split /\./, token($u, -header => { alg => 'none', typ => 'JWT' }))[0, 1], $signature),
    'alg None' => token($u, -header => { alg => 'None' }),
    'without signature' => "$head.$claims.",
    'without a subject' => token($u, sub => undef),
    'with a number as the subject' => token($u, sub => 7),
    'cut' => substr($good, 0, -5),
    'of two parts' => "$head.$claims",
    'not a token' => 'opensesame',
    'empty' => '',
);
for my $name (sort keys %bad) {
    my $a = request(GET => $path, headers => bearer($bad{$name}));
    is_problem($a, 401, "a token $name");
    ok length($a->{headers}{'www-authenticate'} // ''), '… is told how';
}
like request(GET => $path, headers => bearer(token('')))->{status}, qr/^40[13]$/, 'a token with an empty subject';
is_problem(request(GET => $path, headers => [Authorization => basic($u)]), 401, 'another scheme');
is_problem(request(GET => "$path?access_token=$good"), 401, 'a token in the query is none');
is_problem(request(GET => $path, headers => [Cookie => "mod_auth_openidc_session=$good"]), 401, 'nor in a cookie');
is_problem(request(GET => $path, headers => ['X-Remote-User' => $u, 'REMOTE_USER' => $u, 'OIDC_CLAIM_sub' => $u]), 401, 'a header names nobody');

# the path that counts is the decoded and normalised one
my ($eu, $eo) = (escape($u), escape($other));
for my $where ("/api/$eu/../$eo/tasks", "/api/$eu/tasks/../../$eo/tasks", "/api/$eu/./../$eo/tasks", "/api/./$eo/tasks", "/api/$eu/%2e%2e/$eo/tasks",
               "/api/%2e/$eo/tasks", '/api/' . join('', map { sprintf '%%%02x', ord } split //, $other) . '/tasks') {
    is request(GET => $where, as => $u)->{status}, 403, "$where is the other's";
    is request(GET => $where, as => $other)->{status}, 200, '… own';
}
for my $where ("/api/$eu%2F..%2F$eo/tasks", "/api/$eu%2ftasks", "/api/$eo/..%2f$eu/tasks", "/api/$eu%5c../tasks", "/api/$eu%00/tasks", "/api/$eu%00$eo/tasks",
               "/api/$eu;a=b/tasks", "/api/$eu/tasks;a", "/api//tasks", "/api/../api", "/api/$eu/../../etc/passwd", "/api/%252e%252e/$eu/tasks") {
    for my $who ($u, $other) {
        my $a = request(GET => $where, as => $who);
        like $a->{status}, qr/^40[034]$/, "$where is nobody's" or diag $a->{body};
    }
}
is request(GET => uc($path), as => $u)->{status} =~ /^40[34]$/, 1, 'names and prefix are case-sensitive';
is_problem(request(GET => task_path(ucfirst $u), as => $u), 403, 'a user id in another case is another user');
is_problem(request(GET => task_path(substr $u, 0, -1), as => $u), 403, 'a part of it too');
is_problem(request(GET => task_path("${u}x"), as => $u), 403, 'and more than it');

# Basic
my $alice = task_path('alice');
is request(GET => $alice, vhost => 'basic', headers => [Authorization => basic('alice')])->{status}, 200, 'Basic: alice';
is_problem(request(GET => $alice, vhost => 'basic', headers => [Authorization => basic('bob')]), 403, 'Basic: bob is not alice');
for my $option ([], [headers => [Authorization => basic('alice', 'wrong')]], [headers => [Authorization => basic('carol')]],
                [headers => [Authorization => 'Basic !!!']], [headers => bearer(token('alice'))]) {
    my $a = request(GET => $alice, vhost => 'basic', @$option);
    is_problem($a, 401, 'Basic: ' . (@$option ? $option->[1][1] =~ s/ .*//r : 'nothing'));
    like $a->{headers}{'www-authenticate'} // '', qr/^Basic realm=/, '… is told how';
}
is_problem(request(GET => $alice, vhost => 'forbidding', headers => [Authorization => basic('bob')]), 403, 'AuthzSendForbiddenOnFailure');
is request(GET => $alice, vhost => 'forbidding', headers => [Authorization => basic('alice')])->{status}, 200, '… admits the owner';
is_problem(request(GET => $alice, vhost => 'forbidding'), 401, '… and nobody is still 401');

is request(GET => "$path/$task->{id}", as => $u)->{json}{version}, 1, 'nobody changed anything';
is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, 1, 'or made a task';

expect_log(qr/\[auth_openidc:error\]/, 'what mod_auth_openidc says about a bad token');
expect_log(qr/\[auth_basic:error\] .* AH0161[478]/, 'what mod_auth_basic says');
expect_log(qr/\[(?:authz_core|core):error\] .*AH(?:01629|01630|01631|00026|00127|10244)/, 'what httpd says about a refusal or a path')
    if log_lines(qr/\[(?:authz_core|core):error\]/);
finish();
