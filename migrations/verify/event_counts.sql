-- Verify taskevents:event_counts on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
DECLARE
    missing text;
    probe record;
    refused_by text;
BEGIN
    -- columns: name, type, collation, NOT NULL
    SELECT string_agg(want, E'\n') INTO missing FROM (
        VALUES
            ('user_id text collate C not null'),
            ('quarter timestamp with time zone not null'),
            ('type text collate C not null'),
            ('n bigint not null')
        EXCEPT
        SELECT format('%s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                      CASE WHEN l.collname = 'C' THEN ' collate C' ELSE '' END,
                      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END)
          FROM pg_attribute a
          LEFT JOIN pg_collation l ON l.oid = a.attcollation
         WHERE a.attrelid = to_regclass('taskevents.event_counts') AND NOT a.attisdropped) AS wanted (want);
    ASSERT missing IS NULL, E'columns missing or different:\n' || missing;

    ASSERT (SELECT pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = 'taskevents.event_counts'::regclass AND conname = 'event_counts_pkey')
           = 'PRIMARY KEY (user_id, quarter, type)', 'the key is another one';
    ASSERT (SELECT 'fillfactor=70' = ANY (reloptions) FROM pg_class
             WHERE oid = 'taskevents.event_counts'::regclass), 'another fillfactor';
    ASSERT taskevents.quarter_of('1999-12-31 23:59:59.999999+00') = '1999-12-31 23:45:00+00'
       AND taskevents.quarter_of('2026-01-01 00:15:00+00') = '2026-01-01 00:15:00+00',
           'quarters of an hour begin elsewhere';
    ASSERT taskevents.schema_version() >= 3, 'the schema version was not raised';

    -- a row that breaks one rule each; nothing is kept
    FOR probe IN SELECT * FROM (VALUES
        ('event_counts_quarter_begins',
         $q$INSERT INTO taskevents.event_counts VALUES ('u', '2026-01-01 00:01:00+00', 't', 1)$q$),
        ('event_counts_counted',
         $q$INSERT INTO taskevents.event_counts VALUES ('u', '2026-01-01 00:15:00+00', 't', 0)$q$)
    ) AS p (broken, statement)
    LOOP
        BEGIN
            EXECUTE probe.statement;
            RAISE assert_failure USING MESSAGE = probe.broken || ' let a bad row in';
        EXCEPTION WHEN check_violation THEN
            GET STACKED DIAGNOSTICS refused_by = CONSTRAINT_NAME;
            ASSERT refused_by = probe.broken,
                format('%s refused what %s should have', refused_by, probe.broken);
        END;
    END LOOP;
END
$$;

ROLLBACK;
