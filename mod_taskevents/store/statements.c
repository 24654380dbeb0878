/* The SQL, each statement beside what it returns. Rules that hold for all:
 *
 * - A write is t (the task) -> s (the stream's counter) -> e (the outbox),
 *   each selecting from the one before: no row in t, no bump, no event. That
 *   also fixes the order of locks.
 * - Order of locks everywhere: history counters -> processed_events and
 *   event_counts -> tasks -> series -> reminders -> notifications -> streams
 *   -> outbox. A statement that locks several rows of a table does so in the
 *   order of its key, or passes over what others hold; a transaction of
 *   several users has these in the order of their ids
 *   (store/group_commit.c).
 * - No `*`: a migration that adds a column must not change a result. */
#include "statements.h"

#include <stddef.h>

/* Twenty digits between the two halves of an event's text. */
#define SPLICED(head, tail) \
    head " || lpad(s.last::text, 20, '0') || " tail

#define BUMP(from, n) \
    "INSERT INTO taskevents.streams AS st (user_id, name, last)" \
    " SELECT " from " ON CONFLICT (user_id, name)" \
    " DO UPDATE SET last = st.last + " n \
    " RETURNING st.user_id, st.name, st.last"

/* $1 id $2 user $3 title $4 description $5 priority $6 tags $7 due
 * $8 time zone $9 interval $10 series $11 now $12 event id $13 topic
 * $14 event head $15 event tail $16 completed -> one row: sequence */
#define CREATE_TYPES \
    "$1::bigint, $2::text, $3::text, $4::text, $5::smallint, $6::text[]," \
    " $7::timestamptz, $8::text, $9::text"

#define TASK_FIRST_COLUMNS \
    " INSERT INTO taskevents.tasks (id, user_id, title, description," \
    "  priority, tags, due_date, time_zone, recurring_interval," \
    "  completed, completed_at, series_id, occurrence, last_event_id," \
    "  created_at, updated_at, due_since)"

#define TASK_CREATE(first) \
    "WITH " first "t AS (" TASK_FIRST_COLUMNS \
    " VALUES (" CREATE_TYPES ", $16::boolean," \
    "  CASE WHEN $16::boolean THEN $11::timestamptz END, $10::uuid," \
    "  CASE WHEN $10::uuid IS NULL THEN NULL ELSE 1 END, $12::uuid," \
    "  $11::timestamptz, $11::timestamptz, $11::timestamptz)" \
    " RETURNING user_id" \
    "), s AS (" BUMP("t.user_id, $13::text, 1 FROM t", "1") "), e AS (" \
    " INSERT INTO taskevents.outbox" \
    "  (user_id, topic, sequence, event_id, event)" \
    " SELECT s.user_id, s.name, s.last, $12::uuid, " \
    SPLICED("$14::text", "$15::text") \
    " FROM s RETURNING sequence) SELECT sequence FROM e"

/* The series of a recurring task comes into being with it. */
#define SERIES_FIRST \
    "r AS (INSERT INTO taskevents.series (series_id, user_id," \
    " last_occurrence, anchor_due, time_zone, recurring_interval)" \
    " VALUES ($10::uuid, $2::text, 1, $7::timestamptz, $8::text," \
    " $9::text)), "

/* Of the last task of a series: what the series kept of it, or else this. */
#define OR_GONE(this, name) \
    "CASE WHEN g.occurrence IS NULL THEN " this " ELSE g." name " END" \
    " AS " name

#define ID(n) "$" #n "::bigint"
#define EIGHT(a, b, c, d, e, f, g, h) \
    ID(a) ", " ID(b) ", " ID(c) ", " ID(d) ", " \
    ID(e) ", " ID(f) ", " ID(g) ", " ID(h)

#define LIST_TAIL \
    " ORDER BY created_at DESC, id DESC LIMIT $2::int"

/* The oldest rows of each stream (user, topic) of the shards held, found by
 * skipping from stream to stream in the primary key: a long or blocked
 * stream costs one index probe. ($2, $3): the stream to start behind; $4:
 * streams, $5: events of a stream. Only streams whose oldest row is due, and
 * not these: $6 users, $7 topics. */
static const char outbox_heads[] =
    "WITH RECURSIVE h AS ("
    " SELECT x.shard, f.user_id, f.topic, f.retry_at"
    "  FROM unnest($1::smallint[]) AS x(shard) CROSS JOIN LATERAL ("
    "   SELECT o.user_id, o.topic, o.retry_at FROM taskevents.outbox o"
    "    WHERE o.shard = x.shard"
    "      AND (o.user_id, o.topic) > ($2::text, $3::text)"
    "    ORDER BY o.user_id, o.topic, o.sequence LIMIT 1) f"
    " UNION ALL"
    " SELECT h.shard, f.user_id, f.topic, f.retry_at"
    "  FROM h CROSS JOIN LATERAL ("
    "   SELECT o.user_id, o.topic, o.retry_at FROM taskevents.outbox o"
    "    WHERE o.shard = h.shard"
    "      AND (o.user_id, o.topic) > (h.user_id, h.topic)"
    "    ORDER BY o.user_id, o.topic, o.sequence LIMIT 1) f"
    "), due AS ("
    " SELECT shard, user_id, topic FROM h"
    "  WHERE retry_at <= clock_timestamp() AND (user_id, topic) NOT IN ("
    "   SELECT b.user_id, b.topic FROM unnest($6::text[], $7::text[])"
    "    AS b(user_id, topic)) LIMIT $4::int)"
    " SELECT o.shard, o.user_id, o.topic, o.sequence, o.event_id, o.event,"
    "   o.attempts, o.place"
    "  FROM due d CROSS JOIN LATERAL ("
    "   SELECT o.shard, o.user_id, o.topic, o.sequence, o.event_id, o.event,"
    "     o.attempts, o.ctid AS place"
    "    FROM taskevents.outbox o WHERE o.shard = d.shard"
    "      AND o.user_id = d.user_id AND o.topic = d.topic"
    "    ORDER BY o.sequence LIMIT $5::int) o";

/* Rows that were kept long enough, some at a time: $1 seconds they are kept.
 * statement_timestamp() stays the same within the statement, so that the index
 * on `age` is asked where they begin. */
#define FORGET(table, age) \
    "DELETE FROM " table " WHERE ctid IN (" \
    " SELECT ctid FROM " table \
    "  WHERE " age " < statement_timestamp()" \
    "   - $1::int * interval '1 second'" \
    "  ORDER BY " age " LIMIT 1000 FOR UPDATE SKIP LOCKED)"

#define HISTORY(type) \
    "SELECT position, processed_at, outcome, event" \
    " FROM taskevents.processed_events" \
    " WHERE user_id = $1::text AND position > $2::bigint" type \
    " ORDER BY position LIMIT $3::int"

/* The zone that is parameter $n, and the beginning of a day in it. */
#define ZONE(n) "taskevents.zone_named($" #n "::text)"
#define DAY_BEGINS(day, n) "(" day ")::timestamp AT TIME ZONE " ZONE(n)

/* Whether a task was completed on r's day or the one before. */
#define COMPLETED_ON(day) \
    "EXISTS (SELECT 1 FROM taskevents.event_counts" \
    " WHERE user_id = $1::text AND type = 'task.completed'" \
    " AND quarter >= " DAY_BEGINS(day, 2) \
    " AND quarter < " DAY_BEGINS(day " + 1", 2) ")"

/* The table's rows from a place on, which PostgreSQL reads without an index.
 * A row even if there is no stream. $2 the place, $3 streams at most. */
static const char outbox_tail[] =
    "WITH t AS MATERIALIZED ("
    " SELECT ctid AS place, shard, user_id, topic FROM taskevents.outbox"
    "  WHERE ctid >= $2::tid)"
    " SELECT s.user_id, s.topic, e.first_alive, e.blocks, e.dead FROM ("
    "  SELECT coalesce((SELECT (min(place)::text::point)[0]::bigint FROM t),"
    "    -1) AS first_alive,"
    "   pg_relation_size('taskevents.outbox')"
    "    / current_setting('block_size')::int AS blocks,"
    "   pg_stat_get_dead_tuples('taskevents.outbox'::regclass) AS dead) e"
    " LEFT JOIN (SELECT DISTINCT user_id, topic FROM t"
    "  WHERE shard = ANY ($1::smallint[]) LIMIT $3::int) s ON true";

/* $1 users $2 topics $3 numbers behind which to look $4 events of a stream;
 * rows as outbox_heads, and whether each is due: to ask that of the first one
 * here would be a second look into the index */
static const char outbox_of_streams[] =
    "SELECT o.shard, o.user_id, o.topic, o.sequence, o.event_id, o.event,"
    "  o.attempts, o.place, o.retry_at <= statement_timestamp()"
    " FROM unnest($1::text[], $2::text[], $3::bigint[])"
    "  AS s(user_id, topic, above)"
    " CROSS JOIN LATERAL (SELECT o.shard, o.user_id, o.topic, o.sequence,"
    "   o.event_id, o.event, o.attempts, o.ctid AS place, o.retry_at"
    "  FROM taskevents.outbox o WHERE o.shard = taskevents.shard_of(s.user_id)"
    "   AND o.user_id = s.user_id AND o.topic = s.topic"
    "   AND o.sequence > s.above ORDER BY o.sequence LIMIT $4::int) o";

/* n rows of a stream take the numbers up to `last`, in the order of v.n. */
#define NUMBERED(last) \
    last " - count(*) OVER stream + row_number() OVER (stream ORDER BY v.n)"

#define NUMBERED_EVENTS(id) \
    " INSERT INTO taskevents.outbox" \
    "  (user_id, topic, sequence, event_id, event)" \
    " SELECT e.user_id, e.name, e.sequence, " id "," \
    "  e.head || lpad(e.sequence::text, 20, '0') || e.tail FROM e"

/* TE_TASK_CREATE for several: each parameter is an array of what it is there, that
 * of the tags one of literals. The counters are locked in the order of the
 * users. */
static const char tasks_create[] =
    "WITH v AS (SELECT v.id, v.user_id, v.title, v.description, v.priority,"
    "   v.tags, v.due, v.zone, v.step, v.series, v.now, v.event_id, v.topic,"
    "   v.head, v.tail, v.completed, v.n"
    "  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[],"
    "   $5::smallint[], $6::text[], $7::timestamptz[], $8::text[],"
    "   $9::text[], $10::uuid[], $11::timestamptz[], $12::uuid[],"
    "   $13::text[], $14::text[], $15::text[], $16::boolean[])"
    "   WITH ORDINALITY AS v(id, user_id, title, description, priority, tags,"
    "    due, zone, step, series, now, event_id, topic, head, tail,"
    "    completed, n)"
    "), r AS (INSERT INTO taskevents.series (series_id, user_id,"
    "   last_occurrence, anchor_due, time_zone, recurring_interval)"
    "  SELECT v.series, v.user_id, 1, v.due, v.zone, v.step FROM v"
    "   WHERE v.series IS NOT NULL"
    "), t AS (" TASK_FIRST_COLUMNS
    "  SELECT v.id, v.user_id, v.title, v.description, v.priority,"
    "   v.tags::text[], v.due, v.zone, v.step, v.completed,"
    "   CASE WHEN v.completed THEN v.now END, v.series,"
    "   CASE WHEN v.series IS NULL THEN NULL ELSE 1 END, v.event_id,"
    "   v.now, v.now, v.now FROM v RETURNING id"
    "), s AS (INSERT INTO taskevents.streams AS st (user_id, name, last)"
    "  SELECT v.user_id, v.topic, count(*) FROM t JOIN v USING (id)"
    "   GROUP BY 1, 2 ORDER BY v.user_id COLLATE \"C\", v.topic COLLATE \"C\""
    "  ON CONFLICT (user_id, name) DO UPDATE"
    "   SET last = st.last + excluded.last"
    "  RETURNING st.user_id, st.name, st.last"
    "), e AS (SELECT s.user_id, s.name, v.event_id, v.head, v.tail, "
    NUMBERED("s.last") " AS sequence"
    "  FROM v JOIN s ON s.user_id = v.user_id AND s.name = v.topic"
    "  WINDOW stream AS (PARTITION BY s.user_id, s.name))"
    NUMBERED_EVENTS("e.event_id");

static const char emit[] =
    "WITH v AS (SELECT v.user_id, v.topic, v.id, v.head, v.tail, v.n"
    "  FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[],"
    "   $5::text[]) WITH ORDINALITY AS v(user_id, topic, id, head, tail, n)"
    "), s AS (INSERT INTO taskevents.streams AS st (user_id, name, last)"
    "  SELECT v.user_id, v.topic, count(*) FROM v GROUP BY 1, 2"
    "   ORDER BY v.user_id COLLATE \"C\", v.topic COLLATE \"C\""
    "  ON CONFLICT (user_id, name) DO UPDATE"
    "   SET last = st.last + excluded.last"
    "  RETURNING st.user_id, st.name, st.last"
    "), e AS (SELECT s.user_id, s.name, v.id, v.head, v.tail, "
    NUMBERED("s.last") " AS sequence"
    "  FROM v JOIN s ON s.user_id = v.user_id AND s.name = v.topic"
    "  WINDOW stream AS (PARTITION BY s.user_id, s.name))"
    NUMBERED_EVENTS("e.id");

/* v (those not seen) -> s (each user's history) -> p (the marks) and c (the
 * counts). The row of a user's history counter orders all handling of that
 * user's events, in whichever transaction. */
static const char event_seen[] =
    "WITH s AS (INSERT INTO taskevents.streams AS st (user_id, name, last)"
    "  SELECT $3::text, 'history', 1 WHERE NOT EXISTS ("
    "   SELECT FROM taskevents.processed_events"
    "    WHERE source = $1::text AND event_id = $2::text)"
    "  ON CONFLICT (user_id, name) DO UPDATE SET last = st.last + 1"
    "  RETURNING st.last"
    "), p AS (INSERT INTO taskevents.processed_events"
    "   (source, event_id, user_id, position, type, task_id, event, outcome)"
    "  SELECT $1::text, $2::text, $3::text, s.last, $4::text, $5::bigint,"
    "   $6::text, $8::text FROM s"
    "), c AS (INSERT INTO taskevents.event_counts AS k"
    "   (user_id, quarter, type, n)"
    "  SELECT $3::text, taskevents.quarter_of($7::timestamptz), $4::text, 1"
    "   FROM s"
    "  ON CONFLICT (user_id, quarter, type) DO UPDATE SET n = k.n + 1)"
    " SELECT 1 FROM s";

/* The same for several. */
static const char events_seen[] =
    "WITH v AS (SELECT v.source, v.id, v.user_id, v.type, v.task_id, v.event,"
    "   v.at, v.n"
    "  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],"
    "   $5::bigint[], $6::text[], $7::timestamptz[]) WITH ORDINALITY"
    "   AS v(source, id, user_id, type, task_id, event, at, n)"
    "  WHERE NOT EXISTS (SELECT FROM taskevents.processed_events p"
    "   WHERE p.source = v.source AND p.event_id = v.id)"
    "), s AS (INSERT INTO taskevents.streams AS st (user_id, name, last)"
    "  SELECT v.user_id, 'history', count(*) FROM v GROUP BY v.user_id"
    "   ORDER BY v.user_id COLLATE \"C\""
    "  ON CONFLICT (user_id, name) DO UPDATE"
    "   SET last = st.last + excluded.last"
    "  RETURNING st.user_id, st.last"
    "), p AS (INSERT INTO taskevents.processed_events"
    "   (source, event_id, user_id, position, type, task_id, event, outcome)"
    "  SELECT v.source, v.id, v.user_id, " NUMBERED("s.last") ","
    "   v.type, v.task_id, v.event, $8::text"
    "   FROM v JOIN s ON s.user_id = v.user_id"
    "   WINDOW stream AS (PARTITION BY s.user_id)"
    "), c AS (INSERT INTO taskevents.event_counts AS k"
    "   (user_id, quarter, type, n)"
    "  SELECT v.user_id, taskevents.quarter_of(v.at), v.type, count(*)"
    "   FROM v JOIN s ON s.user_id = v.user_id GROUP BY 1, 2, 3"
    "  ON CONFLICT (user_id, quarter, type) DO UPDATE"
    "   SET n = k.n + excluded.n)"
    " SELECT v.n FROM v";
/* Of all events: the table is read once, whatever became of its index. A time
 * is found by its place in the envelope: the event need not be read as JSON.
 * As it is written there, the earliest time is the least text. */
#define TIME_MARK "'\"time\":\"'"
static const char outbox_size[] =
    "SELECT count(*), greatest(0, coalesce(round(extract(epoch FROM"
    " clock_timestamp() - left(min(nullif(split_part(event, " TIME_MARK ", 2),"
    " '') COLLATE \"C\"), 27)::timestamptz), 3), 0)) FROM taskevents.outbox";

static const te_statement_t statements[TE_STATEMENT_COUNT] = {
    [TE_SCHEMA_VERSION] = {"te_schema_version", 0,
        "SELECT taskevents.schema_version()"},
    [TE_SERVER_VERSION] = {"te_server_version", 0,
        "SELECT taskevents.schema_version(),"
        " current_setting('server_version')"},
    [TE_BACKEND_PID] = {"te_backend_pid", 0, "SELECT pg_backend_pid()"},
    /* $1 a transaction that has ended -> whether by COMMIT; one that this
     * server has not come to (it was restored, or took over) has not */
    [TE_COMMITTED] = {"te_committed", 1,
        "SELECT coalesce(CASE WHEN $1::xid8"
        "  < pg_snapshot_xmax(pg_current_snapshot())"
        " THEN pg_xact_status($1::xid8) = 'committed' END, false)"},
    /* for the rest of the transaction; $1 ms. And a plan that is kept, though
     * one for arrays as short as these would look cheaper each time. */
    [TE_LOCK_PATIENCE] = {"te_lock_patience", 1,
        "SELECT set_config('lock_timeout', $1::text, true),"
        " set_config('plan_cache_mode', 'force_generic_plan', true)"},
    [TE_TASK_IDS] = {"te_task_ids", 0,
        "SELECT nextval('taskevents.task_ids')"},
    /* IANA's names; the files that a system adds beside them are none */
    [TE_ZONES] = {"te_zones", 0,
        "SELECT name FROM pg_timezone_names WHERE name NOT LIKE 'posix/%'"
        " AND name NOT LIKE 'right/%'"
        " AND name NOT IN ('localtime', 'posixrules', 'Factory')"},

    [TE_TASK_CREATE] = {"te_task_create", 16, TASK_CREATE("")},
    [TE_TASK_CREATE_SERIES] = {"te_task_create_series", 16,
        TASK_CREATE(SERIES_FIRST)},
    [TE_TASKS_CREATE] = {"te_tasks_create", 16, tasks_create},
    /* $1 id $2 user -> the task */
    [TE_TASK_GET] = {"te_task_get", 2,
        "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
        " WHERE id = $1::bigint AND user_id = $2::text"},
    /* The same for several ids, whosever they are, in any order; one more than
     * once is one. Not an array, which would be planned anew for each call. */
    [TE_TASKS_GET_FEW] = {"te_tasks_get_few", TE_TASKS_FEW,
        "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
        " WHERE id IN (" EIGHT(1, 2, 3, 4, 5, 6, 7, 8) ")"},
    [TE_TASKS_GET_MANY] = {"te_tasks_get_many", TE_TASKS_MANY,
        "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
        " WHERE id IN (" EIGHT(1, 2, 3, 4, 5, 6, 7, 8) ", "
        EIGHT(9, 10, 11, 12, 13, 14, 15, 16) ", "
        EIGHT(17, 18, 19, 20, 21, 22, 23, 24) ", "
        EIGHT(25, 26, 27, 28, 29, 30, 31, 32) ")"},
    /* and the transaction that holds it then */
    [TE_TASK_LOCK] = {"te_task_lock", 2,
        "SELECT " TE_TASK_COLUMNS("") ", pg_current_xact_id()"
        " FROM taskevents.tasks"
        " WHERE id = $1::bigint AND user_id = $2::text FOR NO KEY UPDATE"},
    /* The same for several, which is planned anew for each call.
     * $1 ids $2 users -> those that there are */
    [TE_TASKS_HOLD] = {"te_tasks_hold", 2,
        "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
        " WHERE id = ANY ($1::bigint[]) AND user_id = ANY ($2::text[])"
        " ORDER BY id FOR NO KEY UPDATE"},
    /* The whole row, which this transaction holds, and 1 or 2 events.
     * $1 id $2 title $3 description $4 completed $5 completed at
     * $6 priority $7 tags $8 due $9 time zone $10 interval $11 series
     * $12 occurrence $13 version $14 now $15 topic $16 event ids $17 heads
     * $18 tails -> sequences */
    [TE_TASK_UPDATE] = {"te_task_update", 18,
        "WITH t AS (UPDATE taskevents.tasks SET title = $2::text,"
        " description = $3::text, completed = $4::boolean,"
        " completed_at = $5::timestamptz, priority = $6::smallint,"
        " tags = $7::text[], due_date = $8::timestamptz,"
        " time_zone = $9::text, recurring_interval = $10::text,"
        " series_id = $11::uuid, occurrence = $12::int,"
        " version = $13::bigint, updated_at = $14::timestamptz,"
        " due_since = CASE WHEN due_date IS DISTINCT FROM $8::timestamptz"
        "  OR (completed AND NOT $4::boolean) THEN $14::timestamptz"
        "  ELSE coalesce(due_since, updated_at) END,"
        " last_event_id = ($16::uuid[])[cardinality($16::uuid[])]"
        " WHERE id = $1::bigint RETURNING user_id"
        "), s AS (" BUMP("t.user_id, $15::text, cardinality($16::uuid[])"
                         " FROM t", "excluded.last") ")"
        " INSERT INTO taskevents.outbox"
        "  (user_id, topic, sequence, event_id, event)"
        " SELECT s.user_id, s.name, s.last - cardinality($16::uuid[]) + v.n,"
        "  v.id, v.head || lpad((s.last - cardinality($16::uuid[])"
        "   + v.n)::text, 20, '0') || v.tail"
        " FROM s, unnest($16::uuid[], $17::text[], $18::text[])"
        "  WITH ORDINALITY AS v(id, head, tail, n) RETURNING sequence"},
    /* $1 id $2 topic $3 event id $4 head $5 tail -> sequence; the row is
     * locked by this transaction already. The series keeps what its next
     * task will need when this one, its last, was complete. */
    [TE_TASK_DELETE] = {"te_task_delete", 5,
        "WITH t AS (DELETE FROM taskevents.tasks WHERE id = $1::bigint"
        " RETURNING user_id, series_id, occurrence, title, description,"
        "  priority, tags, due_date, completed_at"
        "), g AS (UPDATE taskevents.series u SET gone = jsonb_build_object("
        "  'occurrence', t.occurrence,"
        "  'title', t.title, 'description', t.description,"
        "  'priority', t.priority, 'tags', t.tags,"
        "  'due_date', t.due_date, 'completed_at', t.completed_at)"
        " FROM t WHERE u.series_id = t.series_id"
        "  AND u.last_occurrence = t.occurrence AND u.ended_at IS NULL"
        "  AND t.completed_at IS NOT NULL RETURNING 1"
        "), s AS ("
        BUMP("t.user_id, $2::text, 1 FROM t LEFT JOIN g ON true", "1") ")"
        " INSERT INTO taskevents.outbox"
        "  (user_id, topic, sequence, event_id, event)"
        " SELECT s.user_id, s.name, s.last, $3::uuid, "
        SPLICED("$4::text", "$5::text") " FROM s RETURNING sequence"},
    /* $1 user $2 limit -> tasks, newest first */
    [TE_TASK_LIST] = {"te_task_list", 2,
        "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
        " WHERE user_id = $1::text" LIST_TAIL},
    /* and $3, $4: created_at and id of the task before */
    [TE_TASK_LIST_AFTER] = {"te_task_list_after", 4,
        "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
        " WHERE user_id = $1::text"
        " AND (created_at, id) < ($3::timestamptz, $4::bigint)" LIST_TAIL},

    /* The due times that would follow a task, one counted from the other.
     * $1 id $2 user $3 not before (or NULL) $4 how many -> number, due */
    [TE_TASK_OCCURRENCES] = {"te_task_occurrences", 4,
        "WITH RECURSIVE f AS ("
        " SELECT 0 AS ahead, t.occurrence AS n, coalesce(t.due_date, t.completed_at)"
        "   AS due, coalesce(s.anchor_due, t.due_date, t.completed_at)"
        "   AS anchor, s.time_zone AS zone, s.recurring_interval AS step"
        "  FROM taskevents.tasks t JOIN taskevents.series s USING (series_id)"
        "  WHERE t.id = $1::bigint AND t.user_id = $2::text"
        "   AND t.recurring_interval IS NOT NULL AND s.ended_at IS NULL"
        " UNION ALL"
        " SELECT f.ahead + 1, f.n + 1, taskevents.next_due(f.anchor, f.due, f.zone,"
        "   f.step, $3::timestamptz), f.anchor, f.zone, f.step"
        "  FROM f WHERE f.due IS NOT NULL)"
        " SELECT n, due FROM f WHERE ahead > 0 AND due IS NOT NULL"
        " LIMIT $4::int"},

    /* $1 series $2 user -> series, user, last number used, whether it has
     * ended */
    [TE_SERIES_LOCK] = {"te_series_lock", 2,
        "SELECT series_id, user_id, last_occurrence, ended_at IS NOT NULL"
        " FROM taskevents.series"
        " WHERE series_id = $1::uuid AND user_id = $2::text"
        " FOR NO KEY UPDATE"},
    /* The same for several. $1 series $2 users -> those that there are */
    [TE_SERIES_HOLD] = {"te_series_hold", 2,
        "SELECT series_id, user_id, last_occurrence, ended_at IS NOT NULL"
        " FROM taskevents.series WHERE series_id = ANY ($1::uuid[])"
        " AND user_id = ANY ($2::text[])"
        " ORDER BY series_id FOR NO KEY UPDATE"},
    /* Start a series, or anchor it anew at its last task; a task before that
     * changes nothing. $1 series $2 user $3 number of the task $4 due
     * $5 time zone $6 interval */
    [TE_SERIES_PUT] = {"te_series_put", 6,
        "INSERT INTO taskevents.series AS s (series_id, user_id,"
        " last_occurrence, anchor_due, time_zone, recurring_interval)"
        " VALUES ($1::uuid, $2::text, $3::int, $4::timestamptz, $5::text,"
        " $6::text) ON CONFLICT (series_id) DO UPDATE"
        " SET anchor_due = excluded.anchor_due,"
        "  time_zone = excluded.time_zone,"
        "  recurring_interval = excluded.recurring_interval,"
        "  ended_at = NULL"
        " WHERE s.last_occurrence = excluded.last_occurrence"},
    /* $1 series $2 now */
    [TE_SERIES_END] = {"te_series_end", 2,
        "UPDATE taskevents.series SET ended_at = $2::timestamptz"
        " WHERE series_id = $1::uuid AND ended_at IS NULL"},
    /* The next task of a series whose row this transaction has locked. What
     * the series kept of a last task that is gone goes before $2 to $7; its
     * number says that it is the last one, for an older build lets it lie.
     * $1 id $2 title $3 description $4 priority $5 tags $6 this due date
     * $7 completion of this task $8 not before (or NULL) $9 series $10 now
     * $11 event id -> the task; no row when the calendar ends first */
    [TE_TASK_CREATE_NEXT] = {"te_task_create_next", 11,
        "WITH f AS (SELECT s.series_id, s.anchor_due, s.time_zone,"
        "  s.recurring_interval, " OR_GONE("$2::text", "title") ", "
        OR_GONE("$3::text", "description") ", "
        OR_GONE("$4::smallint", "priority") ", "
        OR_GONE("$5::text[]", "tags") ", "
        OR_GONE("$6::timestamptz", "due_date") ", "
        OR_GONE("$7::timestamptz", "completed_at")
        "  FROM taskevents.series s LEFT JOIN LATERAL jsonb_to_record(s.gone)"
        "   AS g(occurrence int, title text, description text,"
        "    priority smallint, tags text[], due_date timestamptz,"
        "    completed_at timestamptz)"
        "   ON g.occurrence = s.last_occurrence"
        "  WHERE s.series_id = $9::uuid"
        "), d AS (SELECT f.series_id, f.title, f.description, f.priority,"
        "  f.tags, coalesce(f.anchor_due, f.completed_at) AS anchor,"
        "  taskevents.next_due(coalesce(f.anchor_due, f.completed_at),"
        "   coalesce(f.due_date, f.completed_at), f.time_zone,"
        "   f.recurring_interval, $8::timestamptz) AS due FROM f"
        "), n AS (UPDATE taskevents.series u"
        "  SET last_occurrence = u.last_occurrence + 1,"
        "   anchor_due = d.anchor, gone = NULL"
        "  FROM d WHERE u.series_id = d.series_id AND d.due IS NOT NULL"
        "  RETURNING u.series_id, u.user_id, u.last_occurrence,"
        "   u.time_zone, u.recurring_interval, d.due, d.title,"
        "   d.description, d.priority, d.tags)"
        " INSERT INTO taskevents.tasks AS t (id, user_id, title,"
        "  description, priority, tags, due_date, time_zone,"
        "  recurring_interval, series_id, occurrence, last_event_id,"
        "  created_at, updated_at, due_since)"
        " SELECT $1::bigint, n.user_id, n.title, n.description, n.priority,"
        "  n.tags, n.due, n.time_zone, n.recurring_interval,"
        "  n.series_id, n.last_occurrence, $11::uuid, $10::timestamptz,"
        "  $10::timestamptz, $10::timestamptz FROM n"
        " RETURNING " TE_TASK_COLUMNS("t.")},

    /* The events that a transaction causes, of any streams, its last
     * statement but for the outbox row that it settles.
     * $1 users $2 topics $3 event ids $4 heads $5 tails */
    [TE_EMIT] = {"te_emit", 5, emit},

    /* $1 users: waits for all who mark events of theirs, and keeps them out
     * until the end of the transaction */
    [TE_HISTORIES_HOLD] = {"te_histories_hold", 1,
        "SELECT 1 FROM taskevents.streams WHERE name = 'history'"
        " AND user_id = ANY ($1::text[]) ORDER BY user_id FOR UPDATE"},
    /* The first statement of handling an event: the inbox.
     * $1 source $2 event id $3 user $4 type $5 task id $6 event $7 when it
     * happened $8 outcome -> 1, if it was not seen before. One that another
     * transaction marks at this very moment is a 23505 of
     * processed_events_pkey. */
    [TE_EVENT_SEEN] = {"te_event_seen", 8, event_seen},
    /* The same for several, a sixth dearer for one alone.
     * $1 sources $2 event ids $3 users $4 types $5 task ids $6 events
     * $7 when they happened $8 outcome -> the numbers, from 1, of those that
     * were not seen before */
    [TE_EVENTS_SEEN] = {"te_events_seen", 8, events_seen},
    /* $1 source $2 event id -> a row if it was handled */
    [TE_EVENT_KNOWN] = {"te_event_known", 2,
        "SELECT 1 FROM taskevents.processed_events"
        " WHERE source = $1::text AND event_id = $2::text"},
    /* $1 stage $2 source $3 event id $4 topic $5 user $6 body in hex
     * $7 size of the body as it came $8 reason $9 attempts $10 partition
     * $11 offset $12 state of the alert -> whether it is new, whether it is
     * open. One whose event was handled already is closed from the start;
     * what is malformed is no copy of a handled event, whatever it says. */
    [TE_DEAD_LETTER] = {"te_dead_letter", 12,
        "WITH h AS (SELECT $1::text IN ('handle', 'deadletter') AND EXISTS ("
        " SELECT 1 FROM taskevents.processed_events"
        "  WHERE source = $2::text AND event_id = $3::text) AS handled)"
        " INSERT INTO taskevents.dead_letters AS d (stage, source, event_id,"
        " topic, user_id, body, body_size, reason, attempts,"
        " record_partition, record_offset, first_failed_at, last_failed_at,"
        " state, closed_at, closed_by, note, alert_state)"
        " SELECT $1::text, $2::text, $3::text, $4::text, $5::text,"
        " decode($6::text, 'hex'), $7::bigint, $8::text, $9::int, $10::int,"
        " $11::bigint, clock_timestamp(), clock_timestamp(),"
        " CASE WHEN h.handled THEN 'redriven' ELSE 'open' END,"
        " CASE WHEN h.handled THEN clock_timestamp() END,"
        " CASE WHEN h.handled THEN 'taskevents' END,"
        " CASE WHEN h.handled THEN 'handled already' END,"
        " CASE WHEN h.handled THEN 'none' ELSE $12::text END FROM h"
        " ON CONFLICT (stage, source, event_id) DO UPDATE SET"
        " attempts = d.attempts + excluded.attempts,"
        " last_failed_at = excluded.last_failed_at"
        " RETURNING xmax = 0, state = 'open'"},

    /* Answers kept for repeated requests. The lock and the look are two
     * statements: one alone would look with a snapshot from before the lock.
     * $1 what is locked, as text -> whether it is ours */
    [TE_KEY_LOCK] = {"te_key_lock", 1,
        "SELECT pg_try_advisory_xact_lock(hashtextextended($1::text, 1))"},
    /* $1 user $2 scope $3 key $4 seconds it is kept -> what was stored */
    [TE_KEY_GET] = {"te_key_get", 4,
        "SELECT fingerprint, status, etag, location, body"
        " FROM taskevents.idempotency_keys"
        " WHERE user_id = $1::text AND scope = $2::text AND key = $3::text"
        " AND created_at > clock_timestamp()"
        "  - $4::int * interval '1 second'"},
    /* $1 user $2 scope $3 key $4 fingerprint $5 status $6 etag $7 location
     * $8 body; an expired one is replaced */
    [TE_KEY_PUT] = {"te_key_put", 8,
        "INSERT INTO taskevents.idempotency_keys (user_id, scope, key,"
        " fingerprint, status, etag, location, body)"
        " VALUES ($1::text, $2::text, $3::text, $4::uuid, $5::smallint,"
        " $6::text, $7::text, $8::text)"
        " ON CONFLICT (user_id, scope, key) DO UPDATE SET"
        " fingerprint = excluded.fingerprint, status = excluded.status,"
        " etag = excluded.etag, location = excluded.location,"
        " body = excluded.body, created_at = excluded.created_at"},

    /* One owner per shard: session locks of the publisher's connection.
     * $1: the key that says that the locks are ours -> shards taken */
    [TE_LOCK_SHARDS] = {"te_lock_shards", 1,
        "SELECT shard, pg_try_advisory_lock($1::int, shard)"
        " FROM generate_series(0, 15) AS shard"},
    /* $1 the key $2 the number $3 the session, as libpq knows it -> ours now */
    [TE_LOCK_TRY] = {"te_lock_try", 3,
        "SELECT CASE WHEN pg_backend_pid() = $3::int"
        " THEN pg_try_advisory_lock($1::int, $2::int) ELSE false END"},
    [TE_LOCKS_RELEASE] = {"te_locks_release", 0,
        "SELECT pg_advisory_unlock_all()"},
    /* $1 the key $2 the shards that are given back */
    [TE_LOCKS_KEEP_SHARD] = {"te_locks_keep_shard", 2,
        "SELECT pg_advisory_unlock($1::int, shard)"
        " FROM unnest($2::int[]) AS shard"},
    /* $1 the key of the locks $2 seconds of silence $3 the end of the numbers
     * -> those ended. A healthy holder asks something every few seconds. */
    [TE_LOCKS_END_FROZEN] = {"te_locks_end_frozen", 3,
        "SELECT pid FROM ("
        " SELECT DISTINCT a.pid FROM pg_locks l"
        "  JOIN pg_stat_activity a USING (pid)"
        "  WHERE l.locktype = 'advisory' AND l.granted"
        "   AND l.database = (SELECT oid FROM pg_database"
        "    WHERE datname = current_database())"
        "   AND l.classid = $1::int::oid AND l.objid < $3::int::oid"
        "   AND l.objsubid = 2 AND a.pid <> pg_backend_pid()"
        "   AND a.state = 'idle' AND a.state_change < clock_timestamp()"
        "    - $2::int * interval '1 second') AS frozen"
        " WHERE pg_terminate_backend(pid)"},
    /* An outbox that was empty when its statistics were taken looks as if to
     * read all of it were the least work, and an hour later it is not: not by
     * itself, and not in the order of its index either. */
    [TE_OUTBOX_SESSION] = {"te_outbox_session", 0,
        "SELECT set_config('enable_seqscan', 'off', false),"
        " set_config('enable_bitmapscan', 'off', false),"
        " set_config('cpu_index_tuple_cost', '10000', false),"
        /* by what it guesses of a recursion the read would be compiled
         * each time */
        " set_config('jit', 'off', false)"},
    [TE_OUTBOX_HEADS] = {"te_outbox_heads", 7, outbox_heads},
    [TE_OUTBOX_TAIL] = {"te_outbox_tail", 3, outbox_tail},
    [TE_OUTBOX_OF_STREAMS] = {"te_outbox_of_streams", 4, outbox_of_streams},
    /* $1 places $2 event ids: by their place it costs a tenth, and the id
     * tells whether the row is still there. A delete that is lost in a crash
     * repeats events, which consumers tell by their ids. */
    [TE_OUTBOX_ACCEPTED] = {"te_outbox_accepted", 2,
        "WITH a AS (SELECT set_config('synchronous_commit', 'off', true))"
        " DELETE FROM taskevents.outbox o USING a, unnest($1::tid[],"
        " $2::uuid[]) AS v(place, id)"
        " WHERE o.ctid = v.place AND o.event_id = v.id"},
    /* $1 user $2 topic $3 sequence $4 wait in ms $5 what went wrong */
    [TE_OUTBOX_FAILED] = {"te_outbox_failed", 5,
        "UPDATE taskevents.outbox SET attempts = attempts + 1,"
        " retry_at = clock_timestamp() + $4::int * interval '1 ms',"
        " last_error = $5::text"
        " WHERE shard = taskevents.shard_of($1::text)"
        " AND user_id = $1::text AND topic = $2::text"
        " AND sequence = $3::bigint"},
    /* $1 user $2 topic $3 sequence -> a row, if it was still there */
    [TE_OUTBOX_SETTLE] = {"te_outbox_settle", 3,
        "DELETE FROM taskevents.outbox"
        " WHERE shard = taskevents.shard_of($1::text)"
        " AND user_id = $1::text AND topic = $2::text"
        " AND sequence = $3::bigint RETURNING sequence"},
    /* Give an event up: out of the outbox, into the dead letters. It can only
     * be one already if it was redriven: then it is open again.
     * $1 user $2 topic $3 sequence $4 stage $5 source $6 reason $7 state of
     * the alert */
    [TE_OUTBOX_PARK] = {"te_outbox_park", 7,
        "WITH o AS (DELETE FROM taskevents.outbox"
        " WHERE shard = taskevents.shard_of($1::text)"
        " AND user_id = $1::text AND topic = $2::text"
        " AND sequence = $3::bigint RETURNING event_id, event, attempts)"
        " INSERT INTO taskevents.dead_letters AS d (stage, source, event_id,"
        " topic, user_id, body, body_size, reason, attempts,"
        " first_failed_at, last_failed_at, alert_state)"
        " SELECT $4::text, $5::text, o.event_id::text, $2::text, $1::text,"
        " convert_to(o.event, 'UTF8'), octet_length(o.event), $6::text,"
        " o.attempts + 1, clock_timestamp(), clock_timestamp(), $7::text"
        " FROM o ON CONFLICT (stage, source, event_id) DO UPDATE SET"
        " attempts = d.attempts + excluded.attempts,"
        " reason = excluded.reason,"
        " last_failed_at = excluded.last_failed_at, state = 'open',"
        " closed_at = NULL, closed_by = NULL, note = NULL,"
        " alert_id = excluded.alert_id, alert_state = excluded.alert_state,"
        " alert_attempts = 0, alert_at = excluded.alert_at"},

    /* $1 id -> the letter, and its body */
    [TE_LETTER_GET] = {"te_letter_get", 1,
        "SELECT " TE_LETTER_COLUMNS ", d.body"
        " FROM taskevents.dead_letters d WHERE d.id = $1::bigint"},
    /* $1 id $2 state $3 who $4 note -> a row, if it was open */
    [TE_LETTER_CLOSE] = {"te_letter_close", 4,
        "UPDATE taskevents.dead_letters SET state = $2::text,"
        " closed_at = clock_timestamp(), closed_by = $3::text,"
        " note = $4::text"
        " WHERE id = $1::bigint AND state = 'open' RETURNING id"},
    /* $1 id $2 reason $3 note */
    [TE_LETTER_FAILED] = {"te_letter_failed", 3,
        "UPDATE taskevents.dead_letters SET attempts = attempts + 1,"
        " reason = $2::text, last_failed_at = clock_timestamp(),"
        " note = $3::text WHERE id = $1::bigint AND state = 'open'"},
    /* Back into the outbox, with its own id and number; there it is the
     * oldest of its stream. $1 id $2 who -> a row, if it was open */
    [TE_LETTER_REPUBLISH] = {"te_letter_republish", 2,
        "WITH d AS (UPDATE taskevents.dead_letters SET state = 'redriven',"
        " closed_at = clock_timestamp(), closed_by = $2::text,"
        " note = 'published again'"
        " WHERE id = $1::bigint AND state = 'open' AND stage = 'publish'"
        " RETURNING user_id, topic, event_id,"
        "  convert_from(body, 'UTF8') AS event"
        "), o AS (INSERT INTO taskevents.outbox"
        "  (user_id, topic, sequence, event_id, event)"
        " SELECT user_id, topic, (event::json ->> 'sequence')::bigint,"
        "  event_id::uuid, event FROM d ON CONFLICT DO NOTHING)"
        " SELECT 1 FROM d"},
    /* $1 the id before -> the last id of these (0: there are no more), how
     * many of them were closed */
    [TE_LETTERS_TIDY] = {"te_letters_tidy", 1,
        "WITH s AS (SELECT id, source, event_id, stage"
        " FROM taskevents.dead_letters"
        " WHERE state = 'open' AND id > $1::bigint ORDER BY id LIMIT 500"
        "), c AS (UPDATE taskevents.dead_letters d SET state = 'redriven',"
        " closed_at = clock_timestamp(), closed_by = 'taskevents',"
        " note = 'handled already' FROM s"
        " WHERE d.id = s.id AND d.state = 'open'"
        " AND s.stage IN ('handle', 'deadletter') AND EXISTS ("
        "  SELECT 1 FROM taskevents.processed_events p"
        "   WHERE p.source = s.source AND p.event_id = s.event_id)"
        " RETURNING d.id)"
        " SELECT CASE WHEN count(*) < 500 THEN 0 ELSE max(id) END,"
        " (SELECT count(*) FROM c) FROM s"},
    /* $1 how many -> letters */
    [TE_LETTERS_ALERTS_DUE] = {"te_letters_alerts_due", 1,
        "SELECT " TE_LETTER_COLUMNS " FROM taskevents.dead_letters d"
        " WHERE d.alert_state = 'pending'"
        " AND d.alert_at <= statement_timestamp()"
        " ORDER BY d.alert_at, d.id LIMIT $1::int"},
    /* $1 id $2 the alert's id $3 state $4 wait in ms; a letter that was opened
     * again meanwhile has another alert */
    [TE_LETTER_ALERTED] = {"te_letter_alerted", 4,
        "UPDATE taskevents.dead_letters SET alert_state = $3::text,"
        " alert_attempts = alert_attempts + 1,"
        " alert_at = clock_timestamp() + $4::int * interval '1 ms'"
        " WHERE id = $1::bigint AND alert_id = $2::uuid"},

    [TE_FORGET_ANSWERS] = {"te_forget_answers", 1,
        FORGET("taskevents.idempotency_keys", "created_at")},
    [TE_FORGET_HISTORY] = {"te_forget_history", 1,
        FORGET("taskevents.processed_events", "processed_at")},
    [TE_FORGET_LETTERS] = {"te_forget_letters", 1,
        FORGET("taskevents.dead_letters",
               "coalesce(closed_at, last_failed_at)")},

    /* $1 user $2 the position before $3 how many -> position, when, outcome,
     * event */
    [TE_HISTORY] = {"te_history", 3, HISTORY("")},
    /* and $4 type */
    [TE_HISTORY_OF_TYPE] = {"te_history_of_type", 4,
        HISTORY(" AND type = $4::text")},
    /* $1 user $2 zone $3 first day $4 last day -> day, type, how many */
    [TE_STATS_DAYS] = {"te_stats_days", 4,
        "SELECT (quarter AT TIME ZONE " ZONE(2) ")::date AS day, type,"
        "  sum(n)"
        " FROM taskevents.event_counts WHERE user_id = $1::text"
        " AND quarter >= " DAY_BEGINS("$3::date", 2)
        " AND quarter < " DAY_BEGINS("$4::date + 1", 2)
        " GROUP BY day, type ORDER BY day, type"},
    /* The days in a row with a completion, up to today or, as long as there
     * is none today, to yesterday; and the open tasks that are late.
     * $1 user $2 zone -> today, streak, overdue */
    [TE_STATS_NOW] = {"te_stats_now", 2,
        "WITH RECURSIVE r AS ("
        " SELECT t.day, CASE WHEN " COMPLETED_ON("t.day")
        "   THEN 1 ELSE 0 END AS n"
        "  FROM (SELECT (statement_timestamp() AT TIME ZONE " ZONE(2) ")"
        "   ::date AS day) AS t"
        " UNION ALL"
        " SELECT r.day - 1, r.n + 1 FROM r WHERE " COMPLETED_ON("r.day - 1")
        ") SELECT (SELECT max(day) FROM r), (SELECT max(n) FROM r),"
        " (SELECT count(*) FROM taskevents.tasks WHERE user_id = $1::text"
        "  AND NOT completed AND due_date < statement_timestamp())"},
    /* -> events, age of the oldest in seconds */
    [TE_OUTBOX_SIZE] = {"te_outbox_size", 0, outbox_size},
    /* -> state, how many; a row for each that there is */
    [TE_DEAD_LETTER_COUNTS] = {"te_dead_letter_counts", 0,
        "SELECT state, count(*) FROM taskevents.dead_letters GROUP BY state"},
    /* $1 how many -> events that failed, those with most tries, and how many
     * there are */
    [TE_OUTBOX_RETRIES] = {"te_outbox_retries", 1,
        "SELECT user_id, topic, sequence, attempts, retry_at, last_error,"
        " count(*) OVER () FROM taskevents.outbox WHERE attempts > 0"
        " ORDER BY attempts DESC, user_id, topic, sequence LIMIT $1::int"},
    /* $1 how many -> open dead letters by stage and reason */
    [TE_LETTER_GROUPS] = {"te_letter_groups", 1,
        "SELECT stage, reason, count(*), max(last_failed_at)"
        " FROM taskevents.dead_letters WHERE state = 'open'"
        " GROUP BY stage, reason ORDER BY count(*) DESC, stage, reason"
        " LIMIT $1::int"},
};

const te_statement_t *te_statement(te_statement_e which)
{
    return statements[which].name != NULL ? &statements[which]
                                          : te_reminder_statement(which);
}
