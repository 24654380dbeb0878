-- Revert taskevents:dead_letter_work from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP INDEX taskevents.processed_events_oldest;
DROP INDEX taskevents.dead_letters_oldest;
DROP INDEX taskevents.dead_letters_open_reason;
DROP INDEX taskevents.dead_letters_state;
ALTER TABLE taskevents.dead_letters
    DROP COLUMN alert_at,
    DROP COLUMN alert_attempts,
    DROP COLUMN alert_state,
    DROP COLUMN alert_id,
    DROP COLUMN note,
    DROP COLUMN closed_by,
    DROP COLUMN closed_at,
    DROP COLUMN record_offset,
    DROP COLUMN record_partition;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 3;

COMMIT;
