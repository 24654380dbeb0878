/* Notifications: what a user is told inside the application. */
#ifndef TE_STORE_NOTIFICATIONS_H
#define TE_STORE_NOTIFICATIONS_H

#include <apr_tables.h>

#include "db.h"

typedef struct te_notification_t {
    apr_int64_t id;
    const char *user_id;
    const char *type;
    const char *title, *message;
    apr_int64_t task_id;
    const char *data;                   /* the text of a JSON object */
    apr_time_t read_at;                 /* TE_TIME_NONE: unread */
    apr_time_t created_at;
} te_notification_t;

/* All copy what they return into p. */

/* What the user of a task is told. */
typedef struct te_told_t {
    apr_int64_t task_id;
    const char *reminder_id;
    apr_time_t due_date;
} te_told_t;

/* Tell the users of tasks that these are due, once for each reminder; the
 * second time changes nothing. Inside a transaction that holds the tasks.
 * told: te_told_t */
te_db_err_e te_notifications_remind(te_db_t *db, apr_pool_t *p,
                                    const apr_array_header_t *told);

typedef struct te_notification_filter_t {
    const char *user_id;
    int unread;                         /* 1: only those */
    apr_int64_t before;                 /* ids below this one; 0: all */
    int limit;
} te_notification_filter_t;

/* The user's, newest first, and how many are unread in all.
 * notifications: te_notification_t * */
te_db_err_e te_notifications_list(te_db_t *db, apr_pool_t *p,
                                  const te_notification_filter_t *filter,
                                  apr_array_header_t **notifications,
                                  apr_int64_t *unread);

/* *notification is NULL when the user has none of that id. */
te_db_err_e te_notification_get(te_db_t *db, apr_pool_t *p,
                                const char *user_id, apr_int64_t id,
                                te_notification_t **notification);

/* Mark one as read or as unread; one that is so already stays as it is.
 * *notification is then as for te_notification_get. */
te_db_err_e te_notification_mark(te_db_t *db, apr_pool_t *p,
                                 const char *user_id, apr_int64_t id,
                                 int read, te_notification_t **notification);

/* Mark all of the user's as read. @param n  how many were not */
te_db_err_e te_notifications_mark_all(te_db_t *db, const char *user_id,
                                      apr_int64_t *n);

#endif
