-- Verify taskevents:streams on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
DECLARE
    missing text;
    probe record;
    refused_by text;
BEGIN
    -- columns: name, type, collation, NOT NULL, default
    SELECT string_agg(want, E'\n') INTO missing FROM (
        VALUES
            ('streams.user_id text collate C not null'),
            ('streams.name text collate C not null'),
            ('streams.last bigint not null')
        EXCEPT
        SELECT format('%s.%s %s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                      CASE WHEN l.collname = 'C' THEN ' collate C' ELSE '' END,
                      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
                      CASE WHEN a.attidentity <> '' THEN ' identity'
                           WHEN a.attgenerated <> '' THEN ' generated'
                           ELSE coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') END)
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
          LEFT JOIN pg_collation l ON l.oid = a.attcollation
         WHERE c.relnamespace = 'taskevents'::regnamespace) AS wanted (want);
    ASSERT missing IS NULL, E'columns missing or different:\n' || missing;

    -- keys and indexes, whole; checks by name here and by a bad row below
    SELECT string_agg(want, E'\n') INTO missing FROM (
        VALUES
            ('streams_pkey PRIMARY KEY (user_id, name)'),
            ('streams_last_counted CHECK')
        EXCEPT
        SELECT format('%s %s', c.conname,
                      CASE WHEN c.contype = 'c' THEN 'CHECK' ELSE pg_get_constraintdef(c.oid) END)
          FROM pg_constraint c
         WHERE c.connamespace = 'taskevents'::regnamespace AND c.convalidated
        EXCEPT
        SELECT format('%s %s', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid))
          FROM pg_index i
          JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'taskevents'::regnamespace AND i.indisvalid) AS wanted (want);
    ASSERT missing IS NULL, E'constraints or indexes missing or different:\n' || missing;

    -- a row that breaks one rule each; nothing is kept
    FOR probe IN SELECT * FROM (VALUES
        ('streams_last_counted',
         $q$INSERT INTO taskevents.streams VALUES ('u', 'tasks', -1)$q$)
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

    ASSERT (SELECT 'fillfactor=50' = ANY (reloptions) FROM pg_class
             WHERE oid = 'taskevents.streams'::regclass), 'streams has another fillfactor';
END
$$;

ROLLBACK;
