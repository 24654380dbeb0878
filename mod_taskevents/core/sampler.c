#include "sampler.h"

#include "../base/trend.h"
#include "../store/outbox.h"

te_db_err_e te_sample(te_chore_env_t *env, void *state)
{
    te_trend_seen_t seen = {-1, 0};
    apr_time_t now = apr_time_now();
    te_db_err_e err = TE_DB_OK;
    te_outbox_size_t size;

    (void)state;
    if (!te_trend_claim(now)) {
        return TE_DB_OK;
    }
    if (!env->away) {
        err = te_outbox_measure(env->db, &size);
        if (err == TE_DB_OK) {
            seen.outbox_events = size.events;
            seen.outbox_oldest = size.oldest_seconds;
        }
    }
    te_trend_take(now, &seen);
    return err;
}
