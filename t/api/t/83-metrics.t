# Prometheus' text format, who may read it, and numbers that follow what happens.
use strict;
use warnings;
use utf8;
use File::Temp ();
use Test::More;
use TaskEvents::Test;
use TaskEvents::Metrics;

my $u = user('metrics');
my $get = sub { request(GET => '/metrics', vhost => 'metrics', @_) };

my $a = $get->();
is $a->{status}, 200, 'the metrics are told';
like $a->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4\b}, '… as Prometheus wants them';
my ($before, @wrong) = parse_metrics($a->{body});
is_deeply \@wrong, [], '… and every line can be read';
is $before->value('taskevents_database_up'), 1, 'the database is up';
like +($before->labels('taskevents_build_info'))[0]{version}, qr/^\d+\.\d+\.\d+$/, 'the version is told';

# --- who and how

my $head = request(HEAD => '/metrics', vhost => 'metrics');
is $head->{status}, 200, 'HEAD is answered';
is $head->{body}, '', '… without a body';
for my $method (qw(POST PUT DELETE)) {
    my $no = request($method => '/metrics', vhost => 'metrics', body => '');
    is $no->{status}, 405, "$method is not allowed";
    like $no->{headers}{allow}, qr/\bGET\b/, '… and the answer says what is';
}
is request(GET => '/metrics', vhost => 'metrics_denied')->{status}, 403, 'Require guards it';
is request(GET => '/metrics', vhost => 'off')->{status}, 404, 'with the engine off there is nothing';

# --- numbers

my $task = create($u, title => 'counted');
request(GET => "/api/$u/tasks/$task->{id}", as => $u) for 1 .. 3;
request(GET => "/api/$u/tasks/999999999999", as => $u);
request(GET => "/api/$u/tasks", as => user('stranger'));
request(GET => "/api/$u/nothing/here", as => $u);
# how many more, and of what
my @more = (
    [1, 'a task was created', 'taskevents_http_requests_total', method => 'POST', route => 'tasks', status => '201'],
    [3, 'it was read three times', 'taskevents_http_requests_total', method => 'GET', route => 'task', status => '200'],
    [1, 'another one was not there', 'taskevents_http_requests_total', method => 'GET', route => 'task', status => '404'],
    [1, 'a request that was refused is counted at its route', 'taskevents_http_requests_total', method => 'GET', route => 'tasks', status => '403'],
    [1, 'a path without a route is counted', 'taskevents_http_requests_total', method => 'other', route => 'other', status => '404'],
    [3, 'the time that they took is told', 'taskevents_http_request_duration_seconds_count', method => 'GET', route => 'task', status => '200'],
    [1, 'its event was sent', 'taskevents_publish_attempts_total', type => 'task.created'],
    [1, 'its event was published', 'taskevents_events_published_total', type => 'task.created'],
    [1, 'after some time', 'taskevents_publish_lag_seconds_count'],
    [1, 'and handled', 'taskevents_deliveries_total', type => 'task.created', outcome => 'handled'],
    [1, '… which took some time, too', 'taskevents_delivery_duration_seconds_count', type => 'task.created'],
);
my $now;
# a request is counted behind its answer, an event is behind its handling
wait_for(sub {
    ($now, @wrong) = parse_metrics($get->()->{body});
    return !$now->value('taskevents_outbox_events')
        && !grep { my ($n, undef, $name, @labels) = @$_; $now->value($name, @labels) - $before->value($name, @labels) < $n } @more;
});
is_deeply \@wrong, [], 'every line can be read again';
for my $more (@more) {
    my ($n, $what, $name, @labels) = @$more;
    is $now->value($name, @labels) - $before->value($name, @labels), $n, $what;
}
ok $now->value('taskevents_publish_lag_seconds_sum') - $before->value('taskevents_publish_lag_seconds_sum') < 5,
    'that time was short';
my @states = $now->values('taskevents_breaker_state');
cmp_ok scalar @states, '>=', 2, 'each child tells its breaker';
is_deeply [grep { $_ != 0 } @states], [], '… and all are closed';
is $now->value('taskevents_outbox_events'), 0, 'the outbox is empty';
cmp_ok $now->value('taskevents_outbox_oldest_seconds'), '==', 0, '… and nothing in it is old';

# --- what each child tells

for my $thread (qw(publisher chores outside_chores)) {
    my @beats = $now->values('taskevents_thread_beat_timestamp_seconds', thread => $thread);
    cmp_ok scalar @beats, '>=', 2, "the thread $thread of each child gives signs of life";
    is_deeply [grep { abs($_ - time) > 30 } @beats], [], '… and did so a moment ago';
}
ok wait_for(sub {
    ($now) = parse_metrics($get->()->{body});
    my @swept = $now->values('taskevents_chore_beat_timestamp_seconds', chore => 'sweep');
    @swept >= 2 && !grep { $_ } $now->values('taskevents_db_connections', state => 'used');
}, 20), 'each child tells when it last looked for reminders';
is_deeply [grep { $_ != 16 } $now->values('taskevents_db_connections_max')], [], 'the size of the pools is told';
my $used = 0;
$used += $_ for $now->values('taskevents_db_connections', state => 'used');
is $used, 0, 'of their connections none is used when all is quiet';
my $idle = 0;
$idle += $_ for $now->values('taskevents_db_connections', state => 'idle');
cmp_ok $idle, '>=', 1, '… and others are idle';
cmp_ok $now->value('taskevents_db_connection_wait_seconds_count'), '>', $before->value('taskevents_db_connection_wait_seconds_count'),
    'each time that one was wanted is counted';
is $now->value('taskevents_reminders_due'), 0, 'no reminder is late';

# --- effects

sub counted { ($now) = parse_metrics($get->()->{body}); return $now->value(@_) }

my %effects = map { $_ => counted('taskevents_effects_total', effect => $_) } qw(occurrence reminder notification);
my $series = create($u, title => 'again and again', is_recurring => \1, recurring_interval => 'daily',
    due_date => '2037-01-01T09:00:00Z');
is request(POST => "/api/$u/tasks/$series->{id}/complete", as => $u)->{status}, 200, 'a recurring task is completed';
ok wait_for(sub { counted('taskevents_effects_total', effect => 'occurrence') > $effects{occurrence} }, 20),
    'that the next one is made is counted';
ok wait_for(sub { counted('taskevents_effects_total', effect => 'reminder') > $effects{reminder} }, 20),
    'and that it has a reminder';

# --- what Prometheus' own checker says

SKIP: {
    skip 'TASKEVENTS_PROMTOOL names no promtool', 2 if !$ENV{TASKEVENTS_PROMTOOL};
    my $file = File::Temp->new;
    print $file $get->()->{body};
    close $file;
    my $said = qx("$ENV{TASKEVENTS_PROMTOOL}" check metrics < "$file" 2>&1);
    is $?, 0, 'promtool can read it';
    is $said, '', '… and has no objection';
}

# --- what the database keeps

my $letters = $now->value('taskevents_dead_letters', state => 'open');
db()->do(q{INSERT INTO taskevents.dead_letters (stage, source, event_id, body, body_size, reason, first_failed_at, last_failed_at)
    VALUES ('publish', ?, 'x', '', 0, 'a test', now(), now())}, undef, $u);
($now) = parse_metrics($get->()->{body});
is $now->value('taskevents_dead_letters', state => 'open'), $letters + 1, 'a dead letter is counted';
db()->do('DELETE FROM taskevents.dead_letters WHERE source = ?', undef, $u);

# --- a graceful restart

my %old = map { $_ => 1 } server_children();
kill USR1 => server_pid();
ok wait_for(sub { my @now = server_children(); @now >= 2 && !grep { $old{$_} } @now }), 'httpd is restarted';
my $then = $now;
$now = undef;
# a child that was made a moment ago has yet to begin
wait_for(sub { ($now) = parse_metrics($get->()->{body} // ''); $now && $now->value('taskevents_database_up') && $now->values('taskevents_breaker_state') >= 2 });
cmp_ok $now->value('taskevents_http_requests_total', method => 'GET', route => 'task', status => '200'), '>=',
    $then->value('taskevents_http_requests_total', method => 'GET', route => 'task', status => '200'), '… and goes on counting';
cmp_ok $now->value('taskevents_http_request_duration_seconds_count', method => 'GET', route => 'task', status => '200'), '>=',
    $then->value('taskevents_http_request_duration_seconds_count', method => 'GET', route => 'task', status => '200'),
    '… and so do the histograms';
cmp_ok scalar(@{[$now->values('taskevents_breaker_state')]}), '>=', 2, '… and the new children tell their own state';
finish();
