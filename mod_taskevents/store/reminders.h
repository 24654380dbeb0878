/* Reminders as PostgreSQL keeps them: the rows decide, whoever triggers. */
#ifndef TE_STORE_REMINDERS_H
#define TE_STORE_REMINDERS_H

#include <apr_tables.h>

#include "tasks.h"

typedef enum {
    TE_REMINDER_IS_SCHEDULED,
    TE_REMINDER_IS_TRIGGERED,
    TE_REMINDER_IS_CANCELLED
} te_reminder_state_e;

/* A row of taskevents.reminders. */
typedef struct te_reminder_t {
    const char *id;                     /* uuid */
    apr_int64_t task_id;
    const char *user_id;
    apr_time_t due_date, due_since;     /* of the task: what it is for */
    apr_time_t remind_at;
    te_reminder_state_e state;
    const char *event_id;               /* its reminder.scheduled */
    const char *correlation_id, *traceparent;
} te_reminder_t;

/* All copy what they return into p. The first five work in a transaction that
 * holds the task, if there is one. */

/* Lock and read a task's scheduled reminder, and the one that was made for
 * the due date that stands since `due_since` (TE_TIME_NONE: none), whatever
 * became of it. reminders: te_reminder_t *, at most two. */
te_db_err_e te_reminders_lock(te_db_t *db, apr_pool_t *p,
                              const char *user_id, apr_int64_t task_id,
                              apr_time_t due_since,
                              apr_array_header_t **reminders);

/* Lock and read those that there are of several, which are named by their ids
 * and users. reminders: te_reminder_t * */
te_db_err_e te_reminders_hold(te_db_t *db, apr_pool_t *p,
                              const apr_array_header_t *ids,
                              const apr_array_header_t *users,
                              apr_array_header_t **reminders);

/* Store a scheduled one. jobs: a scheduler is to hold a job for it, unless so
 * many others are scheduled for the same minute. */
te_db_err_e te_reminder_schedule(te_db_t *db, apr_pool_t *p,
                                 const te_reminder_t *reminder, int jobs);

/* A locked one is cancelled now, its job unwanted. */
te_db_err_e te_reminder_cancel(te_db_t *db, const char *id,
                               const char *reason);

/* A reminder whose time has come, and the task as it is seen to be. */
typedef struct te_due_t {
    te_reminder_t reminder;
    int early;                          /* by PostgreSQL's clock */
    apr_int64_t version;                /* of the task; 0: it is gone */
    const char *title;
    int completed;
    apr_time_t task_due, task_due_since;
} te_due_t;

/* The longest due ones, by PostgreSQL's clock, without a lock.
 * due: te_due_t *, at most limit */
te_db_err_e te_reminders_due(te_db_t *db, apr_pool_t *p, int limit,
                             apr_array_header_t **due);

/* How many are due and not triggered, and for how long the longest of them,
 * by PostgreSQL's clock. */
te_db_err_e te_reminders_overdue(te_db_t *db, apr_int64_t *n,
                                 double *oldest_seconds);

/* The same for one that may not be due; NULL: there is none. */
te_db_err_e te_reminder_find(te_db_t *db, apr_pool_t *p, const char *id,
                             te_due_t **due);

/* What becomes of a due one. */
typedef struct te_firing_t {
    const te_due_t *due;
    const char *reason;                 /* cancelled for; NULL: triggered */
    const te_outgoing_t *event;
    int done;                           /* out: it did */
    apr_interval_time_t late;           /* out: by how much, if done */
} te_firing_t;

/* Trigger or cancel reminders, each with its event, in one statement: those
 * that are still scheduled and due, and whose task is still of the version
 * that was seen. Rows that somebody else holds are passed over, so it waits
 * for no task and no reminder; the rest is for another time.
 * @param topic  of the events; firings: te_firing_t */
te_db_err_e te_reminders_fire(te_db_t *db, apr_pool_t *p, const char *topic,
                              apr_array_header_t *firings);

/* A job to be made or taken back. */
typedef struct te_job_t {
    const char *reminder_id;
    apr_int64_t task_id;
    apr_time_t remind_at;
    int unwanted;                       /* 1: take it back */
    int attempts;                       /* that failed so far */
    int done;                           /* in: te_reminders_jobs_tried */
    apr_interval_time_t wait;           /* in: till the next try, if not */
} te_job_t;

/* Those whose turn it is, oldest first. jobs: te_job_t * */
te_db_err_e te_reminders_jobs(te_db_t *db, apr_pool_t *p, int limit,
                              apr_array_header_t **jobs);

/* What came of it; what has been decided since stays. */
te_db_err_e te_reminders_jobs_tried(te_db_t *db, apr_pool_t *p,
                                    const apr_array_header_t *jobs);

#endif
