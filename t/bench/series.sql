-- Completed recurring tasks to deliver the completions of: series i, 1 to :tasks,
-- and its task, 10^9 + i, are of user i % :users + 1. Those ids nobody is given.
INSERT INTO taskevents.series (series_id, user_id, last_occurrence, anchor_due,
    time_zone, recurring_interval)
SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
       (i % :users + 1)::text, 1, timestamptz '2031-05-04 09:00+00', 'UTC', 'daily'
  FROM generate_series(1, :tasks) AS i;
INSERT INTO taskevents.tasks (id, user_id, title, description, priority, tags,
    due_date, completed, completed_at, recurring_interval, series_id, occurrence,
    version, last_event_id, created_at, updated_at)
SELECT 1000000000 + i, (i % :users + 1)::text, 'Water the plants', 'The ones on the balcony first',
       2, '{home,garden}', timestamptz '2031-05-04 09:00+00', true, now(), 'daily',
       ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 1, 2,
       gen_random_uuid(), now(), now()
  FROM generate_series(1, :tasks) AS i;
VACUUM ANALYZE taskevents.tasks, taskevents.series;
