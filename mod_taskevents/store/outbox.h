/* The outbox: events committed, not yet accepted by the transport. */
#ifndef TE_STORE_OUTBOX_H
#define TE_STORE_OUTBOX_H

#include <apr_tables.h>

#include "tasks.h"

/* Streams are spread over this many shards, fixed in the schema. */
#define TE_OUTBOX_SHARDS 16

typedef struct te_outbox_row_t {
    int shard;
    const char *user_id;
    const char *topic;
    apr_int64_t sequence;
    const char *event_id;
    const char *event;                  /* the whole CloudEvent */
    apr_size_t event_size;
    /* out of the event's text; NULL, TE_TIME_NONE: none in sight */
    const char *traceparent;
    const char *type;
    apr_time_t time;
    int attempts;
    const char *place;                  /* where the table has it */
} te_outbox_row_t;

int te_outbox_same_stream(const te_outbox_row_t *a, const te_outbox_row_t *b);

/* How many streams these rows are of, one stream's side by side. */
int te_outbox_streams(const apr_array_header_t *rows);

/* All for the one connection that a publisher keeps, whose session holds the
 * shards (store/locks.h). */

/* Make a new session read the outbox by its index, whatever PostgreSQL's
 * statistics say: they may be from when it was empty. */
te_db_err_e te_outbox_session(te_db_t *db);

/* The oldest events of the streams in these shards whose oldest one is due.
 * @param after_user, after_topic  start behind this stream ("": the first)
 * @param streams, each            at most that many streams, and events of one
 * @param without  of te_stream_t *: streams that are left aside
 * @param rows   te_outbox_row_t *, one stream's rows side by side, in order */
te_db_err_e te_outbox_heads(te_db_t *db, apr_pool_t *p, const char *shards,
                            const char *after_user, const char *after_topic,
                            int streams, int each,
                            const apr_array_header_t *without,
                            apr_array_header_t **rows);

/* A stream, and the number behind which its events are looked for. */
typedef struct te_stream_t {
    const char *user_id, *topic;
    apr_int64_t above;
} te_stream_t;

/* What the table has from some block on. */
typedef struct te_outbox_tail_t {
    apr_array_header_t *streams;        /* te_stream_t * with an event there,
                                         * in the shards asked for */
    apr_int64_t first_alive;            /* first block with one; -1: none */
    apr_int64_t blocks;                 /* of the whole table */
    apr_int64_t dead;                   /* rows that VACUUM has not removed,
                                         * as the statistics have it */
} te_outbox_tail_t;

/* Look for streams by the place of their rows: for when the primary key is
 * full of dead ones.
 * @param block    0: in the whole table
 * @param streams  at most that many */
te_db_err_e te_outbox_tail(te_db_t *db, apr_pool_t *p, const char *shards,
                           apr_int64_t block, int streams,
                           te_outbox_tail_t *tail);

/* The oldest events of each of these streams whose oldest one is due, those
 * at or before `above` left aside; rows as te_outbox_heads.
 * @param streams  of te_stream_t * */
te_db_err_e te_outbox_of_streams(te_db_t *db, apr_pool_t *p,
                                 const apr_array_header_t *streams, int each,
                                 apr_array_header_t **rows);

/* The transport has these: forget them. rows: te_outbox_row_t *. Returns when
 * PostgreSQL has been told. */
te_db_err_e te_outbox_accepted(te_db_t *db, apr_pool_t *p,
                               const apr_array_header_t *rows);

/* The end of that, to be awaited before anything else is asked of the
 * connection: those that were moved since they were read (VACUUM FULL) are
 * forgotten all the same. */
te_db_err_e te_outbox_forgotten(te_db_t *db, apr_pool_t *p,
                                const apr_array_header_t *rows);

/* This one failed: count it, and leave its stream alone for a while. */
te_db_err_e te_outbox_failed(te_db_t *db, apr_pool_t *p,
                             const te_outbox_row_t *row,
                             apr_interval_time_t wait, const char *error);

/* Remove one row, in the transaction that is open or at once. */
te_db_err_e te_outbox_settle(te_db_t *db, apr_pool_t *p,
                             const te_outbox_row_t *row);

/* Give an event up: it becomes a dead letter and its stream goes on.
 * @param alert  somebody wants to be told */
te_db_err_e te_outbox_park(te_db_t *db, apr_pool_t *p,
                           const te_outbox_row_t *row, const char *stage,
                           const char *source, const char *reason,
                           int alert);

/* How much waits, and how long already. */
typedef struct te_outbox_size_t {
    apr_int64_t events;
    double oldest_seconds;              /* 0 when there is none */
} te_outbox_size_t;

/* Ask for it; the age is that of the events' own times. */
te_db_err_e te_outbox_measure(te_db_t *db, te_outbox_size_t *size);

/* The end of a transaction: put the events that it causes into the outbox,
 * remove the row that it settles, COMMIT.
 * @param events  te_outgoing_t *, of any users and topics; may be empty
 * @param row     NULL: none */
te_db_err_e te_outbox_finish(te_db_t *db, apr_pool_t *p,
                             const apr_array_header_t *events,
                             const te_outbox_row_t *row);

#endif
