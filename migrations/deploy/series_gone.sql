-- Deploy taskevents:series_gone to pg
--
-- What is needed to make the next task of a series whose last one was deleted
-- complete before any of its completions was handled. Events alone would not do:
-- completed, reopened, changed and completed again, a task has several, and
-- whichever of them comes first would decide.

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- NULL but from such a deletion until the next task is made
ALTER TABLE taskevents.series ADD COLUMN gone jsonb;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 6;

COMMIT;
