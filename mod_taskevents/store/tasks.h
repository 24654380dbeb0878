/* Tasks as PostgreSQL keeps them. */
#ifndef TE_STORE_TASKS_H
#define TE_STORE_TASKS_H

#include <apr_tables.h>

#include "db.h"

typedef enum {
    TE_PRIORITY_LOW = 1,
    TE_PRIORITY_MEDIUM = 2,
    TE_PRIORITY_HIGH = 3
} te_priority_e;

/* A row of taskevents.tasks. Texts are UTF-8; NULL stands for SQL NULL. */
typedef struct te_task_t {
    apr_int64_t id;
    const char *user_id;
    const char *title;
    const char *description;
    int completed;
    apr_time_t completed_at;            /* TE_TIME_NONE: open */
    te_priority_e priority;
    apr_array_header_t *tags;           /* of const char * */
    apr_time_t due_date;                /* TE_TIME_NONE: none */
    const char *time_zone;              /* IANA name */
    const char *recurring_interval;     /* NULL: does not recur */
    const char *series_id;
    int occurrence;                     /* 0: in no series */
    apr_int64_t version;
    const char *last_event_id;
    apr_time_t created_at, updated_at;
    apr_time_t due_since;               /* the last change that set the due
                                         * date or reopened the task */
    const char *held_by;                /* te_tasks_lock: its transaction */
} te_task_t;

/* A row of taskevents.series, as far as making its next task asks. */
typedef struct te_series_t {
    const char *id;
    const char *user_id;
    int last;                           /* the last number used */
    int ended;
} te_series_t;

/* An event on its way into the outbox: its text around the twenty digits of
 * the sequence that the database gives it. */
typedef struct te_outgoing_t {
    const char *id;                     /* uuid */
    const char *type;
    const char *user_id;
    const char *topic;
    const char *head, *tail;
} te_outgoing_t;

/* All functions copy what they return into p. */

/* Store a new task (its series too, if it recurs) and its event, at once and
 * durably. TE_DB_LOST leaves open whether it is there: call again with the
 * same task and again=1, which takes the id's presence for success. */
te_db_err_e te_tasks_create(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                            const te_outgoing_t *event, int again);

/* *task is NULL when the user has no task of that id. */
te_db_err_e te_tasks_get(te_db_t *db, apr_pool_t *p, const char *user_id,
                         apr_int64_t id, te_task_t **task);

/* Same, in a transaction that holds the task's row from now on; begin: the
 * transaction starts here. When *task is NULL there is still one open. */
te_db_err_e te_tasks_lock(te_db_t *db, apr_pool_t *p, int begin,
                          const char *user_id, apr_int64_t id,
                          te_task_t **task);

/* Write all of a task that te_tasks_lock holds, with 1 or 2 events in this
 * order; task->updated_at is the time of the change.
 * @param commit  1: and commit */
te_db_err_e te_tasks_update(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                            te_outgoing_t *const *events, int n, int commit);

/* Delete a task that te_tasks_lock holds, with its event, and commit. When it
 * was complete and the last of a series that goes on, the series keeps what
 * the next task takes of it. */
te_db_err_e te_tasks_delete(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                            const te_outgoing_t *event);

typedef enum {
    TE_SORT_CREATED,
    TE_SORT_UPDATED,
    TE_SORT_DUE_DATE,           /* none: last, in both directions */
    TE_SORT_PRIORITY            /* low before medium before high */
} te_sort_e;

/* Which of a user's tasks, in which order, from where on. */
typedef struct te_task_filter_t {
    const char *user_id;
    int priority;                       /* 0: any */
    int completed;                      /* 0, 1; -1: any */
    apr_array_header_t *tags;           /* any of these; NULL: all */
    apr_array_header_t *words;          /* each of these; NULL: all */
    apr_time_t due_before, due_after;   /* TE_TIME_NONE: any */
    te_sort_e sort;
    int descending;
    int limit;
    int has_cursor;                     /* behind the task with this */
    apr_int64_t cursor_key;             /* sort key: time or priority */
    apr_int64_t cursor_id;
} te_task_filter_t;

/* The key of a task in an order; TE_TIME_NONE for no due date. */
apr_int64_t te_task_sort_key(const te_task_t *task, te_sort_e sort);

te_db_err_e te_tasks_list(te_db_t *db, apr_pool_t *p,
                          const te_task_filter_t *filter,
                          apr_array_header_t **tasks /* te_task_t * */);

typedef struct te_occurrence_t {
    int number;
    apr_time_t due_date;
} te_occurrence_t;

/* The due times that would follow a task if it were completed on time, and
 * so on. not_before: TE_TIME_NONE, or what the first must be after. */
te_db_err_e te_tasks_occurrences(te_db_t *db, apr_pool_t *p,
                                 const char *user_id, apr_int64_t id,
                                 apr_time_t not_before, int limit,
                                 apr_array_header_t **occurrences);

/* Inside a transaction that holds the task: lock its series.
 * @param last  the last number used; 0: the user has no such series */
te_db_err_e te_series_lock(te_db_t *db, apr_pool_t *p, const char *series_id,
                           const char *user_id, int *last, int *ended);

/* Inside a transaction that holds the task: start its series, or anchor it
 * anew at this task's due date, zone and interval. Only the last task of a
 * series does so; another one changes nothing. */
te_db_err_e te_series_put(te_db_t *db, apr_pool_t *p, const te_task_t *task);

/* Inside a transaction that holds the task: no more tasks in its series. */
te_db_err_e te_series_end(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                          apr_time_t now);

/* Inside a transaction that holds the series: make its next task.
 * @param id         of the new task
 * @param from       the completed task, whose fields it takes; unless the
 *                   series kept those of a last task that was deleted
 * @param not_before TE_TIME_NONE, or an instant the due date must be after
 * @param next       the new task; NULL when its due date would lie behind
 *                   the year 9999 */
te_db_err_e te_tasks_create_next(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                                 const te_task_t *from, apr_time_t not_before,
                                 const char *event_id, apr_time_t now,
                                 te_task_t **next);

#endif
