-- Deploy taskevents:task_search to pg
--
-- What the list's filters and orders need. Every list is one user's tasks, so
-- it starts from an index that begins with the user; a GIN index over all
-- users' tags would cost each write and help no read.

-- Tasks without a due date come last in both directions. Nobody waits for it;
-- what a try left behind that was ended is made anew.
SET client_min_messages = warning;
DROP INDEX CONCURRENTLY IF EXISTS taskevents.tasks_user_due;
CREATE INDEX CONCURRENTLY tasks_user_due
    ON taskevents.tasks (user_id, coalesce(due_date, 'infinity'), id);

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- Two texts are the same word when their folds are: case is ignored beyond
-- ASCII ("STRASSE" finds "Straße"), whatever the locale of the database.
CREATE FUNCTION taskevents.fold(word text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lower(upper(normalize(word, NFC) COLLATE "und-x-icu") COLLATE "und-x-icu");

COMMIT;
