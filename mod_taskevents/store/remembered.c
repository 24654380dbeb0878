/* What a process remembers of the database: ids that it may use, and the
 * zones. */
#include <apr_hash.h>

#include "db_internal.h"

#define TASK_ID_BLOCK 100       /* INCREMENT of taskevents.task_ids */
#define FEW_IDS 50

apr_status_t te_remembered_init(te_remembered_t *known, apr_pool_t *p)
{
    /* of its own allocator: whichever thread comes by allocates */
    apr_status_t rv = apr_pool_create_unmanaged_ex(&known->zone_pool, NULL,
                                                   NULL);

    return rv != APR_SUCCESS
               ? rv : apr_thread_mutex_create(&known->mutex,
                                              APR_THREAD_MUTEX_DEFAULT, p);
}

void te_remembered_forget(te_remembered_t *known)
{
    apr_pool_destroy(known->zone_pool);
}

te_db_err_e te_db_schema_version(te_db_t *db, int *version)
{
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_SCHEMA_VERSION, TE_TX_NONE, NULL, &r);

    if (err == TE_DB_OK) {
        *version = (int)te_db_int64(r, 0, 0);
        if (*version < te_db_schema_needed(db)) {
            te_db_doubt();
        }
    }
    return err;
}

/* --- ids --------------------------------------------------------------- */

/* Under the mutex: begin the spare block when the other is used up. */
static void use_spare(te_remembered_t *known)
{
    if (known->next_id == known->last_id && known->spare_id != 0) {
        known->next_id = known->spare_id;
        known->last_id = known->spare_id + TASK_ID_BLOCK;
        known->spare_id = 0;
    }
}

/* When several threads fetch a block at once and one has no room, it is
 * skipped, which costs numbers, not uniqueness. */
static te_db_err_e fetch_ids(te_remembered_t *known, te_db_t *db)
{
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_TASK_IDS, TE_TX_NONE, NULL, &r);

    if (err == TE_DB_OK) {
        apr_thread_mutex_lock(known->mutex);
        known->spare_id = te_db_int64(r, 0, 0);
        use_spare(known);
        apr_thread_mutex_unlock(known->mutex);
    }
    return err;
}

apr_int64_t te_db_take_task_id(te_db_pool_t *pool)
{
    te_remembered_t *known = te_db_remembered(pool);
    apr_int64_t id;

    apr_thread_mutex_lock(known->mutex);
    use_spare(known);
    id = known->next_id < known->last_id ? known->next_id++ : 0;
    apr_thread_mutex_unlock(known->mutex);
    return id;
}

te_db_err_e te_db_next_task_id(te_db_pool_t *pool, te_db_t *db,
                               apr_int64_t *id)
{
    te_db_err_e err = TE_DB_OK;

    while ((*id = te_db_take_task_id(pool)) == 0 && err == TE_DB_OK) {
        err = fetch_ids(te_db_remembered(pool), db);
    }
    return err;
}

te_db_err_e te_db_stock_task_ids(te_db_pool_t *pool, te_db_t *db)
{
    te_remembered_t *known = te_db_remembered(pool);
    int few;

    apr_thread_mutex_lock(known->mutex);
    few = known->spare_id == 0 && known->last_id - known->next_id < FEW_IDS;
    apr_thread_mutex_unlock(known->mutex);
    return few ? fetch_ids(known, db) : TE_DB_OK;
}

/* --- zones ------------------------------------------------------------- */

static te_db_err_e read_zones(te_remembered_t *known, te_db_t *db)
{
    apr_hash_t *zones;
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_ZONES, TE_TX_NONE, NULL, &r);
    int row;

    if (err != TE_DB_OK) {
        return err;
    }
    apr_thread_mutex_lock(known->mutex);
    if (known->zones == NULL) {
        zones = apr_hash_make(known->zone_pool);
        for (row = 0; row < PQntuples(r); ++row) {
            const char *name = te_db_text(known->zone_pool, r, row, 0);

            apr_hash_set(zones, name, APR_HASH_KEY_STRING, name);
        }
        known->zones = zones;
    }
    apr_thread_mutex_unlock(known->mutex);
    return TE_DB_OK;
}

te_db_err_e te_db_zone_known(te_db_pool_t *pool, te_db_t *db,
                             const char *name, int *known)
{
    te_remembered_t *remembered = te_db_remembered(pool);
    apr_hash_t *zones;
    te_db_err_e err;

    for (;;) {
        apr_thread_mutex_lock(remembered->mutex);
        zones = remembered->zones;
        apr_thread_mutex_unlock(remembered->mutex);
        if (zones != NULL) {
            *known = apr_hash_get(zones, name, APR_HASH_KEY_STRING) != NULL;
            return TE_DB_OK;
        }
        err = read_zones(remembered, db);
        if (err != TE_DB_OK) {
            return err;
        }
    }
}
