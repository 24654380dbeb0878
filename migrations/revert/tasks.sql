-- Revert taskevents:tasks from pg

BEGIN;

DROP TABLE taskevents.series;
DROP TABLE taskevents.tasks;
DROP FUNCTION taskevents.tags_valid(text[]);
DROP SEQUENCE taskevents.task_ids;

COMMIT;
