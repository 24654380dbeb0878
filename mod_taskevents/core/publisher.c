#include "publisher.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_proc.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/children.h"
#include "../base/log.h"
#include "../base/metrics.h"
#include "../base/pools.h"
#include "../store/locks.h"
#include "../store/outbox.h"
#include "breaker.h"
#include "drain.h"
#include "frozen.h"
#include "transport.h"

#define LONGEST_SLEEP apr_time_from_sec(1)
#define BUDGET apr_time_from_sec(3)
#define REST_SHARE 2
#define LONGEST_REST (10 * 1000)        /* µs */
#define POOLER_SLEEP apr_time_from_sec(10)

struct te_publisher_t {
    const te_settings_t *settings;
    apr_pool_t *pool;                   /* the thread's own */
    apr_pool_t *round;                  /* cleared for each read */
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *bell;
    volatile apr_uint32_t rung;
    volatile apr_uint32_t stopping;

    te_db_t *db;
    int db_checked;                     /* it is no transaction pooler */
    int db_was_away;
    te_transport_t *transport;
    te_breaker_t breaker;
    unsigned int seed;
    te_heads_t heads;
    te_drain_t drain;
    te_frozen_t frozen;
};

static int is_stopping(te_publisher_t *pub)
{
    return apr_atomic_read32(&pub->stopping) != 0;
}

/* --- waiting ----------------------------------------------------------- */

/* The flag is cleared before the outbox is read, so that a ring during the
 * read is not lost. While the breaker is open there is nothing to wake for. */
static void wait_for_bell(te_publisher_t *pub)
{
    apr_time_t now = apr_time_now();
    apr_time_t until = now + LONGEST_SLEEP * 3 / 4
                       + rand_r(&pub->seed) % (LONGEST_SLEEP / 2);
    apr_time_t retry_at = te_drain_next_retry(&pub->drain);
    int is_open = pub->breaker.state == TE_BREAKER_OPEN;

    if (retry_at != 0 && retry_at < until) {
        until = retry_at;
    }
    if (is_open && pub->breaker.probe_at < until) {
        until = pub->breaker.probe_at;
    }
    apr_thread_mutex_lock(pub->mutex);
    while ((is_open || !apr_atomic_read32(&pub->rung)) && !is_stopping(pub)
           && (now = apr_time_now()) < until) {
        apr_thread_cond_timedwait(pub->bell, pub->mutex, until - now);
    }
    apr_atomic_set32(&pub->rung, 0);
    apr_thread_mutex_unlock(pub->mutex);
}

/* A pause that only stopping ends early. */
static void pause_for(te_publisher_t *pub, apr_interval_time_t pause)
{
    apr_time_t until = apr_time_now() + pause, now;

    apr_thread_mutex_lock(pub->mutex);
    while (!is_stopping(pub) && (now = apr_time_now()) < until) {
        apr_thread_cond_timedwait(pub->bell, pub->mutex, until - now);
    }
    apr_thread_mutex_unlock(pub->mutex);
}

static void tell_held(int shards)
{
    te_metric_set(TE_METRIC_PUBLISHER_SHARDS, NULL, (apr_uint64_t)shards);
}

/* --- the connection ---------------------------------------------------- */

static int connection_ready(te_publisher_t *pub)
{
    te_db_err_e err = te_db_reopen(pub->db, BUDGET);
    int direct;

    if (err != TE_DB_OK) {
        if (!pub->db_was_away) {
            te_log(TE_LOG_ERR, 0, "TE0501", "the publisher cannot connect to "
                   "PostgreSQL; events wait in the outbox: %s",
                   te_db_error(pub->db));
        }
        pub->db_was_away = 1;
        return 0;
    }
    if (pub->db_was_away) {
        te_log(TE_LOG_NOTICE, 0, "TE0506", "the publisher is connected to "
               "PostgreSQL again");
        pub->db_was_away = 0;
    }
    direct = pub->db_checked ? 1 : te_db_is_direct(pub->db);
    if (direct == 0) {
        te_log(TE_LOG_ERR, 0, "TE0502", "TaskEventsDatabase leads through a "
               "transaction pooler, whose sessions cannot hold the "
               "publisher's locks; name PostgreSQL's own host and port "
               "there. Nothing is published until then");
        te_db_close(pub->db);
        pause_for(pub, POOLER_SLEEP);
    }
    else if (direct > 0 && !pub->db_checked) {
        direct = te_outbox_session(pub->db) == TE_DB_OK ? 1 : -1;
    }
    pub->db_checked = direct > 0;
    return direct > 0;
}

/* Any failure: the session goes, and with it its locks. */
static void drop_connection(te_publisher_t *pub, te_db_err_e err)
{
    if (!pub->db_was_away) {
        te_log(TE_LOG_WARNING, 0, "TE0503", "the publisher's connection "
               "failed (%s) and is opened again: %s", te_db_err_name(err),
               te_db_error(pub->db));
    }
    te_db_close(pub->db);
    tell_held(0);
    pub->db_checked = 0;
}

/* --- publishing -------------------------------------------------------- */

/* Who finds a shard locked goes away in the belief that its holder will see
 * the row: so a holder looks once more after giving back. */
static te_db_err_e publish(te_publisher_t *pub)
{
    char shards[TE_OUTBOX_SHARDS];
    te_db_err_e err = TE_DB_OK;
    int held, doubted, more = 1, round;

    for (round = 0; round < 2 && more && !is_stopping(pub)
                    && te_breaker_allows(&pub->breaker, apr_time_now());
         ++round) {
        doubted = te_breaker_doubts(&pub->breaker);
        apr_pool_clear(pub->round);
        te_db_renew(pub->db, BUDGET);
        err = te_locks_shards(pub->db, shards, &held);
        tell_held(err == TE_DB_OK ? held : 0);
        if (err == TE_DB_OK && held < TE_OUTBOX_SHARDS) {
            err = te_frozen_end(&pub->frozen, pub->db, pub->round);
        }
        if (err != TE_DB_OK || held == 0) {
            break;
        }
        err = te_drain(&pub->drain, shards);
        te_db_renew(pub->db, BUDGET);
        if (err != TE_DB_OK
            || (err = te_locks_release(pub->db)) != TE_DB_OK) {
            break;
        }
        tell_held(0);
        if (te_breaker_doubts(&pub->breaker)) {
            break;
        }
        if (doubted) {
            round = -1;                 /* one event was that: now the rest */
        }
        err = te_heads_look(&pub->heads, &more);
        if (err != TE_DB_OK) {
            break;
        }
    }
    return err;
}

/* A transport that let us wait for nothing held up what was kept for it. Its
 * next turn comes when another node, whose transport may work, has had one. */
static void give_way(te_publisher_t *pub, apr_time_t began)
{
    if (te_breaker_doubts(&pub->breaker)
        && apr_time_now() - began > TE_DRAIN_IN_VAIN) {
        pause_for(pub, LONGEST_SLEEP * 3 / 2);
    }
}

/* What a round costs PostgreSQL, the sidecar and Kafka hardly hangs on how many
 * events it has: under load a rest fills the next one. */
static void rest(te_publisher_t *pub, apr_time_t began)
{
    apr_interval_time_t pause = REST_SHARE * (apr_time_now() - began);

    pause_for(pub, pause < LONGEST_REST ? pause : LONGEST_REST);
}

/* The child may live on for a while, until its last request is answered. */
static void tell_end(void)
{
    tell_held(0);
    te_metric_set(TE_METRIC_BREAKER_STATE, NULL, 0);
    te_thread_ended(TE_THREAD_PUBLISHER);
}

/* --- the thread -------------------------------------------------------- */

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    te_publisher_t *pub = data;
    apr_time_t began;
    te_db_err_e err;

    (void)thread;
    while (!is_stopping(pub)) {
        te_thread_beat(TE_THREAD_PUBLISHER);
        te_drain_forget_due(&pub->drain);
        if (connection_ready(pub)) {
            began = apr_time_now();
            err = publish(pub);
            if (err != TE_DB_OK) {
                drop_connection(pub, err);
            }
            give_way(pub, began);
            rest(pub, began);
        }
        wait_for_bell(pub);
    }
    te_db_close(pub->db);
    tell_end();
    return NULL;                /* not apr_thread_exit: it leaves the stack
                                 * by force, which sanitizers cannot follow */
}

apr_status_t te_publisher_start(te_publisher_t **out,
                                const te_settings_t *settings,
                                te_db_pool_t *ids, apr_pool_t *p)
{
    te_publisher_t *pub = apr_pcalloc(p, sizeof *pub);
    apr_status_t rv;

    pub->settings = settings;
    pub->seed = (unsigned int)(apr_time_now() ^ ((apr_time_t)getpid() << 20));
    rv = te_pool_create(&pub->pool, TE_POOL_OF_READS_KEEPS);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_create(&pub->round, pub->pool);
    pub->db = te_db_standalone(pub->pool, &settings->db);
    te_breaker_init(&pub->breaker, settings->breaker_failures,
                    settings->breaker_cooldown);
    if ((rv = settings->transport == TE_TRANSPORT_LOCAL
                  ? te_transport_local(&pub->transport, settings, ids,
                                       pub->db, pub->pool)
                  : te_transport_dapr(&pub->transport, settings, pub->pool))
            != APR_SUCCESS
        || (rv = apr_thread_mutex_create(&pub->mutex,
                                         APR_THREAD_MUTEX_DEFAULT,
                                         pub->pool)) != APR_SUCCESS
        || (rv = apr_thread_cond_create(&pub->bell, pub->pool))
               != APR_SUCCESS) {
        apr_pool_destroy(pub->pool);
        return rv;
    }
    pub->drain.settings = settings;
    te_heads_init(&pub->heads, pub->db, pub->pool);
    pub->drain.heads = &pub->heads;
    pub->drain.db = pub->db;
    pub->drain.transport = pub->transport;
    pub->drain.breaker = &pub->breaker;
    pub->drain.pool = pub->round;
    pub->drain.seed = &pub->seed;
    pub->drain.stopping = &pub->stopping;
    te_drain_init(&pub->drain, pub->pool);
    *out = pub;
    return apr_thread_create(&pub->thread, NULL, run, pub, p);
}

static void wake(te_publisher_t *pub)
{
    apr_thread_mutex_lock(pub->mutex);
    apr_thread_cond_signal(pub->bell);
    apr_thread_mutex_unlock(pub->mutex);
}

/* Who finds the bell rung already leaves the waking to who rang it: the
 * thread has not cleared the flag yet, so it still has to read. */
void te_publisher_ring(te_publisher_t *pub)
{
    if (apr_atomic_xchg32(&pub->rung, 1) == 0) {
        wake(pub);
    }
}

void te_publisher_stop(te_publisher_t *pub)
{
    apr_atomic_set32(&pub->stopping, 1);
    pub->transport->stop(pub->transport);
    wake(pub);
}

void te_publisher_join(te_publisher_t *pub)
{
    apr_status_t ended;

    if (pub->thread != NULL) {
        apr_thread_join(&ended, pub->thread);
        pub->thread = NULL;
        apr_pool_destroy(pub->pool);
    }
}
