-- Verify taskevents:schema on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
BEGIN
    ASSERT taskevents.schema_version() >= 1, 'schema_version() is not a number from 1';
    ASSERT (SELECT provolatile = 'i' FROM pg_proc
             WHERE oid = 'taskevents.schema_version()'::regprocedure),
        'schema_version() is not IMMUTABLE';
    ASSERT current_setting('server_encoding') = 'UTF8', 'the database is not UTF8';
END
$$;

ROLLBACK;
