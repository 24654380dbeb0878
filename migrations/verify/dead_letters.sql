-- Verify taskevents:dead_letters on pg

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
            ('dead_letters.id bigint not null identity'),
            ('dead_letters.stage text not null'),
            ('dead_letters.source text not null default ''''::text'),
            ('dead_letters.event_id text not null'),
            ('dead_letters.topic text'),
            ('dead_letters.user_id text'),
            ('dead_letters.body bytea not null'),
            ('dead_letters.body_size bigint not null'),
            ('dead_letters.reason text not null'),
            ('dead_letters.attempts integer not null default 0'),
            ('dead_letters.state text not null default ''open''::text'),
            ('dead_letters.first_failed_at timestamp with time zone not null'),
            ('dead_letters.last_failed_at timestamp with time zone not null')
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
            ('dead_letters_pkey PRIMARY KEY (id)'),
            ('dead_letters_stage_source_event_id_key UNIQUE (stage, source, event_id)'),
            ('dead_letters_stage_known CHECK'),
            ('dead_letters_state_known CHECK'),
            ('dead_letters_body_size_covers CHECK'),
            ('dead_letters_attempts_counted CHECK')
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
        ('dead_letters_stage_known',
         $q$INSERT INTO taskevents.dead_letters
                (stage, event_id, body, body_size, reason, attempts, state, first_failed_at, last_failed_at)
            VALUES ('lost', 'e', 'x', 1, 'r', 0, 'open', now(), now())$q$),
        ('dead_letters_state_known',
         $q$INSERT INTO taskevents.dead_letters
                (stage, event_id, body, body_size, reason, attempts, state, first_failed_at, last_failed_at)
            VALUES ('handle', 'e', 'x', 1, 'r', 0, 'closed', now(), now())$q$),
        ('dead_letters_body_size_covers',
         $q$INSERT INTO taskevents.dead_letters
                (stage, event_id, body, body_size, reason, attempts, state, first_failed_at, last_failed_at)
            VALUES ('handle', 'e', 'x', 0, 'r', 0, 'open', now(), now())$q$),
        ('dead_letters_attempts_counted',
         $q$INSERT INTO taskevents.dead_letters
                (stage, event_id, body, body_size, reason, attempts, state, first_failed_at, last_failed_at)
            VALUES ('handle', 'e', 'x', 1, 'r', -1, 'open', now(), now())$q$)
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
