-- Deploy taskevents:schema to pg
--
-- Everything of ours lives in one schema, so that a database can be shared and
-- a revert leaves no trace.

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- Lengths are counted in characters and texts are compared with what C sees:
-- both need UTF-8 in the database itself, not only on the wire.
DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'taskevents needs a database with encoding UTF8, this one has %',
            current_setting('server_encoding');
    END IF;
END
$$;

CREATE SCHEMA taskevents;

-- What a build compares itself with (it wants at least the number it was
-- written for). Every later change that a build depends on replaces this
-- function with the next number.
CREATE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1;

COMMIT;
