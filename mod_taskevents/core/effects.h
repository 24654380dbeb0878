/* Handling events: which effects they have, applied exactly once. Everything
 * that an event changes, the mark that it was handled, and the events it
 * causes in turn are one transaction; a copy that comes again finds the mark. */
#ifndef TE_CORE_EFFECTS_H
#define TE_CORE_EFFECTS_H

#include "../store/outbox.h"
#include "settings.h"

typedef enum {
    TE_EVENT_HANDLED,           /* effects applied */
    TE_EVENT_DUPLICATE,         /* handled before: nothing done */
    TE_EVENT_IGNORED,           /* none of ours: logged only */
    TE_EVENT_KEPT,              /* a dead letter now: malformed, of a type
                                 * that a newer version writes, or too old */
    TE_EVENT_CLOSED             /* its dead letter was closed meanwhile:
                                 * nothing done */
} te_event_outcome_e;

/* The dead letter whose event is handled again: the transaction closes it. One
 * that still cannot be handled is counted up instead of kept anew. */
typedef struct te_redrive_t {
    apr_int64_t letter;
    const char *by;
    const char *reason;                 /* out: why it was kept */
} te_redrive_t;

typedef struct te_delivery_t {
    const char *bytes;                  /* the message as it came */
    apr_size_t size;
    apr_off_t full_size;                /* > size when it was cut */
    const char *topic;
    const te_outbox_row_t *row;         /* local transport: the outbox row
                                         * that this transaction removes */
    const char *partition, *offset;     /* of the record, in digits; NULL:
                                         * not told */
    te_redrive_t *redrive;              /* NULL: it comes from a topic */

    int done;                           /* what came of it: nothing left to
                                         * do, */
    te_event_outcome_e outcome;         /* because of this */
    const char *user_id;                /* whose stream it is of; NULL: it
                                         * does not say */
    const char *event_id, *type;        /* NULL: it could not be read */
    apr_int64_t task_id;                /* 0: as user_id */
} te_delivery_t;

/* What came of a delivery, in the words of the metrics; "failed" when it is
 * not done. */
const char *te_event_outcome(const te_delivery_t *delivery);

/* Handle one message. Any thread; db must be idle.
 * @param ids       where task ids come from
 * @param outcome   set on TE_DB_OK
 * @param followed  1 when new events were put into the outbox
 * @return TE_DB_OK, or why nothing was done: deliver it again later. After
 *         TE_DB_LOST it may have been done: again is harmless */
te_db_err_e te_event_handle(const te_settings_t *settings, te_db_pool_t *ids,
                            te_db_t *db, apr_pool_t *p,
                            const te_delivery_t *delivery,
                            te_event_outcome_e *outcome, int *followed);

/* Whether events of this type are handled. */
int te_event_is_known(const char *type);

/* Handle several, in this order and in one transaction: all of them, or none
 * but those that are `done` without it (kept, ignored). Those that are done
 * already are left alone. Only one alone may have a row or a redrive. When it fails, one by
 * one may tell which it is. */
te_db_err_e te_events_handle(const te_settings_t *settings, te_db_pool_t *ids,
                             te_db_t *db, apr_pool_t *p,
                             te_delivery_t *deliveries, int n, int *followed);

/* Keep a message as a dead letter without handling it, under the identity
 * that can be read in it, else one told from its bytes. */
te_db_err_e te_event_keep(const te_settings_t *settings, te_db_t *db,
                          apr_pool_t *p, const te_delivery_t *delivery,
                          const char *stage, const char *reason);

#endif
