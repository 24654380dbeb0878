/* Group commit: what several threads of a process want to create at the same
 * time is written by one of them, as one transaction, which costs one commit
 * and wakes PostgreSQL once.
 *
 * Nobody waits for company: a thread that finds no batch on its way writes at
 * once, and takes along who came while it got its connection. Who comes while
 * a batch is on its way waits for the next one, and begins it after 2 ms.
 *
 * It is a shortcut and may be refused. Whatever goes wrong with a batch goes
 * wrong for none of its members: each then writes by itself (te_tasks_create),
 * and only the one whose fault it was fails. */
#ifndef TE_STORE_GROUP_COMMIT_H
#define TE_STORE_GROUP_COMMIT_H

#include "tasks.h"

typedef struct te_group_t te_group_t;

/* For all threads of a process that borrow from this pool. Lives in p; no
 * thread may be in te_group_write when p goes. */
apr_status_t te_group_create(te_group_t **out, te_db_pool_t *db,
                             apr_pool_t *p);

/* Store a new task and its event durably, as te_tasks_create does, together
 * with those of other threads. Any thread; p is the caller's own.
 *
 * Ends by the deadline, and much sooner unless PostgreSQL hangs: a batch
 * waits 0.1 s for a lock, a thread 0.2 s for its batch, and a batch has 2 s.
 * A user whose lock held up a batch is refused for the next 10 s.
 *
 * @return TE_DB_OK: it is there.
 *         TE_DB_AGAIN: it is not: te_tasks_create is next.
 *         TE_DB_LOST: it may be: te_tasks_create with again=1 is next.
 *         TE_DB_BUSY, TE_DB_AWAY: as te_db_acquire */
te_db_err_e te_group_write(te_group_t *group, apr_pool_t *p,
                           const te_task_t *task, const te_outgoing_t *event,
                           apr_time_t deadline);

#endif
