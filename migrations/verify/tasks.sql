-- Verify taskevents:tasks on pg

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
            ('tasks.id bigint not null'),
            ('tasks.user_id text collate C not null'),
            ('tasks.title text not null'),
            ('tasks.description text'),
            ('tasks.completed boolean not null default false'),
            ('tasks.completed_at timestamp with time zone'),
            ('tasks.priority smallint not null default 2'),
            ('tasks.tags text[] not null default ''{}''::text[]'),
            ('tasks.due_date timestamp with time zone'),
            ('tasks.time_zone text not null default ''UTC''::text'),
            ('tasks.recurring_interval text'),
            ('tasks.series_id uuid'),
            ('tasks.occurrence integer'),
            ('tasks.version bigint not null default 1'),
            ('tasks.last_event_id uuid not null'),
            ('tasks.created_at timestamp with time zone not null'),
            ('tasks.updated_at timestamp with time zone not null'),
            ('series.series_id uuid not null'),
            ('series.user_id text collate C not null'),
            ('series.last_occurrence integer not null'),
            ('series.anchor_due timestamp with time zone'),
            ('series.time_zone text not null'),
            ('series.recurring_interval text not null'),
            ('series.ended_at timestamp with time zone')
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
            ('tasks_pkey PRIMARY KEY (id)'),
            ('tasks_series_occurrence_key UNIQUE (series_id, occurrence)'),
            ('tasks_id_positive CHECK'),
            ('tasks_user_id_valid CHECK'),
            ('tasks_title_length CHECK'),
            ('tasks_title_trimmed CHECK'),
            ('tasks_description_length CHECK'),
            ('tasks_completed_has_time CHECK'),
            ('tasks_priority_known CHECK'),
            ('tasks_tags_valid CHECK'),
            ('tasks_due_date_range CHECK'),
            ('tasks_time_zone_shape CHECK'),
            ('tasks_interval_known CHECK'),
            ('tasks_recurring_in_series CHECK'),
            ('tasks_series_numbered CHECK'),
            ('tasks_occurrence_positive CHECK'),
            ('tasks_version_positive CHECK'),
            ('series_pkey PRIMARY KEY (series_id)'),
            ('series_last_occurrence_positive CHECK'),
            ('series_interval_known CHECK'),
            ('taskevents.tasks_user_newest CREATE INDEX tasks_user_newest ON taskevents.tasks USING btree (user_id, created_at DESC, id DESC)')
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
        ('tasks_id_positive',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
            VALUES (0, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now())$q$),
        ('tasks_user_id_valid',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
            VALUES (1, 'a b', 't', '00000000-0000-4000-8000-000000000001', now(), now())$q$),
        ('tasks_title_length',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
            VALUES (1, 'u', repeat('t', 201), '00000000-0000-4000-8000-000000000001', now(), now())$q$),
        ('tasks_title_trimmed',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
            VALUES (1, 'u', ' t', '00000000-0000-4000-8000-000000000001', now(), now())$q$),
        ('tasks_description_length',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, description)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), repeat('d', 1001))$q$),
        ('tasks_completed_has_time',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, completed)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), true)$q$),
        ('tasks_priority_known',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, priority)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), 4)$q$),
        ('tasks_tags_valid',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, tags)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), '{a,A}')$q$),
        ('tasks_due_date_range',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, due_date)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), 'infinity')$q$),
        ('tasks_time_zone_shape',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, time_zone)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), '')$q$),
        ('tasks_interval_known',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, recurring_interval, series_id, occurrence)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), 'yearly', '00000000-0000-4000-8000-000000000002', 1)$q$),
        ('tasks_recurring_in_series',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, recurring_interval)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), 'daily')$q$),
        ('tasks_series_numbered',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, series_id)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), '00000000-0000-4000-8000-000000000002')$q$),
        ('tasks_occurrence_positive',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, series_id, occurrence)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), '00000000-0000-4000-8000-000000000002', 0)$q$),
        ('tasks_version_positive',
         $q$INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at, version)
            VALUES (1, 'u', 't', '00000000-0000-4000-8000-000000000001', now(), now(), 0)$q$),
        ('series_last_occurrence_positive',
         $q$INSERT INTO taskevents.series (series_id, user_id, last_occurrence, time_zone, recurring_interval)
            VALUES ('00000000-0000-4000-8000-000000000002', 'u', 0, 'UTC', 'daily')$q$),
        ('series_interval_known',
         $q$INSERT INTO taskevents.series (series_id, user_id, last_occurrence, time_zone, recurring_interval)
            VALUES ('00000000-0000-4000-8000-000000000002', 'u', 1, 'UTC', 'yearly')$q$)
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

    ASSERT (SELECT increment_by = 100 FROM pg_sequences
             WHERE schemaname = 'taskevents' AND sequencename = 'task_ids'),
        'the sequence task_ids does not count in hundreds';
END
$$;

ROLLBACK;
