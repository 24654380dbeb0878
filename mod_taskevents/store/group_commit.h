/* Group commit: what several threads of a process want to create at the same
 * time is written by one of them (store/group.h), as one transaction.
 *
 * Whatever goes wrong with a batch goes wrong for none of its members: each
 * then writes by itself (te_tasks_create), and only the one whose fault it was
 * fails. */
#ifndef TE_STORE_GROUP_COMMIT_H
#define TE_STORE_GROUP_COMMIT_H

#include "tasks.h"

typedef struct te_group_commit_t te_group_commit_t;

/* For all threads of a process that borrow from this pool. Lives in p; no
 * thread may be in te_group_write when p goes. */
apr_status_t te_group_commit_create(te_group_commit_t **out, te_db_pool_t *db,
                                    apr_pool_t *p);

/* Store a new task and its event durably, as te_tasks_create does, together
 * with those of other threads. Any thread; p is the caller's own.
 *
 * Ends as te_group_run does; a batch waits 0.1 s for a lock. A user whose lock
 * held up a batch is refused for the next 10 s.
 *
 * @return TE_DB_OK: it is there.
 *         TE_DB_AGAIN: it is not: te_tasks_create is next.
 *         TE_DB_LOST: it may be: te_tasks_create with again=1 is next.
 *         TE_DB_BUSY, TE_DB_AWAY, TE_DB_OLD: as te_db_acquire */
te_db_err_e te_group_write(te_group_commit_t *group, apr_pool_t *p,
                           const te_task_t *task, const te_outgoing_t *event,
                           apr_time_t deadline);

#endif
