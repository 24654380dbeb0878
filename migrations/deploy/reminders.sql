-- Deploy taskevents:reminders to pg
--
-- When a task is to be remembered, and what its user is told then. The rows
-- decide; the job that a scheduler may hold for a reminder is only a trigger.

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- Since when this due date stands for an open task: the time of the last change
-- that set it or reopened the task. Whether a task is due "more than the lead
-- away" is judged at this instant, and so the same however late, in whatever
-- order and how often its events are handled. NULL: written by an older build.
ALTER TABLE taskevents.tasks ADD COLUMN due_since timestamptz;

CREATE TABLE taskevents.reminders (
    id             uuid        NOT NULL,
    task_id        bigint      NOT NULL,
    user_id        text        COLLATE "C" NOT NULL,
    due_date       timestamptz NOT NULL,                    -- of the task, and
    due_since      timestamptz NOT NULL,                    -- since when: what this reminder is for
    remind_at      timestamptz NOT NULL,
    state          text        NOT NULL DEFAULT 'scheduled',
    reason         text,                                    -- of a cancelled one
    event_id       uuid        NOT NULL,                    -- its reminder.scheduled, which causes what follows
    correlation_id text        NOT NULL,
    traceparent    text        NOT NULL,
    scheduled_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    -- its job: wanted -> made -> gone, unwanted -> gone; none: jobs are off
    job_state      text        NOT NULL DEFAULT 'none',
    job_attempts   integer     NOT NULL DEFAULT 0,
    job_retry_at   timestamptz NOT NULL DEFAULT '-infinity',

    CONSTRAINT reminders_pkey PRIMARY KEY (id),
    -- one for each time that a due date is set, for ever: a copy or a late event
    -- finds the row, triggered or not
    CONSTRAINT reminders_task_id_due_since_key UNIQUE (task_id, due_since),
    CONSTRAINT reminders_before_due CHECK (remind_at <= due_date),
    CONSTRAINT reminders_state_known CHECK (state IN ('scheduled', 'triggered', 'cancelled')),
    CONSTRAINT reminders_ended_has_time CHECK ((state = 'scheduled') = (ended_at IS NULL)),
    CONSTRAINT reminders_cancelled_has_reason CHECK ((state = 'cancelled') = (reason IS NOT NULL)),
    CONSTRAINT reminders_job_state_known CHECK (job_state IN ('none', 'wanted', 'made', 'unwanted', 'gone')),
    CONSTRAINT reminders_job_attempts_counted CHECK (job_attempts >= 0)
)
-- Each row is updated once or twice: room for that beside it.
WITH (fillfactor = 80);

CREATE UNIQUE INDEX reminders_one_scheduled ON taskevents.reminders (task_id) WHERE state = 'scheduled';
CREATE INDEX reminders_due ON taskevents.reminders (remind_at, id) WHERE state = 'scheduled';
CREATE INDEX reminders_jobs ON taskevents.reminders (remind_at) WHERE job_state IN ('wanted', 'unwanted');
CREATE INDEX reminders_ended ON taskevents.reminders (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE taskevents.notifications (
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    user_id     text        COLLATE "C" NOT NULL,
    type        text        NOT NULL,
    title       text        NOT NULL,
    message     text        NOT NULL,
    task_id     bigint      NOT NULL,
    reminder_id uuid,                                       -- what it is about
    data        json        NOT NULL DEFAULT '{}',
    read_at     timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT notifications_pkey PRIMARY KEY (id),
    -- a reminder tells its user once
    CONSTRAINT notifications_reminder_id_key UNIQUE (reminder_id),
    CONSTRAINT notifications_type_known CHECK (type IN ('task_reminder')),
    CONSTRAINT notifications_reminder_named CHECK (type <> 'task_reminder' OR reminder_id IS NOT NULL)
);

-- one user's newest first, all or the unread ones: ids grow with the time
CREATE INDEX notifications_newest ON taskevents.notifications (user_id, id DESC);
CREATE INDEX notifications_unread ON taskevents.notifications (user_id, id DESC) WHERE read_at IS NULL;
-- the order in which they are forgotten
CREATE INDEX notifications_oldest ON taskevents.notifications (created_at);

CREATE OR REPLACE FUNCTION taskevents.schema_version() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN 5;

COMMIT;
