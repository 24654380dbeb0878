# A user's statistics: days of the zone that is asked for, counts that repetitions
# do not change, what is late, and how many days in a row.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('stats');
sub get { my ($query, $v) = @_; $v //= $u; return request(GET => "/api/$v/stats$query", as => $v) }
sub day { my ($ahead, $zone) = @_; return row(q{SELECT (now() AT TIME ZONE ?)::date + ?::int AS day}, $zone // 'UTC', $ahead)->{day} }
# so many events of that kind in the quarter of an hour of that instant
sub count { my ($v, $at, $type, $n) = @_; db()->do(q{INSERT INTO taskevents.event_counts (user_id, quarter, type, n) VALUES (?, taskevents.quarter_of(?::timestamptz), ?, ?)
    ON CONFLICT (user_id, quarter, type) DO UPDATE SET n = taskevents.event_counts.n + excluded.n}, undef, $v, $at, "task.$type", $n // 1) }

# no day ends meanwhile: neither of UTC nor of Kiritimati
for my $ahead (0, 14) {
    my $left = 86400 - (time + $ahead * 3600) % 86400;
    sleep $left + 1 if $left < 60;
}

my $empty = get('');
is $empty->{status}, 200, 'nothing yet';
is_deeply [sort keys %{ $empty->{json} }], [qw(completed days from overdue streak to totals tz)], 'its members';
is_deeply [@{ $empty->{json} }{qw(from to tz completed overdue streak)}], [day(-29), day(0), 'UTC', 0, 0, 0], 'the last 30 days of UTC';
is_deeply [map { $_->{day} } @{ $empty->{json}{days} }], [map { day($_) } -29 .. 0], 'every day of them';
is_deeply [grep { %{ $_->{counts} } } @{ $empty->{json}{days} }], [], 'without counts';
is_deeply $empty->{json}{totals}, {}, 'or totals';

# counts by day and type
count($u, '2026-03-28 23:59:59Z', 'created', 2);
count($u, '2026-03-29 00:00:00Z', 'created');
count($u, '2026-03-29 22:15:00Z', 'completed', 3);
count($u, '2026-03-30 01:00:00Z', 'deleted');
my %days = (UTC => { '2026-03-28' => { 'task.created' => 2 }, '2026-03-29' => { 'task.created' => 1, 'task.completed' => 3 }, '2026-03-30' => { 'task.deleted' => 1 } },
    # a day of 23 hours, which ends at 22:00 of UTC
    'Europe/Berlin' => { '2026-03-28' => {}, '2026-03-29' => { 'task.created' => 3 }, '2026-03-30' => { 'task.completed' => 3, 'task.deleted' => 1 } },
    # a name that PostgreSQL takes for an abbreviation unless it is told better
    CET => { '2026-03-28' => {}, '2026-03-29' => { 'task.created' => 3 }, '2026-03-30' => { 'task.completed' => 3, 'task.deleted' => 1 } },
    'America/Los_Angeles' => { '2026-03-28' => { 'task.created' => 3 }, '2026-03-29' => { 'task.completed' => 3, 'task.deleted' => 1 }, '2026-03-30' => {} },
    'Asia/Kathmandu' => { '2026-03-28' => {}, '2026-03-29' => { 'task.created' => 3 }, '2026-03-30' => { 'task.completed' => 3, 'task.deleted' => 1 } });
for my $zone (sort keys %days) {
    my $got = get('?from=2026-03-28&to=2026-03-30&tz=' . escape($zone));
    is $got->{status}, 200, $zone;
    is_deeply { map { $_->{day} => $_->{counts} } @{ $got->{json}{days} } }, $days{$zone}, 'its days';
    is_deeply [@{ $got->{json} }{qw(from to tz completed)}], ['2026-03-28', '2026-03-30', $zone, 3], 'what was asked for';
    is_deeply $got->{json}{totals}, { 'task.created' => 3, 'task.completed' => 3, 'task.deleted' => 1 }, 'all together';
}
is_deeply get('?from=2026-03-29&to=2026-03-29')->{json}{days}, [{ day => '2026-03-29', counts => { 'task.created' => 1, 'task.completed' => 3 } }], 'one day';
is get('?to=2026-03-29')->{json}{from}, '2026-02-28', 'to alone: the 30 days up to it';
is get('?from=' . day(-3))->{json}{to}, day(0), 'from alone: up to today';
is get('?from=2999-01-01')->{json}{to}, '2999-01-01', 'or to itself, later';
is scalar @{ get('?from=2024-01-01&to=2024-12-31')->{json}{days} }, 366, 'a leap year at once';
is get('?to=0001-01-02')->{json}{from}, '0001-01-01', 'the beginning of time';
is get('?from=9999-12-31&to=9999-12-31')->{status}, 200, 'and its end';

# streaks
for my $case ([[0], 1, 'today'], [[-1], 1, 'yesterday, while none is done today'], [[-2], 0, 'the day before: over'], [[0, -1, -2], 3, 'three days'],
    [[-1, -2, -3, -4], 4, 'up to yesterday'], [[0, -2, -3], 1, 'a day left out'], [[0, -1, -3, -4, -5, -6], 2, 'only the last ones count']) {
    my ($ago, $streak, $name) = @$case;
    my $v = user('streak' . join('', map { -$_ } @$ago));
    count($v, day($_) . ' 12:00Z', 'completed') for @$ago;
    count($v, day($_) . ' 12:00Z', 'created') for -9 .. 0;
    is get('', $v)->{json}{streak}, $streak, "streak: $name";
    is get('?from=2020-01-01&to=2020-01-01', $v)->{json}{streak}, $streak, '… whatever the days asked for';
}
{
    # at 00:15 of Kiritimati it is the day before in UTC and two before in Pago Pago
    my $v = user('streak-zone');
    count($v, row(q{SELECT ((now() AT TIME ZONE 'Pacific/Kiritimati')::date + time '00:15') AT TIME ZONE 'Pacific/Kiritimati' AS at})->{at}, 'completed');
    is get('?tz=Pacific/Kiritimati', $v)->{json}{streak}, 1, 'days are those of the zone';
    is get('?tz=Pacific/Kiritimati', $v)->{json}{to}, day(0, 'Pacific/Kiritimati'), 'today too';
}

# late
{
    my $v = user('late');
    create($v, due_date => '2020-01-01T00:00:00Z');
    my $done = create($v, due_date => '2020-01-01T00:00:00Z');
    create($v, due_date => '2999-01-01T00:00:00Z');
    create($v);
    is get('', $v)->{json}{overdue}, 2, 'open tasks that were due';
    request(POST => task_path($v, $done->{id}, 'complete'), as => $v);
    is get('', $v)->{json}{overdue}, 1, 'not those that are done';
}

# with real events, and again
{
    my $v = user('counted');
    my $task = create($v);
    request(POST => task_path($v, $task->{id}, 'complete'), as => $v, json => { completed => $_ }) for JSON::PP::true, JSON::PP::false, JSON::PP::true;
    my $want = { 'task.created' => 1, 'task.completed' => 2, 'task.updated' => 1 };
    wait_for(sub { history($v) == 4 });
    my $got = get('', $v)->{json};
    is_deeply $got->{totals}, $want, 'each event counts once';
    is $got->{completed}, 2, 'a task that was completed twice, twice';
    is $got->{streak}, 1, 'today';
    # what was handled comes again, by the outbox
    db()->do('INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id, event) VALUES (?, ?, ?, ?, ?)', undef, $v, 'tasks', $_->{sequence} + 0, $_->{id}, encode_json_text($_)) for events($v);
    ok wait_for(sub { !outbox($v) }), 'all of it once more';
    is_deeply get('', $v)->{json}{totals}, $want, 'changes nothing';
}

is_problem(get("?$_->[0]"), 400, "?$_->[0]", "?$_->[1]")
    for map({ [$_, 'from'] } 'from=', 'from=2026-02-29', 'from=2026-1-1', 'from=20260101', 'from=2026-01-01T00:00:00Z', 'from=0000-01-01', 'from=x', 'from=2026-01-02&to=2026-01-01',
        'from=2026-01-01&to=2027-01-02'), map({ [$_, 'to'] } 'to=2026-13-01', 'to=10000-01-01'), map({ [$_, 'tz'] } 'tz=', 'tz=Mars/Olympus', 'tz=FOO%2B3', 'tz=europe/berlin', 'tz=localtime'),
        ['x=1', 'x'], ['tz=UTC&tz=UTC', 'tz'];
is request(HEAD => "/api/$u/stats", as => $u)->{status}, 200, 'HEAD';
is request(OPTIONS => "/api/$u/stats")->{headers}{allow}, 'GET, HEAD, OPTIONS', 'OPTIONS';
is_problem(request($_ => "/api/$u/stats", as => $u, json => {}), 405, $_) for qw(POST PATCH DELETE PUT);
is_problem(request(GET => "/api/$u/stats"), 401, 'nobody');
is_problem(request(GET => "/api/$u/stats", as => user('nosy')), 403, 'somebody else');
expect_log(qr/\[auth_openidc:error\]/, 'mod_auth_openidc') if log_lines(qr/\[auth_openidc:error\]/);
finish();
