# Every statement of every route fails once, in each of the ways that a statement can:
# the answer is success or a clean refusal, what is in the database is all of the change
# or nothing of it, the request made again succeeds, and the next one is served.
use strict;
use warnings;
use utf8;
use POSIX 'strftime';
use Test::More;
use Time::HiRes qw(sleep time);
use TaskEvents::Test;
use TaskEvents::Inject;

my $inject = TaskEvents::Inject->new($ENV{TASKEVENTS_TEST_DSN}, root())
    or plan skip_all => 'PostgreSQL is not at a port of an address';
# one child with one connection for its requests: so its statements can be counted
my ($port, $stop) = httpd_start(server_config(lines => <<"CONF"));
LogLevel info taskevents:debug
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
TaskEventsEngine On
TaskEventsTransport dapr
TaskEventsDaprURL http://127.0.0.1:1
TaskEventsSource /taskevents/test
TaskEventsOpen On
TaskEventsSidecarToken Off
TaskEventsBulkSubscribe On
TaskEventsJobs Off
TaskEventsPool 1 1 1
TaskEventsDatabase "@{[ $inject->dsn ]}"
<Location "/api">
    SetHandler taskevents
    Require taskevents-owner
</Location>
<Location "/api/events">
    SetHandler taskevents
    Require taskevents-sidecar
</Location>
<Location "/dapr">
    SetHandler taskevents
    Require taskevents-sidecar
</Location>
<Location "/job">
    SetHandler taskevents
    Require taskevents-sidecar
</Location>
<Location "/readyz">
    SetHandler taskevents
</Location>
<Location "/status">
    SetHandler taskevents-status
    Require local
</Location>
CONF
my ($true, $false) = (JSON::PP::true, JSON::PP::false);
sub via { my ($method, $path, %option) = @_; return request($method => $path, vhost => $port, %option) }
sub in_days { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + 86400 * $_[0])) }
my @recurring = (is_recurring => $true, recurring_interval => 'daily', due_date => '2031-01-01T09:00:00Z');

# To the main server, undisturbed.
sub deliver
{
    my ($event, $route) = @_;
    my $a = request(POST => '/api/events/' . ($route // 'tasks'), vhost => 'sidecar', type => 'application/cloudevents+json',
        headers => ['dapr-api-token' => APP_TOKEN], body => encode_json_text($event));
    die "deliver: $a->{status}\n" if $a->{status} != 200;
}
sub completed { my ($u) = @_; my $t = create($u, title => 'done', @recurring); request(POST => task_path($u, $t->{id}, 'complete'), as => $u); return $t }
sub letter { my ($u) = @_; completed($u); deliver((events($u))[-1], 'dead-letters'); return row('SELECT id FROM taskevents.dead_letters WHERE user_id = ?', $u)->{id} }
sub due_reminder
{
    my ($u) = @_;
    create($u, title => 'due', due_date => in_days(3));
    deliver((events($u))[0]);
    db()->do('UPDATE taskevents.reminders SET remind_at = clock_timestamp() WHERE user_id = ?', undef, $u);
    return row('SELECT id FROM taskevents.reminders WHERE user_id = ?', $u)->{id};
}
sub notified
{
    my ($u) = @_;
    my $id = due_reminder($u);
    wait_for(sub { request(POST => "/job/rem-$id", vhost => 'sidecar', headers => ['dapr-api-token' => APP_TOKEN], body => '{}')->{status} == 200 });
    deliver((events($u, 'reminders'))[-1], 'reminders');
    return row('SELECT id FROM taskevents.notifications WHERE user_id = ?', $u)->{id};
}
sub event_body { my ($e) = @_; return (type => 'application/cloudevents+json', body => encode_json_text($e)) }
sub bulk
{
    my (@events) = @_;
    my $n = 0;
    return (type => 'application/json', body => encode_json_text({ type => 'com.dapr.event.sent.bulk',
        entries => [map { { entryId => $n++ . '', event => $_, contentType => 'application/cloudevents+json' } } @events] }));
}

# name => [what has to be there before (its value is given on), the request]
my @routes = (
    'POST a task' => [sub { }, sub { (POST => task_path($_[0]), json => { title => 'new' }) }],
    'POST a recurring task' => [sub { }, sub { (POST => task_path($_[0]), json => { title => 'new', @recurring }) }],
    'POST with a key' => [sub { }, sub { (POST => task_path($_[0]), json => { title => 'new' }, headers => ['Idempotency-Key' => 'k']) }],
    'GET the tasks' => [sub { create($_[0]) }, sub { (GET => task_path($_[0])) }],
    'GET a task' => [sub { create($_[0]) }, sub { (GET => task_path($_[0], $_[1]{id})) }],
    'GET the occurrences' => [sub { create($_[0], @recurring) }, sub { (GET => task_path($_[0], $_[1]{id}, 'occurrences')) }],
    'GET the statistics' => [sub { create($_[0]) }, sub { (GET => '/api/' . escape($_[0]) . '/stats') }],
    'GET the history' => [sub { create($_[0]) }, sub { (GET => '/api/' . escape($_[0]) . '/events') }],
    'GET the notifications' => [sub { }, sub { (GET => '/api/' . escape($_[0]) . '/notifications') }],
    'GET readyz' => [sub { }, sub { (GET => '/readyz') }],
    'PATCH a task' => [sub { create($_[0]) }, sub { (PATCH => task_path($_[0], $_[1]{id}), json => { title => 'changed' }) }],
    'PATCH with two events' => [sub { create($_[0]) }, sub { (PATCH => task_path($_[0], $_[1]{id}), json => { title => 'changed', completed => $true }) }],
    'PATCH to recur' => [sub { create($_[0]) }, sub { (PATCH => task_path($_[0], $_[1]{id}), json => { @recurring }) }],
    'PATCH to recur no more' => [sub { create($_[0], @recurring) }, sub { (PATCH => task_path($_[0], $_[1]{id}), json => { is_recurring => $false }) }],
    'POST complete' => [sub { create($_[0]) }, sub { (POST => task_path($_[0], $_[1]{id}, 'complete')) }],
    'POST complete with a key' => [sub { create($_[0]) }, sub { (POST => task_path($_[0], $_[1]{id}, 'complete'), headers => ['Idempotency-Key' => 'k']) }],
    'DELETE a task' => [sub { create($_[0]) }, sub { (DELETE => task_path($_[0], $_[1]{id})) }],
    'DELETE a recurring task' => [sub { create($_[0], @recurring) }, sub { (DELETE => task_path($_[0], $_[1]{id})) }],
    'PATCH a notification' => [sub { notified($_[0]) }, sub { (PATCH => '/api/' . escape($_[0]) . "/notifications/$_[1]", json => { read => $true }) }],
    'POST notifications read' => [sub { notified($_[0]) }, sub { (POST => '/api/' . escape($_[0]) . '/notifications/read', json => { }) }],
    'a delivery with a reminder' => [sub { create($_[0], due_date => '2031-01-01T09:00:00Z'); (events($_[0]))[0] }, sub { (POST => '/api/events/tasks', event_body($_[1])) }],
    'a delivery with a next task' => [sub { completed($_[0]); (events($_[0]))[-1] }, sub { (POST => '/api/events/tasks', event_body($_[1])) }],
    'a delivery without effects' => [sub { create($_[0]); (events($_[0]))[-1] }, sub { (POST => '/api/events/tasks', event_body($_[1])) }],
    'a bulk delivery' => [sub { completed($_[0]); [events($_[0])] }, sub { (POST => '/api/events/tasks', bulk(@{ $_[1] })) }],
    'a delivery of a reminder' => [sub { my ($u) = @_; due_reminder($u); wait_for(sub { (events($u, 'reminders'))[-1]{type} eq 'reminder.triggered' }, 30); (events($u, 'reminders'))[-1] },
        sub { (POST => '/api/events/reminders', event_body($_[1])) }],
    'a delivery given up' => [sub { create($_[0]); (events($_[0]))[-1] }, sub { (POST => '/api/events/dead-letters', event_body($_[1])) }],
    'a delivery that is malformed' => [sub { create($_[0]); my $e = (events($_[0]))[-1]; $e->{data}{task}{title} = 7; $e }, sub { (POST => '/api/events/tasks', event_body($_[1])) }],
    'a job' => [sub { due_reminder($_[0]) }, sub { (POST => "/job/rem-$_[1]", body => '{}') }],
    'GET the dead letters' => [sub { letter($_[0]) }, sub { (GET => '/status/dead-letters') }],
    'GET a dead letter' => [sub { letter($_[0]) }, sub { (GET => "/status/dead-letters/$_[1]") }],
    'POST redrive' => [sub { letter($_[0]) }, sub { (POST => "/status/dead-letters/$_[1]/redrive", json => { }) }],
    'POST discard' => [sub { letter($_[0]) }, sub { (POST => "/status/dead-letters/$_[1]/discard", json => { }) }],
);

# A redrive may be told that the event failed again; a job's reminder may be triggered by
# a sweep meanwhile, and its callback is asked to come again; a key that was claimed by a
# session that was cut is free only when PostgreSQL has seen that it ended.
my %also = ('POST redrive' => { XX000 => qr/^422/ }, 'a job' => { map { $_ => qr/^503/ } qw(cut answer 40001 53200 XX000 none) },
    map { $_ => { cut => qr/^409/, answer => qr/^409/ } } 'POST with a key', 'POST complete with a key');

# What the database has of a user, without what differs from one to the next.
sub state_of
{
    my ($u) = @_;
    my $all = sub { my ($sql) = @_; return [map { join ' ', map { $_ // '-' } @$_ } @{ db()->selectall_arrayref($sql, undef, $u) }] };
    return {
        tasks => $all->(q{SELECT title, completed, version, recurring_interval, occurrence, CASE WHEN due_date > '2030-01-01' THEN due_date END FROM taskevents.tasks WHERE user_id = ? ORDER BY occurrence, title}),
        series => $all->('SELECT last_occurrence, ended_at IS NOT NULL FROM taskevents.series WHERE user_id = ?'),
        events => [map { "$_->{sequence} $_->{type}" } events($u)],
        reminder_events => [map { "$_->{sequence} $_->{type}" } events($u, 'reminders')],
        history => $all->('SELECT position, type, outcome FROM taskevents.processed_events WHERE user_id = ? ORDER BY position'),
        reminders => $all->('SELECT state FROM taskevents.reminders WHERE user_id = ?'),
        notifications => $all->('SELECT type, read_at IS NOT NULL FROM taskevents.notifications WHERE user_id = ?'),
        letters => $all->('SELECT stage, state FROM taskevents.dead_letters WHERE user_id = ?'),
    };
}
sub text_of { my ($state) = @_; return JSON::PP->new->canonical->encode($state) }

my $users = 0;
# A user with what has to be there, whose connection is known: (user, request).
sub ready
{
    my ($before, $request) = @_;
    my $u = user('inject' . ++$users);
    my $value = $before->($u);
    $inject->follow("warm-$u");
    wait_for(sub { via(GET => "/api/warm-$u/tasks")->{status} == 200 }, 20) or die "the server does not come back\n";
    return ($u, $request->($u, $value));
}

# SQLSTATE => what it may come to; 'cut' and 'answer' are the connection's end
my %allowed = (
    '40001' => qr/^2/,              # is tried again
    cut     => qr/^(?:2|503)/,      # a new connection may be long in coming
    answer  => qr/^(?:2|503)/,
    '53200' => qr/^(?:2|503)/,      # no room: refused for now
    XX000   => qr/^(?:2|500)/,      # a fault of the server's
);
# The short form has one of the SQLSTATEs in turn; TASKEVENTS_TEST_LONG has all.
my @states = grep { /\d|X/ } sort keys %allowed;
my $turn = 0;
sub ways { my ($n) = @_; return ('cut', 'answer', $ENV{TASKEVENTS_TEST_LONG} ? @states : $states[$turn++ % @states]) }
my ($statements, %answers) = (0);
while (my ($name, $route) = splice @routes, 0, 2) {
    my ($u, @request) = ready(@$route);
    my $is_delivery = $request[1] =~ m{^/(?:api/events/|job/)};
    my $done = via(@request);
    wait_for(sub { ($done = via(@request))->{status} == 200 }) if $name eq 'a job';
    like $done->{status}, qr/^2/, "$name, undisturbed" or diag $done->{raw};
    my $after = text_of(state_of($u));
    my @wrong;
    my $most = 0;
    for (my $n = 1, my $more = 1; $more && $n < 40; ++$n) {
        $more = 0;
        for my $how (ways($n)) {
            ($u, @request) = ready(@$route);
            my $before = text_of(state_of($u));
            $inject->arm($how, $n);
            my $a = via(@request);
            my $fired = $inject->fired;
            my $now = text_of(state_of($u));
            my $fault = sub { push @wrong, "$how at $n: $a->{status}: $_[0]" };
            $answers{ $fired ? "$how $a->{status}" : "undisturbed $a->{status}" }++;
            my $allowed = !$fired ? qr/^2/ : $is_delivery && $how ne '40001' ? qr/^(?:2|50[03])/ : $allowed{$how};
            my $also = ($also{$name} // {})->{ $fired ? $how : 'none' };
            $fault->("that is no answer to it: $a->{body}") if $a->{status} !~ $allowed && !($also && $a->{status} =~ $also);
            if ($a->{status} =~ /^2/) { $fault->("said to be done, but: $now instead of $after") if $now ne $after }
            elsif ($a->{status} == 503 && $now eq $after && ($how eq 'answer' || $name eq 'a job')) { }  # done, and nobody could look
            else {
                $fault->("half of it is there: $now instead of $before") if $now ne $before;
                $fault->('no problem document') if !$is_delivery && $name !~ /readyz/ && (($a->{json} // {})->{status} // 0) != $a->{status};
                $fault->('no Retry-After') if !$is_delivery && $name !~ /readyz/ && $a->{status} == 503 && !$a->{headers}{'retry-after'};
                my $again = via(@request);
                wait_for(sub { ($again = via(@request))->{status} == 200 }) if $name eq 'a job';
                wait_for(sub { ($again = via(@request))->{status} != 409 }) if $again->{status} == 409;
                $fault->("again: $again->{status}") if $again->{status} !~ /^2/;
                $now = text_of(state_of($u));
                $fault->("again, but: $now instead of $after") if $now ne $after;
            }
            $fault->('the next request is not served') if via(GET => "/api/warm-$u/tasks")->{status} != 200;
            $more = 1 if $fired;
            $most = $n if $fired;
        }
    }
    is_deeply \@wrong, [], "$name: $most statements, each failing in " . ($ENV{TASKEVENTS_TEST_LONG} ? 2 + @states : 3) . ' ways';
    $statements += $most;
}
my ($served, $lost) = (0, 0);
for (grep { /^(?:cut|answer) / } keys %answers) { $lost += $answers{$_}; $served += $answers{$_} if / 2/ }
cmp_ok $served, '>', 0.8 * $lost, "$served of $lost requests whose connection ended were served all the same";
note "$statements statements; ", join ', ', map { "$_ x $answers{$_}" } sort keys %answers;
is $stop->(), 0, 'the server ends in order';
expect_log(qr/\[taskevents:alert\].*TE0401/, 'the letters that were made');
finish();
