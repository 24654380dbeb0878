/* The samples of base/trend.h, as a chore: whichever child comes first. */
#ifndef TE_CORE_SAMPLER_H
#define TE_CORE_SAMPLER_H

#include "chores.h"

/* Take the sample of this moment, if nobody has; the outbox is measured for
 * it, unless that takes too long. A te_chore_fn that runs always, and never
 * fails: what it lacks is a gap. */
te_db_err_e te_sample(te_chore_env_t *env, void *state);
void *te_sample_create(te_chore_env_t *env);

#endif
