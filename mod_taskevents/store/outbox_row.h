/* How a statement names a row of the outbox: user, topic, sequence; and
 * shards. */
#ifndef TE_STORE_OUTBOX_ROW_H
#define TE_STORE_OUTBOX_ROW_H

#include "outbox.h"

void te_outbox_row_name(apr_pool_t *p, const te_outbox_row_t *row,
                        const char **params);

/* PostgreSQL's array of those that are 1. */
const char *te_outbox_shard_list(apr_pool_t *p, const char *shards);

#endif
