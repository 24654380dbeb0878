#include "group_read.h"

#include <string.h>

#include "../base/log.h"
#include "task_row.h"

typedef struct {
    apr_pool_t *pool;
    const char *user_id;
    apr_int64_t id;
    te_task_t *task;
} lookup_t;

/* Everyone who asked for this row. */
static void hand_out(void *const *items, int n, const PGresult *r, int row)
{
    apr_int64_t id = te_task_row_id(r, row);
    int i;

    for (i = 0; i < n; ++i) {
        lookup_t *lookup = items[i];

        if (lookup->id == id
            && strcmp(te_task_row_user(r, row), lookup->user_id) == 0) {
            lookup->task = te_task_row(lookup->pool, r, row);
        }
    }
}

/* One statement for all. */
static te_db_err_e read_rows(te_db_t *db, void *const *items, int n)
{
    apr_pool_t *p = ((lookup_t *)items[0])->pool;
    const char *params[TE_TASKS_MANY], *id = NULL;
    int few = n <= TE_TASKS_FEW, row, i;
    te_db_err_e err;
    PGresult *r;

    for (i = 0; i < (few ? TE_TASKS_FEW : TE_TASKS_MANY); ++i) {
        if (i < n) {            /* else the last one again */
            id = te_db_from_int64(p, ((lookup_t *)items[i])->id);
        }
        params[i] = id;
    }
    err = te_db_run(db, few ? TE_TASKS_GET_FEW : TE_TASKS_GET_MANY,
                    TE_TX_NONE, params, &r);
    for (row = 0; err == TE_DB_OK && row < PQntuples(r); ++row) {
        hand_out(items, n, r, row);
    }
    return err;
}

static te_db_err_e read_batch(te_db_t *db, void *context, void **items, int n)
{
    lookup_t *first = items[0];
    te_db_err_e err;

    (void)context;
    err = n > 1 ? read_rows(db, items, n)
                : te_tasks_get(db, first->pool, first->user_id, first->id,
                               &first->task);
    if (err == TE_DB_OK) {
        return err;
    }
    te_log(TE_LOG_INFO, 0, "TE0206", "%d task(s) were not read at once "
           "('%s': %s): each is tried by itself", n, te_db_err_name(err),
           te_db_error(db));
    return TE_DB_AGAIN;
}

apr_status_t te_group_read_create(te_group_t **out, te_db_pool_t *db,
                                  apr_pool_t *p)
{
    return te_group_create(out, db, read_batch, NULL, p);
}

te_db_err_e te_group_get(te_group_t *group, apr_pool_t *p,
                         const char *user_id, apr_int64_t id,
                         te_task_t **task, apr_time_t deadline)
{
    lookup_t lookup = {p, user_id, id, NULL};
    te_db_err_e err = te_group_run(group, &lookup, deadline);

    *task = lookup.task;
    return err;
}
