/* The SQL of reminders and notifications; what holds for all is said in
 * statements.c. */
#include "statements.h"

/* What is read of a reminder, in the order of store/reminders.c. */
#define REMINDER_COLUMNS \
    "r.id, r.task_id, r.user_id, r.due_date, r.due_since, r.remind_at," \
    " r.state, r.event_id, r.correlation_id, r.traceparent"

/* A reminder and the task that it is for, without a lock. The statement's own
 * time, not the clock's, so that an index can be asked for it. */
#define REMINDER_AND_TASK \
    "SELECT " REMINDER_COLUMNS ", r.remind_at > statement_timestamp()," \
    " t.version, t.title, t.completed, t.due_date," \
    " coalesce(t.due_since, t.updated_at)" \
    " FROM taskevents.reminders r LEFT JOIN taskevents.tasks t" \
    "  ON t.id = r.task_id AND t.user_id = r.user_id"

/* What becomes of the job of a reminder that is cancelled. */
#define JOB_UNWANTED \
    "CASE WHEN r.job_state IN ('wanted', 'made') THEN 'unwanted'" \
    " ELSE r.job_state END"

#define NOTIFICATION_COLUMNS \
    "n.id, n.user_id, n.type, n.title, n.message, n.task_id, n.data," \
    " n.read_at, n.created_at"

/* $1 user $2 limit $3 below this id, or NULL -> notifications, newest first,
 * each with the number of unread ones; that number alone if there are none */
#define NOTIFICATION_LIST(which) \
    "WITH c AS (SELECT count(*) AS unread FROM taskevents.notifications" \
    "  WHERE user_id = $1::text AND read_at IS NULL)" \
    " SELECT " NOTIFICATION_COLUMNS ", c.unread FROM c LEFT JOIN LATERAL (" \
    "  SELECT " NOTIFICATION_COLUMNS " FROM taskevents.notifications n" \
    "   WHERE n.user_id = $1::text" which \
    "   AND n.id < coalesce($3::bigint, 9223372036854775807)" \
    "   ORDER BY n.id DESC LIMIT $2::int) n ON true ORDER BY n.id DESC"

static const te_statement_t statements[TE_STATEMENT_COUNT] = {
    /* -> scheduled, due, due within the hour, the next one's time, and that
     * of the one that is due the longest or else the next */
    [TE_REMINDERS_GLANCE] = {"te_reminders_glance", 0,
        "SELECT count(*),"
        " count(*) FILTER (WHERE remind_at <= statement_timestamp()),"
        " count(*) FILTER (WHERE remind_at > statement_timestamp() AND"
        "  remind_at <= statement_timestamp() + interval '1 hour'),"
        " min(remind_at) FILTER (WHERE remind_at > statement_timestamp()),"
        " min(remind_at)"
        " FROM taskevents.reminders WHERE state = 'scheduled'"},

    /* $1 task $2 user $3 due since (or NULL) -> the scheduled one, and the
     * one that is for this due date */
    [TE_REMINDERS_LOCK] = {"te_reminders_lock", 3,
        "SELECT " REMINDER_COLUMNS " FROM taskevents.reminders r"
        " WHERE r.task_id = $1::bigint AND r.user_id = $2::text"
        " AND (r.state = 'scheduled' OR r.due_since = $3::timestamptz)"
        " FOR UPDATE"},
    /* $1 ids $2 users -> those that there are */
    [TE_REMINDERS_HOLD] = {"te_reminders_hold", 2,
        "SELECT " REMINDER_COLUMNS " FROM taskevents.reminders r"
        " WHERE r.id = ANY ($1::uuid[]) AND r.user_id = ANY ($2::text[])"
        " ORDER BY r.id FOR UPDATE"},
    /* $1 id $2 task $3 user $4 due $5 due since $6 remind at $7 event
     * $8 correlation $9 trace $10 how many of one minute have a job */
    [TE_REMINDER_SCHEDULE] = {"te_reminder_schedule", 10,
        "INSERT INTO taskevents.reminders (id, task_id, user_id, due_date,"
        " due_since, remind_at, event_id, correlation_id, traceparent,"
        " job_state) VALUES ($1::uuid, $2::bigint, $3::text,"
        " $4::timestamptz, $5::timestamptz, $6::timestamptz, $7::uuid,"
        " $8::text, $9::text, CASE WHEN $10::int > (SELECT count(*) FROM ("
        "  SELECT FROM taskevents.reminders m WHERE m.state = 'scheduled'"
        "  AND m.remind_at >= date_trunc('minute', $6::timestamptz)"
        "  AND m.remind_at < date_trunc('minute', $6::timestamptz)"
        "   + interval '1 minute' LIMIT $10::int) AS m)"
        " THEN 'wanted' ELSE 'none' END)"},
    /* $1 id $2 reason */
    [TE_REMINDER_CANCEL] = {"te_reminder_cancel", 2,
        "UPDATE taskevents.reminders r SET state = 'cancelled',"
        " reason = $2::text, ended_at = clock_timestamp(),"
        " job_state = " JOB_UNWANTED " WHERE r.id = $1::uuid"},
    /* $1 how many */
    [TE_REMINDERS_DUE] = {"te_reminders_due", 1,
        REMINDER_AND_TASK " WHERE r.state = 'scheduled'"
        " AND r.remind_at <= statement_timestamp()"
        " ORDER BY r.remind_at, r.id LIMIT $1::int"},
    /* -> how many, the age of the oldest in seconds */
    [TE_REMINDERS_OVERDUE] = {"te_reminders_overdue", 0,
        "SELECT count(*), coalesce(extract(epoch FROM statement_timestamp()"
        " - min(remind_at)), 0) FROM taskevents.reminders"
        " WHERE state = 'scheduled' AND remind_at <= statement_timestamp()"},
    /* $1 id */
    [TE_REMINDER_FIND] = {"te_reminder_find", 1,
        REMINDER_AND_TASK " WHERE r.id = $1::uuid"},
    /* Reminders of many users at once, because the statement waits for nobody
     * but the writers of the streams (and holds what it holds only until it
     * ends): tasks and reminders that others hold are passed over, and the
     * streams are taken in one order by all who take several. Who holds a
     * stream waits for nothing but later streams.
     * $1 topic; and arrays: $2 ids $3 tasks $4 versions seen (0: gone)
     * $5 new states $6 reasons (or "") $7 event ids $8 heads $9 tails
     * -> place in the arrays and lateness in us of those that it did */
    [TE_REMINDERS_FIRE] = {"te_reminders_fire", 9,
        "WITH v AS MATERIALIZED (SELECT u.id, u.task_id, u.version, u.state,"
        "  nullif(u.reason, '') AS reason, u.event_id, u.head, u.tail, u.n"
        "  FROM unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[],"
        "   $6::text[], $7::uuid[], $8::text[], $9::text[]) WITH ORDINALITY"
        "   AS u(id, task_id, version, state, reason, event_id, head, tail,"
        "    n)"
        "), t AS MATERIALIZED (SELECT t.id FROM v JOIN taskevents.tasks t"
        "  ON t.id = v.task_id AND t.version = v.version"
        "  ORDER BY t.id FOR NO KEY UPDATE OF t SKIP LOCKED"
        "), q AS MATERIALIZED (SELECT r.id FROM v"
        "  JOIN taskevents.reminders r ON r.id = v.id"
        "  WHERE r.state = 'scheduled'"
        "   AND r.remind_at <= statement_timestamp()"
        "   AND (v.version = 0 OR v.task_id IN (SELECT t.id FROM t))"
        "  FOR UPDATE OF r SKIP LOCKED"
        "), f AS (UPDATE taskevents.reminders r SET state = v.state,"
        "  reason = v.reason, ended_at = clock_timestamp(),"
        "  job_state = CASE WHEN v.state = 'cancelled' THEN " JOB_UNWANTED
        "   WHEN r.job_state = 'none' THEN 'none' ELSE 'gone' END"
        "  FROM q JOIN v ON v.id = q.id WHERE r.id = q.id"
        "  RETURNING r.id, r.user_id, r.remind_at, v.n"
        "), s AS (INSERT INTO taskevents.streams AS st (user_id, name, last)"
        "  SELECT f.user_id, $1::text, count(*) FROM f GROUP BY f.user_id"
        "  ORDER BY f.user_id ON CONFLICT (user_id, name)"
        "  DO UPDATE SET last = st.last + excluded.last"
        "  RETURNING st.user_id, st.last"
        "), e AS (INSERT INTO taskevents.outbox"
        "  (user_id, topic, sequence, event_id, event)"
        "  SELECT o.user_id, $1::text, o.number, o.event_id,"
        "   o.head || lpad(o.number::text, 20, '0') || o.tail"
        "  FROM (SELECT f.user_id, v.event_id, v.head, v.tail,"
        "    s.last - row_number() OVER (PARTITION BY f.user_id"
        "     ORDER BY f.remind_at DESC, f.id DESC) + 1 AS number"
        "    FROM f JOIN v ON v.n = f.n JOIN s ON s.user_id = f.user_id) o)"
        " SELECT n, (extract(epoch FROM clock_timestamp() - remind_at)"
        "  / 0.000001)::bigint FROM f"},
    /* $1 how many -> jobs to make or to take back; not of a reminder whose
     * time has come, which needs none */
    [TE_REMINDERS_JOBS] = {"te_reminders_jobs", 1,
        "SELECT r.id, r.task_id, r.remind_at, r.job_state = 'unwanted',"
        " r.job_attempts FROM taskevents.reminders r"
        " WHERE r.job_state IN ('wanted', 'unwanted')"
        " AND r.job_retry_at <= statement_timestamp()"
        " AND (r.job_state = 'unwanted'"
        "  OR r.remind_at > statement_timestamp())"
        " ORDER BY r.remind_at LIMIT $1::int"},
    /* $1 ids $2 what was wanted $3 ms to wait; -1: done. A state that is
     * another one by now was set by who knows better. */
    [TE_REMINDERS_JOBS_TRIED] = {"te_reminders_jobs_tried", 3,
        "UPDATE taskevents.reminders r SET"
        " job_state = CASE WHEN v.wait >= 0 THEN r.job_state"
        "  WHEN v.state = 'wanted' THEN 'made' ELSE 'gone' END,"
        " job_attempts = CASE WHEN v.wait >= 0 THEN r.job_attempts + 1"
        "  ELSE 0 END,"
        " job_retry_at = CASE WHEN v.wait >= 0 THEN clock_timestamp()"
        "  + v.wait * interval '1 ms' ELSE '-infinity' END"
        " FROM unnest($1::uuid[], $2::text[], $3::int[])"
        "  AS v(id, state, wait)"
        " WHERE r.id = v.id AND r.job_state = v.state"},
    /* $1 seconds they are kept; some at a time */
    [TE_REMINDERS_FORGET] = {"te_reminders_forget", 1,
        "DELETE FROM taskevents.reminders WHERE id IN ("
        " SELECT r.id FROM taskevents.reminders r"
        "  WHERE r.ended_at < clock_timestamp()"
        "   - $1::int * interval '1 second'"
        "   AND r.job_state IN ('none', 'gone') AND NOT EXISTS ("
        "    SELECT FROM taskevents.tasks t WHERE t.id = r.task_id"
        "     AND coalesce(t.due_since, t.updated_at) = r.due_since)"
        "  ORDER BY r.ended_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"},

    /* $1 tasks $2 reminders $3 due, as it is written in JSON; the message
     * tells it by the clock on the user's wall */
    [TE_NOTIFY_REMINDERS] = {"te_notify_reminders", 3,
        "INSERT INTO taskevents.notifications (user_id, type, title, message,"
        " task_id, reminder_id, data)"
        " SELECT t.user_id, 'task_reminder', t.title, 'Due on '"
        "   || to_char(v.due::timestamptz AT TIME ZONE"
        "    taskevents.zone_named(t.time_zone), 'YYYY-MM-DD \"at\" HH24:MI')"
        "   || ' (' || t.time_zone || ')',"
        "  t.id, v.id, json_build_object('reminder_id', v.id,"
        "   'due_date', v.due)"
        " FROM unnest($1::bigint[], $2::uuid[], $3::text[])"
        "  WITH ORDINALITY AS v(task_id, id, due, n)"
        "  JOIN taskevents.tasks t ON t.id = v.task_id ORDER BY v.n"
        " ON CONFLICT (reminder_id) DO NOTHING"},
    [TE_NOTIFICATIONS] = {"te_notifications", 3, NOTIFICATION_LIST("")},
    [TE_NOTIFICATIONS_UNREAD] = {"te_notifications_unread", 3,
        NOTIFICATION_LIST(" AND n.read_at IS NULL")},
    /* $1 user $2 id */
    [TE_NOTIFICATION_GET] = {"te_notification_get", 2,
        "SELECT " NOTIFICATION_COLUMNS " FROM taskevents.notifications n"
        " WHERE n.id = $2::bigint AND n.user_id = $1::text"},
    /* and $3 whether it is read */
    [TE_NOTIFICATION_MARK] = {"te_notification_mark", 3,
        "UPDATE taskevents.notifications n SET read_at = CASE"
        " WHEN $3::boolean THEN coalesce(n.read_at, clock_timestamp()) END"
        " WHERE n.id = $2::bigint AND n.user_id = $1::text"
        " RETURNING " NOTIFICATION_COLUMNS},
    /* $1 user -> how many were unread */
    [TE_NOTIFICATIONS_MARK_ALL] = {"te_notifications_mark_all", 1,
        "WITH n AS (UPDATE taskevents.notifications"
        "  SET read_at = clock_timestamp()"
        "  WHERE user_id = $1::text AND read_at IS NULL RETURNING id)"
        " SELECT count(*) FROM n"},
    /* $1 seconds they are kept; some at a time */
    [TE_NOTIFICATIONS_FORGET] = {"te_notifications_forget", 1,
        "DELETE FROM taskevents.notifications WHERE id IN ("
        " SELECT id FROM taskevents.notifications"
        "  WHERE created_at < clock_timestamp()"
        "   - $1::int * interval '1 second'"
        "  ORDER BY created_at LIMIT 1000 FOR UPDATE SKIP LOCKED)"},
};

const te_statement_t *te_reminder_statement(te_statement_e which)
{
    return &statements[which];
}
