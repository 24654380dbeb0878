/* Pools that threads of a child have to themselves. */
#ifndef TE_BASE_POOLS_H
#define TE_BASE_POOLS_H

#include <apr_pools.h>

/* What such a pool keeps of the memory that it no longer needs; what is more
 * goes back to the system. Without a bound it would keep what it ever needed,
 * such as that of a large backlog. */
#define TE_POOL_KEEPS (1024 * 1024)

/* A pool with an allocator of its own, for one thread or behind one mutex; it
 * has no parent, and lives until apr_pool_destroy. */
apr_status_t te_pool_create(apr_pool_t **out);

#endif
