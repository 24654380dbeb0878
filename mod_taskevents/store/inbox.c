#include "inbox.h"

#include <apr_escape.h>

#include "db_internal.h"

te_db_err_e te_inbox_begin(te_db_t *db, apr_pool_t *p, const te_seen_t *seen,
                           int *is_new)
{
    const char *params[7];
    te_db_err_e err;
    PGresult *r;

    params[0] = seen->source;
    params[1] = seen->id;
    params[2] = seen->user_id;
    params[3] = seen->type;
    params[4] = te_db_from_int64(p, seen->task_id);
    params[5] = seen->event;
    params[6] = seen->outcome;
    err = te_db_run(db, TE_EVENT_SEEN, TE_TX_BEGIN, params, &r);
    *is_new = err == TE_DB_OK && !PQgetisnull(r, 0, 1);
    return err;
}

te_db_err_e te_inbox_dead_letter(te_db_t *db, apr_pool_t *p,
                                 const te_dead_letter_t *letter,
                                 te_letter_kept_e *kept)
{
    const char *params[12];
    te_db_err_e err;
    PGresult *r;

    params[0] = letter->stage;
    params[1] = letter->source;
    params[2] = letter->event_id;
    params[3] = letter->topic;
    params[4] = letter->user_id;
    params[5] = apr_pescape_hex(p, letter->body, letter->body_size, 0);
    params[6] = te_db_from_int64(p, letter->full_size);
    params[7] = letter->reason;
    params[8] = te_db_from_int64(p, letter->attempts);
    params[9] = letter->partition;
    params[10] = letter->offset;
    params[11] = letter->alert ? "pending" : "none";
    err = te_db_run(db, TE_DEAD_LETTER, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *kept = PQgetvalue(r, 0, 0)[0] != 't' ? TE_LETTER_COPY
                : PQgetvalue(r, 0, 1)[0] != 't' ? TE_LETTER_SETTLED
                                                : TE_LETTER_NEW;
    }
    return err;
}

te_db_err_e te_inbox_dead_letter_counts(te_db_t *db,
                                        te_dead_letter_counts_t *counts)
{
    te_db_err_e err;
    PGresult *r;
    int i;

    memset(counts, 0, sizeof *counts);
    err = te_db_run(db, TE_DEAD_LETTER_COUNTS, TE_TX_NONE, NULL, &r);
    for (i = 0; err == TE_DB_OK && i < PQntuples(r); ++i) {
        const char *state = PQgetvalue(r, i, 0);
        apr_int64_t n = te_db_int64(r, i, 1);

        if (strcmp(state, "open") == 0) {
            counts->open = n;
        }
        else if (strcmp(state, "redriven") == 0) {
            counts->redriven = n;
        }
        else {
            counts->discarded = n;
        }
    }
    return err;
}
