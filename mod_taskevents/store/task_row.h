/* A row of TE_TASK_COLUMNS as a task, and a task as the parameters of its
 * statement. */
#ifndef TE_STORE_TASK_ROW_H
#define TE_STORE_TASK_ROW_H

#include "db_internal.h"
#include "tasks.h"

#define TE_TASK_CREATE_PARAMS 16

/* Columns as TE_TASK_COLUMNS names them; copied into p. */
te_task_t *te_task_row(apr_pool_t *p, const PGresult *r, int row);

/* Of the same row; the user id lives as long as r. */
apr_int64_t te_task_row_id(const PGresult *r, int row);
const char *te_task_row_user(const PGresult *r, int row);

/* The statement that stores a new task with its event, and its parameters,
 * which live as long as p, the task and the event. */
te_statement_e te_task_create_call(apr_pool_t *p, const te_task_t *task,
                                   const te_outgoing_t *event,
                                   const char **params);

#endif
