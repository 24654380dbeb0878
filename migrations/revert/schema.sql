-- Revert taskevents:schema from pg
-- No CASCADE: a schema that still holds something is not ours to drop.

BEGIN;

DROP FUNCTION taskevents.schema_version();
DROP SCHEMA taskevents;

COMMIT;
