/* UUIDs (RFC 4122) as 36 lower-case characters, by libuuid. */
#ifndef TE_BASE_UUID_H
#define TE_BASE_UUID_H

#include <apr_pools.h>

/* A random one (version 4). Any thread. */
const char *te_uuid_v4(apr_pool_t *p);

/* The one that a name always has in a namespace (version 5). space: a UUID,
 * or any other text, which then first becomes one in a namespace of ours. */
const char *te_uuid_v5(apr_pool_t *p, const char *space, const char *name);

/* The one that these bytes always have: the identity of a message that tells
 * none of its own. */
const char *te_uuid_of_bytes(apr_pool_t *p, const void *bytes,
                             apr_size_t size);

/* @return 1 when text is a UUID in its usual form */
int te_uuid_valid(const char *text);

#endif
