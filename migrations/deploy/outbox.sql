-- Deploy taskevents:outbox to pg
--
-- An event is a row here from the commit of its change until the transport has
-- accepted it; then the row is deleted. A healthy outbox is empty.

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- The shard of a user: which of 16 advisory locks a publisher holds to send
-- this user's events. Fixed here, and not hashtext(), which may change between
-- major versions. Another number of shards is a migration with an empty outbox.
-- One expression, IMMUTABLE and not STRICT, so that the planner can inline it.
-- A user id has no backslash, so the cast to bytea takes it byte by byte.
CREATE FUNCTION taskevents.shard_of(user_id text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (get_byte(sha256(user_id::bytea), 0) & 15)::smallint;

CREATE TABLE taskevents.outbox (
    shard      smallint    GENERATED ALWAYS AS (taskevents.shard_of(user_id)) STORED NOT NULL,
    user_id    text        COLLATE "C" NOT NULL,
    topic      text        COLLATE "C" NOT NULL,
    sequence   bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    event      text        NOT NULL,                        -- the envelope as it is sent
    attempts   integer     NOT NULL DEFAULT 0,
    retry_at   timestamptz NOT NULL DEFAULT '-infinity',    -- never NULL: "due" is one comparison
    last_error text,

    -- in the order the publisher reads: its shards, then streams, then events;
    -- no other index, every one would be paid for by every write
    CONSTRAINT outbox_pkey PRIMARY KEY (shard, user_id, topic, sequence),
    CONSTRAINT outbox_sequence_positive CHECK (sequence >= 1),
    CONSTRAINT outbox_attempts_counted CHECK (attempts >= 0)
)
WITH (
    -- A queue: as many rows die as are born, and the size to measure a share of
    -- is near 0. So count dead rows: at 2,000 (about 300 pages) the skip scan
    -- over dead index entries starts to show in the publisher's read.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    -- insert-only phases are a backlog; vacuuming it early gains nothing
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000,
    -- statistics of "empty" and "full" alternate; a fixed step keeps them fresh
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000,
    -- the table is small: finish instead of sleeping between pages
    autovacuum_vacuum_cost_delay = 0,
    -- cutting the empty end off takes an exclusive lock, only to grow again
    vacuum_truncate = off,
    -- long events live in the TOAST table, which dies at the same rate
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 2000,
    toast.autovacuum_vacuum_cost_delay = 0,
    toast.vacuum_truncate = off
);

COMMIT;
