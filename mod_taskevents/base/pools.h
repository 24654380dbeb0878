/* Pools that threads of a child have to themselves. */
#ifndef TE_BASE_POOLS_H
#define TE_BASE_POOLS_H

#include <apr_pools.h>

/* What such a pool may keep of the memory that it no longer needs. */
#define TE_POOL_KEEPS (1024 * 1024)
/* The same for who reads an outbox: some of its reads, which are short-lived
 * and large, so that not each of them asks the system anew. */
#define TE_POOL_OF_READS_KEEPS (8 * 1024 * 1024)

/* A pool with an allocator of its own, for one thread or behind one mutex; it
 * has no parent, and lives until apr_pool_destroy.
 * @param keeps  bytes; what is more goes back to the system. Without a bound
 *               it would keep what it ever needed, such as that of a large
 *               backlog */
apr_status_t te_pool_create(apr_pool_t **out, apr_size_t keeps);

#endif
