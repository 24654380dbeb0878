-- Revert taskevents:reminders from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 4;

DROP TABLE taskevents.notifications;
DROP TABLE taskevents.reminders;
ALTER TABLE taskevents.tasks DROP COLUMN due_since;

COMMIT;
