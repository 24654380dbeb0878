#include "schema.h"

te_db_err_e te_schema_look(te_chore_env_t *env, void *state)
{
    int version;

    (void)state;
    return te_db_schema_version(env->db, &version);
}
