-- Verify taskevents:series_gone on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
BEGIN
    ASSERT (SELECT format_type(atttypid, atttypmod) = 'jsonb' AND NOT attnotnull
              FROM pg_attribute
             WHERE attrelid = 'taskevents.series'::regclass AND attname = 'gone' AND NOT attisdropped),
        'series keeps nothing of a task that is gone';
    ASSERT taskevents.schema_version() >= 6, 'the schema version was not raised';
END
$$;

ROLLBACK;
