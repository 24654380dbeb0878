#include "chores.h"

#include <apr_atomic.h>
#include <apr_thread_cond.h>
#include <apr_thread_proc.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/log.h"
#include "../base/pools.h"
#include "../store/locks.h"
#include "frozen.h"

#define BUDGET apr_time_from_sec(3)
#define LONGEST_SLEEP apr_time_from_sec(1)
#define PAUSE_WHEN_AWAY apr_time_from_sec(1)

struct te_chores_t {
    const te_chore_t *chores;
    int n;
    apr_time_t *due;                    /* per chore: its next run */
    void **states;
    te_thread_e told_as;
    te_chore_env_t env;
    te_publisher_t *publisher;
    apr_pool_t *pool;                   /* the thread's own */
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *bell;
    volatile apr_uint32_t rung;
    volatile apr_uint32_t stopping;
    void (*watch)(void);                /* by mutex; NULL: nothing to watch */
    int was_away;
    unsigned int seed;
    te_frozen_t frozen;
};

static int is_stopping(te_chores_t *c)
{
    return apr_atomic_read32(&c->stopping) != 0;
}

/* --- one chore --------------------------------------------------------- */

/* Only one of all children: who comes second leaves it for now. */
static te_db_err_e run_alone(te_chores_t *c, int i)
{
    te_db_t *db = c->env.db;
    te_db_err_e err;
    int ours;

    err = te_locks_try(db, c->env.pool, c->chores[i].lock, &ours);
    if (err != TE_DB_OK) {
        return err;
    }
    if (!ours) {
        return te_frozen_end(&c->frozen, db, c->env.pool);
    }
    err = c->chores[i].run(&c->env, c->states[i]);
    if (err != TE_DB_OK) {
        return err;                     /* the session goes, and the lock */
    }
    te_db_renew(db, BUDGET);
    return te_locks_release(db);
}

/* Spread a little, so that children do not come in step. */
static apr_time_t next_time(te_chores_t *c, const te_chore_t *chore)
{
    return c->env.again_at != 0
               ? c->env.again_at
               : apr_time_now() + chore->every * 7 / 8
                     + (apr_interval_time_t)rand_r(&c->seed)
                           % (chore->every / 4 + 1);
}

static void run_chore(te_chores_t *c, int i)
{
    const te_chore_t *chore = &c->chores[i];
    te_db_err_e err = te_db_reopen(c->env.db, BUDGET);

    c->env.wrote = 0;
    c->env.again_at = 0;
    c->env.away = err != TE_DB_OK;
    if (err != TE_DB_OK && chore->always) {
        chore->run(&c->env, c->states[i]);
    }
    if (err == TE_DB_OK) {
        err = chore->lock ? run_alone(c, i)
                          : chore->run(&c->env, c->states[i]);
    }
    if (err == TE_DB_OK) {
        te_chore_beat(chore->name);
    }
    if (err == TE_DB_OK && c->was_away) {
        te_log(TE_LOG_NOTICE, 0, "TE0602", "chores are done again");
        c->was_away = 0;
    }
    if (err != TE_DB_OK) {
        if (!c->was_away) {
            te_log(TE_LOG_WARNING, 0, "TE0601", "the chore '%s' failed (%s) "
                   "and is tried again; look at PostgreSQL if it goes on: %s",
                   chore->name, te_db_err_name(err), te_db_error(c->env.db));
        }
        c->was_away = 1;
        c->env.again_at = apr_time_now() + PAUSE_WHEN_AWAY;
        te_db_close(c->env.db);
    }
    if (c->env.wrote) {
        te_publisher_ring(c->publisher);
    }
    c->due[i] = next_time(c, chore);
    apr_pool_clear(c->env.pool);
}

/* --- the thread -------------------------------------------------------- */

static void wait_for_bell(te_chores_t *c)
{
    apr_time_t until = apr_time_now() + LONGEST_SLEEP, now;
    int i;

    for (i = 0; i < c->n; ++i) {
        until = c->due[i] < until ? c->due[i] : until;
    }
    apr_thread_mutex_lock(c->mutex);
    while (!apr_atomic_read32(&c->rung) && !is_stopping(c)
           && (now = apr_time_now()) < until) {
        apr_thread_cond_timedwait(c->bell, c->mutex, until - now);
    }
    if (apr_atomic_xchg32(&c->rung, 0) && !c->was_away) {
        for (i = 0; i < c->n; ++i) {
            c->due[i] = 0;
        }
    }
    apr_thread_mutex_unlock(c->mutex);
}

static void look_around(te_chores_t *c)
{
    void (*watch)(void);

    apr_thread_mutex_lock(c->mutex);
    watch = c->watch;
    apr_thread_mutex_unlock(c->mutex);
    if (watch != NULL) {
        watch();
    }
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    te_chores_t *c = data;
    int i;

    (void)thread;
    while (!is_stopping(c)) {
        te_thread_beat(c->told_as);
        look_around(c);
        for (i = 0; i < c->n && !is_stopping(c); ++i) {
            if (c->due[i] <= apr_time_now()) {
                run_chore(c, i);
            }
        }
        wait_for_bell(c);
        te_log_tell_held(0, apr_time_now());
    }
    te_db_close(c->env.db);
    te_thread_ended(c->told_as);
    return NULL;
}

static apr_status_t make_states(te_chores_t *c)
{
    int i;

    c->due = apr_pcalloc(c->pool, sizeof *c->due * (apr_size_t)c->n);
    c->states = apr_pcalloc(c->pool, sizeof *c->states * (apr_size_t)c->n);
    for (i = 0; i < c->n; ++i) {
        c->due[i] = next_time(c, &c->chores[i]);
        if (c->chores[i].create != NULL) {
            c->states[i] = c->chores[i].create(&c->env);
        }
    }
    return te_http_client_create(&c->env.http, c->pool);
}

apr_status_t te_chores_start(te_chores_t **out, const te_chore_t *chores,
                             int n, te_thread_e thread,
                             const te_settings_t *settings,
                             te_db_pool_t *ids, te_publisher_t *publisher,
                             apr_pool_t *p)
{
    te_chores_t *c = apr_pcalloc(p, sizeof *c);
    apr_status_t rv = te_pool_create(&c->pool, TE_POOL_KEEPS);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    c->chores = chores;
    c->n = n;
    c->told_as = thread;
    c->publisher = publisher;
    c->seed = (unsigned int)(apr_time_now() ^ ((apr_time_t)getpid() << 19));
    c->env.settings = settings;
    c->env.ids = ids;
    c->env.kept = c->pool;
    c->env.stopping = &c->stopping;
    apr_pool_create(&c->env.pool, c->pool);
    c->env.db = te_db_standalone(c->pool, &settings->db);
    if ((rv = make_states(c)) != APR_SUCCESS
        || (rv = apr_thread_mutex_create(&c->mutex, APR_THREAD_MUTEX_DEFAULT,
                                         c->pool)) != APR_SUCCESS
        || (rv = apr_thread_cond_create(&c->bell, c->pool)) != APR_SUCCESS) {
        apr_pool_destroy(c->pool);
        return rv;
    }
    *out = c;
    return apr_thread_create(&c->thread, NULL, run, c, p);
}

void te_chores_watch(te_chores_t *c, void (*watch)(void))
{
    apr_thread_mutex_lock(c->mutex);
    c->watch = watch;
    apr_thread_mutex_unlock(c->mutex);
}

static void wake(te_chores_t *c)
{
    apr_thread_mutex_lock(c->mutex);
    apr_thread_cond_signal(c->bell);
    apr_thread_mutex_unlock(c->mutex);
}

void te_chores_ring(te_chores_t *c)
{
    if (apr_atomic_xchg32(&c->rung, 1) == 0) {
        wake(c);
    }
}

void te_chores_stop(te_chores_t *c)
{
    if (c != NULL) {
        apr_atomic_set32(&c->stopping, 1);
        te_http_client_stop(c->env.http);
        wake(c);
    }
}

void te_chores_join(te_chores_t *c)
{
    apr_status_t ended;

    if (c != NULL && c->thread != NULL) {
        apr_thread_join(&ended, c->thread);
        c->thread = NULL;
        apr_pool_destroy(c->pool);
    }
}
