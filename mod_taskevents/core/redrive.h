/* Handling a dead letter again, because an operator says so. */
#ifndef TE_CORE_REDRIVE_H
#define TE_CORE_REDRIVE_H

#include "../store/dead_letters.h"
#include "settings.h"

typedef enum {
    TE_REDRIVE_DONE,            /* handled, or on its way again: closed */
    TE_REDRIVE_FAILED,          /* it still cannot be handled: open, counted */
    TE_REDRIVE_CLOSED,          /* it was closed before */
    TE_REDRIVE_GONE             /* there is no such letter */
} te_redrive_e;

typedef struct te_redriven_t {
    te_redrive_e result;
    te_letter_t *letter;                /* as it is now; NULL: gone */
    const char *reason;                 /* why it failed */
    int wrote;                          /* the outbox has something new */
} te_redriven_t;

/* Who says so. */
typedef struct te_operator_t {
    const char *name;                   /* for the letter and the log */
    const char *peer;                   /* from where, for the log; NULL: the
                                         * name is that */
} te_operator_t;

/* Redrive one letter. One of stage publish goes back to the outbox under its
 * own number, all others are handled as if they were delivered now. Any number
 * of times and at once by any number of operators: it is done once.
 * @return TE_DB_OK, or why nothing was done; after TE_DB_LOST it may have been
 *         done: again is harmless */
te_db_err_e te_redrive(const te_settings_t *settings, te_db_pool_t *ids,
                       te_db_t *db, apr_pool_t *p, apr_int64_t id,
                       const te_operator_t *by, te_redriven_t *redriven);

/* Close an open letter unhandled.
 * @param was_open  0: it was closed before, or is not there
 * @param letter    as it is now; NULL: there is no such letter */
te_db_err_e te_discard(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                       const te_operator_t *by, int *was_open,
                       te_letter_t **letter);

#endif
