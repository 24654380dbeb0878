/* Forgetting what was kept long enough. */
#ifndef TE_STORE_RETENTION_H
#define TE_STORE_RETENTION_H

#include "db.h"

typedef enum {
    TE_KEPT_ANSWERS,            /* of Idempotency-Key */
    TE_KEPT_HISTORY,            /* handled events: what a copy is told by */
    TE_KEPT_LETTERS,            /* closed dead letters since then, open ones
                                 * since they failed last */
    TE_KEPT_NOTIFICATIONS,
    TE_KEPT_REMINDERS           /* those that are over */
} te_kept_e;

/* Rows that go at once: a statement of some milliseconds. */
#define TE_FORGET_BATCH 1000

/* Forget the oldest of those that are older than `keep`, at most
 * TE_FORGET_BATCH. Rows that others have locked are left for later.
 * @param n  how many there were */
te_db_err_e te_retention_forget(te_db_t *db, apr_pool_t *p, te_kept_e what,
                                apr_interval_time_t keep, int *n);

#endif
