-- Verify taskevents:outbox on pg

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
            ('outbox.shard smallint not null generated'),
            ('outbox.user_id text collate C not null'),
            ('outbox.topic text collate C not null'),
            ('outbox.sequence bigint not null'),
            ('outbox.event_id uuid not null'),
            ('outbox.event text not null'),
            ('outbox.attempts integer not null default 0'),
            ('outbox.retry_at timestamp with time zone not null default ''-infinity''::timestamp with time zone'),
            ('outbox.last_error text')
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
            ('outbox_pkey PRIMARY KEY (shard, user_id, topic, sequence)'),
            ('outbox_sequence_positive CHECK'),
            ('outbox_attempts_counted CHECK')
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
        ('outbox_sequence_positive',
         $q$INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id, event, attempts)
            VALUES ('u', 'tasks', 0, '00000000-0000-4000-8000-000000000001', '{}', 0)$q$),
        ('outbox_attempts_counted',
         $q$INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id, event, attempts)
            VALUES ('u', 'tasks', 1, '00000000-0000-4000-8000-000000000001', '{}', -1)$q$)
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

    -- the values are part of the schema: another function is another sharding
    ASSERT (taskevents.shard_of('alice'), taskevents.shard_of('bob'), taskevents.shard_of('')) = (11, 1, 3),
        'shard_of() is not sha256 and 15';
    ASSERT (SELECT 'autovacuum_vacuum_scale_factor=0' = ANY (reloptions) FROM pg_class
             WHERE oid = 'taskevents.outbox'::regclass), 'outbox has no autovacuum settings of its own';
END
$$;

ROLLBACK;
