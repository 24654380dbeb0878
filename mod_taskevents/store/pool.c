/* The pool of connections of a child. */
#include "connection.h"

#include <apr_atomic.h>
#include <apr_reslist.h>

#include "../base/log.h"
#include "../base/metrics.h"
#include "../base/pools.h"

#define IDLE_CONNECTION_TTL apr_time_from_sec(300)
#define PROBE_PATIENCE apr_time_from_msec(500)

struct te_db_pool_t {
    te_db_settings_t settings;
    apr_reslist_t *connections;
    apr_pool_t *pool;
    te_remembered_t remembered;
    volatile apr_uint32_t out;          /* borrowed now */
    volatile apr_uint32_t down;         /* how the last connect failed, or 0 */
    volatile apr_uint32_t probing;      /* somebody tries again */
};

/* A place in the pool. It connects when it is first borrowed, outside the
 * reslist's mutex, so that a slow connect holds up nobody else. */
static apr_status_t make_place(void **resource, void *params,
                               apr_pool_t *unused)
{
    te_db_pool_t *pool = params;
    apr_pool_t *own;
    te_db_t *db;
    apr_status_t rv;

    (void)unused;
    rv = te_pool_create(&own, TE_POOL_KEEPS);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    db = te_db_standalone(own, &pool->settings);
    db->owner = pool;
    *resource = db;
    return APR_SUCCESS;
}

/* A connection of the pool has come to be used or idle, or is no more. */
static void tell_connection(const char *state, int by)
{
    te_metric_change(TE_METRIC_CONNECTIONS, state, by);
}

static apr_status_t drop_place(void *resource, void *params,
                               apr_pool_t *unused)
{
    te_db_t *db = resource;

    (void)params;
    (void)unused;
    if (db->conn != NULL) {
        tell_connection("idle", -1);
    }
    te_db_close(db);
    apr_pool_destroy(db->pool);
    return APR_SUCCESS;
}

apr_status_t te_db_pool_create(te_db_pool_t **out,
                               const te_db_settings_t *settings, apr_pool_t *p)
{
    te_db_pool_t *pool = apr_pcalloc(p, sizeof *pool);
    apr_status_t rv;

    pool->settings = *settings;
    /* of its own allocator: the reslist allocates in whichever thread comes
     * by */
    rv = te_pool_create(&pool->pool, TE_POOL_KEEPS);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_remembered_init(&pool->remembered, pool->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_reslist_create(&pool->connections, settings->min, settings->keep,
                            settings->max, IDLE_CONNECTION_TTL, make_place,
                            drop_place, pool, pool->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_reslist_timeout_set(pool->connections, settings->wait);
    te_metric_set(TE_METRIC_CONNECTIONS_MAX, NULL,
                  (apr_uint64_t)settings->max);
    *out = pool;
    return APR_SUCCESS;
}

int te_db_pool_close(te_db_pool_t *pool, apr_interval_time_t longest)
{
    apr_time_t give_up = apr_time_now() + longest;

    while (apr_atomic_read32(&pool->out) > 0) {
        if (apr_time_now() > give_up) {
            return 0;
        }
        apr_sleep(apr_time_from_msec(10));
    }
    apr_reslist_destroy(pool->connections);
    te_remembered_forget(&pool->remembered);
    apr_pool_destroy(pool->pool);
    return 1;
}

/* Another thread is trying to connect: when PostgreSQL is back that takes a
 * moment. */
static te_db_err_e wait_for_probe(te_db_pool_t *pool)
{
    apr_time_t give_up = apr_time_now() + PROBE_PATIENCE;

    while (apr_atomic_read32(&pool->probing) && apr_time_now() < give_up) {
        apr_sleep(apr_time_from_msec(5));
    }
    return (te_db_err_e)apr_atomic_read32(&pool->down);
}

/* While PostgreSQL is away one thread at a time tries to connect. The others
 * wait for a moment and no longer: nobody queues behind a connect that
 * hangs. */
static te_db_err_e connect_place(te_db_pool_t *pool, te_db_t *db)
{
    te_db_err_e err, before;

    if (apr_atomic_read32(&pool->down)
        && apr_atomic_cas32(&pool->probing, 1, 0) != 0) {
        err = wait_for_probe(pool);
        if (err != TE_DB_OK) {
            te_db_note(db, "cannot connect; another thread is trying");
            return err;
        }
    }
    err = te_db_open(db);
    before = (te_db_err_e)apr_atomic_xchg32(&pool->down, err);
    if (err != TE_DB_AWAY && before == TE_DB_AWAY) {
        te_log(TE_LOG_NOTICE, 0, "TE0201", "PostgreSQL is back");
    }
    else if (err == TE_DB_AWAY && before != TE_DB_AWAY) {
        te_log(TE_LOG_ERR, 0, "TE0202", "cannot connect to PostgreSQL, "
               "requests answer 503 until it is back; see that it runs "
               "and that TaskEventsDatabase is right: %s", db->message);
    }
    apr_atomic_set32(&pool->probing, 0);
    return err;
}

static te_db_t *borrow(te_db_pool_t *pool, apr_time_t now)
{
    apr_status_t rv;
    void *resource;
    te_db_t *db;

    te_metric_change(TE_METRIC_POOL_WAITING, NULL, 1);
    rv = apr_reslist_acquire(pool->connections, &resource);
    te_metric_change(TE_METRIC_POOL_WAITING, NULL, -1);
    te_metric_observe(TE_METRIC_POOL_WAIT, NULL, NULL, apr_time_now() - now);
    if (rv != APR_SUCCESS) {
        te_metric_add(TE_METRIC_POOL_TIMEOUTS, NULL, NULL);
        return NULL;
    }
    apr_atomic_inc32(&pool->out);
    db = resource;
    if (db->conn != NULL) {
        tell_connection("idle", -1);
    }
    return db;
}

static void give_back(te_db_t *db)
{
    te_db_pool_t *pool = db->owner;

    te_db_clear(db);
    te_db_rollback(db);
    if (db->conn != NULL) {
        tell_connection("idle", 1);
    }
    apr_reslist_release(pool->connections, db);
    apr_atomic_dec32(&pool->out);
}

te_db_err_e te_db_acquire(te_db_pool_t *pool, te_db_t **out,
                          apr_interval_time_t budget)
{
    apr_time_t start = apr_time_now();
    te_db_err_e err = TE_DB_OK;
    te_db_t *db = borrow(pool, start);

    *out = NULL;
    if (db == NULL) {
        return TE_DB_BUSY;
    }
    db->deadline = start + budget;
    if (db->conn != NULL && !te_db_usable(db)) {
        te_db_close(db);
    }
    if (db->conn == NULL) {
        err = connect_place(pool, db);
    }
    if (err != TE_DB_OK) {
        give_back(db);
        return err;
    }
    tell_connection("used", 1);
    *out = db;
    return TE_DB_OK;
}

void te_db_release(te_db_t *db)
{
    if (db != NULL) {
        tell_connection("used", -1);
        give_back(db);
    }
}

te_remembered_t *te_db_remembered(te_db_pool_t *pool)
{
    return &pool->remembered;
}
