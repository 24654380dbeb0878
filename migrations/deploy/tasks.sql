-- Deploy taskevents:tasks to pg
--
-- The CHECKs repeat every field rule of the API: whatever writes here, a bug or
-- an operator included, a row that the API could not have accepted is refused.

BEGIN;
SET LOCAL lock_timeout = '500ms';

-- A child of the server takes ids in blocks of 100, so it knows the id before
-- the statement and builds the event once. Ids are unique, not dense.
CREATE SEQUENCE taskevents.task_ids AS bigint INCREMENT 100;

-- A CHECK cannot hold a subquery, hence a function; in PL/pgSQL, whose plan a
-- session keeps: a CHECK's own expressions are planned again for each statement.
-- Case is folded for ASCII only, so the answer never depends on the locale of
-- the database; the API folds beyond ASCII and is the stricter of the two.
CREATE FUNCTION taskevents.tags_valid(tags text[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    tag text;
BEGIN
    IF cardinality(tags) = 0 THEN
        RETURN true;
    ELSIF cardinality(tags) > 10 OR array_ndims(tags) <> 1 THEN
        RETURN false;
    END IF;
    FOREACH tag IN ARRAY tags LOOP
        IF tag IS NULL OR char_length(tag) NOT BETWEEN 1 AND 50
           OR tag <> btrim(tag, E' \t\n\r\f\x0b') THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN cardinality(tags) = (SELECT count(DISTINCT lower(t COLLATE "C")) FROM unnest(tags) AS t);
END
$$;

CREATE TABLE taskevents.tasks (
    id                 bigint      NOT NULL,
    -- compared byte by byte, also by ORDER BY and range conditions
    user_id            text        COLLATE "C" NOT NULL,
    title              text        NOT NULL,
    description        text,
    completed          boolean     NOT NULL DEFAULT false,
    completed_at       timestamptz,
    priority           smallint    NOT NULL DEFAULT 2,      -- 1 low 2 medium 3 high: sorts by meaning
    tags               text[]      NOT NULL DEFAULT '{}',
    due_date           timestamptz,
    time_zone          text        NOT NULL DEFAULT 'UTC',
    recurring_interval text,                                -- NULL = does not recur
    series_id          uuid,
    occurrence         integer,
    version            bigint      NOT NULL DEFAULT 1,      -- the ETag
    last_event_id      uuid        NOT NULL,                -- whose COMMIT answer was lost can ask: was it mine?
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,

    CONSTRAINT tasks_pkey PRIMARY KEY (id),
    -- two handlers can never make the same occurrence twice
    CONSTRAINT tasks_series_occurrence_key UNIQUE (series_id, occurrence),

    CONSTRAINT tasks_id_positive CHECK (id > 0),
    CONSTRAINT tasks_user_id_valid CHECK (
        user_id ~ '^[A-Za-z0-9._@:+|=~-]+$' AND length(user_id) <= 128
        AND user_id NOT IN ('events', '.', '..')),
    CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT tasks_title_trimmed CHECK (title = btrim(title, E' \t\n\r\f\x0b')),
    CONSTRAINT tasks_description_length CHECK (char_length(description) <= 1000),
    CONSTRAINT tasks_completed_has_time CHECK (completed = (completed_at IS NOT NULL)),
    CONSTRAINT tasks_priority_known CHECK (priority BETWEEN 1 AND 3),
    CONSTRAINT tasks_tags_valid CHECK (tags = '{}' OR taskevents.tags_valid(tags)),
    -- every time must have a four-digit year when written in UTC
    CONSTRAINT tasks_due_date_range CHECK (
        due_date >= timestamptz '0001-01-01 00:00:00+00'
        AND due_date < timestamptz '10000-01-01 00:00:00+00'),
    -- the shape only; that the name exists is checked against the server's list
    CONSTRAINT tasks_time_zone_shape CHECK (
        time_zone COLLATE "C" ~ '^[A-Za-z][A-Za-z0-9_+/-]*$' AND length(time_zone) <= 64),
    CONSTRAINT tasks_interval_known CHECK (recurring_interval IN ('daily', 'weekly', 'monthly')),
    CONSTRAINT tasks_recurring_in_series CHECK (recurring_interval IS NULL OR series_id IS NOT NULL),
    CONSTRAINT tasks_series_numbered CHECK ((series_id IS NULL) = (occurrence IS NULL)),
    CONSTRAINT tasks_occurrence_positive CHECK (occurrence >= 1),
    CONSTRAINT tasks_version_positive CHECK (version >= 1)
);

-- the default order of the list, newest first, read as a keyset
CREATE INDEX tasks_user_newest ON taskevents.tasks (user_id, created_at DESC, id DESC);

-- A row a series. It outlives its tasks: a number is used once, for ever, also
-- when its task was deleted.
CREATE TABLE taskevents.series (
    series_id          uuid        NOT NULL,
    user_id            text        COLLATE "C" NOT NULL,
    last_occurrence    integer     NOT NULL,
    anchor_due         timestamptz,                         -- NULL = counted from the completion
    time_zone          text        NOT NULL,
    recurring_interval text        NOT NULL,
    ended_at           timestamptz,

    CONSTRAINT series_pkey PRIMARY KEY (series_id),
    CONSTRAINT series_last_occurrence_positive CHECK (last_occurrence >= 1),
    CONSTRAINT series_interval_known CHECK (recurring_interval IN ('daily', 'weekly', 'monthly'))
);

COMMIT;
