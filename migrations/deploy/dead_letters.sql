-- Deploy taskevents:dead_letters to pg
--
-- Events given up on. Never retried by themselves: an operator redrives or
-- discards them. The body is kept as bytes, because it may be anything.

BEGIN;
SET LOCAL lock_timeout = '500ms';

CREATE TABLE taskevents.dead_letters (
    id              bigint      GENERATED ALWAYS AS IDENTITY,
    stage           text        NOT NULL,   -- where it was given up on
    source          text        NOT NULL DEFAULT '',
    event_id        text        NOT NULL,   -- of the event, or a digest of a body that has none
    topic           text,
    user_id         text,
    body            bytea       NOT NULL,   -- as it came; only the head of one over the cap
    body_size       bigint      NOT NULL,   -- of what came
    reason          text        NOT NULL,
    attempts        integer     NOT NULL DEFAULT 0,
    state           text        NOT NULL DEFAULT 'open',
    first_failed_at timestamptz NOT NULL,
    last_failed_at  timestamptz NOT NULL,

    CONSTRAINT dead_letters_pkey PRIMARY KEY (id),
    -- the same event failing at the same stage again is the same letter
    CONSTRAINT dead_letters_stage_source_event_id_key UNIQUE (stage, source, event_id),
    CONSTRAINT dead_letters_stage_known CHECK (stage IN ('publish', 'handle', 'malformed', 'deadletter')),
    CONSTRAINT dead_letters_state_known CHECK (state IN ('open', 'redriven', 'discarded')),
    CONSTRAINT dead_letters_body_size_covers CHECK (body_size >= octet_length(body)),
    CONSTRAINT dead_letters_attempts_counted CHECK (attempts >= 0)
);

COMMIT;
