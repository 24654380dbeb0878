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

static te_db_err_e read_batch(te_db_t *db, void *context, void **items, int n)
{
    const char *params[TE_TASKS_MANY];
    lookup_t *first = items[0];
    int few = n <= TE_TASKS_FEW, row, i;
    te_db_err_e err;
    PGresult *r;

    (void)context;
    if (n == 1) {
        return te_tasks_get(db, first->pool, first->user_id, first->id,
                            &first->task);
    }
    for (i = 0; i < (few ? TE_TASKS_FEW : TE_TASKS_MANY); ++i) {
        /* the last one again where there is none */
        params[i] = i < n ? te_db_from_int64(first->pool,
                                             ((lookup_t *)items[i])->id)
                          : params[n - 1];
    }
    err = te_db_run(db, few ? TE_TASKS_GET_FEW : TE_TASKS_GET_MANY,
                    TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        te_log(TE_LOG_INFO, 0, "TE0206", "%d tasks were not read together "
               "('%s': %s): each is tried by itself", n, te_db_err_name(err),
               te_db_error(db));
        return TE_DB_AGAIN;
    }
    for (row = 0; row < PQntuples(r); ++row) {
        hand_out(items, n, r, row);
    }
    return TE_DB_OK;
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
