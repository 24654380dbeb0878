/* Locks that a session of PostgreSQL holds, and gives back by ending: which
 * process of all does what only one may do at a time. For the connection that
 * one thread keeps; closing it releases them. */
#ifndef TE_STORE_LOCKS_H
#define TE_STORE_LOCKS_H

#include "db.h"

/* The shards of the outbox are numbers 0 to 15; chores have the numbers behind
 * them, below this one. */
#define TE_LOCKS_END 64

/* Take every shard of the outbox that nobody else has.
 * @param shards  of TE_OUTBOX_SHARDS: 1 where it is ours now
 * @param n       how many are */
te_db_err_e te_locks_shards(te_db_t *db, char *shards, int *n);

/* Release the shards that are ours but one.
 * @param shards  as te_locks_shards left it; only the one is 1 then */
te_db_err_e te_locks_keep_shard(te_db_t *db, apr_pool_t *p, char *shards,
                                int shard);

/* Take one number. Never taken behind a transaction pooler, whose sessions
 * are anybody's.
 * @param ours  0: somebody else has it */
te_db_err_e te_locks_try(te_db_t *db, apr_pool_t *p, int number, int *ours);

/* Release all that this session holds. */
te_db_err_e te_locks_release(te_db_t *db);

/* End each session that holds one of our locks but has not said a word to
 * PostgreSQL for `silence`: it is frozen or behind a dead network.
 * @param n  how many were ended */
te_db_err_e te_locks_end_frozen(te_db_t *db, apr_pool_t *p,
                                apr_interval_time_t silence, int *n);

#endif
