/* A schema that is taken back under a child that runs. */
#ifndef TE_CORE_SCHEMA_H
#define TE_CORE_SCHEMA_H

#include "chores.h"

/* The chore of each child: ask for the schema's version. Connections ask when
 * they are opened, and stay open; a child whose work happens to miss nothing
 * would go on with a schema that its build does not know. */
te_db_err_e te_schema_look(te_chore_env_t *env, void *state);

#endif
