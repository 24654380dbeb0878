-- Revert taskevents:tasks from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP TABLE taskevents.series;
DROP TABLE taskevents.tasks;
DROP FUNCTION taskevents.tags_valid(text[]);
DROP SEQUENCE taskevents.task_ids;

COMMIT;
