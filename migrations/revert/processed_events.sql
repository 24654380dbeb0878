-- Revert taskevents:processed_events from pg

BEGIN;

DROP TABLE taskevents.processed_events;

COMMIT;
