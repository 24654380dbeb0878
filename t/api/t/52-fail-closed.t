# A forgotten or wrong Require: the handler serves a task route only when
# taskevents-owner itself has granted the request.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $count = sub { row(q{SELECT count(*) AS n FROM taskevents.tasks WHERE user_id IN ('alice', 'bob')})->{n} };
my $before = $count->();
my @alice = (headers => [Authorization => basic('alice')]);
my $path = task_path('alice');
my $task = request(POST => $path, vhost => 'basic', @alice, json => { title => 'mine' })->{json};

for my $case (['norequire', 'no Require at all'], ['granted', 'Require all granted'], ['validuser', 'Require valid-user'],
              ['either', 'another Require that was enough', 'bob']) {
    my ($vhost, $what, $user) = @$case;
    my $told = () = log_lines(qr/\[taskevents:\w+\].*taskevents-owner/);
    # in `either`, alice is admitted by `Require user alice` to bob's path
    my $where = task_path($user // 'alice');
    for my $request ([GET => $where], [POST => $where, json => { title => 'x' }], [GET => "$where/$task->{id}"], [HEAD => $where],
                     [POST => "$where/$task->{id}/complete"]) {
        my ($method, $url, @rest) = @$request;
        my $a = request($method => $url, vhost => $vhost, @alice, @rest);
        if ($method eq 'HEAD') { is $a->{status}, 403, "$what: HEAD" }
        else { is_problem($a, 403, "$what: $method " . ($url eq $where ? 'list' : 'task')) }
    }
    cmp_ok scalar(() = log_lines(qr/\[taskevents:\w+\].*taskevents-owner/)), '>', $told, "$what: the log says so, of this location too";
    is_problem(request(GET => $where, vhost => $vhost), $vhost =~ /validuser|either/ ? 401 : 403, "$what: nobody");
}
# <Limit POST>: the GET went around the owner
is request(POST => $path, vhost => 'limited', @alice, json => { title => 'x' })->{status}, 201, '<Limit POST>: the owner posts';
is_problem(request(POST => $path, vhost => 'limited', headers => [Authorization => basic('bob')], json => { title => 'x' }), 403, '<Limit POST>: bob may not');
is_problem(request(GET => $path, vhost => 'limited', @alice), 403, '<Limit POST>: nobody gets, not even alice');
is_problem(request(GET => $path, vhost => 'limited'), 403, '<Limit POST>: nor nobody');
is $count->(), $before + 2, 'two tasks were made, both by who may';

# it is said, once a location and child, in words that help
my @said = log_lines(qr/\[taskevents:(?:warn|error|crit)\].*taskevents-owner/);
ok @said > 0, 'the log says what is missing' or diag log_lines(qr/taskevents/);
cmp_ok scalar @said, '<=', 5 * 4, 'once for each location and child, not for each request';
expect_log(qr/\[taskevents:error\].*taskevents-owner/, 'what is missing') if grep { /:error\]/ } @said;

# engine off
my $off = request(GET => $path, vhost => 'off');
like $off->{status}, qr/^40[34]$/, 'an engine that is off serves nothing';
like request(POST => $path, vhost => 'off', json => { title => 'x' })->{status}, qr/^40[345]$/, 'and takes nothing';

# open: loopback only, anybody's path
my $who = user('open');
is request(POST => task_path($who), vhost => 'open', json => { title => 'x' })->{status}, 201, 'TaskEventsOpen: a loopback peer posts';
is scalar @{ request(GET => task_path($who), vhost => 'open')->{json} }, 1, 'and reads';
for my $header ('X-Forwarded-For', 'Forwarded', 'Via') {
    like request(GET => task_path($who), vhost => 'open', headers => [$header => '192.0.2.1'])->{status}, qr/^40[13]$/, "but not through a proxy ($header)";
}
ok log_lines(qr/\[taskevents:(?:warn|notice)\].*TaskEventsOpen/) || `grep -c 'taskevents:.*TaskEventsOpen' @{[root()]}/t/logs/error_log` > 0, 'loudly';
expect_log(qr/\[auth_basic:error\]/, 'mod_auth_basic') if log_lines(qr/\[auth_basic:error\]/);
expect_log(qr/\[(?:authz_core|core):error\]/, 'httpd about a refusal') if log_lines(qr/\[(?:authz_core|core):error\]/);
finish();
