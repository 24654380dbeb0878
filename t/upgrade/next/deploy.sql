-- A schema of the future, as the rules in docs/upgrading.md let one come: columns,
-- a table, an index and a function more, and a function that does more.

DROP INDEX CONCURRENTLY IF EXISTS taskevents.future_tasks;
CREATE INDEX CONCURRENTLY future_tasks ON taskevents.tasks (user_id, updated_at);

BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.tasks
    ADD COLUMN IF NOT EXISTS future_place text,
    ADD COLUMN IF NOT EXISTS future_rank integer NOT NULL DEFAULT 0;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.outbox ADD COLUMN IF NOT EXISTS future_mark text;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.processed_events ADD COLUMN IF NOT EXISTS future_seen boolean NOT NULL DEFAULT false;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.series ADD COLUMN IF NOT EXISTS future_note jsonb;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.streams ADD COLUMN IF NOT EXISTS future_at timestamptz;
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.reminders ADD COLUMN IF NOT EXISTS future_way text NOT NULL DEFAULT 'app';
COMMIT;
BEGIN;
SET LOCAL lock_timeout = '500ms';
ALTER TABLE taskevents.dead_letters ADD COLUMN IF NOT EXISTS future_team text;
COMMIT;

BEGIN;
CREATE TABLE taskevents.future_places (id bigint PRIMARY KEY, place text NOT NULL);

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1000;
COMMIT;
