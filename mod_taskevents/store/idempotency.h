/* Answers kept for requests that come twice (Idempotency-Key). */
#ifndef TE_STORE_IDEMPOTENCY_H
#define TE_STORE_IDEMPOTENCY_H

#include "db.h"

/* A request as its key names it. */
typedef struct te_key_t {
    const char *user_id;
    const char *scope;                  /* method and path */
    const char *key;
    const char *fingerprint;            /* uuid told from its content */
} te_key_t;

/* An answer as it was given. NULL: the header was not there. */
typedef struct te_stored_answer_t {
    int status;
    const char *etag, *location;
    const char *body;
} te_stored_answer_t;

typedef enum {
    TE_KEY_NEW,                 /* go on: the transaction is open and holds
                                 * the key */
    TE_KEY_RUNNING,             /* the same request is under way elsewhere */
    TE_KEY_ANSWERED,            /* here is the answer */
    TE_KEY_OTHER                /* used for another request */
} te_key_state_e;

/* Begin a transaction and take the key. The transaction is open on TE_DB_OK,
 * whatever the state. keep: how long answers are kept. */
te_db_err_e te_key_claim(te_db_t *db, apr_pool_t *p, const te_key_t *key,
                         apr_interval_time_t keep, te_key_state_e *state,
                         te_stored_answer_t *answer);

/* Store the answer, and commit it with all that was done since the claim. */
te_db_err_e te_key_answer(te_db_t *db, apr_pool_t *p, const te_key_t *key,
                          const te_stored_answer_t *answer);

#endif
