#include "locks.h"

#include <string.h>

#include "db_internal.h"
#include "outbox.h"
#include "outbox_row.h"

/* First half of the two-part advisory keys: "te" and a number of ours, so
 * that other users of the same database do not take our locks. */
#define LOCK_SPACE "1952776754"

te_db_err_e te_locks_shards(te_db_t *db, char *shards, int *n)
{
    const char *params[1] = {LOCK_SPACE};
    te_db_err_e err;
    PGresult *r;
    int row;

    *n = 0;
    memset(shards, 0, TE_OUTBOX_SHARDS);
    err = te_db_run(db, TE_LOCK_SHARDS, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    for (row = 0; row < PQntuples(r) && row < TE_OUTBOX_SHARDS; ++row) {
        if (PQgetvalue(r, row, 1)[0] == 't') {
            shards[te_db_int64(r, row, 0)] = 1;
            ++*n;
        }
    }
    return TE_DB_OK;
}

te_db_err_e te_locks_keep_shard(te_db_t *db, apr_pool_t *p, char *shards,
                                int shard)
{
    const char *params[2] = {LOCK_SPACE, NULL};
    PGresult *r;

    shards[shard] = 0;
    params[1] = te_outbox_shard_list(p, shards);
    memset(shards, 0, TE_OUTBOX_SHARDS);
    shards[shard] = 1;
    return te_db_run(db, TE_LOCKS_KEEP_SHARD, TE_TX_NONE, params, &r);
}

te_db_err_e te_locks_try(te_db_t *db, apr_pool_t *p, int number, int *ours)
{
    const char *params[3];
    te_db_err_e err;
    PGresult *r;

    params[0] = LOCK_SPACE;
    params[1] = te_db_from_int64(p, number);
    params[2] = te_db_from_int64(p, te_db_backend(db));
    err = te_db_run(db, TE_LOCK_TRY, TE_TX_NONE, params, &r);
    *ours = err == TE_DB_OK && PQgetvalue(r, 0, 0)[0] == 't';
    return err;
}

te_db_err_e te_locks_release(te_db_t *db)
{
    PGresult *r;

    return te_db_run(db, TE_LOCKS_RELEASE, TE_TX_NONE, NULL, &r);
}

te_db_err_e te_locks_end_frozen(te_db_t *db, apr_pool_t *p,
                                apr_interval_time_t silence, int *n)
{
    const char *params[3];
    te_db_err_e err;
    PGresult *r;

    params[0] = LOCK_SPACE;
    params[1] = te_db_from_int64(p, apr_time_sec(silence));
    params[2] = te_db_from_int64(p, TE_LOCKS_END);
    err = te_db_run(db, TE_LOCKS_END_FROZEN, TE_TX_NONE, params, &r);
    *n = err == TE_DB_OK ? PQntuples(r) : 0;
    return err;
}
