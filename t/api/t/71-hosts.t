# What virtual hosts inherit and what they say for themselves.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('hosts');
my $own = '/todo/v2/' . escape($u) . '/tasks';
my $task = create($u, title => 'on the first host');

my $answer = request(GET => $own, as => $u, vhost => 'own');
is $answer->{status}, 200, 'a host with its own prefix';
is_deeply $answer->{json}, [$task], 'has the database of the main server';
$answer = request(POST => $own, as => $u, vhost => 'own', json => { title => 'on the second' });
is $answer->{status}, 201, 'and takes a task';
like $answer->{headers}{location}, qr{/todo/v2/[^/]+/tasks/$answer->{json}{id}$}, 'Location has the prefix of the host';
is request(GET => task_path($u, $answer->{json}{id}), as => $u)->{status}, 200, 'which the first host knows too';
my @events = events($u);
is_deeply [map { $_->{source} } @events], ['/taskevents/test', '/taskevents/test'], 'one source';
is_deeply [map { $_->{sequence} + 0 } @events], [1, 2], 'one stream';
ok wait_for(sub { history($u) == 2 }), 'handled by the one publisher of the server';
like request(GET => task_path($u), as => $u, vhost => 'own')->{status}, qr/^40[34]$/, 'the prefix of the main server is not served there';
like request(GET => $own, as => $u)->{status}, qr/^40[34]$/, 'nor that one here';

# next page and problem documents know their prefix
create($u) for 1 .. 2;
my ($link) = (request(GET => "$own?limit=1", as => $u, vhost => 'own')->{headers}{link} // '') =~ /<([^>]+)>/;
like $link, qr{/todo/v2/}, 'Link too';
is request(GET => $link =~ s{^https?://[^/]+}{}r, as => $u, vhost => 'own')->{status}, 200, 'and leads on';

# transport local: the routes of a sidecar are not there, with or without a token
for my $route ([GET => '/dapr/subscribe'], [GET => '/dapr/config'], [POST => '/api/events/tasks'], [POST => '/api/events/reminders'],
               [POST => '/api/events/dead-letters'], [POST => '/job/rem-1']) {
    my ($method, $path) = @$route;
    is_problem(request($method => $path, vhost => 'sidecar', headers => ['dapr-api-token' => APP_TOKEN], $method eq 'POST' ? (json => {}) : ()),
        404, "$method $path in local");
}
is row(q{SELECT count(*) AS n FROM taskevents.dead_letters WHERE stage IN ('malformed', 'deadletter')})->{n}, 0, 'and keep nothing';
finish();
