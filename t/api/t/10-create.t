# POST a task: the answer, every default, every field rule, all faults at once.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('create');
my $path = task_path($u);

sub post { return request(POST => $path, as => $u, json => $_[0]) }
sub post_raw { return request(POST => $path, as => $u, body => $_[0]) }

# the smallest task there is
my $answer = post({ title => 'Water the plants' });
is $answer->{status}, 201, 'created';
like $answer->{headers}{'content-type'}, qr{^application/json\b}, 'as JSON';
is $answer->{headers}{etag}, '"1"', 'its ETag is its version';
my $task = $answer->{json};
my %default = (
    user_id => $u, title => 'Water the plants', description => undef, completed => JSON::PP::false,
    completed_at => undef, priority => 'medium', tags => [], due_date => undef, time_zone => 'UTC',
    is_recurring => JSON::PP::false, recurring_interval => undef, series_id => undef, occurrence => undef,
    version => 1,
);
is_deeply [sort keys %$task], [sort keys %default, qw(id created_at updated_at)], 'exactly the fields of a task';
is_deeply { map { $_ => $task->{$_} } keys %default }, \%default, 'every default';
ok is_number($task->{id}) && $task->{id} > 0, 'id is a positive number';
ok is_number($task->{version}), 'version is a number';
like $task->{created_at}, time_re(), 'created_at is a UTC time';
is $task->{updated_at}, $task->{created_at}, 'not updated yet';
my $age = time - seconds_of($task->{created_at});
ok $age > -5 && $age < 60, 'made just now';

my $location = $answer->{headers}{location};
like $location, qr{/tasks/$task->{id}$}, 'Location is the task';
my $read = request(GET => $location =~ s{^https?://[^/]+}{}r, as => $u);
is_deeply $read->{json}, $task, 'and answers the same task';

# every member at once
$task = post({
    title => 'Pay rent', description => "by\ntransfer", priority => 'high', tags => ['Home', 'money'],
    due_date => '2031-01-31T09:00:00+02:00', time_zone => 'Europe/Berlin', is_recurring => JSON::PP::true,
    recurring_interval => 'monthly' })->{json};
is $task->{description}, "by\ntransfer", 'description';
is $task->{priority}, 'high', 'priority';
is_deeply $task->{tags}, ['Home', 'money'], 'tags as they were given';
like $task->{due_date}, qr/^2031-01-31T07:00:00(?:\.0+)?Z$/, 'due_date in UTC';
is $task->{time_zone}, 'Europe/Berlin', 'time_zone';
is $task->{is_recurring}, JSON::PP::true, 'is_recurring';
is $task->{recurring_interval}, 'monthly', 'recurring_interval';
like $task->{series_id}, uuid_re(), 'a recurring task has its series from creation';
is $task->{occurrence}, 1, 'and is its first occurrence';

my $done = post({ title => 'done already', completed => JSON::PP::true });
is $done->{status}, 201, 'a task may be complete from the start';
is $done->{json}{completed}, JSON::PP::true, '… and is';
like $done->{json}{completed_at}, time_re(), '… since then';

# lengths are characters, not bytes or UTF-16 units; ends are trimmed
for my $case (['200 letters', 'x' x 200], ['200 umlauts', 'ü' x 200], ['200 emoji', '😀' x 200],
              ['one letter', 'x'], ['combining marks', 'a' . "\x{301}" x 199]) {
    my ($name, $title) = @$case;
    my $a = post({ title => $title });
    is $a->{status}, 201, "title of $name";
    is $a->{json}{title}, $title, '… kept';
}
is post({ title => "  \t spaced  out \n" })->{json}{title}, 'spaced  out', 'a title is trimmed';
is post({ title => '  ' . 'x' x 200 . '  ' })->{status}, 201, 'and measured after that';
is post({ title => 'x', description => '😀' x 1000 })->{status}, 201, '1000 emoji describe a task';
is post({ title => 'x', description => $_->[0] })->{json}{description}, $_->[0], "description: $_->[1]"
    for [undef, 'null'], ['', 'empty'], ['"\\/<>&', 'what JSON and HTML must escape'], ["\x{1}\x{1f}", 'control characters'];
is_deeply post({ title => 'x', tags => [' a ', "b\t"] })->{json}{tags}, ['a', 'b'], 'tags are trimmed';
is post({ title => 'x', tags => ['ü' x 50, map { "t$_" } 2 .. 10] })->{status}, 201, 'ten tags of up to 50 characters';
is post({ title => 'x', due_date => undef, recurring_interval => undef, is_recurring => JSON::PP::false })->{status}, 201,
    'null is no due date and no interval';

# times
for my $case (['2031-06-01T10:00:00Z', '2031-06-01T10:00:00'], ['2031-06-01T10:00:00-00:00', '2031-06-01T10:00:00'],
              ['2031-06-01T10:00:00+05:30', '2031-06-01T04:30:00'], ['2031-06-01T10:00:00-11:30', '2031-06-01T21:30:00'],
              ['2031-06-01T10:00:00.5Z', '2031-06-01T10:00:00.5'], ['2031-06-01T10:00:00.123456Z', '2031-06-01T10:00:00.123456'],
              ['2032-02-29T00:00:00Z', '2032-02-29T00:00:00']) {
    my ($given, $want) = @$case;
    my $a = post({ title => 'x', due_date => $given });
    is $a->{status}, 201, "due_date $given";
    like $a->{json}{due_date} // '', time_re(), '… is answered as a UTC time';
    is seconds_of($a->{json}{due_date} // '2000-01-01Z'), seconds_of($want . 'Z'), '… and the same instant';
}
for my $time ('2031-06-01T10:00:00', '2031-06-01', '10:00:00Z', '2031-02-29T00:00:00Z', '2031-13-01T00:00:00Z',
              '2031-00-10T00:00:00Z', '2031-04-31T00:00:00Z', '2031-06-01T25:00:00Z', '2031-06-01T10:60:00Z', '2031-06-01T10:00:00+25:00',
              '2031-06-01T10:00:00+0200', '2031-06-01T10:00:00.Z', 'tomorrow', '', ' 2031-06-01T10:00:00Z', '2031-06-01T10:00:00Zx',
              'infinity', '31-06-01T10:00:00Z', '2031-6-1T10:00:00Z', '-2031-06-01T10:00:00Z', '9999-12-31T23:59:59-23:59',
              '٢٠٣١-06-01T10:00:00Z', 20310601, JSON::PP::true, ['2031-06-01T10:00:00Z'], {}) {
    is_problem(post({ title => 'x', due_date => $time }), 422, 'due_date ' . encode_json_text($time) . ' is refused', '#/due_date');
}
# the corners of the calendar may be taken or refused, but answered
for my $time ('0000-01-01T00:00:00Z', '0001-01-01T00:00:00+14:00', '9999-12-31T23:59:59.999999Z', '2031-06-30T23:59:60Z',
              '2031-06-01T10:00:00.123456789Z') {
    like post({ title => 'x', due_date => $time })->{status}, qr/^(?:201|422)$/, "due_date $time has an answer";
}

# one broken rule each
for my $case (
    ['#/title', { }], ['#/title', { title => undef }], ['#/title', { title => '' }], ['#/title', { title => "  \n " }],
    ['#/title', { title => 'x' x 201 }], ['#/title', { title => 'ü' x 201 }], ['#/title', { title => '😀' x 201 }],
    ['#/title', { title => 7 }], ['#/title', { title => ['x'] }], ['#/title', { title => {} }], ['#/title', { title => JSON::PP::true }],
    ['#/description', { description => 'x' x 1001 }], ['#/description', { description => 1 }], ['#/description', { description => [] }],
    ['#/priority', { priority => 'urgent' }], ['#/priority', { priority => 'High' }], ['#/priority', { priority => 2 }], ['#/priority', { priority => '' }],
    [qr{^#/tags}, { tags => [map { "t$_" } 1 .. 11] }], [qr{^#/tags}, { tags => [''] }], [qr{^#/tags}, { tags => ['  '] }],
    [qr{^#/tags}, { tags => ['x' x 51] }], [qr{^#/tags}, { tags => ['a', 'a'] }], [qr{^#/tags}, { tags => ['Garden', 'garden'] }],
    [qr{^#/tags}, { tags => ['ÄPFEL', 'äpfel'] }], [qr{^#/tags}, { tags => ['ДОМ', 'дом'] }], [qr{^#/tags}, { tags => ['a', ' a '] }],
    [qr{^#/tags}, { tags => [1] }], [qr{^#/tags}, { tags => [undef] }], [qr{^#/tags}, { tags => 'a' }], [qr{^#/tags}, { tags => { a => 1 } }],
    ['#/time_zone', { time_zone => 'Mars/Olympus' }], ['#/time_zone', { time_zone => 'FOO+3' }], ['#/time_zone', { time_zone => '' }],
    ['#/time_zone', { time_zone => '+02:00' }], ['#/time_zone', { time_zone => 2 }], ['#/time_zone', { time_zone => "UTC'; --" }],
    [qr{^#/(?:recurring_interval|is_recurring)$}, { is_recurring => JSON::PP::true }],
    [qr{^#/(?:recurring_interval|is_recurring)$}, { is_recurring => JSON::PP::true, recurring_interval => undef }],
    [qr{^#/(?:recurring_interval|is_recurring)$}, { recurring_interval => 'daily' }],
    [qr{^#/(?:recurring_interval|is_recurring)$}, { is_recurring => JSON::PP::false, recurring_interval => 'daily' }],
    ['#/recurring_interval', { is_recurring => JSON::PP::true, recurring_interval => 'yearly' }],
    ['#/recurring_interval', { is_recurring => JSON::PP::true, recurring_interval => 7 }],
    ['#/is_recurring', { is_recurring => 'true', recurring_interval => 'daily' }], ['#/is_recurring', { is_recurring => 1, recurring_interval => 'daily' }],
) {
    my ($pointer, $member) = @$case;
    my %body = ((!%$member || exists $member->{title} ? () : (title => 'x')), %$member);
    is_problem(post(\%body), 422, substr(encode_json_text(\%body), 0, 70) . ' breaks a rule', $pointer);
}

# members only the server sets, and unknown ones
for my $member (qw(id user_id completed_at series_id occurrence version created_at updated_at)) {
    is_problem(post({ title => 'x', $member => 1 }), 422, "$member is the server's", "#/$member");
}
is_problem(post({ title => 'x', colour => 'red' }), 422, 'an unknown member', '#/colour');
is_problem(post({ title => 'x', Title => 'y' }), 422, 'names are case-sensitive', '#/Title');
is_problem(post({ title => 'x', 'a/b~c' => 1 }), 422, 'a pointer escapes its name', '#/a~1b~0c');

# all at once
is_problem(post({
    title => '', description => 'x' x 1001, priority => 'urgent', tags => ['a', 'A'], due_date => 'soon',
    time_zone => 'Nowhere', is_recurring => JSON::PP::true, recurring_interval => 'yearly', id => 1, colour => 'red' }),
    422, 'every fault is listed at once',
    '#/title', '#/description', '#/priority', qr{^#/tags}, '#/due_date', '#/time_zone', '#/recurring_interval', '#/id', '#/colour');

my $refused = request(POST => $path, as => $u, keep => 1, json => { title => '' });
unlike $refused->{headers}{connection} // '', qr/close/i, '422 keeps the connection open';

is scalar(grep { $_->{type} ne 'task.created' } events($u)), 0, 'no refused task made an event';
is scalar(events($u)), row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, 'a task, an event';
finish();
