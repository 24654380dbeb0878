# POST /job/{name}: the callback of a reminder's job. The row decides.
use strict;
use warnings;
use utf8;
use POSIX 'strftime';
use Test::More;
use TaskEvents::Test;

my @sidecar = (vhost => 'sidecar', type => 'application/json', headers => ['dapr-api-token' => APP_TOKEN]);
sub job { my ($name, %option) = @_; return request(POST => "/job/$name", @sidecar, body => '{}', %option) }
# one that a sweep has in hand is asked for again
sub job_done { my @job = @_; my $a; wait_for(sub { $a = job(@job); $a->{status} != 503 }); return $a }
sub is_done { my ($a, $name) = @_; is $a->{status}, 200, $name; is $a->{body}, '', '… with an empty body' }
sub in { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + $_[0])) }
my $day = 86400;

sub delivery
{
    my ($topic, $event) = @_;
    return [POST => "/api/events/$topic", vhost => 'sidecar', type => 'application/cloudevents+json',
        headers => ['dapr-api-token' => APP_TOKEN], body => encode_json_text($event)];
}

# A task with a reminder, which the sweep is kept from by the date: its id.
sub reminder
{
    my ($user) = @_;
    my $task = create($user, due_date => in(3 * $day));
    my ($created) = events($user);
    request(@{ delivery(tasks => $created) });
    return (row('SELECT id FROM taskevents.reminders WHERE user_id = ?', $user)->{id}, $task);
}
sub state_of { return row('SELECT state FROM taskevents.reminders WHERE id = ?', $_[0])->{state} }
sub notified { return row('SELECT count(*) AS n FROM taskevents.notifications WHERE user_id = ?', $_[0])->{n} }
sub told { return join ' ', map { $_->{type} =~ s/reminder\.//r } events($_[0], 'reminders') }

my $u = user('job');
my ($id, $task) = reminder($u);
like $id, uuid_re(), 'a reminder';
is job("rem-$id")->{status}, 503, 'before its time the scheduler is asked to come again';
is state_of($id), 'scheduled', '… and nothing happens';
is row('SELECT job_state FROM taskevents.reminders WHERE id = ?', $id)->{job_state}, 'wanted', 'its job is wanted; nobody takes it here';
db()->do('UPDATE taskevents.reminders SET remind_at = clock_timestamp() WHERE id = ?', undef, $id);
is_done(job_done("rem-$id"), 'at its time');
is state_of($id), 'triggered', '… it is triggered';
is_done(job("rem-$id"), 'a second time') for 1, 2;
is told($u), 'scheduled triggered', '… it is triggered once';

# 64 callbacks at the same moment, on several children, and the sweep; and what
# they come to is delivered 64 times at once
for my $round (1 .. 2) {
    my $v = user("job-race$round");
    my ($raced) = reminder($v);
    db()->do('UPDATE taskevents.reminders SET remind_at = clock_timestamp() WHERE id = ?', undef, $raced);
    my @answers = at_once(map { [POST => "/job/rem-$raced", @sidecar, body => '{}'] } 1 .. 64);
    is_deeply [grep { $_->{status} != 200 && $_->{status} != 503 } @answers], [], "round $round: 64 callbacks at once are 200, or asked to come again";
    ok wait_for(sub { job("rem-$raced")->{status} == 200 }), '… until it is done';
    is told($v), 'scheduled triggered', '… once';
    my ($triggered) = grep { $_->{type} eq 'reminder.triggered' } events($v, 'reminders');
    @answers = at_once(map { delivery(reminders => $triggered) } 1 .. 64);
    cmp_ok scalar(grep { $_->{status} == 200 } @answers), '>', 0, "round $round: 64 deliveries of its event";
    ok wait_for(sub { request(@{ delivery(reminders => $triggered) })->{status} == 200 }), '… are done with';
    is notified($v), 1, '… and its user was notified once';
}

# the task changes at the very moment: nobody is told of what is no more so
my %change = (
    completed => sub { [POST => task_path(@_, 'complete'), as => $_[0], json => {}] },
    moved     => sub { [PATCH => task_path(@_), as => $_[0], json => { due_date => in(5 * $day) }] },
    deleted   => sub { [DELETE => task_path(@_), as => $_[0]] },
);
for my $round (1 .. 3) {
    for my $how (sort keys %change) {
        my $v = user("job-$how$round");
        my ($raced, $its) = reminder($v);
        db()->do('UPDATE taskevents.reminders SET remind_at = clock_timestamp() WHERE id = ?', undef, $raced);
        my @calls = map { [POST => "/job/rem-$raced", @sidecar, body => '{}'] } 1 .. 15;
        splice @calls, 4 * $round, 0, $change{$how}->($v, $its->{id});
        my @answers = at_once(@calls);
        is_deeply [grep { !/^(?:200|204|503)$/ } map { $_->{status} } @answers], [], "$how at the moment of its reminder";
        ok wait_for(sub { job("rem-$raced")->{status} == 200 && state_of($raced) ne 'scheduled' }), '… which ends';
        my ($change) = (events($v))[1];
        request(@{ delivery(reminders => $_) }) for grep { $_->{type} eq 'reminder.triggered' } events($v, 'reminders');
        request(@{ delivery(tasks => $change) });
        is notified($v), 0, '… nobody is told';
        is state_of($raced), 'cancelled', '… it is cancelled';
        like told($v), qr/^scheduled (?:triggered )?cancelled(?: scheduled)?$/, '… and its events say so, each once';
    }
}

# cancelled, unknown, no name of ours: done with
my $w = user('job-cancelled');
my ($cancelled, $gone) = reminder($w);
request(DELETE => task_path($w, $gone->{id}), as => $w);
db()->do('UPDATE taskevents.reminders SET remind_at = clock_timestamp() WHERE id = ?', undef, $cancelled);
is_done(job_done("rem-$cancelled"), 'its task is gone');
is state_of($cancelled), 'cancelled', '… it is cancelled';
is_done(job("rem-$cancelled"), 'cancelled before');
is_done(job('rem-6ba7b810-9dad-41d1-80b4-00c04fd430c8'), 'unknown');
is_done(job($_), "named $_") for 'rem-7', 'rem-', 'other', 'rem-6BA7';
is_done(job("rem-$cancelled", body => 'no JSON', type => 'text/plain'), 'the data is not looked at');

# as any route of the sidecar
is_problem(request(POST => "/job/rem-$id", vhost => 'sidecar', body => '{}'), 401, 'no token');
is_problem(request(POST => "/job/rem-$id", vhost => 'sidecar', body => '{}', headers => ['dapr-api-token' => 'x']), 403, 'a wrong one');
is_problem(request(GET => "/job/rem-$id", @sidecar), 405, 'GET');
# 64 at once are more than it has threads
may_log(qr/AH00484: server reached MaxRequestWorkers|AH10159: server is within MinSpareThreads/);
finish();
