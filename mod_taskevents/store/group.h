/* Threads of a process that want the same done at the same time, and the one
 * among them that does it for all: one statement instead of many, which wakes
 * PostgreSQL once, and with writes one commit.
 *
 * Nobody waits for company: a thread that finds nothing on its way goes at
 * once, and takes along who came while it got its connection. Who comes while
 * others are on their way waits for their end, and begins by himself when that
 * takes longer than usual: after 2 to 20 ms.
 *
 * It is a shortcut and may be refused: whatever goes wrong with a batch goes
 * wrong for none of its members, each of which then goes by itself. */
#ifndef TE_STORE_GROUP_H
#define TE_STORE_GROUP_H

#include "db.h"

#define TE_GROUP_MOST 32        /* in a batch */

typedef struct te_group_t te_group_t;

/* Does it for all of a batch, in the leader's thread.
 * @param items  of 1 to TE_GROUP_MOST threads, which wait meanwhile, so that
 *               their pools may be used; the leader's is the first
 * @return the outcome of each of them */
typedef te_db_err_e te_group_fn(te_db_t *db, void *context, void **items,
                                int n);

/* For all threads of a process that borrow from this pool. Lives in p; no
 * thread may be in te_group_run when p goes. */
apr_status_t te_group_create(te_group_t **out, te_db_pool_t *db,
                             te_group_fn *run, void *context, apr_pool_t *p);

/* Have it done for this item, together with those of other threads. Any
 * thread.
 *
 * Ends by the deadline, and much sooner unless PostgreSQL hangs: a thread
 * waits 0.2 s for its batch, and a batch has 2 s.
 *
 * @return what `run` said of the batch that this item was in, or
 *         TE_DB_AGAIN: it was in none
 *         TE_DB_BUSY, TE_DB_AWAY, TE_DB_OLD: as te_db_acquire */
te_db_err_e te_group_run(te_group_t *group, void *item, apr_time_t deadline);

#endif
