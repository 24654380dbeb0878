-- Deploy taskevents:event_counts to pg
--
-- How many events of a type a user had, counted in the statement that marks an
-- event as handled: exact whatever is delivered twice.
--
-- Counted by quarters of an hour and not by days, because whose days? All zones
-- in use are whole quarters away from UTC (Kathmandu +05:45, Chatham +12:45), so
-- the days of any of them are sums of these rows, across daylight saving too:
--
--     SELECT (quarter AT TIME ZONE 'Asia/Kathmandu')::date AS day, type, sum(n)
--       FROM taskevents.event_counts
--      WHERE user_id = 'alice' AND quarter >= … AND quarter < …
--      GROUP BY day, type
--
-- The quarter is that of the event's own time, when the thing happened, not of
-- when it was handled: what an outage delayed counts for the day it was done.

BEGIN;
SET LOCAL lock_timeout = '500ms';

CREATE TABLE taskevents.event_counts (
    user_id text        COLLATE "C" NOT NULL,
    quarter timestamptz NOT NULL,                       -- where the quarter of an hour begins
    type    text        COLLATE "C" NOT NULL,
    n       bigint      NOT NULL,

    CONSTRAINT event_counts_pkey PRIMARY KEY (user_id, quarter, type),
    CONSTRAINT event_counts_quarter_begins CHECK (
        quarter = date_bin('15 minutes', quarter, timestamptz '2000-01-01 00:00:00+00')),
    CONSTRAINT event_counts_counted CHECK (n >= 1)
)
-- counting up is a HOT update: no index entry is written
WITH (fillfactor = 70);

-- Where an instant's quarter of an hour begins.
CREATE FUNCTION taskevents.quarter_of(at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN date_bin('15 minutes', at, timestamptz '2000-01-01 00:00:00+00');

-- what was handled before this table was there
INSERT INTO taskevents.event_counts (user_id, quarter, type, n)
SELECT user_id, quarter, type, count(*)
  FROM (SELECT user_id, type,
               taskevents.quarter_of(coalesce((event::json ->> 'time')::timestamptz, processed_at)) AS quarter
          FROM taskevents.processed_events
         WHERE user_id IS NOT NULL) AS handled
 GROUP BY user_id, quarter, type;

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 3;

COMMIT;
