-- Tasks with reminders that come within :seconds from :start seconds from now,
-- spread evenly, as handling their task.created a day ago would have left them:
-- task 10^9 + i, i from 1 to :reminders, is of user i % :users + 1.
WITH r AS (
    SELECT 1000000000 + i AS id, i, (i % :users + 1)::text AS user_id,
           clock_timestamp() + (:start + i::float8 * :seconds / :reminders) * interval '1 second' AS remind_at
      FROM generate_series(1, :reminders) AS i
), t AS (
    INSERT INTO taskevents.tasks (id, user_id, title, description, priority, tags, due_date,
        last_event_id, created_at, updated_at, due_since)
    SELECT id, user_id, 'Water the plants', 'The ones on the balcony first', 2, '{home,garden}',
           remind_at + interval '24 hours', gen_random_uuid(), now() - interval '1 day',
           now() - interval '1 day', now() - interval '1 day' FROM r)
INSERT INTO taskevents.reminders (id, task_id, user_id, due_date, due_since, remind_at, event_id,
    correlation_id, traceparent, scheduled_at, job_state)
SELECT gen_random_uuid(), id, user_id, remind_at + interval '24 hours', now() - interval '1 day', remind_at,
       gen_random_uuid(), gen_random_uuid()::text, '00-22529ad5eb2a4a9099386434c4396da7-4f689105250b47b8-01',
       now() - interval '1 day', CASE WHEN i <= :jobs THEN 'wanted' ELSE 'none' END
  FROM r;
VACUUM ANALYZE taskevents.tasks, taskevents.reminders;
