# Forward, verify, back without a trace, forward again; and verify notices when
# something is missing.
use strict;
use warnings;
use Test::More;
use Migrations;

my $before = schema_dump();
unlike $before, qr/taskevents/, 'the database has nothing of ours yet';

for my $round ('first', 'second') {
    my ($status, $output) = sqitch('deploy');
    is $status, 0, "$round time forward" or diag $output;
    ($status, $output) = sqitch('verify');
    is $status, 0, "$round time verified" or diag $output;
    last if $round eq 'second';

    ($status, $output) = sqitch('revert', '-y');
    is $status, 0, 'back' or diag $output;
    is schema_dump(), $before, 'nothing of ours is left';
}

my ($status, $output) = sqitch('deploy');
is $status, 0, 'forward with nothing to do is no error' or diag $output;

is connect_db()->selectrow_array('SELECT taskevents.schema_version()'), 6, 'schema version';

# one change back with rows in it, and forward again: the others stay as they are
my $db = connect_db();
$db->do(q{INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
          VALUES (1, 'alice', 'stays', gen_random_uuid(), now(), now())});
$db->do(q{INSERT INTO taskevents.idempotency_keys (user_id, scope, key, fingerprint, status, body)
          VALUES ('alice', 'POST /api/alice/tasks', 'k', gen_random_uuid(), 201, '{}')});
$db->do(q{INSERT INTO taskevents.processed_events (source, event_id, user_id, position, type, event, outcome, processed_at)
          VALUES ('/s', 'a', 'alice', 1, 'task.created', '{"time":"2026-03-01T09:14:59.999999Z"}', 'handled', now()),
                 ('/s', 'b', 'alice', 2, 'task.created', '{"time":"2026-03-01T14:45:00+05:45"}', 'handled', now()),
                 ('/s', 'c', 'alice', 3, 'task.created', '{"time":"2026-03-01T09:15:00Z"}', 'handled', now()),
                 ('/s', 'd', 'alice', 4, 'task.deleted', '{}', 'handled', '2026-03-01 10:01:00Z'),
                 ('/s', 'e', NULL, NULL, 'task.deleted', '{}', 'ignored', now())});
$db->do(q{INSERT INTO taskevents.dead_letters (stage, event_id, body, body_size, reason, state, first_failed_at, last_failed_at)
          VALUES ('handle', 'open', 'x', 1, 'r', 'open', now(), now()),
                 ('handle', 'closed', 'x', 1, 'r', 'discarded', now(), now())});
$db->do(q{INSERT INTO taskevents.reminders (id, task_id, user_id, due_date, due_since, remind_at, event_id,
            correlation_id, traceparent)
          VALUES (gen_random_uuid(), 1, 'alice', now() + interval '2 days', now(), now() + interval '1 day',
            gen_random_uuid(), 'c', '00-')});
$db->do(q{INSERT INTO taskevents.notifications (user_id, type, title, message, task_id, reminder_id)
          VALUES ('alice', 'task_reminder', 'stays', 'm', 1, gen_random_uuid())});
$db->disconnect;
my $whole = schema_dump();
for my $change (qw(series_gone zone_names reminders dead_letter_work event_counts task_search idempotency_keys)) {
    ($status, $output) = sqitch('revert', '-y', '--to', "$change^");
    is $status, 0, "$change back" or diag $output;
}
is connect_db()->selectrow_array('SELECT taskevents.schema_version()'), 1, 'as an older build knows it';
is connect_db()->selectrow_array('SELECT title FROM taskevents.tasks'), 'stays', 'tasks stay';
($status, $output) = sqitch('deploy');
is $status, 0, 'and forward' or diag $output;
is schema_dump(), $whole, 'the same as before';
is_deeply connect_db()->selectcol_arrayref(q{
        SELECT concat_ws(' ', user_id, quarter AT TIME ZONE 'UTC', type, n)
          FROM taskevents.event_counts ORDER BY quarter, type}),
    ['alice 2026-03-01 09:00:00 task.created 2', 'alice 2026-03-01 09:15:00 task.created 1',
     'alice 2026-03-01 10:00:00 task.deleted 1'],
    'what was handled before is counted, in the quarter of the hour in which it happened';
is_deeply connect_db()->selectcol_arrayref(q{
        SELECT concat_ws(' ', event_id, state, closed_at IS NOT NULL, alert_state) FROM taskevents.dead_letters ORDER BY id}),
    ['open open f none', 'closed discarded t none'],
    'dead letters stay, closed ones since now, and nobody is alerted of old ones';
connect_db()->do("DELETE FROM taskevents.$_") for qw(tasks processed_events event_counts dead_letters);

# what each verify script must notice
my @sabotage = (
    [schema => 'DROP FUNCTION taskevents.schema_version()'],
    [schema => 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer LANGUAGE sql STABLE RETURN 1'],
    [tasks => 'ALTER TABLE taskevents.tasks DROP COLUMN description'],
    [tasks => 'ALTER TABLE taskevents.tasks ALTER user_id TYPE text COLLATE "default"'],
    [tasks => 'ALTER TABLE taskevents.tasks ALTER last_event_id DROP NOT NULL'],
    [tasks => 'ALTER TABLE taskevents.tasks ALTER priority DROP DEFAULT'],
    [tasks => 'ALTER TABLE taskevents.tasks DROP CONSTRAINT tasks_title_length'],
    [tasks => 'ALTER TABLE taskevents.tasks DROP CONSTRAINT tasks_title_length,
               ADD CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 300)'],
    [tasks => 'ALTER TABLE taskevents.tasks DROP CONSTRAINT tasks_series_occurrence_key'],
    [tasks => 'DROP INDEX taskevents.tasks_user_newest'],
    [tasks => 'ALTER SEQUENCE taskevents.task_ids INCREMENT 1'],
    [tasks => 'DROP TABLE taskevents.series'],
    [tasks => 'CREATE OR REPLACE FUNCTION taskevents.tags_valid(tags text[]) RETURNS boolean
               LANGUAGE sql IMMUTABLE RETURN true'],
    [streams => 'ALTER TABLE taskevents.streams DROP CONSTRAINT streams_pkey'],
    [streams => 'ALTER TABLE taskevents.streams RESET (fillfactor)'],
    [outbox => 'ALTER TABLE taskevents.outbox ALTER shard DROP EXPRESSION'],
    [outbox => 'CREATE OR REPLACE FUNCTION taskevents.shard_of(user_id text) RETURNS smallint
                LANGUAGE sql IMMUTABLE RETURN 0::smallint'],
    [outbox => 'ALTER TABLE taskevents.outbox RESET (autovacuum_vacuum_scale_factor)'],
    [processed_events => 'DROP INDEX taskevents.processed_events_user_position'],
    [dead_letters => 'ALTER TABLE taskevents.dead_letters DROP CONSTRAINT dead_letters_state_known'],
    [dead_letters => 'ALTER TABLE taskevents.dead_letters ALTER id DROP IDENTITY'],
    [recurrence => 'DROP FUNCTION taskevents.next_due'],
    [idempotency_keys => 'ALTER TABLE taskevents.idempotency_keys DROP COLUMN fingerprint'],
    [idempotency_keys => 'DROP INDEX taskevents.idempotency_keys_oldest'],
    [idempotency_keys => 'ALTER TABLE taskevents.idempotency_keys DROP CONSTRAINT idempotency_keys_pkey'],
    [idempotency_keys => 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
                          LANGUAGE sql IMMUTABLE RETURN 1'],
    [series_gone => 'ALTER TABLE taskevents.series DROP COLUMN gone'],
    [series_gone => 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
                     LANGUAGE sql IMMUTABLE RETURN 2'],
    [zone_names => 'CREATE OR REPLACE FUNCTION taskevents.zone_named(name text) RETURNS text
                    LANGUAGE sql IMMUTABLE RETURN name'],
    [task_search => 'DROP INDEX taskevents.tasks_user_due'],
    [task_search => 'DROP FUNCTION taskevents.fold'],
    [task_search => 'CREATE OR REPLACE FUNCTION taskevents.fold(word text) RETURNS text
                     LANGUAGE sql IMMUTABLE RETURN lower(word COLLATE "C")'],
    [event_counts => 'ALTER TABLE taskevents.event_counts DROP CONSTRAINT event_counts_pkey'],
    [event_counts => 'ALTER TABLE taskevents.event_counts ALTER type TYPE text COLLATE "default"'],
    [event_counts => 'ALTER TABLE taskevents.event_counts DROP CONSTRAINT event_counts_quarter_begins'],
    [event_counts => 'ALTER TABLE taskevents.event_counts RESET (fillfactor)'],
    [event_counts => q{CREATE OR REPLACE FUNCTION taskevents.quarter_of(at timestamptz) RETURNS timestamptz
                     LANGUAGE sql IMMUTABLE RETURN date_trunc('hour', at, 'UTC')}],
    [event_counts => 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
                      LANGUAGE sql IMMUTABLE RETURN 2'],
    [dead_letter_work => 'ALTER TABLE taskevents.dead_letters ALTER alert_id DROP DEFAULT'],
    [dead_letter_work => 'ALTER TABLE taskevents.dead_letters DROP COLUMN closed_by'],
    [dead_letter_work => 'ALTER TABLE taskevents.dead_letters DROP CONSTRAINT dead_letters_alert_state_known'],
    [dead_letter_work => 'ALTER TABLE taskevents.dead_letters DROP CONSTRAINT dead_letters_alert_attempts_counted'],
    map({ [dead_letter_work => "DROP INDEX taskevents.$_"] }
        qw(dead_letters_state dead_letters_open_reason dead_letters_alerts dead_letters_oldest processed_events_oldest)),
    [dead_letter_work => 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
                          LANGUAGE sql IMMUTABLE RETURN 3'],
    [reminders => 'ALTER TABLE taskevents.tasks DROP COLUMN due_since'],
    [reminders => 'ALTER TABLE taskevents.reminders DROP COLUMN job_retry_at'],
    [reminders => 'DROP INDEX taskevents.reminders_one_scheduled'],
    [reminders => 'ALTER TABLE taskevents.reminders DROP CONSTRAINT reminders_task_id_due_since_key'],
    [reminders => 'ALTER TABLE taskevents.reminders DROP CONSTRAINT reminders_state_known'],
    [reminders => 'DROP TABLE taskevents.notifications'],
    [reminders => 'ALTER TABLE taskevents.notifications DROP CONSTRAINT notifications_reminder_id_key'],
    [reminders => 'DROP INDEX taskevents.notifications_unread'],
    [reminders => 'CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
                   LANGUAGE sql IMMUTABLE RETURN 4'],
);
for my $case (@sabotage) {
    my ($change, $sql) = @$case;
    my ($exit, $said) = psql_script(
        "\\set VERBOSITY terse\nSET client_min_messages = error;\nBEGIN;\n$sql;\n\\echo done\n\\i "
        . migrations() . "/verify/$change.sql\n");
    # 3: psql's word for a script that failed; "done": and not by the sabotage itself
    ok $exit == 3 && $said =~ /^done$/m, "verify/$change notices: " . $sql =~ s/\s+/ /gr or diag $said;
}

done_testing;
