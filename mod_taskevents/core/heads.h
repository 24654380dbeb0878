/* Which events are sent next: the oldest ones of each stream, read from the
 * outbox in one of two ways.
 *
 * Usually by skipping from stream to stream in the primary key. Rows that are
 * deleted stay in that index until VACUUM may remove them, which it may not
 * while some session holds an old snapshot; then each read would step over
 * every event of the last minutes. As soon as that can be felt, streams are
 * found at the end of the table instead, where new rows go, and their events
 * by the number of the last one that was accepted. What is not there (a free
 * place further ahead, an old row that waits) is found by reading the whole
 * table now and then. Either way a stream is read from its oldest event on. */
#ifndef TE_CORE_HEADS_H
#define TE_CORE_HEADS_H

#include <apr_hash.h>

#include "../store/outbox.h"
#include "lines.h"

typedef struct te_heads_t {
    te_db_t *db;
    apr_pool_t *pool;                   /* of one read */

    int begun;                          /* this round has brought rows */
    int ended;                          /* it will not bring more */
    char after_user[160], after_topic[256];     /* where its next read starts */

    int crowded;                        /* with dead rows: read the end */
    apr_interval_time_t slow_read;      /* what told so took so long; until
                                         * then only longer ones tell so */
    apr_time_t slow_until;
    apr_time_t whole_at;                /* when to read the whole table */
    apr_int64_t first_block;            /* the end begins here */
    apr_int64_t mark_block;             /* the table's size at mark_time ... */
    apr_time_t mark_time;
    apr_pool_t *sent_pool;
    apr_hash_t *sent;                   /* stream: number accepted last */
} te_heads_t;

/* p lives as long as the heads do. */
void te_heads_init(te_heads_t *heads, te_db_t *db, apr_pool_t *p);

/* Begin a round: the next read is from the first stream on. */
void te_heads_start(te_heads_t *heads);

/* The next events of this round, none at its end.
 * @param shards  those held
 * @param streams, each  at most that many
 * @param without  streams that are left aside; NULL: none
 * @param p     for the rows
 * @param rows  te_outbox_row_t *, one stream's side by side, in order */
te_db_err_e te_heads_read(te_heads_t *heads, const char *shards, int streams,
                          int each, const te_lines_t *without, apr_pool_t *p,
                          apr_array_header_t **rows);

/* Whether anything is due in any shard. */
te_db_err_e te_heads_look(te_heads_t *heads, int *more);

/* This one, and so all before it of its stream, is out of the outbox. */
void te_heads_sent(te_heads_t *heads, const te_outbox_row_t *row);

#endif
