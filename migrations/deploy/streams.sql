-- Deploy taskevents:streams to pg
--
-- One counter per user and stream (a topic, or the user's history position),
-- bumped inside the statement that writes. Its row lock orders the commits of
-- one stream and makes the numbers gapless: a rolled-back writer takes none.

BEGIN;
SET LOCAL lock_timeout = '500ms';

CREATE TABLE taskevents.streams (
    user_id text   COLLATE "C" NOT NULL,
    name    text   COLLATE "C" NOT NULL,
    last    bigint NOT NULL,

    CONSTRAINT streams_pkey PRIMARY KEY (user_id, name),
    CONSTRAINT streams_last_counted CHECK (last >= 0)
)
-- Every write updates one row here. Half-empty pages keep those updates HOT:
-- no index entry is written and the page cleans itself up.
WITH (fillfactor = 50);

COMMIT;
