/* The inbox: which events were handled, and those that never will be. */
#ifndef TE_STORE_INBOX_H
#define TE_STORE_INBOX_H

#include "outbox.h"

/* An event that is to be handled: what is kept of it, what its handling has
 * to hold, and what came of marking it. */
typedef struct te_seen_t {
    const char *source, *id;            /* together: the event's identity */
    const char *user_id;
    const char *type;
    apr_int64_t task_id;
    const char *event;                  /* its text */
    apr_time_t time;                    /* when it happened */
    int hold;                           /* the task's row, */
    const char *series_id;              /* and that of this series, or NULL */

    int is_new;                         /* 0: it was handled before */
    te_task_t *task;                    /* held; NULL: the user has no such */
    te_series_t *series;                /* held; NULL: the user has no such;
                                         * one for all events of a series */
} te_seen_t;

/* Mark events as handled and count them, all or none. No two of them may be
 * the same. Their order is that of the users' histories.
 * @param row   of the outbox: removed in the same transaction if that ends
 *              here; NULL: none
 * @param again 1: a try before met others who marked the same events; wait
 *              for them first
 * @param open  1: some hold something, so that the transaction goes on, to be
 *              ended by te_outbox_finish or te_db_rollback; 0: it is committed
 * @return TE_DB_AGAIN also when one of them was marked elsewhere meanwhile */
te_db_err_e te_inbox_mark(te_db_t *db, apr_pool_t *p, te_seen_t *seen, int n,
                          const te_outbox_row_t *row, int again, int *open);

/* Whether an event was handled, as far as the memory reaches. */
te_db_err_e te_inbox_known(te_db_t *db, const char *source, const char *id,
                           int *known);

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
