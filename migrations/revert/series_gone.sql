-- Revert taskevents:series_gone from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

ALTER TABLE taskevents.series DROP COLUMN gone;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 5;

COMMIT;
