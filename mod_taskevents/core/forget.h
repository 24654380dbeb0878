/* The chore that forgets what was kept long enough. */
#ifndef TE_CORE_FORGET_H
#define TE_CORE_FORGET_H

#include "chores.h"

te_chore_fn te_forget;

#endif
