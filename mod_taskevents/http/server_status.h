/* A section of mod_status (SetHandler server-status), where that is loaded. */
#ifndef TE_HTTP_SERVER_STATUS_H
#define TE_HTTP_SERVER_STATUS_H

#include <apr_pools.h>

/* Hook it in; without mod_status nobody calls. What it tells is known in
 * memory: it asks no database, and works while PostgreSQL is away. */
void te_server_status_register(apr_pool_t *p);

#endif
