-- Revert taskevents:processed_events from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP TABLE taskevents.processed_events;

COMMIT;
