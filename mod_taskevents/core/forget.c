#include "forget.h"

#include "../store/idempotency.h"
#include "../store/notifications.h"
#include "../store/reminders.h"

te_db_err_e te_forget(te_chore_env_t *env, void *state)
{
    apr_interval_time_t told = env->settings->keep_notifications;
    te_db_err_e err = te_keys_forget(env->db, env->pool,
                                     env->settings->keep_answers);

    (void)state;
    if (err == TE_DB_OK) {
        err = te_notifications_forget(env->db, env->pool, told);
    }
    if (err == TE_DB_OK) {
        err = te_reminders_forget(env->db, env->pool, told);
    }
    return err;
}
