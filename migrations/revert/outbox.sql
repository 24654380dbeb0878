-- Revert taskevents:outbox from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP TABLE taskevents.outbox;
DROP FUNCTION taskevents.shard_of(text);

COMMIT;
