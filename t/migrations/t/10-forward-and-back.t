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

is connect_db()->selectrow_array('SELECT taskevents.schema_version()'), 5, 'schema version';

# one change back with rows in it, and forward again: the others stay as they are
my $db = connect_db();
$db->do(q{INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
          VALUES (1, 'alice', 'stays', gen_random_uuid(), now(), now())});
$db->do(q{INSERT INTO taskevents.idempotency_keys (user_id, scope, key, fingerprint, status, body)
          VALUES ('alice', 'POST /api/alice/tasks', 'k', gen_random_uuid(), 201, '{}')});
$db->do(q{INSERT INTO taskevents.reminders (id, task_id, user_id, due_date, due_since, remind_at, event_id,
            correlation_id, traceparent)
          VALUES (gen_random_uuid(), 1, 'alice', now() + interval '2 days', now(), now() + interval '1 day',
            gen_random_uuid(), 'c', '00-')});
$db->do(q{INSERT INTO taskevents.notifications (user_id, type, title, message, task_id, reminder_id)
          VALUES ('alice', 'task_reminder', 'stays', 'm', 1, gen_random_uuid())});
$db->disconnect;
my $whole = schema_dump();
for my $change (qw(reminders task_search idempotency_keys)) {
    ($status, $output) = sqitch('revert', '-y', '--to', "$change^");
    is $status, 0, "$change back" or diag $output;
}
is connect_db()->selectrow_array('SELECT taskevents.schema_version()'), 1, 'as an older build knows it';
is connect_db()->selectrow_array('SELECT title FROM taskevents.tasks'), 'stays', 'tasks stay';
($status, $output) = sqitch('deploy');
is $status, 0, 'and forward' or diag $output;
is schema_dump(), $whole, 'the same as before';
connect_db()->do('DELETE FROM taskevents.tasks');

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
    [task_search => 'DROP INDEX taskevents.tasks_user_due'],
    [task_search => 'DROP FUNCTION taskevents.fold'],
    [task_search => 'CREATE OR REPLACE FUNCTION taskevents.fold(word text) RETURNS text
                     LANGUAGE sql IMMUTABLE RETURN lower(word COLLATE "C")'],
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
