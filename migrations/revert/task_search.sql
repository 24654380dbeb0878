-- Revert taskevents:task_search from pg

BEGIN;
SET LOCAL lock_timeout = '500ms';

DROP INDEX taskevents.tasks_user_due;
DROP FUNCTION taskevents.fold(text);

COMMIT;
