-- Tasks to read: for users 1 to :users, :tasks each, ids in their order.
INSERT INTO taskevents.tasks (id, user_id, title, description, priority, tags,
    due_date, last_event_id, created_at, updated_at)
SELECT (u - 1) * :tasks + i, u::text, 'Water the plants, number ' || i,
       'The ones on the balcony first', 2, '{home,garden}',
       timestamptz '2031-05-04 09:00+00' + i * interval '1 hour',
       gen_random_uuid(), timestamptz '2026-01-01 00:00+00' + i * interval '1 minute',
       timestamptz '2026-01-01 00:00+00' + i * interval '1 minute'
  FROM generate_series(1, :users) AS u, generate_series(1, :tasks) AS i;
VACUUM ANALYZE taskevents.tasks;
