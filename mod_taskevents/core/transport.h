/* Where events go: to Kafka through a Dapr sidecar, or, with no sidecar at
 * all, straight to the handlers in this process. */
#ifndef TE_CORE_TRANSPORT_H
#define TE_CORE_TRANSPORT_H

#include "../store/outbox.h"
#include "settings.h"

typedef enum {
    TE_SENT_ACCEPTED,           /* it has it: the outbox may forget the row */
    TE_SENT_SETTLED,            /* it has it, and the row is gone already */
    TE_SENT_FAILED,             /* it could not take this one now */
    TE_SENT_REFUSED,            /* it will never take this one */
    TE_SENT_HELD,               /* not sent: its topic is not to be had, which
                                 * the operator has to change */
    TE_SENT_UNKNOWN             /* the transport as a whole did not work: the
                                 * event may be there or not */
} te_sent_e;

typedef struct te_sending_t {
    const te_outbox_row_t *row;
    te_sent_e result;
    int maybe_refused;                  /* with TE_SENT_FAILED: alone in its
                                         * request, so it may be the event or
                                         * the request that was turned down */
    const char *error;                  /* when it was not sent */
    const char *reason;                 /* with TE_SENT_UNKNOWN: a word for
                                         * the metrics, or NULL */
} te_sending_t;

typedef struct te_transport_t te_transport_t;

struct te_transport_t {
    const char *name;
    /* Failures of one event before it is given up; 0: never, unless it was
     * refused. */
    int max_attempts;
    const char *stage;                  /* of the dead letters it makes */
    int side_by_side;                   /* waves that may be on their way */
    /* A wave goes best whose events need no more than that, each of them this
     * beside its text. */
    apr_size_t bytes, beside;
    /* Send one wave: n events of n different streams, best of one topic; it is
     * on its way when this returns. p and the wave have to live until its
     * end. */
    void *(*begin)(te_transport_t *transport, te_sending_t *wave, int n,
                   apr_pool_t *p);
    /* Wait until one of these waves (NULL: none) can be ended without waiting
     * for long. @return its place */
    int (*wait_for)(te_transport_t *transport, void *const *begun, int n);
    /* Wait for the end of a wave: each result is set. */
    void (*end)(te_transport_t *transport, void *begun);
    /* How long an event waits after its attempts-th failure, and at most while
     * nothing else is taken either: it should not outwait an outage. */
    apr_interval_time_t (*backoff)(int attempts, unsigned int chance);
    apr_interval_time_t longest_wait_alone;
    /* Ask a send that is under way to end soon. Any thread. */
    void (*stop)(te_transport_t *transport);
};

/* Both live in p and belong to one thread. */

apr_status_t te_transport_dapr(te_transport_t **out,
                               const te_settings_t *settings, apr_pool_t *p);

/* db: the publisher's own connection, on which the handlers run too. */
apr_status_t te_transport_local(te_transport_t **out,
                                const te_settings_t *settings,
                                te_db_pool_t *ids, te_db_t *db,
                                apr_pool_t *p);

#endif
