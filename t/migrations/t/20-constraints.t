# The CHECKs repeat the rules of the API: each broken rule is refused by the
# constraint named after it, and what is just allowed is let in.
use strict;
use warnings;
use utf8;
use Test::More;
use Migrations;

binmode Test::More->builder->$_, ':encoding(UTF-8)' for qw(output failure_output todo_output);

my $db = connect_db();
my $uuid = '00000000-0000-4000-8000-00000000000';

my %base = (
    tasks => { id => 100, user_id => 'alice', title => 'Water the plants', last_event_id => "${uuid}1",
               created_at => '2026-01-01Z', updated_at => '2026-01-01Z' },
    series => { series_id => "${uuid}2", user_id => 'alice', last_occurrence => 1, time_zone => 'UTC',
                recurring_interval => 'daily' },
    streams => { user_id => 'alice', name => 'tasks', last => 1 },
    outbox => { user_id => 'alice', topic => 'tasks', sequence => 1, event_id => "${uuid}1", event => '{}' },
    processed_events => { source => '/taskevents', event_id => 'e1', user_id => 'alice', position => 1,
                          type => 'task.created', event => '{}', outcome => 'handled' },
    dead_letters => { stage => 'handle', event_id => 'e1', body => 'x', body_size => 1, reason => 'r',
                      first_failed_at => '2026-01-01Z', last_failed_at => '2026-01-01Z' },
    idempotency_keys => { user_id => 'alice', scope => 'POST /api/alice/tasks', key => 'k', fingerprint => "${uuid}1",
                          status => 201, body => '{}' },
    event_counts => { user_id => 'alice', quarter => '2026-01-01 09:15Z', type => 'task.created', n => 1 },
    reminders => { id => "${uuid}1", task_id => 100, user_id => 'alice', due_date => '2026-01-02Z',
                   due_since => '2025-12-01Z', remind_at => '2026-01-01Z', event_id => "${uuid}2",
                   correlation_id => 'c', traceparent => '00-' },
    notifications => { user_id => 'alice', type => 'task_reminder', title => 't', message => 'm', task_id => 100,
                       reminder_id => "${uuid}1" },
);

# Inserts the base row with changes and takes it back: undef or the constraint.
sub refused_by
{
    my ($table, %change) = @_;
    my %row = (%{ $base{$table} }, %change);
    my @columns = sort keys %row;
    $db->begin_work;
    my $ok = eval {
        $db->do("INSERT INTO taskevents.$table (" . join(', ', @columns) . ') VALUES ('
                . join(', ', ('?') x @columns) . ')', undef, @row{@columns});
    };
    my $error = $@;
    $db->rollback;
    return if $ok;
    return $1 if $error =~ /constraint "(\w+)"/;
    return "not null $1" if $error =~ /null value in column "(\w+)"/;
    return $error;
}

sub shown { join(', ', @_) =~ s/(.{60}).+/$1…/sr }
sub show { my (%c) = @_; return shown(map { "$_=" . (defined $c{$_} ? ref $c{$_} ? "[@{[map { $_ // 'null' } @{$c{$_}}]}]" : $c{$_} : 'null') } sort keys %c) }
sub allowed { my ($table, %change) = @_; is refused_by($table, %change), undef, "$table takes " . show(%change) }
sub refused { my ($by, $table, %change) = @_; is refused_by($table, %change), $by, "$table refuses " . show(%change) . " ($by)" }

allowed($_) for sort keys %base;

# user ids
allowed(tasks => user_id => $_)
    for 'a', 'x' x 128, 'auth0|5f7c', 'a@b.example', '+49~x=y:z-_', 'Events', '...', '.a', 'event', '~';
refused(tasks_user_id_valid => tasks => user_id => $_)
    for '', 'x' x 129, 'events', '.', '..', 'a b', 'a/b', "a\n", "\na", 'a%b', 'ä', 'a\\b', 'a"b', 'a,b', 'a*', 'a[b', 'a^b', "a\tb";

# texts; lengths are characters
allowed(tasks => title => $_) for 'x', 'ü' x 200, '😀' x 200, 'a  b', 'a' . "\x{301}" x 199;
refused(tasks_title_length => tasks => title => $_) for '', 'x' x 201, 'ü' x 201, '😀' x 201;
refused(tasks_title_trimmed => tasks => title => $_) for ' x', 'x ', "\tx", "x\n", "\r\nx", ' ';
refused('not null title' => tasks => title => undef);
allowed(tasks => description => $_) for undef, '', ' x ', '😀' x 1000;
refused(tasks_description_length => tasks => description => 'x' x 1001);

# completed if and only if there is a time
allowed(tasks => completed => 1, completed_at => '2026-01-02Z');
refused(tasks_completed_has_time => tasks => completed => 1);
refused(tasks_completed_has_time => tasks => completed => 0, completed_at => '2026-01-02Z');

allowed(tasks => priority => $_) for 1, 2, 3;
refused(tasks_priority_known => tasks => priority => $_) for 0, 4, -1;

# tags
allowed(tasks => tags => $_)
    for [], ['a'], [1 .. 10], ['ü' x 50], ['a', 'b'], ['a b'], ['straße', 'strasse'];
refused(tasks_tags_valid => tasks => tags => $_)
    for [1 .. 11], [''], ['x' x 51], ['a', undef], ['a', 'a'], ['a', 'A'], ['Garden', 'b', 'gARDEN'], [' a'], ['a '],
        [['a'], ['b']];
refused('not null tags' => tasks => tags => undef);

# times
allowed(tasks => due_date => $_) for undef, '0001-01-01 00:00:00+00', '9999-12-31 23:59:59.999999+00';
refused(tasks_due_date_range => tasks => due_date => $_)
    for 'infinity', '-infinity', '10000-01-01 00:00:00+00', '0001-12-31 00:00:00+00 BC';
allowed(tasks => time_zone => $_)
    for 'Europe/Berlin', 'America/Argentina/ComodRivadavia', 'Etc/GMT+5', 'America/Port-au-Prince', 'UTC';
refused(tasks_time_zone_shape => tasks => time_zone => $_) for '', ' UTC', '+02:00', 'x' x 65, "UTC\n", 'Ünited';
refused('not null time_zone' => tasks => time_zone => undef);

# recurrence
allowed(tasks => recurring_interval => $_, series_id => "${uuid}2", occurrence => 1) for 'daily', 'weekly', 'monthly';
allowed(tasks => series_id => "${uuid}2", occurrence => 7);     # recurred once, does no more
refused(tasks_interval_known => tasks => recurring_interval => $_, series_id => "${uuid}2", occurrence => 1)
    for 'yearly', '', 'Daily';
refused(tasks_recurring_in_series => tasks => recurring_interval => 'daily');
refused(tasks_series_numbered => tasks => series_id => "${uuid}2");
refused(tasks_series_numbered => tasks => occurrence => 1);
refused(tasks_occurrence_positive => tasks => series_id => "${uuid}2", occurrence => $_) for 0, -1;
refused(tasks_version_positive => tasks => version => $_) for 0, -1;
refused(tasks_id_positive => tasks => id => $_) for 0, -1;
refused("not null $_" => tasks => $_ => undef) for qw(user_id last_event_id created_at updated_at version completed priority);

refused(series_last_occurrence_positive => series => last_occurrence => 0);
refused(series_interval_known => series => recurring_interval => 'yearly');
refused('not null recurring_interval' => series => recurring_interval => undef);
allowed(series => anchor_due => undef, ended_at => '2026-01-01Z');

refused(streams_last_counted => streams => last => -1);
refused(outbox_sequence_positive => outbox => sequence => 0);
refused(outbox_attempts_counted => outbox => attempts => -1);
like refused_by(outbox => shard => 3), qr/non-DEFAULT value into column "shard"/, 'nobody writes a shard';
refused(processed_events_position_positive => processed_events => position => 0);
allowed(processed_events => user_id => undef, position => undef, task_id => undef);
allowed(dead_letters => stage => $_) for qw(publish handle malformed deadletter);
allowed(dead_letters => state => $_) for qw(open redriven discarded);
refused(dead_letters_stage_known => dead_letters => stage => $_) for '', 'lost';
refused(dead_letters_state_known => dead_letters => state => $_) for '', 'closed';
refused(dead_letters_body_size_covers => dead_letters => body_size => 0);
refused(dead_letters_attempts_counted => dead_letters => attempts => -1);
allowed(dead_letters => alert_state => $_) for qw(none pending sent failed);
refused(dead_letters_alert_state_known => dead_letters => alert_state => $_) for '', 'lost';
refused(dead_letters_alert_attempts_counted => dead_letters => alert_attempts => -1);
refused("not null $_" => dead_letters => $_ => undef) for qw(alert_id alert_state alert_attempts alert_at);

# kept answers: of success only, under a key that the API takes
allowed(idempotency_keys => key => $_) for 'x', 'x' x 255, 'a key with blanks';
refused(idempotency_keys_key_length => idempotency_keys => key => $_) for '', 'x' x 256;
allowed(idempotency_keys => status => $_) for 200, 201, 204, 299;
refused(idempotency_keys_only_success => idempotency_keys => status => $_) for 0, 199, 300, 409, 422, 503;
allowed(idempotency_keys => etag => '"1"', location => '/api/alice/tasks/1');
refused("not null $_" => idempotency_keys => $_ => undef) for qw(user_id scope key fingerprint status body created_at);

# counts
allowed(event_counts => quarter => $_) for '2026-01-01Z', '2026-01-01 09:45Z', '2026-01-01 09:00+05:45', '1999-12-31 23:45Z';
refused(event_counts_quarter_begins => event_counts => quarter => $_)
    for '2026-01-01 09:14Z', '2026-01-01 09:15:00.000001Z', '1999-12-31 23:46Z';
refused(event_counts_counted => event_counts => n => $_) for -1, 0;
refused("not null $_" => event_counts => $_ => undef) for qw(user_id quarter type n);

# uniqueness, two rows at a time
sub pair_refused_by
{
    my ($table, $first, $second) = @_;
    $db->begin_work;
    my $error = '';
    for my $change ($first, $second) {
        my %row = (%{ $base{$table} }, %$change);
        my @columns = sort keys %row;
        eval {
            $db->do("INSERT INTO taskevents.$table (" . join(', ', @columns) . ') VALUES ('
                    . join(', ', ('?') x @columns) . ')', undef, @row{@columns});
            1;
        } or do { $error = $@; last };
    }
    $db->rollback;
    return $error =~ /constraint "(\w+)"/ ? $1 : $error || undef;
}
is pair_refused_by(tasks => { series_id => "${uuid}2", occurrence => 2 }, { id => 101, series_id => "${uuid}2", occurrence => 2 }),
    'tasks_series_occurrence_key', 'an occurrence exists once';
is pair_refused_by(tasks => {}, { id => 101 }), undef, 'tasks without a series do not collide';
is pair_refused_by(outbox => {}, {}), 'outbox_pkey', 'a number of a stream exists once';
is pair_refused_by(outbox => {}, { topic => 'reminders' }), undef, 'topics count apart';
is pair_refused_by(processed_events => {}, { position => 2 }), 'processed_events_pkey', 'an event is handled once';
is pair_refused_by(processed_events => {}, { event_id => 'e2' }), 'processed_events_user_position', 'a position is given once';
is pair_refused_by(processed_events => {}, { source => '/other', position => 2 }), undef, 'ids of two sources do not collide';
is pair_refused_by(processed_events => { user_id => undef, position => undef }, { event_id => 'e2', user_id => undef, position => undef }),
    undef, 'events of nobody have no position';
is pair_refused_by(dead_letters => {}, {}), 'dead_letters_stage_source_event_id_key', 'a letter exists once a stage';
is pair_refused_by(dead_letters => {}, { stage => 'deadletter' }), undef, 'stages keep their own letters';
is pair_refused_by(idempotency_keys => {}, { fingerprint => "${uuid}3", status => 200 }), 'idempotency_keys_pkey', 'a key has one answer';
is pair_refused_by(idempotency_keys => {}, $_->[1]), undef, "the same key, another $_->[0], is another key"
    for [user => { user_id => 'Alice' }], [path => { scope => 'POST /api/alice/tasks/1/complete' }], [spelling => { key => 'K' }];
is pair_refused_by(event_counts => {}, { n => 2 }), 'event_counts_pkey', 'a count exists once';
is pair_refused_by(event_counts => {}, $_), undef, "@{[%$_]} counts apart"
    for { user_id => 'bob' }, { type => 'task.deleted' }, { quarter => '2026-01-01 09:30Z' };

# reminders and notifications
allowed(reminders => remind_at => '2026-01-02Z');
refused(reminders_before_due => reminders => remind_at => '2026-01-02 00:00:00.000001Z');
refused(reminders_state_known => reminders => state => 'due', ended_at => '2026-01-02Z');
allowed(reminders => state => 'triggered', ended_at => '2026-01-01Z');
refused(reminders_ended_has_time => reminders => state => 'triggered');
refused(reminders_ended_has_time => reminders => ended_at => '2026-01-01Z');
allowed(reminders => state => 'cancelled', ended_at => '2026-01-01Z', reason => 'completed');
refused(reminders_cancelled_has_reason => reminders => state => 'cancelled', ended_at => '2026-01-01Z');
refused(reminders_cancelled_has_reason => reminders => reason => 'completed');
allowed(reminders => job_state => $_) for qw(none wanted made unwanted gone);
refused(reminders_job_state_known => reminders => job_state => 'lost');
refused(reminders_job_attempts_counted => reminders => job_attempts => -1);
refused(notifications_type_known => notifications => type => 'other');
refused(notifications_reminder_named => notifications => reminder_id => undef);
my %ended = (state => 'triggered', ended_at => '2026-01-01Z');
is pair_refused_by(reminders => {}, { id => "${uuid}3", due_since => '2025-12-02Z' }), 'reminders_one_scheduled',
    'a task has one scheduled reminder';
is pair_refused_by(reminders => {%ended}, { id => "${uuid}3", due_since => '2025-12-02Z' }), undef,
    'the next one may come when it has ended';
is pair_refused_by(reminders => {%ended}, { id => "${uuid}3" }), 'reminders_task_id_due_since_key',
    'a due date that stands is reminded of once';
is pair_refused_by(notifications => {}, {}), 'notifications_reminder_id_key', 'a reminder notifies once';

# "C" collation: byte order whatever the locale of the database
is_deeply $db->selectcol_arrayref(
    q{SELECT u FROM unnest(ARRAY['a', 'B', '~', 'Z', '_']) AS u ORDER BY u COLLATE "C"}),
    [qw(B Z _ a ~)], 'byte order';
is $db->selectrow_array(q{SELECT nextval('taskevents.task_ids') - nextval('taskevents.task_ids')}), -100,
    'ids come in blocks of 100';

done_testing;
