# A user's handled events: each once, in the order in which they were handled, for
# as long as they are kept.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('history');
my $path = "/api/$u/events";
sub get { my ($query, %option) = @_; return request(GET => $path . $query, as => $u, %option) }

is_deeply get('')->{json}, [], 'nothing yet';
my $task = create($u, is_recurring => JSON::PP::true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');
request(PATCH => task_path($u, $task->{id}), as => $u, json => { title => 'a new title' });
request(POST => task_path($u, $task->{id}, 'complete'), as => $u);
request(DELETE => task_path($u, $task->{id}), as => $u);
ok wait_for(sub { 5 == grep({ $_->{type} =~ /^task/ } history($u)) && !outbox($u) }), 'five events of tasks are handled';
my $n = history($u);    # with those of their reminders

my $all = get('');
is $all->{status}, 200, 'the history';
is_deeply [map { $_->{position} } @{ $all->{json} }], [1 .. $n], 'is numbered without a gap';
my %types;
$types{ $_->{event}{type} }++ for grep { $_->{event}{type} =~ /^task/ } @{ $all->{json} };
is_deeply \%types, { 'task.created' => 2, 'task.updated' => 1, 'task.completed' => 1, 'task.deleted' => 1 },
    'with those of a task that is gone, and those of the occurrence it left';
for my $item (@{ $all->{json} }) {
    is_deeply [sort keys %$item], [qw(event outcome position processed_at)], "item $item->{position}";
    like $item->{processed_at}, time_re(), 'when';
    is $item->{outcome}, 'handled', 'what came of it';
}
my %sent = map { $_->{id} => $_ } events($u);
is_deeply { map { $_->{event}{id} => $_->{event} } grep { $_->{event}{type} =~ /^task/ } @{ $all->{json} } }, \%sent, 'each event as it was sent';
ok !defined $all->{headers}{link}, 'no next page';

my (@positions, $next);
for ($next = "$path?limit=2"; $next; ) {
    my $page = request(GET => $next, as => $u);
    push @positions, map { $_->{position} } @{ $page->{json} };
    ($next) = ($page->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/;
}
is_deeply \@positions, [1 .. $n], 'page by page';
is_deeply [map { $_->{position} } @{ get('?after=3')->{json} }], [4 .. $n], 'from a position on';
is_deeply get("?after=$n")->{json}, [], 'at the end';
is_deeply [map { $_->{position} } @{ get('?after=0&limit=1')->{json} }], [1], 'from the beginning';
is scalar @{ get('?type=task.created')->{json} }, 2, 'by type';
my $first = get('?type=task.created&limit=1');
like $first->{headers}{link}, qr{^<\Q$path\E\?type=task\.created&limit=1&after=\d+>; rel="next"$}, 'its pages keep the type';
is_deeply get('?type=reminder.triggered&after=99999999999')->{json}, [], 'none of that';

is_problem(get("?$_"), 400, "?$_", '?' . (split /=/)[0])
    for 'after=-1', 'after=x', 'after=01', 'after=9223372036854775808', 'after=', 'limit=0', 'limit=201', 'limit=x', 'type=task', 'type=', 'type=task.created%00', 'x=1', 'limit=1&limit=1';
my $head = request(HEAD => $path, as => $u);
is $head->{status}, 200, 'HEAD';
is $head->{headers}{'content-length'}, length $all->{body}, 'of the same length';
is request(OPTIONS => $path)->{headers}{allow}, 'GET, HEAD, OPTIONS', 'OPTIONS';
is_problem(request($_ => $path, as => $u, json => {}), 405, $_) for qw(POST PATCH DELETE PUT);
is_problem(request(GET => $path), 401, 'nobody');
is_problem(request(GET => $path, as => user('nosy')), 403, 'somebody else');
is_problem(request(GET => '/api/events/events', as => 'events'), 404, 'no user of that name');
is_deeply request(GET => '/api/' . user('other') . '/events', as => user('other'))->{json}, [], 'another user has their own';

expect_log(qr/\[auth_openidc:error\]/, 'mod_auth_openidc') if log_lines(qr/\[auth_openidc:error\]/);
finish();
