#include "forget.h"

#include "../store/idempotency.h"

te_db_err_e te_forget(te_chore_env_t *env, void *state)
{
    (void)state;
    return te_keys_forget(env->db, env->pool, env->settings->keep_answers);
}
