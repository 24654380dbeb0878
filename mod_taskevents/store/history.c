#include "history.h"

#include <apr_strings.h>

#include "db_internal.h"

te_db_err_e te_history_list(te_db_t *db, apr_pool_t *p, const char *user_id,
                            apr_int64_t after, const char *type, int limit,
                            apr_array_header_t **items)
{
    const char *params[4];
    te_db_err_e err;
    PGresult *r;
    int i;

    params[0] = user_id;
    params[1] = te_db_from_int64(p, after);
    params[2] = te_db_from_int64(p, limit);
    params[3] = type;
    err = te_db_run(db, type ? TE_HISTORY_OF_TYPE : TE_HISTORY, TE_TX_NONE,
                    params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *items = apr_array_make(p, PQntuples(r) + 1, sizeof(te_history_item_t));
    for (i = 0; i < PQntuples(r); ++i) {
        te_history_item_t *item = apr_array_push(*items);

        item->position = te_db_int64(r, i, 0);
        item->processed_at = te_db_time(r, i, 1);
        item->outcome = te_db_text(p, r, i, 2);
        item->event = te_db_text(p, r, i, 3);
    }
    return TE_DB_OK;
}

te_db_err_e te_stats_days(te_db_t *db, apr_pool_t *p, const char *user_id,
                          const char *zone, const char *from, const char *to,
                          apr_array_header_t **counts)
{
    const char *params[4];
    te_db_err_e err;
    PGresult *r;
    int i;

    params[0] = user_id;
    params[1] = zone;
    params[2] = from;
    params[3] = to;
    err = te_db_run(db, TE_STATS_DAYS, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *counts = apr_array_make(p, PQntuples(r) + 1, sizeof(te_day_count_t));
    for (i = 0; i < PQntuples(r); ++i) {
        te_day_count_t *count = apr_array_push(*counts);

        count->day = te_db_text(p, r, i, 0);
        count->type = te_db_text(p, r, i, 1);
        count->n = te_db_int64(r, i, 2);
    }
    return TE_DB_OK;
}

te_db_err_e te_stats_now(te_db_t *db, apr_pool_t *p, const char *user_id,
                         const char *zone, const char **today,
                         apr_int64_t *streak, apr_int64_t *overdue)
{
    const char *params[2];
    te_db_err_e err;
    PGresult *r;

    params[0] = user_id;
    params[1] = zone;
    err = te_db_run(db, TE_STATS_NOW, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *today = te_db_text(p, r, 0, 0);
        *streak = te_db_int64(r, 0, 1);
        *overdue = te_db_int64(r, 0, 2);
    }
    return err;
}
