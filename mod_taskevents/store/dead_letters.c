#include "dead_letters.h"

#include <apr_strings.h>
#include <string.h>

#include "db_internal.h"

#define MOST_PARAMS 8

static te_letter_t *read_letter(apr_pool_t *p, const PGresult *r, int i)
{
    te_letter_t *letter = apr_pcalloc(p, sizeof *letter);

    letter->id = te_db_int64(r, i, 0);
    letter->stage = te_db_text(p, r, i, 1);
    letter->state = te_db_text(p, r, i, 2);
    letter->reason = te_db_text(p, r, i, 3);
    letter->source = te_db_text(p, r, i, 4);
    letter->event_id = te_db_text(p, r, i, 5);
    letter->user_id = te_db_text(p, r, i, 6);
    letter->topic = te_db_text(p, r, i, 7);
    letter->partition = te_db_text(p, r, i, 8);
    letter->offset = te_db_text(p, r, i, 9);
    letter->attempts = te_db_int64(r, i, 10);
    letter->first_failed_at = te_db_time(r, i, 11);
    letter->last_failed_at = te_db_time(r, i, 12);
    letter->closed_at = te_db_time(r, i, 13);
    letter->closed_by = te_db_text(p, r, i, 14);
    letter->note = te_db_text(p, r, i, 15);
    letter->alert_id = te_db_text(p, r, i, 16);
    letter->alert = te_db_text(p, r, i, 17);
    letter->alert_attempts = te_db_int64(r, i, 18);
    letter->full_size = te_db_int64(r, i, 19);
    letter->type = te_db_text(p, r, i, 20);
    return letter;
}

static apr_array_header_t *read_letters(apr_pool_t *p, const PGresult *r)
{
    apr_array_header_t *letters =
        apr_array_make(p, PQntuples(r) + 1, sizeof(te_letter_t *));
    int i;

    for (i = 0; i < PQntuples(r); ++i) {
        APR_ARRAY_PUSH(letters, te_letter_t *) = read_letter(p, r, i);
    }
    return letters;
}

te_db_err_e te_letters_get(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                           te_letter_t **letter)
{
    const char *params[1];
    unsigned char *bytes;
    te_db_err_e err;
    PGresult *r;

    *letter = NULL;
    params[0] = te_db_from_int64(p, id);
    err = te_db_run(db, TE_LETTER_GET, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK || PQntuples(r) == 0) {
        return err;
    }
    *letter = read_letter(p, r, 0);
    bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(
                                r, 0, TE_LETTER_COLUMN_COUNT),
                            &(*letter)->body_size);
    if (bytes == NULL) {
        return TE_DB_FAILED;
    }
    (*letter)->body = apr_pstrmemdup(p, (const char *)bytes,
                                     (*letter)->body_size);
    PQfreemem(bytes);
    return TE_DB_OK;
}

/* --- finding ----------------------------------------------------------- */

/* A statement being put together for its filters. */
typedef struct {
    apr_pool_t *pool;
    const char *sql;
    const char *params[MOST_PARAMS];
    int n;
} query_t;

/* Add a condition; each %d is the number of the parameter. */
static void where(query_t *q, const char *format, const char *param)
{
    if (param != NULL) {
        q->params[q->n++] = param;
        q->sql = apr_pstrcat(q->pool, q->sql, " AND ",
                             apr_psprintf(q->pool, format, q->n, q->n), NULL);
    }
}

static te_db_err_e find(te_db_t *db, apr_pool_t *p, const char *columns,
                        const te_letter_filter_t *filter, int newest_first,
                        PGresult **r)
{
    const char *after = filter->after == 0
                            ? NULL : te_db_from_int64(p, filter->after);
    query_t q;

    memset(&q, 0, sizeof q);
    q.pool = p;
    q.sql = apr_pstrcat(p, "SELECT ", columns,
                        " FROM taskevents.dead_letters d WHERE true", NULL);
    where(&q, "state = $%d::text", filter->state);
    where(&q, "stage = $%d::text", filter->stage);
    /* its index has the digest: a reason may be longer than an index takes */
    where(&q, "md5(reason) = md5($%d::text) AND reason = $%d::text",
          filter->reason);
    where(&q, "user_id = $%d::text", filter->user_id);
    where(&q, "event_id = $%d::text", filter->event_id);
    where(&q, TE_LETTER_TYPE " = $%d::text", filter->type);
    where(&q, newest_first ? "id < $%d::bigint" : "id > $%d::bigint", after);
    q.params[q.n++] = te_db_from_int64(p, filter->limit);
    q.sql = apr_psprintf(p, "%s ORDER BY id %s LIMIT $%d::int", q.sql,
                         newest_first ? "DESC" : "ASC", q.n);
    return te_db_run_text(db, q.sql, q.n, q.params, r);
}

te_db_err_e te_letters_list(te_db_t *db, apr_pool_t *p,
                            const te_letter_filter_t *filter,
                            apr_array_header_t **letters)
{
    PGresult *r;
    te_db_err_e err = find(db, p, TE_LETTER_COLUMNS, filter, 1, &r);

    if (err == TE_DB_OK) {
        *letters = read_letters(p, r);
    }
    return err;
}

te_db_err_e te_letters_ids(te_db_t *db, apr_pool_t *p,
                           const te_letter_filter_t *filter,
                           apr_array_header_t **ids)
{
    PGresult *r;
    te_db_err_e err = find(db, p, "id", filter, 0, &r);
    int i;

    if (err != TE_DB_OK) {
        return err;
    }
    *ids = apr_array_make(p, PQntuples(r) + 1, sizeof(apr_int64_t));
    for (i = 0; i < PQntuples(r); ++i) {
        APR_ARRAY_PUSH(*ids, apr_int64_t) = te_db_int64(r, i, 0);
    }
    return TE_DB_OK;
}

/* --- closing ----------------------------------------------------------- */

te_db_err_e te_letters_close(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                             const char *state, const char *by,
                             const char *note, int *was_open)
{
    const char *params[4];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, id);
    params[1] = state;
    params[2] = by;
    params[3] = note;
    err = te_db_run(db, TE_LETTER_CLOSE, TE_TX_NONE, params, &r);
    *was_open = err == TE_DB_OK && PQntuples(r) > 0;
    return err;
}

te_db_err_e te_letters_failed(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                              const char *by, const char *reason)
{
    const char *params[3];
    PGresult *r;

    params[0] = te_db_from_int64(p, id);
    params[1] = reason;
    params[2] = apr_pstrcat(p, "a redrive by ", by, " failed", NULL);
    return te_db_run(db, TE_LETTER_FAILED, TE_TX_NONE, params, &r);
}

te_db_err_e te_letters_republish(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                                 const char *by, int *was_open)
{
    const char *params[2];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, id);
    params[1] = by;
    err = te_db_run(db, TE_LETTER_REPUBLISH, TE_TX_NONE, params, &r);
    *was_open = err == TE_DB_OK && PQntuples(r) > 0;
    return err;
}

te_db_err_e te_letters_tidy(te_db_t *db, apr_pool_t *p, apr_int64_t *after,
                            int *n)
{
    const char *params[1];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, *after);
    err = te_db_run(db, TE_LETTERS_TIDY, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *after = te_db_int64(r, 0, 0);
        *n = (int)te_db_int64(r, 0, 1);
    }
    return err;
}

/* --- alerts ------------------------------------------------------------ */

te_db_err_e te_letters_alerts_due(te_db_t *db, apr_pool_t *p, int limit,
                                  apr_array_header_t **letters)
{
    const char *params[1];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, limit);
    err = te_db_run(db, TE_LETTERS_ALERTS_DUE, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *letters = read_letters(p, r);
    }
    return err;
}

te_db_err_e te_letters_alerted(te_db_t *db, apr_pool_t *p,
                               const te_letter_t *letter, const char *state,
                               apr_interval_time_t wait)
{
    const char *params[4];
    PGresult *r;

    params[0] = te_db_from_int64(p, letter->id);
    params[1] = letter->alert_id;
    params[2] = state;
    params[3] = te_db_from_int64(p, apr_time_as_msec(wait));
    return te_db_run(db, TE_LETTER_ALERTED, TE_TX_NONE, params, &r);
}
