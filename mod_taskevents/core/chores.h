/* Chores: what neither a request, a delivery nor the publisher may wait for.
 * One thread per child and list of chores, with a connection of its own. */
#ifndef TE_CORE_CHORES_H
#define TE_CORE_CHORES_H

#include "../base/children.h"
#include "../base/httpclient.h"
#include "publisher.h"
#include "settings.h"

/* What a chore has while it runs. */
typedef struct te_chore_env_t {
    const te_settings_t *settings;
    te_db_t *db;                        /* idle, with a new budget */
    te_db_pool_t *ids;                  /* where task ids come from */
    te_http_client_t *http;             /* stopped when the child ends */
    apr_pool_t *pool;                   /* cleared after each run */
    apr_pool_t *kept;                   /* lives as long as the thread */
    const volatile apr_uint32_t *stopping;
    int away;                           /* 1: PostgreSQL is; db cannot be used */
    int wrote;                          /* out: the outbox has something new */
    apr_time_t again_at;                /* out: when it wants to run again;
                                         * 0: after its usual time */
} te_chore_env_t;

/* Do some of it: a second's worth, so that others get their turn. Any
 * database error: the connection is opened again before the next run.
 * @param state  what `create` made, NULL without one */
typedef te_db_err_e te_chore_fn(te_chore_env_t *env, void *state);

typedef struct te_chore_t {
    const char *name;                   /* for the log and the metrics */
    apr_interval_time_t every;          /* its usual time */
    /* 0: any number of children may do it side by side; else one of all that
     * share the database, told by this number (TE_CHORE_LOCK_…) */
    int lock;
    te_chore_fn *run;
    void *(*create)(te_chore_env_t *env);       /* NULL: it has no state */
    int always;                         /* also while PostgreSQL is away */
} te_chore_t;

/* Numbers of chores, the same in every version. */
#define TE_CHORE_LOCK_FORGET 16
#define TE_CHORE_LOCK_TIDY 17
#define TE_CHORE_LOCK_ALERT 18
#define TE_CHORE_LOCK_SWEEP 20
#define TE_CHORE_LOCK_JOBS 21

typedef struct te_chores_t te_chores_t;

/* Start the thread, told as this one. chores, settings and publisher must outlive it. */
apr_status_t te_chores_start(te_chores_t **out, const te_chore_t *chores,
                             int n, te_thread_e thread,
                             const te_settings_t *settings,
                             te_db_pool_t *ids, te_publisher_t *publisher,
                             apr_pool_t *p);

/* Call this too, about once a second, whatever the database does: from now on,
 * in that thread. */
void te_chores_watch(te_chores_t *chores, void (*watch)(void));

/* "There may be something to do." Any thread; a flag and a signal. */
void te_chores_ring(te_chores_t *chores);

/* Ask it to end; then wait for that. As the publisher's; NULL is fine. */
void te_chores_stop(te_chores_t *chores);
void te_chores_join(te_chores_t *chores);

#endif
