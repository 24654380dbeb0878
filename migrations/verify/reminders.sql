-- Verify taskevents:reminders on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

SELECT due_since FROM taskevents.tasks WHERE false;

SELECT id, task_id, user_id, due_date, due_since, remind_at, state, reason, event_id, correlation_id,
       traceparent, scheduled_at, ended_at, job_state, job_attempts, job_retry_at
  FROM taskevents.reminders
 WHERE false;

SELECT id, user_id, type, title, message, task_id, reminder_id, data, read_at, created_at
  FROM taskevents.notifications
 WHERE false;

DO $$
DECLARE
    missing text;
BEGIN
    ASSERT taskevents.schema_version() >= 5, 'the schema version was not raised';

    -- keys and indexes, whole; checks by name
    SELECT string_agg(want, E'\n') INTO missing FROM (
        VALUES
            ('reminders_pkey PRIMARY KEY (id)'),
            ('reminders_task_id_due_since_key UNIQUE (task_id, due_since)'),
            ('reminders_before_due CHECK'),
            ('reminders_state_known CHECK'),
            ('reminders_ended_has_time CHECK'),
            ('reminders_cancelled_has_reason CHECK'),
            ('reminders_job_state_known CHECK'),
            ('reminders_job_attempts_counted CHECK'),
            ('notifications_pkey PRIMARY KEY (id)'),
            ('notifications_reminder_id_key UNIQUE (reminder_id)'),
            ('notifications_type_known CHECK'),
            ('notifications_reminder_named CHECK'),
            ('CREATE UNIQUE INDEX reminders_one_scheduled ON taskevents.reminders USING btree (task_id) WHERE (state = ''scheduled''::text)'),
            ('CREATE INDEX reminders_due ON taskevents.reminders USING btree (remind_at, id) WHERE (state = ''scheduled''::text)'),
            ('CREATE INDEX reminders_jobs ON taskevents.reminders USING btree (remind_at) WHERE (job_state = ANY (ARRAY[''wanted''::text, ''unwanted''::text]))'),
            ('CREATE INDEX reminders_ended ON taskevents.reminders USING btree (ended_at) WHERE (ended_at IS NOT NULL)'),
            ('CREATE INDEX notifications_newest ON taskevents.notifications USING btree (user_id, id DESC)'),
            ('CREATE INDEX notifications_unread ON taskevents.notifications USING btree (user_id, id DESC) WHERE (read_at IS NULL)'),
            ('CREATE INDEX notifications_oldest ON taskevents.notifications USING btree (created_at)')
        EXCEPT
        SELECT format('%s %s', c.conname,
                      CASE WHEN c.contype = 'c' THEN 'CHECK' ELSE pg_get_constraintdef(c.oid) END)
          FROM pg_constraint c
         WHERE c.connamespace = 'taskevents'::regnamespace AND c.convalidated
        EXCEPT
        SELECT pg_get_indexdef(i.indexrelid)
          FROM pg_index i
          JOIN pg_class c ON c.oid = i.indrelid
         WHERE c.relnamespace = 'taskevents'::regnamespace AND i.indisvalid) AS wanted (want);
    ASSERT missing IS NULL, E'constraints or indexes missing or different:\n' || missing;
END
$$;

ROLLBACK;
