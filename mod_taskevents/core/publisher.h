/* The publisher: one thread per child that carries the outbox to the
 * transport, in order per stream. Which publisher of which process does it is
 * decided by locks in the database, never by memory. */
#ifndef TE_CORE_PUBLISHER_H
#define TE_CORE_PUBLISHER_H

#include "settings.h"

typedef struct te_publisher_t te_publisher_t;

/* Start the thread. It keeps a connection of its own; `ids` gives task ids to
 * the handlers of the local transport. settings must outlive it. */
apr_status_t te_publisher_start(te_publisher_t **out,
                                const te_settings_t *settings,
                                te_db_pool_t *ids, apr_pool_t *p);

/* "There is something in the outbox." Any thread; a flag and a signal. */
void te_publisher_ring(te_publisher_t *publisher);

/* Ask it to end: what is under way is finished (5 s at most), nothing new is
 * begun. Any thread, any number of times, does not wait. */
void te_publisher_stop(te_publisher_t *publisher);

/* Wait for its end, after te_publisher_stop. */
void te_publisher_join(te_publisher_t *publisher);

#endif
