-- Deploy taskevents:processed_events to pg
--
-- What was handled. The primary key is the idempotency memory (a second copy of
-- an event finds its row and does nothing), the rows are the users' history,
-- and one INSERT does both.

BEGIN;
SET LOCAL lock_timeout = '500ms';

CREATE TABLE taskevents.processed_events (
    source       text        COLLATE "C" NOT NULL,
    event_id     text        COLLATE "C" NOT NULL,          -- text: other sources need not use uuids
    user_id      text        COLLATE "C",                   -- NULL = no user of ours
    position     bigint,                                    -- the user's own gapless number
    type         text        NOT NULL,
    task_id      bigint,
    event        text        NOT NULL,
    outcome      text        NOT NULL,
    processed_at timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT processed_events_pkey PRIMARY KEY (source, event_id),
    CONSTRAINT processed_events_position_positive CHECK (position >= 1)
);

-- reads the history in order, and refuses a position given twice
CREATE UNIQUE INDEX processed_events_user_position
    ON taskevents.processed_events (user_id, position)
    WHERE user_id IS NOT NULL;

COMMIT;
