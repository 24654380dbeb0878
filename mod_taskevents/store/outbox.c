#include "outbox.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/timefmt.h"
#include "db_internal.h"
#include "outbox_row.h"

#define TRACE_LENGTH 55

const char *te_outbox_shard_list(apr_pool_t *p, const char *shards)
{
    const char *list = "{";
    int i;

    for (i = 0; i < TE_OUTBOX_SHARDS; ++i) {
        if (shards[i]) {
            list = apr_psprintf(p, "%s%s%d", list, list[1] ? "," : "", i);
        }
    }
    return apr_pstrcat(p, list, "}", NULL);
}

/* A member of the envelope, out of the text that core/event.c wrote, where
 * they come before the data. A text inside another has its quotes escaped. */
static const char *find_member(apr_pool_t *p, const char *event,
                               const char *member)
{
    const char *at = strstr(event, member);

    if (at == NULL) {
        return NULL;
    }
    at += strlen(member);
    return apr_pstrmemdup(p, at, strcspn(at, "\""));
}

/* 55 characters of hex and dashes, for it becomes a header. */
static const char *find_trace(apr_pool_t *p, const char *event)
{
    const char *trace = find_member(p, event, "\"traceparent\":\"");

    return trace != NULL && strlen(trace) == TRACE_LENGTH
                   && strspn(trace, "0123456789abcdefABCDEF-") == TRACE_LENGTH
               ? trace : NULL;
}

static apr_time_t find_time(apr_pool_t *p, const char *event)
{
    const char *text = find_member(p, event, "\"time\":\"");
    apr_time_t t;

    return text != NULL && te_time_parse(text, &t) == NULL ? t : TE_TIME_NONE;
}

static te_outbox_row_t *read_row(apr_pool_t *p, const PGresult *r, int i)
{
    te_outbox_row_t *row = apr_pcalloc(p, sizeof *row);

    row->shard = (int)te_db_int64(r, i, 0);
    row->user_id = te_db_text(p, r, i, 1);
    row->topic = te_db_text(p, r, i, 2);
    row->sequence = te_db_int64(r, i, 3);
    row->event_id = te_db_text(p, r, i, 4);
    row->event = te_db_text(p, r, i, 5);
    row->event_size = (apr_size_t)PQgetlength(r, i, 5);
    row->attempts = (int)te_db_int64(r, i, 6);
    row->place = te_db_text(p, r, i, 7);
    row->traceparent = find_trace(p, row->event);
    row->type = find_member(p, row->event, "\"type\":\"");
    row->time = find_time(p, row->event);
    return row;
}

static void read_rows(apr_pool_t *p, const PGresult *r,
                      apr_array_header_t **rows)
{
    int i;

    *rows = apr_array_make(p, PQntuples(r) + 1, sizeof(te_outbox_row_t *));
    for (i = 0; i < PQntuples(r); ++i) {
        APR_ARRAY_PUSH(*rows, te_outbox_row_t *) = read_row(p, r, i);
    }
}

/* Those of streams whose oldest event is due. */
static void read_due_rows(apr_pool_t *p, const PGresult *r,
                          apr_array_header_t **rows)
{
    const te_outbox_row_t *before = NULL;
    int i, is_due = 0;

    *rows = apr_array_make(p, PQntuples(r) + 1, sizeof(te_outbox_row_t *));
    for (i = 0; i < PQntuples(r); ++i) {
        te_outbox_row_t *row = read_row(p, r, i);

        if (before == NULL || !te_outbox_same_stream(row, before)) {
            is_due = PQgetvalue(r, i, 8)[0] == 't';
        }
        if (is_due) {
            APR_ARRAY_PUSH(*rows, te_outbox_row_t *) = row;
        }
        before = row;
    }
}

int te_outbox_same_stream(const te_outbox_row_t *a, const te_outbox_row_t *b)
{
    return strcmp(a->user_id, b->user_id) == 0
           && strcmp(a->topic, b->topic) == 0;
}

int te_outbox_streams(const apr_array_header_t *rows)
{
    te_outbox_row_t *const *row = (te_outbox_row_t *const *)rows->elts;
    int i, n = rows->nelts > 0;

    for (i = 1; i < rows->nelts; ++i) {
        n += !te_outbox_same_stream(row[i], row[i - 1]);
    }
    return n;
}

te_db_err_e te_outbox_session(te_db_t *db)
{
    PGresult *r;

    return te_db_run(db, TE_OUTBOX_SESSION, TE_TX_NONE, NULL, &r);
}

te_db_err_e te_outbox_heads(te_db_t *db, apr_pool_t *p, const char *shards,
                            const char *after_user, const char *after_topic,
                            int streams, int each,
                            const apr_array_header_t *without,
                            apr_array_header_t **rows)
{
    apr_array_header_t *columns[2];
    const char *params[7];
    te_db_err_e err;
    PGresult *r;
    int i;

    te_db_columns(p, columns, 2, without->nelts);
    for (i = 0; i < without->nelts; ++i) {
        const te_stream_t *s = APR_ARRAY_IDX(without, i, const te_stream_t *);

        APR_ARRAY_PUSH(columns[0], const char *) = s->user_id;
        APR_ARRAY_PUSH(columns[1], const char *) = s->topic;
    }
    te_db_from_columns(p, columns, 2, params + 5);

    params[0] = te_outbox_shard_list(p, shards);
    params[1] = after_user;
    params[2] = after_topic;
    params[3] = te_db_from_int64(p, streams);
    params[4] = te_db_from_int64(p, each);
    err = te_db_run(db, TE_OUTBOX_HEADS, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        read_rows(p, r, rows);
    }
    return err;
}

te_db_err_e te_outbox_tail(te_db_t *db, apr_pool_t *p, const char *shards,
                           apr_int64_t block, int streams,
                           te_outbox_tail_t *tail)
{
    const char *params[3];
    te_db_err_e err;
    PGresult *r;
    int i;

    params[0] = te_outbox_shard_list(p, shards);
    params[1] = apr_psprintf(p, "(%" APR_INT64_T_FMT ",0)", block);
    params[2] = te_db_from_int64(p, streams);
    err = te_db_run(db, TE_OUTBOX_TAIL, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    tail->streams = apr_array_make(p, PQntuples(r) + 1,
                                   sizeof(te_stream_t *));
    tail->first_alive = te_db_int64(r, 0, 2);
    tail->blocks = te_db_int64(r, 0, 3);
    tail->dead = te_db_int64(r, 0, 4);
    for (i = 0; i < PQntuples(r); ++i) {
        if (!PQgetisnull(r, i, 0)) {
            te_stream_t *stream = apr_pcalloc(p, sizeof *stream);

            APR_ARRAY_PUSH(tail->streams, te_stream_t *) = stream;
            stream->user_id = te_db_text(p, r, i, 0);
            stream->topic = te_db_text(p, r, i, 1);
        }
    }
    return TE_DB_OK;
}

te_db_err_e te_outbox_of_streams(te_db_t *db, apr_pool_t *p,
                                 const apr_array_header_t *streams, int each,
                                 apr_array_header_t **rows)
{
    apr_array_header_t *columns[3];
    const char *params[4];
    te_db_err_e err;
    PGresult *r;
    int i;

    te_db_columns(p, columns, 3, streams->nelts);
    for (i = 0; i < streams->nelts; ++i) {
        const te_stream_t *s = APR_ARRAY_IDX(streams, i, const te_stream_t *);

        APR_ARRAY_PUSH(columns[0], const char *) = s->user_id;
        APR_ARRAY_PUSH(columns[1], const char *) = s->topic;
        APR_ARRAY_PUSH(columns[2], const char *) =
            te_db_from_int64(p, s->above);
    }
    te_db_from_columns(p, columns, 3, params);
    params[3] = te_db_from_int64(p, each);
    err = te_db_run(db, TE_OUTBOX_OF_STREAMS, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        read_due_rows(p, r, rows);
    }
    return err;
}

te_db_err_e te_outbox_accepted(te_db_t *db, apr_pool_t *p,
                               const apr_array_header_t *rows)
{
    apr_array_header_t *columns[2];
    const char *params[2];
    int i;

    te_db_columns(p, columns, 2, rows->nelts);
    for (i = 0; i < rows->nelts; ++i) {
        const te_outbox_row_t *row =
            APR_ARRAY_IDX(rows, i, const te_outbox_row_t *);

        APR_ARRAY_PUSH(columns[0], const char *) = row->place;
        APR_ARRAY_PUSH(columns[1], const char *) = row->event_id;
    }
    te_db_from_columns(p, columns, 2, params);
    return te_db_start(db, TE_OUTBOX_ACCEPTED, params);
}

void te_outbox_row_name(apr_pool_t *p, const te_outbox_row_t *row,
                        const char **params)
{
    params[0] = row->user_id;
    params[1] = row->topic;
    params[2] = te_db_from_int64(p, row->sequence);
}

te_db_err_e te_outbox_failed(te_db_t *db, apr_pool_t *p,
                             const te_outbox_row_t *row,
                             apr_interval_time_t wait, const char *error)
{
    const char *params[5];
    PGresult *r;

    te_outbox_row_name(p, row, params);
    params[3] = te_db_from_int64(p, apr_time_as_msec(wait));
    params[4] = error;
    return te_db_run(db, TE_OUTBOX_FAILED, TE_TX_NONE, params, &r);
}

te_db_err_e te_outbox_settle(te_db_t *db, apr_pool_t *p,
                             const te_outbox_row_t *row)
{
    const char *params[3];
    PGresult *r;

    te_outbox_row_name(p, row, params);
    return te_db_run(db, TE_OUTBOX_SETTLE, TE_TX_NONE, params, &r);
}

/* By their keys; some may be gone, for whatever reason. */
te_db_err_e te_outbox_forgotten(te_db_t *db, apr_pool_t *p,
                                const apr_array_header_t *rows)
{
    te_db_err_e err = te_db_finish(db);
    int i;

    if (err != TE_DB_OK || te_db_affected(db) == rows->nelts) {
        return err;
    }
    for (i = 0; i < rows->nelts && err == TE_DB_OK; ++i) {
        err = te_outbox_settle(db, p,
                               APR_ARRAY_IDX(rows, i, te_outbox_row_t *));
    }
    return err;
}

te_db_err_e te_outbox_park(te_db_t *db, apr_pool_t *p,
                           const te_outbox_row_t *row, const char *stage,
                           const char *source, const char *reason,
                           int alert)
{
    const char *params[7];
    PGresult *r;

    te_outbox_row_name(p, row, params);
    params[3] = stage;
    params[4] = source;
    params[5] = reason;
    params[6] = alert ? "pending" : "none";
    return te_db_run(db, TE_OUTBOX_PARK, TE_TX_NONE, params, &r);
}

te_db_err_e te_outbox_measure(te_db_t *db, te_outbox_size_t *size)
{
    te_db_err_e err;
    PGresult *r;

    err = te_db_run(db, TE_OUTBOX_SIZE, TE_TX_NONE, NULL, &r);
    if (err == TE_DB_OK && PQntuples(r) > 0) {
        size->events = te_db_int64(r, 0, 0);
        size->oldest_seconds = strtod(PQgetvalue(r, 0, 1), NULL);
    }
    return err;
}

te_db_err_e te_outbox_finish(te_db_t *db, apr_pool_t *p,
                             const apr_array_header_t *events,
                             const te_outbox_row_t *row)
{
    const char *emitted[5], *settled[3];
    te_db_call_t calls[2];
    int i, n = 0;

    memset(calls, 0, sizeof calls);
    if (events->nelts > 0) {
        apr_array_header_t *columns[5];

        te_db_columns(p, columns, 5, events->nelts);
        for (i = 0; i < events->nelts; ++i) {
            const te_outgoing_t *event =
                APR_ARRAY_IDX(events, i, const te_outgoing_t *);

            APR_ARRAY_PUSH(columns[0], const char *) = event->user_id;
            APR_ARRAY_PUSH(columns[1], const char *) = event->topic;
            APR_ARRAY_PUSH(columns[2], const char *) = event->id;
            APR_ARRAY_PUSH(columns[3], const char *) = event->head;
            APR_ARRAY_PUSH(columns[4], const char *) = event->tail;
        }
        te_db_from_columns(p, columns, 5, emitted);
        calls[n].statement = TE_EMIT;
        calls[n++].params = emitted;
    }
    if (row != NULL) {
        te_outbox_row_name(p, row, settled);
        calls[n].statement = TE_OUTBOX_SETTLE;
        calls[n++].params = settled;
    }
    return te_db_run_all(db, TE_TX_COMMIT, calls, n);
}
