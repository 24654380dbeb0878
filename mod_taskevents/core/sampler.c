#include "sampler.h"

#include "../base/trend.h"
#include "../store/outbox.h"

/* Of the time of the chores, which have more important things to do, and of
 * PostgreSQL's, this part at most goes into measuring: a large outbox takes
 * long to be counted. */
#define PART 50

typedef struct {
    apr_time_t not_before;              /* the next measuring */
} sampler_t;

void *te_sample_create(te_chore_env_t *env)
{
    return apr_pcalloc(env->kept, sizeof(sampler_t));
}

static void measure(te_chore_env_t *env, sampler_t *sampler,
                    te_trend_seen_t *seen)
{
    apr_time_t began = apr_time_now(), ended;
    te_outbox_size_t size;

    if (env->away || began < sampler->not_before) {
        return;
    }
    if (te_outbox_measure(env->db, &size) == TE_DB_OK) {
        seen->outbox_events = size.events;
        seen->outbox_oldest = size.oldest_seconds;
    }
    ended = apr_time_now();
    sampler->not_before = ended + (ended - began) * PART;
}

te_db_err_e te_sample(te_chore_env_t *env, void *state)
{
    te_trend_seen_t seen = {-1, 0};
    apr_time_t now = apr_time_now();

    if (te_trend_claim(now)) {
        measure(env, state, &seen);
        te_trend_take(now, &seen);
    }
    return TE_DB_OK;
}
