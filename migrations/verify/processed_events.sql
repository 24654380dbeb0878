-- Verify taskevents:processed_events on pg

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
            ('processed_events.source text collate C not null'),
            ('processed_events.event_id text collate C not null'),
            ('processed_events.user_id text collate C'),
            ('processed_events.position bigint'),
            ('processed_events.type text not null'),
            ('processed_events.task_id bigint'),
            ('processed_events.event text not null'),
            ('processed_events.outcome text not null'),
            ('processed_events.processed_at timestamp with time zone not null default clock_timestamp()')
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
            ('processed_events_pkey PRIMARY KEY (source, event_id)'),
            ('processed_events_position_positive CHECK'),
            ('taskevents.processed_events_user_position CREATE UNIQUE INDEX processed_events_user_position ON taskevents.processed_events USING btree (user_id, "position") WHERE (user_id IS NOT NULL)')
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
        ('processed_events_position_positive',
         $q$INSERT INTO taskevents.processed_events (source, event_id, user_id, position, type, event, outcome)
            VALUES ('/s', 'e', 'u', 0, 't', '{}', 'handled')$q$)
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
