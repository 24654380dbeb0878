/* Draining the outbox: reading what is due, sending it in waves, settling
 * what came of it. One thread's; the publisher's. */
#ifndef TE_CORE_DRAIN_H
#define TE_CORE_DRAIN_H

#include "../store/outbox.h"
#include "breaker.h"
#include "heads.h"
#include "transport.h"

#define TE_DRAIN_RETRIES 32
/* A broker that works does not take that long. */
#define TE_DRAIN_IN_VAIN apr_time_from_sec(1)

typedef struct te_flow_t te_flow_t;

typedef struct te_drain_t {
    const te_settings_t *settings;
    te_db_t *db;
    te_heads_t *heads;
    te_transport_t *transport;
    te_breaker_t *breaker;
    apr_pool_t *pool;                   /* cleared again and again */
    unsigned int *seed;
    const volatile apr_uint32_t *stopping;

    /* its own */
    te_flow_t *flow;
    apr_time_t retries[TE_DRAIN_RETRIES];   /* when events that failed are
                                             * due again, the first ones of
                                             * many; 0: none */
    char held_topic[TE_TOPIC_COUNT][256];       /* not to be had ... */
    apr_time_t held_until[TE_TOPIC_COUNT];      /* ... until then */
} te_drain_t;

/* When the rest is set. p lives as long as the drain does. */
void te_drain_init(te_drain_t *drain, apr_pool_t *p);

/* When an event that failed here is due again; 0: none. */
apr_time_t te_drain_next_retry(const te_drain_t *drain);

/* Forget those that are due by now: call it before the reading that finds
 * them, or that leaves them to another process. */
void te_drain_forget_due(te_drain_t *drain);

/* Publish until nothing is due in the shards held, the transport does not
 * work, or the process stops. Order of a stream: an event is sent only after
 * the one before it was accepted. Any database error: the caller closes the
 * connection.
 *
 * Where the breaker doubts the transport it is one event, and only its shard
 * is kept meanwhile: another node's transport may work.
 * @param shards  those held; then, those still held */
te_db_err_e te_drain(te_drain_t *drain, char *shards);

#endif
