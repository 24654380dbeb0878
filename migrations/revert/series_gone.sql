-- Revert taskevents:series_gone from pg

BEGIN;

ALTER TABLE taskevents.series DROP COLUMN gone;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 5;

COMMIT;
