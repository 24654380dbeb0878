-- Revert taskevents:dead_letters from pg

BEGIN;

DROP TABLE taskevents.dead_letters;

COMMIT;
