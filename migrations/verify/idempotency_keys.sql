-- Verify taskevents:idempotency_keys on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

SELECT user_id, scope, key, fingerprint, status, etag, location, body, created_at
  FROM taskevents.idempotency_keys
 WHERE false;

DO $$
BEGIN
    ASSERT to_regclass('taskevents.idempotency_keys_oldest') IS NOT NULL, 'the index is missing';
    ASSERT taskevents.schema_version() >= 2, 'the schema version was not raised';
    ASSERT (SELECT pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = 'taskevents.idempotency_keys'::regclass
               AND conname = 'idempotency_keys_pkey')
           = 'PRIMARY KEY (user_id, scope, key)', 'the key is another one';
END
$$;

ROLLBACK;
