/* Dapr's bulk deliveries: several events of one partition in one request
 * (dapr/dapr pkg/runtime/pubsub/bulksubscribe_events.go):
 *   {"type":"com.dapr.event.sent.bulk", "entries":[{"entryId":"0",
 *    "event":{...}, ...}], ...} */
#ifndef TE_CORE_BULK_H
#define TE_CORE_BULK_H

#include <apr_tables.h>

typedef struct te_bulk_entry_t {
    const char *id;                     /* NULL: it has none, so that nothing
                                         * can be said about it */
    const char *event;                  /* its text within the delivery, not
                                         * ended; "" when it has none */
    apr_size_t size;
} te_bulk_entry_t;

/* @return the entries (te_bulk_entry_t) of a bulk delivery, in p, as long as
 *         bytes live; none when it is a broken one; NULL: it is no bulk
 *         delivery */
apr_array_header_t *te_bulk_parse(apr_pool_t *p, const char *bytes,
                                  apr_size_t size);

/* The answer: of each entry with an id whether it is done; those that are not
 * are delivered again. In p.
 * @param done  one for each entry */
const char *te_bulk_answer(apr_pool_t *p, const apr_array_header_t *entries,
                           const char *done);

#endif
