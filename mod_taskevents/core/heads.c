#include "heads.h"

#include <apr_strings.h>
#include <string.h>

/* A read that took longer than this, and this for each row and stream that it
 * came upon, stepped over dead rows. */
#define SLOW_READ apr_time_from_msec(20)
#define SLOW_ROW 50
#define SLOW_STREAM 300
#define SLOW_FOR apr_time_from_sec(60)
/* Dead rows that are stepped over without being felt. */
#define DEAD_ROWS_FEW 10000
/* No transaction of ours is open for longer: what it wrote is seen by then. */
#define LONGEST_WRITE apr_time_from_sec(5)
/* Reading the whole table takes a tenth of the time, or more when that is
 * much: what waits there should not wait for long. */
#define WHOLE_SHARE 10
#define WHOLE_OFTEN apr_time_from_sec(1)
#define WHOLE_RARELY apr_time_from_sec(10)
#define STREAMS_REMEMBERED 4096
#define CROWDED_LOOK 256

void te_heads_init(te_heads_t *h, te_db_t *db, apr_pool_t *p)
{
    memset(h, 0, sizeof *h);
    h->db = db;
    apr_pool_create(&h->pool, p);
    apr_pool_create(&h->sent_pool, p);
    h->sent = apr_hash_make(h->sent_pool);
}

void te_heads_start(te_heads_t *h)
{
    h->begun = h->ended = 0;
    h->after_user[0] = h->after_topic[0] = '\0';
}

/* --- what was sent ----------------------------------------------------- */

/* user, NUL, topic: a key without a character that either may have. */
static const char *stream_key(apr_pool_t *p, const char *user,
                              const char *topic, apr_ssize_t *size)
{
    apr_size_t n = strlen(user) + 1, m = strlen(topic);
    char *key = apr_palloc(p, n + m);

    memcpy(key, user, n);
    /* no text, but bytes of a size that is told
     * NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
    memcpy(key + n, topic, m);
    *size = (apr_ssize_t)(n + m);
    return key;
}

/* Only a help: who is forgotten is read from its first dead row on. */
void te_heads_sent(te_heads_t *h, const te_outbox_row_t *row)
{
    apr_int64_t *known;
    const char *key;
    apr_ssize_t size;

    if (!h->crowded) {
        return;
    }
    key = stream_key(h->pool, row->user_id, row->topic, &size);
    known = apr_hash_get(h->sent, key, size);
    if (known == NULL) {
        if (apr_hash_count(h->sent) >= STREAMS_REMEMBERED) {
            apr_pool_clear(h->sent_pool);
            h->sent = apr_hash_make(h->sent_pool);
        }
        known = apr_pcalloc(h->sent_pool, sizeof *known);
        apr_hash_set(h->sent,
                     apr_pmemdup(h->sent_pool, key, (apr_size_t)size), size,
                     known);
    }
    if (row->sequence > *known) {
        *known = row->sequence;
    }
}

static apr_int64_t sent_before(te_heads_t *h, const te_stream_t *stream)
{
    apr_ssize_t size;
    const char *key = stream_key(h->pool, stream->user_id, stream->topic,
                                 &size);
    const apr_int64_t *known = apr_hash_get(h->sent, key, size);

    return known ? *known : 0;
}

/* --- by the end of the table ------------------------------------------- */

static void set_crowded(te_heads_t *h, int crowded)
{
    h->crowded = crowded;
    h->whole_at = h->mark_time = 0;
    h->first_block = h->mark_block = 0;
    apr_pool_clear(h->sent_pool);
    h->sent = apr_hash_make(h->sent_pool);
}

/* Ahead of first_block there is nothing that waits: nothing was alive there,
 * and the table was that long before the oldest open transaction began. */
static void move_on(te_heads_t *h, const te_outbox_tail_t *tail)
{
    apr_time_t now = apr_time_now();

    if (tail->blocks < h->first_block) {        /* it was emptied */
        h->first_block = h->mark_block = 0;
        h->mark_time = 0;
    }
    if (h->mark_time == 0) {
        h->mark_time = now;
        h->mark_block = tail->blocks;
    }
    else if (now - h->mark_time > LONGEST_WRITE) {
        h->first_block = tail->first_alive >= 0
                                 && tail->first_alive < h->mark_block
                             ? tail->first_alive : h->mark_block;
        h->mark_time = now;
        h->mark_block = tail->blocks;
    }
}

/* What a read is to bring. */
typedef struct {
    const char *shards;
    int streams, each;
    const te_lines_t *without;
    apr_pool_t *pool;                   /* for the rows */
} wanted_t;

static te_db_err_e read_tail(te_heads_t *h, const wanted_t *wanted, int whole,
                             te_outbox_tail_t *tail,
                             apr_array_header_t **rows)
{
    te_db_err_e err = te_outbox_tail(h->db, h->pool, wanted->shards,
                                     whole ? 0 : h->first_block,
                                     wanted->streams
                                         + te_lines_count(wanted->without),
                                     tail);
    apr_array_header_t *streams;
    int i;

    if (err != TE_DB_OK) {
        return err;
    }
    streams = apr_array_make(h->pool, tail->streams->nelts + 1,
                             sizeof(te_stream_t *));
    for (i = 0; i < tail->streams->nelts
                && streams->nelts < wanted->streams; ++i) {
        te_stream_t *stream = APR_ARRAY_IDX(tail->streams, i, te_stream_t *);

        if (!te_lines_has(wanted->without, stream)) {
            stream->above = whole ? 0 : sent_before(h, stream);
            APR_ARRAY_PUSH(streams, te_stream_t *) = stream;
        }
    }
    return streams->nelts > 0
               ? te_outbox_of_streams(h->db, wanted->pool, streams,
                                      wanted->each, rows)
               : TE_DB_OK;
}

/* Everything, and whatever its number: what was accepted before and could not
 * be deleted is there too. */
static te_db_err_e read_whole(te_heads_t *h, const wanted_t *wanted,
                              apr_array_header_t **rows)
{
    apr_time_t began = apr_time_now(), pause;
    te_outbox_tail_t tail;
    te_db_err_e err;

    h->whole_at = began + WHOLE_RARELY;         /* should it fail */
    err = read_tail(h, wanted, 1, &tail, rows);
    if (err != TE_DB_OK) {
        return err;
    }
    pause = (apr_time_now() - began) * WHOLE_SHARE;
    h->whole_at = began + (pause < WHOLE_OFTEN ? WHOLE_OFTEN
                           : pause > WHOLE_RARELY ? WHOLE_RARELY : pause);
    if (tail.first_alive >= 0 && tail.first_alive < h->first_block) {
        h->first_block = tail.first_alive;      /* there will be more */
    }
    move_on(h, &tail);
    if (tail.dead < DEAD_ROWS_FEW) {
        set_crowded(h, 0);
    }
    else if (pause >= h->slow_read * WHOLE_SHARE) {
        set_crowded(h, 0);              /* another reason: a busy machine */
        h->slow_read = pause / WHOLE_SHARE;
        h->slow_until = apr_time_now() + SLOW_FOR;
    }
    return TE_DB_OK;
}

/* One read is the whole round. */
static te_db_err_e read_crowded(te_heads_t *h, const wanted_t *wanted,
                                apr_array_header_t **rows)
{
    te_outbox_tail_t tail;
    te_db_err_e err;

    h->begun = h->ended = 1;
    if (apr_time_now() >= h->whole_at) {
        return read_whole(h, wanted, rows);
    }
    err = read_tail(h, wanted, 0, &tail, rows);
    if (err == TE_DB_OK) {
        move_on(h, &tail);
    }
    return err;
}

/* --- by the primary key ------------------------------------------------ */

static apr_interval_time_t slow(const apr_array_header_t *rows, int without)
{
    return SLOW_READ + SLOW_ROW * rows->nelts
           + SLOW_STREAM * (te_outbox_streams(rows) + without);
}

static te_db_err_e skip(te_heads_t *h, const wanted_t *wanted,
                        apr_array_header_t **rows)
{
    apr_array_header_t *without = te_lines_all(wanted->without, h->pool);
    apr_time_t now, began = apr_time_now();
    te_db_err_e err = te_outbox_heads(h->db, wanted->pool, wanted->shards,
                                      h->after_user, h->after_topic,
                                      wanted->streams, wanted->each, without,
                                      rows);

    now = apr_time_now();
    if (err == TE_DB_OK && now - began > slow(*rows, without->nelts)
        && (now >= h->slow_until || now - began > h->slow_read)) {
        set_crowded(h, 1);
        h->slow_read = now - began;
        h->ended = 1;           /* the next round is the other way */
    }
    return err;
}

te_db_err_e te_heads_read(te_heads_t *h, const char *shards, int streams,
                          int each, const te_lines_t *without, apr_pool_t *p,
                          apr_array_header_t **rows)
{
    wanted_t wanted = {shards, streams, each, without, p};
    const te_outbox_row_t *last;
    te_db_err_e err;

    apr_pool_clear(h->pool);
    *rows = apr_array_make(p, 1, sizeof(te_outbox_row_t *));
    if (h->ended) {
        return TE_DB_OK;
    }
    if (h->crowded) {
        return read_crowded(h, &wanted, rows);
    }
    err = skip(h, &wanted, rows);
    if (err == TE_DB_OK && (*rows)->nelts > 0) {
        last = APR_ARRAY_IDX(*rows, (*rows)->nelts - 1,
                             const te_outbox_row_t *);
        h->begun = 1;
        h->ended = te_outbox_streams(*rows) < streams;
        apr_cpystrn(h->after_user, last->user_id, sizeof h->after_user);
        apr_cpystrn(h->after_topic, last->topic, sizeof h->after_topic);
    }
    return err;
}

te_db_err_e te_heads_look(te_heads_t *h, int *more)
{
    char all[TE_OUTBOX_SHARDS];
    apr_array_header_t *rows;
    te_db_err_e err;

    memset(all, 1, sizeof all);
    te_heads_start(h);
    /* of those found at the end of the table many may not be due */
    err = te_heads_read(h, all, h->crowded ? CROWDED_LOOK : 1, 1, NULL,
                        h->pool, &rows);
    *more = err == TE_DB_OK && rows->nelts > 0;
    return err;
}
