-- Revert taskevents:schema from pg
-- No CASCADE: a schema that still holds something is not ours to drop.

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP FUNCTION taskevents.schema_version();
DROP SCHEMA taskevents;

COMMIT;
