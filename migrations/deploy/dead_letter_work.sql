-- Deploy taskevents:dead_letter_work to pg
--
-- What working with dead letters takes: where the record came from, who closed
-- it and how that went, and the alert about it. And the order in which rows are
-- forgotten.

-- The order in which history is forgotten. Nobody waits for it; what a try left
-- behind that was ended is made anew.
SET client_min_messages = warning;
DROP INDEX CONCURRENTLY IF EXISTS taskevents.processed_events_oldest;
CREATE INDEX CONCURRENTLY processed_events_oldest ON taskevents.processed_events (processed_at);

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- online dead_letters: they are few, and only a delivery that becomes one waits
ALTER TABLE taskevents.dead_letters
    -- of the record that failed, when the sidecar tells
    ADD COLUMN record_partition integer,
    ADD COLUMN record_offset    bigint,
    -- by a redrive or a discard; who, as httpd or we know it
    ADD COLUMN closed_at        timestamptz,
    ADD COLUMN closed_by        text,
    ADD COLUMN note             text,                       -- what came of the last redrive
    -- the alert's identity, the same for each try
    ADD COLUMN alert_id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN alert_state      text        NOT NULL DEFAULT 'none',
    ADD COLUMN alert_attempts   integer     NOT NULL DEFAULT 0,
    ADD COLUMN alert_at         timestamptz NOT NULL DEFAULT '-infinity',   -- of the next try
    ADD CONSTRAINT dead_letters_alert_state_known
        CHECK (alert_state IN ('none', 'pending', 'sent', 'failed')),
    ADD CONSTRAINT dead_letters_alert_attempts_counted CHECK (alert_attempts >= 0);

-- what was closed by hand
UPDATE taskevents.dead_letters SET closed_at = clock_timestamp() WHERE state <> 'open';

-- the lists, newest first, and the open ones of a reason, which may be long
CREATE INDEX dead_letters_state ON taskevents.dead_letters (state, id);
CREATE INDEX dead_letters_open_reason ON taskevents.dead_letters (md5(reason), id) WHERE state = 'open';
-- alerts still to be given
CREATE INDEX dead_letters_alerts ON taskevents.dead_letters (alert_at) WHERE alert_state = 'pending';

-- the order in which they are forgotten
CREATE INDEX dead_letters_oldest ON taskevents.dead_letters ((coalesce(closed_at, last_failed_at)));

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 4;

COMMIT;
