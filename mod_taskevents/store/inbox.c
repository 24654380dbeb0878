#include "inbox.h"

#include <apr_escape.h>
#include <string.h>
#include <strings.h>

#include "../base/timefmt.h"
#include "db_internal.h"
#include "outbox_row.h"
#include "task_row.h"

/* --- marking ----------------------------------------------------------- */

#define SEEN_COLUMNS 7          /* and the outcome */
#define USER 2                  /* which is the user's */

static void seen_values(apr_pool_t *p, const te_seen_t *one,
                        const char **values)
{
    values[0] = one->source;
    values[1] = one->id;
    values[USER] = one->user_id;
    values[3] = one->type;
    values[4] = te_db_from_int64(p, one->task_id);
    values[5] = one->event;
    values[6] = te_time_format(p, one->time);
}

static te_statement_e seen_params(apr_pool_t *p, const te_seen_t *seen, int n,
                                  const char **params)
{
    apr_array_header_t *columns[SEEN_COLUMNS];
    const char *values[SEEN_COLUMNS];
    int i, column;

    params[SEEN_COLUMNS] = "handled";
    if (n == 1) {
        seen_values(p, seen, params);
        return TE_EVENT_SEEN;
    }
    te_db_columns(p, columns, SEEN_COLUMNS, n);
    for (i = 0; i < n; ++i) {
        seen_values(p, &seen[i], values);
        for (column = 0; column < SEEN_COLUMNS; ++column) {
            APR_ARRAY_PUSH(columns[column], const char *) = values[column];
        }
    }
    te_db_from_columns(p, columns, SEEN_COLUMNS, params);
    return TE_EVENTS_SEEN;
}

/* What is to be held: keys and users, or for one alone its key and user.
 * @return how many */
static int held_params(apr_pool_t *p, const te_seen_t *seen, int n,
                       int series, const char **params)
{
    apr_array_header_t *columns[2];
    int i;

    te_db_columns(p, columns, 2, n);
    for (i = 0; i < n; ++i) {
        const char *key = series ? seen[i].series_id
                                 : te_db_from_int64(p, seen[i].task_id);

        if (seen[i].hold && key != NULL) {
            params[0] = key;
            params[1] = seen[i].user_id;
            APR_ARRAY_PUSH(columns[0], const char *) = key;
            APR_ARRAY_PUSH(columns[1], const char *) = seen[i].user_id;
        }
    }
    if (n > 1) {
        te_db_from_columns(p, columns, 2, params);
    }
    return columns[0]->nelts;
}

static void read_new(te_seen_t *seen, int n, const PGresult *r)
{
    int i;

    for (i = 0; i < n; ++i) {
        seen[i].is_new = 0;
        seen[i].task = NULL;
        seen[i].series = NULL;
    }
    for (i = 0; i < PQntuples(r); ++i) {
        seen[te_db_int64(r, i, 0) - 1].is_new = 1;
    }
}

static void read_tasks(apr_pool_t *p, te_seen_t *seen, int n,
                       const PGresult *r)
{
    int i, row;

    for (row = 0; row < PQntuples(r); ++row) {
        te_task_t *task = te_task_row(p, r, row);

        for (i = 0; i < n; ++i) {
            if (seen[i].hold && seen[i].task_id == task->id
                && strcmp(seen[i].user_id, task->user_id) == 0) {
                seen[i].task = task;
            }
        }
    }
}

static void read_series(apr_pool_t *p, te_seen_t *seen, int n,
                        const PGresult *r)
{
    int i, row;

    for (row = 0; row < PQntuples(r); ++row) {
        te_series_t *series = apr_pcalloc(p, sizeof *series);

        series->id = te_db_text(p, r, row, 0);
        series->user_id = te_db_text(p, r, row, 1);
        series->last = (int)te_db_int64(r, row, 2);
        series->ended = PQgetvalue(r, row, 3)[0] == 't';
        for (i = 0; i < n; ++i) {
            if (seen[i].hold && seen[i].series_id != NULL
                && strcasecmp(seen[i].series_id, series->id) == 0
                && strcmp(seen[i].user_id, series->user_id) == 0) {
                seen[i].series = series;
            }
        }
    }
}

static te_db_call_t *add_call(te_db_call_t *calls, int *n,
                              te_statement_e statement,
                              const char *const *params)
{
    calls[*n].statement = statement;
    calls[*n].params = params;
    calls[*n].result = NULL;
    return &calls[(*n)++];
}

te_db_err_e te_inbox_mark(te_db_t *db, apr_pool_t *p, te_seen_t *seen, int n,
                          const te_outbox_row_t *row, int again, int *open)
{
    const char *marked[SEEN_COLUMNS + 1], *tasks[2], *series[2], *settled[3];
    te_db_call_t calls[TE_DB_MOST_CALLS], *mark, *hold = NULL, *more = NULL;
    te_statement_e marking = seen_params(p, seen, n, marked);
    const char *users;
    int n_calls = 0;
    te_db_err_e err;

    *open = held_params(p, seen, n, 0, tasks) > 0;
    if (again) {
        users = n == 1 ? te_db_from_one(p, marked[USER]) : marked[USER];
        add_call(calls, &n_calls, TE_HISTORIES_HOLD, &users);
    }
    mark = add_call(calls, &n_calls, marking, marked);
    if (*open) {
        hold = add_call(calls, &n_calls,
                        n == 1 ? TE_TASK_LOCK : TE_TASKS_HOLD, tasks);
        if (held_params(p, seen, n, 1, series) > 0) {
            more = add_call(calls, &n_calls,
                            n == 1 ? TE_SERIES_LOCK : TE_SERIES_HOLD, series);
        }
    }
    else if (row != NULL) {
        te_outbox_row_name(p, row, settled);
        add_call(calls, &n_calls, TE_OUTBOX_SETTLE, settled);
    }
    err = te_db_run_all(db, *open ? TE_TX_BEGIN : TE_TX_NONE, calls, n_calls);
    if (err == TE_DB_TAKEN
        && strcmp(te_db_constraint(db), "processed_events_pkey") == 0) {
        return TE_DB_AGAIN;     /* a copy was a moment faster */
    }
    if (err != TE_DB_OK) {
        return err;
    }
    read_new(seen, n, mark->result);
    if (hold != NULL) {
        read_tasks(p, seen, n, hold->result);
    }
    if (more != NULL) {
        read_series(p, seen, n, more->result);
    }
    return TE_DB_OK;
}

te_db_err_e te_inbox_known(te_db_t *db, const char *source, const char *id,
                           int *known)
{
    const char *params[2] = {source, id};
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_EVENT_KNOWN, TE_TX_NONE, params, &r);

    *known = err == TE_DB_OK && PQntuples(r) > 0;
    return err;
}

/* --- dead letters ------------------------------------------------------ */

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
