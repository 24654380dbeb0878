-- Revert taskevents:task_search from pg

BEGIN;

DROP INDEX taskevents.tasks_user_due;
DROP FUNCTION taskevents.fold(text);

COMMIT;
