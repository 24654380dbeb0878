-- Revert taskevents:zone_names from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- The smallest anchor + k intervals (k >= 1), counted by the wall clock of the
-- zone, that is later than due and, unless NULL, later than not_before. Counting
-- from the anchor keeps the day of the month: 31 Jan, 28 Feb, 31 Mar.
-- NULL: an argument is missing or out of the years 1 to 9999, or the answer is.
--
-- No loop over time: the dates give k to within one, and the zone can move an
-- instant against its wall clock by at most a day (Samoa had no 30 Dec 2011),
-- so six candidates hold the answer, fifty years away as well as tomorrow.
CREATE OR REPLACE FUNCTION taskevents.next_due(
    anchor timestamptz, due timestamptz, zone text, recurring_interval text,
    not_before timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    the_start CONSTANT timestamptz := '0001-01-01 00:00:00+00';
    the_end CONSTANT timestamptz := '10000-01-01 00:00:00+00';
    later_than timestamptz := greatest(due, not_before);    -- ignores a NULL
    step interval;
    wall timestamp;             -- the anchor on the wall
    mark timestamp;             -- later_than on the wall
    k integer;                  -- intervals from wall to about mark
    answer timestamptz;
BEGIN
    IF anchor IS NULL OR due IS NULL OR zone IS NULL OR recurring_interval IS NULL
       OR anchor < the_start OR anchor >= the_end
       OR later_than < the_start OR later_than >= the_end THEN
        RETURN NULL;
    END IF;
    wall := anchor AT TIME ZONE zone;
    mark := later_than AT TIME ZONE zone;

    CASE recurring_interval
        WHEN 'daily' THEN
            step := '1 day';
            k := mark::date - wall::date;
        WHEN 'weekly' THEN
            step := '7 days';
            k := (mark::date - wall::date) / 7;
        WHEN 'monthly' THEN
            step := '1 month';
            -- a year on: west of Greenwich the_start is in 1 BC, and there is no year 0
            k := (extract(year FROM mark + step * 12) - extract(year FROM wall + step * 12)) * 12
               + extract(month FROM mark) - extract(month FROM wall);
        ELSE
            RAISE invalid_parameter_value
                USING MESSAGE = format('recurring interval %L is not daily, weekly or monthly',
                                       recurring_interval);
    END CASE;

    SELECT min(t.at) INTO answer
      FROM generate_series(greatest(k - 2, 1), greatest(k + 3, 1)) AS n,
           LATERAL (SELECT (wall + n * step) AT TIME ZONE zone AS at) AS t
     WHERE t.at > later_than;

    RETURN CASE WHEN answer < the_end THEN answer END;
END
$$;

DROP FUNCTION taskevents.zone_named(text);

COMMIT;
