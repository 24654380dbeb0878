/* A row of tasks as tasks.c and task_list.c read it. */
#ifndef TE_STORE_TASK_ROW_H
#define TE_STORE_TASK_ROW_H

#include "db_internal.h"
#include "tasks.h"

/* Columns as TE_TASK_COLUMNS names them; copied into p. */
te_task_t *te_task_row(apr_pool_t *p, const PGresult *r, int row);

#endif
