#include "idempotency.h"

#include <apr_strings.h>
#include <string.h>

#include "db_internal.h"

static te_db_err_e look(te_db_t *db, apr_pool_t *p, const te_key_t *key,
                        apr_interval_time_t keep, te_key_state_e *state,
                        te_stored_answer_t *answer)
{
    const char *params[4];
    te_db_err_e err;
    PGresult *r;

    params[0] = key->user_id;
    params[1] = key->scope;
    params[2] = key->key;
    params[3] = te_db_from_int64(p, apr_time_sec(keep));
    err = te_db_run(db, TE_KEY_GET, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    if (PQntuples(r) == 0) {
        *state = TE_KEY_NEW;
        return TE_DB_OK;
    }
    *state = strcmp(PQgetvalue(r, 0, 0), key->fingerprint) == 0
                 ? TE_KEY_ANSWERED : TE_KEY_OTHER;
    answer->status = (int)te_db_int64(r, 0, 1);
    answer->etag = te_db_text(p, r, 0, 2);
    answer->location = te_db_text(p, r, 0, 3);
    answer->body = te_db_text(p, r, 0, 4);
    return TE_DB_OK;
}

te_db_err_e te_key_claim(te_db_t *db, apr_pool_t *p, const te_key_t *key,
                         apr_interval_time_t keep, te_key_state_e *state,
                         te_stored_answer_t *answer)
{
    const char *params[1];
    te_db_err_e err;
    PGresult *r;

    params[0] = apr_pstrcat(p, key->user_id, "\n", key->scope, "\n",
                            key->key, NULL);
    err = te_db_run(db, TE_KEY_LOCK, TE_TX_BEGIN, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    if (PQgetvalue(r, 0, 0)[0] != 't') {
        *state = TE_KEY_RUNNING;
        return TE_DB_OK;
    }
    return look(db, p, key, keep, state, answer);
}

te_db_err_e te_key_answer(te_db_t *db, apr_pool_t *p, const te_key_t *key,
                          const te_stored_answer_t *answer)
{
    const char *params[8];
    PGresult *r;

    params[0] = key->user_id;
    params[1] = key->scope;
    params[2] = key->key;
    params[3] = key->fingerprint;
    params[4] = te_db_from_int64(p, answer->status);
    params[5] = answer->etag;
    params[6] = answer->location;
    params[7] = answer->body;
    return te_db_run(db, TE_KEY_PUT, TE_TX_COMMIT, params, &r);
}
