-- Verify taskevents:task_search on pg

BEGIN;

-- names read the same whatever the role that verifies
SET LOCAL search_path = pg_catalog;

DO $$
BEGIN
    ASSERT EXISTS (SELECT FROM pg_index
                    WHERE indexrelid = to_regclass('taskevents.tasks_user_due') AND indisvalid),
        'the index is missing, or was not finished';
    ASSERT taskevents.fold('STRASSE') = taskevents.fold('Straße'), 'case is not folded beyond ASCII';
    ASSERT taskevents.fold('Éclair') = taskevents.fold('éCLAIR'), 'accents lose their case';
END
$$;

ROLLBACK;
