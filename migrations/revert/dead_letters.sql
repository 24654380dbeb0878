-- Revert taskevents:dead_letters from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP TABLE taskevents.dead_letters;

COMMIT;
