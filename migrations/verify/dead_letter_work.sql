-- Verify taskevents:dead_letter_work on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
DECLARE
    missing text;
    probe record;
    refused_by text;
BEGIN
    -- columns: name, type, NOT NULL, default
    SELECT string_agg(want, E'\n') INTO missing FROM (
        VALUES
            ('record_partition integer'),
            ('record_offset bigint'),
            ('closed_at timestamp with time zone'),
            ('closed_by text'),
            ('note text'),
            ('alert_id uuid not null default gen_random_uuid()'),
            ('alert_state text not null default ''none''::text'),
            ('alert_attempts integer not null default 0'),
            ('alert_at timestamp with time zone not null default ''-infinity''::timestamp with time zone')
        EXCEPT
        SELECT format('%s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                      CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
                      coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''))
          FROM pg_attribute a
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = to_regclass('taskevents.dead_letters') AND NOT a.attisdropped) AS wanted (want);
    ASSERT missing IS NULL, E'columns missing or different:\n' || missing;

    SELECT string_agg(want, E'\n') INTO missing FROM (
        VALUES
            ('CREATE INDEX dead_letters_state ON taskevents.dead_letters USING btree (state, id)'),
            ('CREATE INDEX dead_letters_open_reason ON taskevents.dead_letters USING btree (md5(reason), id) WHERE (state = ''open''::text)'),
            ('CREATE INDEX dead_letters_alerts ON taskevents.dead_letters USING btree (alert_at) WHERE (alert_state = ''pending''::text)'),
            ('CREATE INDEX dead_letters_oldest ON taskevents.dead_letters USING btree (COALESCE(closed_at, last_failed_at))'),
            ('CREATE INDEX processed_events_oldest ON taskevents.processed_events USING btree (processed_at)')
        EXCEPT
        SELECT pg_get_indexdef(i.indexrelid)
          FROM pg_index i
          JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'taskevents'::regnamespace AND i.indisvalid) AS wanted (want);
    ASSERT missing IS NULL, E'indexes missing or different:\n' || missing;
    ASSERT taskevents.schema_version() >= 4, 'the schema version was not raised';

    -- a row that breaks one rule each; nothing is kept
    FOR probe IN SELECT * FROM (VALUES
        ('dead_letters_alert_state_known',
         $q$INSERT INTO taskevents.dead_letters
                (stage, event_id, body, body_size, reason, first_failed_at, last_failed_at, alert_state)
            VALUES ('handle', 'e', 'x', 1, 'r', now(), now(), 'maybe')$q$),
        ('dead_letters_alert_attempts_counted',
         $q$INSERT INTO taskevents.dead_letters
                (stage, event_id, body, body_size, reason, first_failed_at, last_failed_at, alert_attempts)
            VALUES ('handle', 'e', 'x', 1, 'r', now(), now(), -1)$q$)
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
