#include "forget.h"

#include <apr_atomic.h>

#include "../base/log.h"
#include "../store/dead_letters.h"
#include "../store/retention.h"

#define TURN apr_time_from_msec(700)
#define PAUSE apr_time_from_msec(50)

/* One batch of each kind, so that none has to wait for another's end. */
static te_db_err_e forget_some(te_chore_env_t *env, int *more)
{
    const te_settings_t *settings = env->settings;
    const struct {
        te_kept_e what;
        apr_interval_time_t keep;
    } kinds[] = {
        {TE_KEPT_ANSWERS, settings->keep_answers},
        {TE_KEPT_HISTORY, settings->keep_history},
        {TE_KEPT_LETTERS, settings->keep_letters},
        {TE_KEPT_NOTIFICATIONS, settings->keep_notifications},
        {TE_KEPT_REMINDERS, settings->keep_notifications},
    };
    te_db_err_e err = TE_DB_OK;
    apr_size_t i;
    int n;

    *more = 0;
    for (i = 0; i < sizeof kinds / sizeof kinds[0] && err == TE_DB_OK; ++i) {
        err = te_retention_forget(env->db, env->pool, kinds[i].what,
                                  kinds[i].keep, &n);
        *more |= n == TE_FORGET_BATCH;
    }
    return err;
}

te_db_err_e te_forget(te_chore_env_t *env, void *state)
{
    apr_time_t until = apr_time_now() + TURN;
    te_db_err_e err;
    int more;

    (void)state;
    do {
        err = forget_some(env, &more);
    } while (err == TE_DB_OK && more && apr_time_now() < until
             && !apr_atomic_read32((volatile apr_uint32_t *)env->stopping));
    if (more) {
        env->again_at = apr_time_now() + PAUSE;
    }
    return err;
}

/* --- dead letters whose event found another way ------------------------ */

typedef struct {
    apr_int64_t after;
} tidying_t;

void *te_tidy_create(te_chore_env_t *env)
{
    return apr_pcalloc(env->kept, sizeof(tidying_t));
}

te_db_err_e te_tidy(te_chore_env_t *env, void *state)
{
    tidying_t *tidying = state;
    int n = 0;
    te_db_err_e err = te_letters_tidy(env->db, env->pool, &tidying->after,
                                      &n);

    if (n > 0) {
        te_log(TE_LOG_NOTICE, 0, "TE0425", "%d dead letter(s) were closed: "
               "their events have been handled meanwhile", n);
    }
    if (err == TE_DB_OK && tidying->after != 0) {
        env->again_at = apr_time_now() + PAUSE;
    }
    return err;
}
