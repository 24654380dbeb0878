-- Revert taskevents:streams from pg

BEGIN;

DROP TABLE taskevents.streams;

COMMIT;
