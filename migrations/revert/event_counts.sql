-- Revert taskevents:event_counts from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP FUNCTION taskevents.quarter_of;
DROP TABLE taskevents.event_counts;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 2;

COMMIT;
