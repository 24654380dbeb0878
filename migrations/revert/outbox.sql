-- Revert taskevents:outbox from pg

BEGIN;

DROP TABLE taskevents.outbox;
DROP FUNCTION taskevents.shard_of(text);

COMMIT;
