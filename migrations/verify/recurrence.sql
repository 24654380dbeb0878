-- Verify taskevents:recurrence on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
BEGIN
    ASSERT taskevents.next_due('2026-01-31 09:00+00', '2026-02-28 09:00+00', 'UTC', 'monthly', NULL)
           = '2026-03-31 09:00+00', 'month end does not keep the day of the anchor';
    ASSERT taskevents.next_due('2026-03-28 08:00+00', '2026-03-28 08:00+00', 'Europe/Berlin', 'daily', NULL)
           = '2026-03-29 07:00+00', 'a change of the clocks is not followed';
    ASSERT taskevents.next_due('2026-01-05 09:00+00', '2026-01-05 09:00+00', 'UTC', 'weekly', '2026-02-01 00:00+00')
           = '2026-02-02 09:00+00', 'not_before is not respected';
    ASSERT taskevents.next_due('9999-12-31 09:00+00', '9999-12-31 09:00+00', 'UTC', 'daily', NULL) IS NULL,
        'an answer after year 9999';
END
$$;

ROLLBACK;
