-- Deploy taskevents:idempotency_keys to pg
--
-- The answer to a request that carried an Idempotency-Key, stored in the same
-- transaction as what the request changed: a crash leaves both or neither.

BEGIN;
SET LOCAL lock_timeout = '500ms';

CREATE TABLE taskevents.idempotency_keys (
    user_id     text        COLLATE "C" NOT NULL,
    scope       text        COLLATE "C" NOT NULL,       -- method and path
    key         text        COLLATE "C" NOT NULL,
    fingerprint uuid        NOT NULL,                   -- of the request's body
    status      smallint    NOT NULL,
    etag        text,
    location    text,
    body        text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, scope, key),
    CONSTRAINT idempotency_keys_key_length CHECK (char_length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_only_success CHECK (status BETWEEN 200 AND 299)
);

-- the order in which they are forgotten
CREATE INDEX idempotency_keys_oldest ON taskevents.idempotency_keys (created_at);

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 2;

COMMIT;
