#include "retention.h"

#include <apr_strings.h>

#include "db_internal.h"

te_db_err_e te_retention_forget(te_db_t *db, apr_pool_t *p, te_kept_e what,
                                apr_interval_time_t keep, int *n)
{
    static const te_statement_e statements[] = {
        [TE_KEPT_ANSWERS] = TE_FORGET_ANSWERS,
        [TE_KEPT_HISTORY] = TE_FORGET_HISTORY,
        [TE_KEPT_LETTERS] = TE_FORGET_LETTERS,
        [TE_KEPT_NOTIFICATIONS] = TE_NOTIFICATIONS_FORGET,
        [TE_KEPT_REMINDERS] = TE_REMINDERS_FORGET};
    const char *params[1];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, apr_time_sec(keep));
    err = te_db_run(db, statements[what], TE_TX_NONE, params, &r);
    *n = err == TE_DB_OK ? (int)apr_atoi64(PQcmdTuples(r)) : 0;
    return err;
}
