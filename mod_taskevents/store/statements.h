/* Every SQL statement of the module, by name. */
#ifndef TE_STORE_STATEMENTS_H
#define TE_STORE_STATEMENTS_H

typedef enum {
    TE_SCHEMA_VERSION,
    TE_SERVER_VERSION,
    TE_BACKEND_PID,
    TE_COMMITTED,
    TE_LOCK_PATIENCE,
    TE_TASK_IDS,
    TE_ZONES,
    TE_TASK_CREATE,
    TE_TASK_CREATE_SERIES,
    TE_TASKS_CREATE,
    TE_TASK_GET,
    TE_TASKS_GET_FEW,
    TE_TASKS_GET_MANY,
    TE_TASK_LOCK,
    TE_TASK_UPDATE,
    TE_TASK_DELETE,
    TE_TASK_LIST,
    TE_TASK_LIST_AFTER,
    TE_TASK_OCCURRENCES,
    TE_TASKS_HOLD,
    TE_SERIES_LOCK,
    TE_SERIES_HOLD,
    TE_SERIES_PUT,
    TE_SERIES_END,
    TE_TASK_CREATE_NEXT,
    TE_EMIT,
    TE_HISTORIES_HOLD,
    TE_EVENT_SEEN,
    TE_EVENTS_SEEN,
    TE_EVENT_KNOWN,
    TE_DEAD_LETTER,
    TE_KEY_LOCK,
    TE_KEY_GET,
    TE_KEY_PUT,
    TE_LOCK_SHARDS,
    TE_LOCK_TRY,
    TE_LOCKS_RELEASE,
    TE_LOCKS_KEEP_SHARD,
    TE_LOCKS_END_FROZEN,
    TE_OUTBOX_SESSION,
    TE_OUTBOX_HEADS,
    TE_OUTBOX_TAIL,
    TE_OUTBOX_OF_STREAMS,
    TE_OUTBOX_ACCEPTED,
    TE_OUTBOX_FAILED,
    TE_OUTBOX_SETTLE,
    TE_OUTBOX_PARK,
    TE_LETTER_GET,
    TE_LETTER_CLOSE,
    TE_LETTER_FAILED,
    TE_LETTER_REPUBLISH,
    TE_LETTERS_TIDY,
    TE_LETTERS_ALERTS_DUE,
    TE_LETTER_ALERTED,
    TE_FORGET_ANSWERS,
    TE_FORGET_HISTORY,
    TE_FORGET_LETTERS,
    TE_HISTORY,
    TE_HISTORY_OF_TYPE,
    TE_STATS_DAYS,
    TE_STATS_NOW,
    TE_OUTBOX_SIZE,
    TE_DEAD_LETTER_COUNTS,
    TE_OUTBOX_RETRIES,
    TE_LETTER_GROUPS,
    TE_REMINDERS_GLANCE,
    TE_REMINDERS_LOCK,
    TE_REMINDERS_HOLD,
    TE_REMINDER_SCHEDULE,
    TE_REMINDER_CANCEL,
    TE_REMINDERS_DUE,
    TE_REMINDERS_OVERDUE,
    TE_REMINDER_FIND,
    TE_REMINDERS_FIRE,
    TE_REMINDERS_JOBS,
    TE_REMINDERS_JOBS_TRIED,
    TE_REMINDERS_FORGET,
    TE_NOTIFY_REMINDERS,
    TE_NOTIFICATIONS,
    TE_NOTIFICATIONS_UNREAD,
    TE_NOTIFICATION_GET,
    TE_NOTIFICATION_MARK,
    TE_NOTIFICATIONS_MARK_ALL,
    TE_NOTIFICATIONS_FORGET,
    TE_STATEMENT_COUNT
} te_statement_e;

typedef struct te_statement_t {
    const char *name;           /* of the prepared statement */
    int params;
    const char *sql;
} te_statement_t;

/* How many ids TE_TASKS_GET_FEW and TE_TASKS_GET_MANY have. */
#define TE_TASKS_FEW 8
#define TE_TASKS_MANY 32

/* The columns of a task, in the order in which store/tasks.c reads them. */
#define TE_TASK_COLUMNS(t) \
    t "id, " t "user_id, " t "title, " t "description, " t "completed, " \
    t "completed_at, " t "priority, " t "tags, " t "due_date, " \
    t "time_zone, " t "recurring_interval, " t "series_id, " \
    t "occurrence, " t "version, " t "last_event_id, " t "created_at, " \
    t "updated_at, coalesce(" t "due_since, " t "updated_at)"

/* The columns of a dead letter, in the order in which store/dead_letters.c
 * reads them; d is the table. */
#define TE_LETTER_COLUMNS \
    "d.id, d.stage, d.state, d.reason, d.source, d.event_id, d.user_id," \
    " d.topic, d.record_partition, d.record_offset, d.attempts," \
    " d.first_failed_at, d.last_failed_at, d.closed_at, d.closed_by, d.note," \
    " d.alert_id, d.alert_state, d.alert_attempts, d.body_size," \
    " " TE_LETTER_TYPE
#define TE_LETTER_COLUMN_COUNT 21

/* The type that a body names, which may be anything: looked for in its head
 * by what a member looks like. In the text of a string each quote has a
 * backslash before it, so that no title can look like it. */
#define TE_LETTER_TYPE \
    "substring(encode(substring(d.body FROM 1 FOR 16384), 'escape')" \
    " FROM '\"type\"[ ]{0,9}:[ ]{0,9}\"([a-zA-Z0-9._-]{1,128})\"')"

/* The statement; never NULL. */
const te_statement_t *te_statement(te_statement_e which);

/* Same, of reminders and notifications only, for te_statement. */
const te_statement_t *te_reminder_statement(te_statement_e which);

#endif
