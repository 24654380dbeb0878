/* The chores that clear away. */
#ifndef TE_CORE_FORGET_H
#define TE_CORE_FORGET_H

#include "chores.h"

/* What was kept long enough is deleted, in small batches. */
te_chore_fn te_forget;

/* Open dead letters whose event was handled meanwhile are closed. */
te_chore_fn te_tidy;
void *te_tidy_create(te_chore_env_t *env);

#endif
