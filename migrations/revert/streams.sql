-- Revert taskevents:streams from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP TABLE taskevents.streams;

COMMIT;
