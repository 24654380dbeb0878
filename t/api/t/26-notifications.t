# Reminders as the user sees them: the notification when the time has come, the
# list, and marking it as read. With the lead of 24 h; times are moved in the database.
use strict;
use warnings;
use utf8;
use POSIX 'strftime';
use Test::More;
use TaskEvents::Test;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $u = user('notified');
sub path { my ($user, @rest) = @_; return join '/', '/api', escape($user), 'notifications', @rest }
sub list { my ($user, $query) = @_; return request(GET => path($user) . (defined $query ? "?$query" : ''), as => $user) }
sub in { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $_[0])) }
sub reminders { return map { "$_->{state}" . (defined $_->{reason} ? " $_->{reason}" : '') }
    rows('SELECT state, reason FROM taskevents.reminders WHERE user_id = ? ORDER BY due_since, scheduled_at', $_[0]) }
my $day = 86400;

# by the clock alone: due a little more than the lead away
my $task = create($u, title => 'Pay the "rent" <b>ü</b>', due_date => in($day + 8), time_zone => 'America/New_York');
create($u, title => 'within the lead', due_date => in($day - 5));
is list($u)->{body}, '[]', 'nothing yet';
is list($u)->{headers}{'x-unread-count'}, 0, 'nothing unread';
ok wait_for(sub { list($u)->{body} ne '[]' }, 30), 'the notification comes by itself';
my $answer = list($u);
is $answer->{status}, 200, 'the list';
is $answer->{headers}{'x-unread-count'}, 1, 'one is unread';
is scalar @{ $answer->{json} }, 1, 'one is there; a task within the lead has none';
my $one = $answer->{json}[0];
is_deeply [sort keys %$one], [sort qw(id user_id type title message task_id data read read_at created_at)], 'its members';
ok is_number($one->{id}), 'id is a number';
is $one->{user_id}, $u, 'user_id';
is $one->{type}, 'task_reminder', 'type';
is $one->{title}, $task->{title}, 'title is the task\'s';
is $one->{task_id}, $task->{id}, 'task_id';
like $one->{message}, qr/^Due on \d{4}-\d\d-\d\d at \d\d:\d\d \(America\/New_York\)$/, 'the message tells the time on the wall';
is $one->{data}{due_date}, $task->{due_date}, 'data has the due date';
like $one->{data}{reminder_id}, uuid_re(), '… and the reminder';
ok !$one->{read}, 'unread';
is $one->{read_at}, undef, 'read_at is null';
like $one->{created_at}, time_re(), 'created_at';
cmp_ok seconds_of($one->{created_at}), '>=', seconds_of($task->{due_date}) - $day, 'not before its time';
cmp_ok seconds_of($one->{created_at}), '<', seconds_of($task->{due_date}) - $day + 5, '… and at most 5 s after it';

my @events = events($u, 'reminders');
is_deeply [map { $_->{type} } @events], [qw(reminder.scheduled reminder.triggered)], 'its events';
is_deeply [map { $_->{sequence} + 0 } @events], [1, 2], 'a stream of their own';
is_deeply [map { $_->{data}{origin} } @events], [('reminder') x 2], 'their origin';
is_deeply [map { $_->{partitionkey} } @events], [($u) x 2], 'their key';
my ($created) = events($u);
is $events[0]{causationid}, $created->{id}, 'the first is caused by the task\'s';
is $events[1]{causationid}, $events[0]{id}, 'the second by the first';
is_deeply [map { $_->{correlationid} } @events], [($created->{id}) x 2], 'one chain';
is $events[0]{data}{remind_at}, POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(seconds_of($task->{due_date}) - $day)), 'remind_at is due - lead';
is_deeply [sort keys %{ $events[1]{data} }], [sort qw(user_id task_id timestamp origin reminder_id due_date title)], 'data of reminder.triggered';

# reading
my $id = $one->{id};
sub mark { my ($body, $which, %option) = @_; return request(PATCH => path($u, $which // $id), as => $u, json => $body, %option) }
$answer = mark({ read => $true });
is $answer->{status}, 200, 'marked as read';
ok $answer->{json}{read}, 'read';
like $answer->{json}{read_at}, time_re(), 'read_at is set';
my $first = $answer->{json}{read_at};
is mark({ read => $true })->{json}{read_at}, $first, 'again: read when it was read first';
is mark({})->{json}{read_at}, $first, 'an empty patch changes nothing';
is list($u)->{headers}{'x-unread-count'}, 0, 'none is unread';
is list($u, 'unread=true')->{body}, '[]', 'unread=true';
is scalar @{ list($u, 'unread=false')->{json} }, 1, 'unread=false is all';
ok !mark({ read => $false })->{json}{read}, 'and unread again';
is mark({ read => $true }, undef, type => 'application/merge-patch+json')->{status}, 200, 'as a merge patch';
is mark({ read => undef })->{json}{read_at}, undef, 'null is the default: unread';
is_problem(mark({ read => 'yes' }), 422, 'read is a boolean', '#/read');
is_problem(mark({ read => $true, title => 'x' }), 422, 'nothing else can be changed', '#/title');
ok !list($u)->{json}[0]{read}, '… and then nothing is';
is_problem(mark([]), 400, 'no object');
is_problem(mark({ read => $true }, undef, type => 'text/plain'), 415, 'no JSON');
is_problem(mark({ read => $true }, $_), 404, "id $_") for 'abc', 0, '-1', 9223372036854775807, '99999999999999999999';
is_problem(mark({ read => 'yes' }, 9223372036854775807), 404, '404 comes before 422');
is_problem(request(PATCH => path($u, $id) . '?x=1', as => $u, json => {}), 400, 'an unknown query parameter');

# other users
my $other = user('notified-other');
is_problem(request(GET => path($u), as => $other), 403, "another user's list");
is_problem(request(PATCH => path($u, $id), as => $other, json => { read => $true }), 403, "another user's path");
is_problem(request(PATCH => path($other, $id), as => $other, json => { read => $true }), 404, "another user's notification");
is_problem(request(POST => path($u, 'read'), as => $other, json => {}), 403, 'marking all of another user');
is_problem(request(GET => path($u)), 401, 'nobody');
is list($other)->{body}, '[]', 'sees none';

# many: pages, newest first
db()->do(q{INSERT INTO taskevents.notifications (user_id, type, title, message, task_id, reminder_id, read_at)
    SELECT ?, 'task_reminder', 't' || i, 'm', i, gen_random_uuid(), CASE WHEN i % 3 = 0 THEN now() END FROM generate_series(1, 205) AS i}, undef, $other);
for my $case (['', 205, undef], ['limit=7', 205, undef], ['limit=7&unread=true', 137, undef], ['limit=200', 205, undef]) {
    my ($query, $count) = @$case;
    my ($next, @seen, $pages) = (path($other) . ($query ? "?$query" : ''));
    while (defined $next && ++$pages < 60) {
        my $page = request(GET => $next, as => $other);
        push @seen, map { $_->{id} } @{ $page->{json} };
        is $page->{headers}{'x-unread-count'}, 137, "?$query: the count is of all" if $pages == 1;
        $next = ($page->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/ ? $1 : undef;
    }
    is scalar @seen, $count, "?$query: all, page by page";
    is_deeply \@seen, [sort { $b <=> $a } @seen], '… newest first, none twice';
}
for my $query ('limit=0', 'limit=201', 'unread=1', 'unread=', 'after=x', 'after=', 'foo=1', 'limit=1&limit=2', 'sort_by=created_asc') {
    $answer = list($u, $query);
    is_problem($answer, 400, "?$query is 400");
    my ($named) = $query =~ /^(\w+)/;
    like detail_of($answer), qr/$named/, '… naming it';
}
my $head = request(HEAD => path($other), as => $other);
is $head->{status}, 200, 'HEAD';
is $head->{headers}{'x-unread-count'}, 137, '… with the count';
is $head->{body}, '', '… without a body';

# all at once
$answer = request(POST => path($other, 'read'), as => $other);
is $answer->{status}, 200, 'all are marked as read';
is_deeply $answer->{json}, { marked => 137 }, '… and counted';
is list($other)->{headers}{'x-unread-count'}, 0, 'none is unread';
is_deeply request(POST => path($other, 'read'), as => $other, json => {})->{json}, { marked => 0 }, 'again: none was left';
is list($u)->{headers}{'x-unread-count'}, 1, 'of that user alone';
is_problem(request(POST => path($other, 'read'), as => $other, json => { x => 1 }), 422, 'an unknown member', '#/x');
my @keyed = map { request(POST => path($u, 'read'), as => $u, json => {}, headers => ['Idempotency-Key' => 'all']) } 1, 2;
is_deeply [map { $_->{json} } @keyed], [({ marked => 1 }) x 2], 'with a key the first answer comes again';
is $keyed[1]{headers}{'idempotent-replayed'}, 'true', '… and says so';

# what ends a task cancels its reminder, in the stream
my $v = user('cancelled');
my $moved = create($v, title => 'moved', due_date => in(3 * $day));
ok wait_for(sub { my @r = reminders($v); @r == 1 }), 'scheduled';
request(PATCH => task_path($v, $moved->{id}), as => $v, json => { due_date => in(5 * $day) });
ok wait_for(sub { my @r = reminders($v); "@r" eq 'cancelled due_date_moved scheduled' }), 'moved' or diag join ', ', reminders($v);
request(POST => task_path($v, $moved->{id}, 'complete'), as => $v);
ok wait_for(sub { my @r = reminders($v); "@r" eq 'cancelled due_date_moved cancelled completed' }), 'completed' or diag join ', ', reminders($v);
request(POST => task_path($v, $moved->{id}, 'complete'), as => $v, json => { completed => $false });
ok wait_for(sub { my @r = reminders($v); @r == 3 }), 'reopened';
request(DELETE => task_path($v, $moved->{id}), as => $v);
ok wait_for(sub { (reminders($v))[-1] eq 'cancelled deleted' }), 'deleted';
@events = events($v, 'reminders');
is_deeply [map { $_->{type} =~ s/reminder\.//r } @events], [qw(scheduled cancelled scheduled cancelled scheduled cancelled)], 'each told, in order';
is_deeply [map { $_->{sequence} + 0 } @events], [1 .. 6], 'without a gap';
is scalar(keys %{{ map { $_->{data}{reminder_id} => 1 } @events }}), 3, 'three reminders';

# an occurrence has its reminder, too
my $w = user('recurring');
my $daily = create($w, is_recurring => $true, recurring_interval => 'weekly', due_date => in(2 * $day));
ok wait_for(sub { my @r = reminders($w); @r == 1 }), 'the first has one';
request(POST => task_path($w, $daily->{id}, 'complete'), as => $w);
ok wait_for(sub { my @r = reminders($w); "@r" eq 'cancelled completed scheduled' }), 'made by recurrence' or diag join ', ', reminders($w);

# a day is not waited for: the database's rows are moved
my $x = user('shifted');
my $late = create($x, title => 'a day later', due_date => in(2 * $day));
ok wait_for(sub { my @r = reminders($x); @r == 1 }), 'a day before its time';
db()->do('UPDATE taskevents.reminders SET remind_at = remind_at - interval \'24 hours\' WHERE user_id = ?', undef, $x);
ok wait_for(sub { list($x)->{body} ne '[]' }), 'it comes when the day is over';
finish();
