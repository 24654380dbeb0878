/* What several threads of a process look up at the same time is read by one
 * of them (store/group.h), with one statement. */
#ifndef TE_STORE_GROUP_READ_H
#define TE_STORE_GROUP_READ_H

#include "group.h"
#include "tasks.h"

/* As te_group_create. */
apr_status_t te_group_read_create(te_group_t **out, te_db_pool_t *db,
                                  apr_pool_t *p);

/* te_tasks_get together with those of other threads: the task as it is now or
 * later. Any thread; p is the caller's own.
 *
 * @return TE_DB_OK
 *         TE_DB_AGAIN: te_tasks_get is next.
 *         TE_DB_BUSY, TE_DB_AWAY, TE_DB_OLD: as te_db_acquire */
te_db_err_e te_group_get(te_group_t *group, apr_pool_t *p,
                         const char *user_id, apr_int64_t id,
                         te_task_t **task, apr_time_t deadline);

#endif
