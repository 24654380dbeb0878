#include "notifications.h"

#include "../base/timefmt.h"
#include "db_internal.h"

/* Columns as TE_NOTIFICATION_COLUMNS names them. */
static te_notification_t *read_row(apr_pool_t *p, const PGresult *r, int row)
{
    te_notification_t *n = apr_pcalloc(p, sizeof *n);

    n->id = te_db_int64(r, row, 0);
    n->user_id = te_db_text(p, r, row, 1);
    n->type = te_db_text(p, r, row, 2);
    n->title = te_db_text(p, r, row, 3);
    n->message = te_db_text(p, r, row, 4);
    n->task_id = te_db_int64(r, row, 5);
    n->data = te_db_text(p, r, row, 6);
    n->read_at = te_db_time(r, row, 7);
    n->created_at = te_db_time(r, row, 8);
    return n;
}

#define UNREAD 9                /* the column behind them */

te_db_err_e te_notifications_remind(te_db_t *db, apr_pool_t *p,
                                    const apr_array_header_t *told)
{
    apr_array_header_t *columns[3];
    const char *params[3];
    PGresult *r;
    int i;

    te_db_columns(p, columns, 3, told->nelts);
    for (i = 0; i < told->nelts; ++i) {
        const te_told_t *one = &APR_ARRAY_IDX(told, i, te_told_t);

        APR_ARRAY_PUSH(columns[0], const char *) =
            te_db_from_int64(p, one->task_id);
        APR_ARRAY_PUSH(columns[1], const char *) = one->reminder_id;
        APR_ARRAY_PUSH(columns[2], const char *) =
            te_time_format(p, one->due_date);
    }
    te_db_from_columns(p, columns, 3, params);
    return te_db_run(db, TE_NOTIFY_REMINDERS, TE_TX_NONE, params, &r);
}

/* The count is a row of its own when there is nothing to list. */
te_db_err_e te_notifications_list(te_db_t *db, apr_pool_t *p,
                                  const te_notification_filter_t *filter,
                                  apr_array_header_t **notifications,
                                  apr_int64_t *unread)
{
    const char *params[3];
    te_db_err_e err;
    PGresult *r;
    int row;

    params[0] = filter->user_id;
    params[1] = te_db_from_int64(p, filter->limit);
    params[2] = filter->before ? te_db_from_int64(p, filter->before) : NULL;
    err = te_db_run(db, filter->unread ? TE_NOTIFICATIONS_UNREAD
                                       : TE_NOTIFICATIONS,
                    TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *notifications = apr_array_make(p, PQntuples(r) + 1,
                                    sizeof(te_notification_t *));
    for (row = 0; row < PQntuples(r); ++row) {
        *unread = te_db_int64(r, row, UNREAD);
        if (!PQgetisnull(r, row, 0)) {
            APR_ARRAY_PUSH(*notifications, te_notification_t *) =
                read_row(p, r, row);
        }
    }
    return TE_DB_OK;
}

static te_db_err_e run_one(te_db_t *db, apr_pool_t *p, te_statement_e which,
                           const char *const *params,
                           te_notification_t **notification)
{
    PGresult *r;
    te_db_err_e err = te_db_run(db, which, TE_TX_NONE, params, &r);

    *notification = err == TE_DB_OK && PQntuples(r) > 0 ? read_row(p, r, 0)
                                                        : NULL;
    return err;
}

te_db_err_e te_notification_get(te_db_t *db, apr_pool_t *p,
                                const char *user_id, apr_int64_t id,
                                te_notification_t **notification)
{
    const char *params[2];

    params[0] = user_id;
    params[1] = te_db_from_int64(p, id);
    return run_one(db, p, TE_NOTIFICATION_GET, params, notification);
}

te_db_err_e te_notification_mark(te_db_t *db, apr_pool_t *p,
                                 const char *user_id, apr_int64_t id,
                                 int read, te_notification_t **notification)
{
    const char *params[3];

    params[0] = user_id;
    params[1] = te_db_from_int64(p, id);
    params[2] = read ? "true" : "false";
    return run_one(db, p, TE_NOTIFICATION_MARK, params, notification);
}

te_db_err_e te_notifications_mark_all(te_db_t *db, const char *user_id,
                                      apr_int64_t *n)
{
    const char *params[1] = {user_id};
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_NOTIFICATIONS_MARK_ALL, TE_TX_NONE,
                                params, &r);

    *n = err == TE_DB_OK ? te_db_int64(r, 0, 0) : 0;
    return err;
}
