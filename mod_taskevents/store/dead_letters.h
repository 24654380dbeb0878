/* Working with dead letters: finding, showing, closing them, and the alerts
 * about them. How they come to be: store/inbox.h, store/outbox.h. */
#ifndef TE_STORE_DEAD_LETTERS_H
#define TE_STORE_DEAD_LETTERS_H

#include <apr_tables.h>

#include "db.h"

#define TE_LETTER_OPEN "open"
#define TE_LETTER_REDRIVEN "redriven"
#define TE_LETTER_DISCARDED "discarded"

/* Where an event was given up on whose way out of the outbox was barred. */
#define TE_STAGE_PUBLISH "publish"

typedef struct te_letter_t {
    apr_int64_t id;
    const char *stage, *state, *reason;
    const char *source;                 /* "" when unknown */
    const char *event_id;
    const char *user_id, *topic;        /* NULL when unknown */
    const char *partition, *offset;     /* decimal; NULL: not told */
    apr_int64_t attempts;
    apr_time_t first_failed_at, last_failed_at;
    apr_time_t closed_at;               /* TE_TIME_NONE: open */
    const char *closed_by, *note;       /* NULL: none */
    const char *alert_id, *alert;       /* uuid; none, pending, sent, failed */
    apr_int64_t alert_attempts;
    apr_int64_t full_size;              /* of the body as it came */
    const char *type;                   /* that it names; NULL: none in sight */
    const char *body;                   /* only of te_letters_get */
    apr_size_t body_size;
} te_letter_t;

/* The letter with its body, in p; NULL: there is none of that id. */
te_db_err_e te_letters_get(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                           te_letter_t **letter);

typedef struct te_letter_filter_t {
    const char *state, *stage, *reason; /* NULL: any */
    const char *user_id, *type, *event_id;
    apr_int64_t after;                  /* the letter before; 0: none */
    int limit;
} te_letter_filter_t;

/* Letters without their bodies, newest first.
 * @param letters  te_letter_t * */
te_db_err_e te_letters_list(te_db_t *db, apr_pool_t *p,
                            const te_letter_filter_t *filter,
                            apr_array_header_t **letters);

/* Ids only, oldest first. @param ids  apr_int64_t */
te_db_err_e te_letters_ids(te_db_t *db, apr_pool_t *p,
                           const te_letter_filter_t *filter,
                           apr_array_header_t **ids);

/* Close an open letter; inside a transaction, when one is open.
 * @param state     TE_LETTER_REDRIVEN or _DISCARDED
 * @param by, note  who, and what came of it
 * @param was_open  0: it is closed already, or gone; nothing was done */
te_db_err_e te_letters_close(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                             const char *state, const char *by,
                             const char *note, int *was_open);

/* A redrive of an open letter failed: count it and keep why. */
te_db_err_e te_letters_failed(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                              const char *by, const char *reason);

/* Put the event of an open letter of TE_STAGE_PUBLISH back into the outbox
 * under its own number, and close the letter.
 * @param was_open  as te_letters_close */
te_db_err_e te_letters_republish(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                                 const char *by, int *was_open);

/* Close open letters whose event was handled in the meantime: looks at some
 * of them, in the order of their ids.
 * @param after  in: the last one looked at before; out: now; 0: at the end
 * @param n      how many were closed */
te_db_err_e te_letters_tidy(te_db_t *db, apr_pool_t *p, apr_int64_t *after,
                            int *n);

/* Letters whose alert is due, oldest first, without their bodies. */
te_db_err_e te_letters_alerts_due(te_db_t *db, apr_pool_t *p, int limit,
                                  apr_array_header_t **letters);

/* What came of a try to alert.
 * @param state  sent, failed, or pending: again after `wait` */
te_db_err_e te_letters_alerted(te_db_t *db, apr_pool_t *p,
                               const te_letter_t *letter, const char *state,
                               apr_interval_time_t wait);

#endif
