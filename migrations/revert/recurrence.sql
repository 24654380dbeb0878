-- Revert taskevents:recurrence from pg

BEGIN;

DROP FUNCTION taskevents.next_due(timestamptz, timestamptz, text, text, timestamptz);

COMMIT;
