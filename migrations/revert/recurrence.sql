-- Revert taskevents:recurrence from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP FUNCTION taskevents.next_due(timestamptz, timestamptz, text, text, timestamptz);

COMMIT;
