-- Verify taskevents:zone_names on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
BEGIN
    ASSERT taskevents.zone_named('cet') = 'Europe/Brussels', 'an abbreviation is taken for its zone';
    ASSERT taskevents.zone_named('Europe/Berlin') = 'Europe/Berlin', 'another name is not kept';
    ASSERT taskevents.next_due('2026-03-28 08:00+00', '2026-03-28 08:00+00', 'CET', 'daily', NULL)
           = '2026-03-29 07:00+00', 'CET has no summer time';
END
$$;

ROLLBACK;
