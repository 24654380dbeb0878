#include "frozen.h"

#include "../base/log.h"
#include "../store/locks.h"

#define SILENCE apr_time_from_sec(30)
#define PAUSE apr_time_from_sec(10)

te_db_err_e te_frozen_end(te_frozen_t *frozen, te_db_t *db, apr_pool_t *p)
{
    apr_time_t now = apr_time_now();
    te_db_err_e err;
    int n;

    if (now < frozen->look_at) {
        return TE_DB_OK;
    }
    frozen->look_at = now + PAUSE;
    err = te_locks_end_frozen(db, p, SILENCE, &n);
    if (n > 0) {
        te_log(TE_LOG_WARNING, 0, "TE0509", "%d session(s) of publishers or "
               "chores held a lock without a sign of life for %d s and were "
               "ended; look for a stopped or unreachable child", n,
               (int)apr_time_sec(SILENCE));
    }
    return err;
}
