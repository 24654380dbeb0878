-- Revert taskevents:idempotency_keys from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP TABLE taskevents.idempotency_keys;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 1;

COMMIT;
