# The database is away: 503 with Retry-After on every task route, within 5 s.
use strict;
use warnings;
use utf8;
use Test::More;
use Time::HiRes 'time';
use TaskEvents::Test;

my $u = user('away');
# under valgrind the first request alone takes some
my $most = $ENV{TASKEVENTS_TEST_UNDER} ? 15 : 5;
my $path = task_path($u);
my $notifications = $path =~ s/tasks$/notifications/r;
for my $round (1, 2) {
    for my $request ([GET => $path], [GET => "$path?q=x"], [GET => "$path/1"], [GET => "$path/1/occurrences"], [POST => $path, json => { title => 'x' }],
                     [POST => $path, json => { title => 'x', time_zone => 'Europe/Berlin' }], [POST => $path, json => { title => 'x' }, headers => ['Idempotency-Key' => 'k']],
                     [PATCH => "$path/1", json => { title => 'x' }], [POST => "$path/1/complete"], [DELETE => "$path/1"],
                     [GET => $notifications], [PATCH => "$notifications/1", json => { read => JSON::PP::true }], [POST => "$notifications/read"]) {
        my ($method, $where, @rest) = @$request;
        my $start = time;
        my $a = request($method => $where, as => $u, @rest);
        my $took = time - $start;
        is_problem($a, 503, "$method " . ($where =~ s/\Q$path\E/…/r));
        like $a->{headers}{'retry-after'} // '', qr/^\d+$/, '… with Retry-After';
        cmp_ok $took, '<', $most, sprintf "… within $most s (%.2f s)", $took;
    }
}
# what needs no database is answered as ever
is_problem(request(POST => $path, as => $u, body => '{'), 400, '400 needs no database');
is_problem(request(POST => $path, as => $u, json => {}), 422, '422 neither');
is_problem(request(PATCH => "$path/1", as => $u, body => '{'), 400, '400 of a PATCH neither');
is_problem(request(GET => "$path?limit=0", as => $u), 400, 'nor of a query');
is_problem(request(DELETE => "$path/abc", as => $u), 404, '404 of what is no number neither');
is_problem(request(POST => $path, as => $u, json => { title => 'x' }, headers => ['Idempotency-Key' => '']), 400, 'nor a key that is none');
is_problem(request(GET => $path), 401, '401 neither');
is_problem(request(GET => $path, as => user('away-other')), 403, '403 neither');
like request(OPTIONS => $path)->{status}, qr/^20[04]$/, 'OPTIONS neither';
is request(GET => '/healthz', vhost => 'health')->{status}, 200, 'alive nevertheless';
is request(GET => '/readyz', vhost => 'health')->{status}, 503, 'but not ready';
# many at once do not pile up behind each other
my $start = time;
my @answers = at_once(map { [GET => $path, as => $u] } 1 .. 16);
is_deeply [map { $_->{status} } @answers], [(503) x 16], 'sixteen at once';
cmp_ok time - $start, '<', 6, 'are all answered in time';

# a delivery is answered exactly 500, so that the sidecar tries again
for my $route (qw(tasks reminders dead-letters)) {
    is request(POST => "/api/events/$route", vhost => 'sidecar_unasked', type => 'application/cloudevents+json',
        body => encode_json_text({ specversion => '1.0', id => '1', source => '/taskevents/test', type => 'task.completed',
            data => { user_id => $u, task_id => 1, origin => 'user' } }))->{status}, 500, "delivery to $route" for 1, 2;
    is request(POST => "/api/events/$route", vhost => 'sidecar_unasked', type => 'application/cloudevents+json',
        body => 'no event')->{status}, 500, "no event to $route: it could not be kept";
}
like request(POST => '/job/rem-6ba7b810-9dad-41d1-80b4-00c04fd430c8', vhost => 'sidecar_unasked', body => '{}')->{status}, qr/^50[03]$/, 'a job comes again, too';
is request(GET => '/dapr/subscribe', vhost => 'sidecar_unasked')->{status}, 200, 'the subscriptions need no database';
expect_log(qr/\[taskevents:(?:error|alert|crit)\].*TE\d+.*(?:database|connect)/i, 'that the database is away');
finish();
