/* The inbox: which events were handled, and those that never will be. */
#ifndef TE_STORE_INBOX_H
#define TE_STORE_INBOX_H

#include "db.h"

/* What is kept of a handled event. */
typedef struct te_seen_t {
    const char *source, *id;            /* together: the event's identity */
    const char *user_id;
    const char *type;
    apr_int64_t task_id;
    const char *event;                  /* its text */
    const char *outcome;                /* a word for the history */
} te_seen_t;

/* Begin a transaction and mark an event as handled.
 * @param is_new  0: it was handled before; the transaction is still open and
 *                must be rolled back */
te_db_err_e te_inbox_begin(te_db_t *db, apr_pool_t *p, const te_seen_t *seen,
                           int *is_new);

/* A message given up on. (stage, source, event_id) names it: the same one
 * again only counts up. */
typedef struct te_dead_letter_t {
    const char *stage;                  /* malformed, handle, deadletter */
    const char *source;                 /* "" when unknown */
    const char *event_id;               /* never NULL */
    const char *topic, *user_id;        /* NULL when unknown */
    const char *body;
    apr_size_t body_size;               /* bytes at body */
    apr_off_t full_size;                /* of the message as it came */
    const char *reason;
    int attempts;
    const char *partition, *offset;     /* of the record; NULL: not told */
    int alert;                          /* somebody wants to be told */
} te_dead_letter_t;

typedef enum {
    TE_LETTER_NEW,
    TE_LETTER_COPY,             /* it was there: counted up */
    TE_LETTER_SETTLED           /* its event was handled before: closed */
} te_letter_kept_e;

/* Keep it, at once and durably. */
te_db_err_e te_inbox_dead_letter(te_db_t *db, apr_pool_t *p,
                                 const te_dead_letter_t *letter,
                                 te_letter_kept_e *kept);

/* How many dead letters are in each state that they can be in. */
typedef struct te_dead_letter_counts_t {
    apr_int64_t open, redriven, discarded;
} te_dead_letter_counts_t;

te_db_err_e te_inbox_dead_letter_counts(te_db_t *db,
                                        te_dead_letter_counts_t *counts);

#endif
