#include "lines.h"

#include <apr_strings.h>
#include <string.h>

#define KEY_MAX 512             /* a user id has 128, a topic 249 */

struct te_read_t {
    apr_pool_t *pool;
    int uses;                           /* rows and lines that are in it */
};

typedef struct item_t {
    te_outbox_row_t *row;
    te_read_t *read;
    struct item_t *next;
} item_t;

struct te_line_t {
    te_stream_t stream;
    apr_ssize_t key_size;
    const char *key;
    te_read_t *home;                    /* where this struct is */
    item_t *first, *last;
    int waiting;
    int under_way;
    int dry;                            /* the outbox had no more of it */
    te_line_t *next;                    /* of those that are ready */
};

void te_lines_init(te_lines_t *lines, apr_pool_t *p)
{
    memset(lines, 0, sizeof *lines);
    apr_pool_create(&lines->pool, p);
    apr_pool_create(&lines->reads, p);
    lines->lines = apr_hash_make(lines->pool);
}

void te_lines_drop(te_lines_t *lines)
{
    apr_pool_clear(lines->reads);
    apr_hash_clear(lines->lines);
    lines->first = lines->last = NULL;
    lines->ready = lines->waiting = 0;
}

int te_lines_count(const te_lines_t *lines)
{
    return lines ? (int)apr_hash_count(lines->lines) : 0;
}

/* --- memory ------------------------------------------------------------ */

te_read_t *te_lines_read(te_lines_t *lines, apr_pool_t **p)
{
    te_read_t *read;

    apr_pool_create(p, lines->reads);
    read = apr_pcalloc(*p, sizeof *read);
    read->pool = *p;
    read->uses = 1;                     /* the reader's own */
    return read;
}

void te_lines_release(te_read_t *read)
{
    if (--read->uses == 0) {
        apr_pool_destroy(read->pool);
    }
}

/* --- lines ------------------------------------------------------------- */

/* user, NUL, topic: a key without a character that either may have. */
static apr_ssize_t make_key(char *key, const te_stream_t *stream)
{
    apr_size_t n = strlen(stream->user_id) + 1, m = strlen(stream->topic);

    n = n < KEY_MAX ? n : KEY_MAX;
    m = n + m < KEY_MAX ? m : KEY_MAX - n;
    memcpy(key, stream->user_id, n);
    memcpy(key + n, stream->topic, m);
    return (apr_ssize_t)(n + m);
}

static te_line_t *find(const te_lines_t *lines, const te_stream_t *stream)
{
    char key[KEY_MAX];
    apr_ssize_t size = make_key(key, stream);

    return apr_hash_get(lines->lines, key, size);
}

int te_lines_has(const te_lines_t *lines, const te_stream_t *stream)
{
    return lines != NULL && find(lines, stream) != NULL;
}

static void be_ready(te_lines_t *lines, te_line_t *line)
{
    line->next = NULL;
    if (lines->first == NULL) {
        lines->first = line;
    }
    else {
        lines->last->next = line;
    }
    lines->last = line;
    ++lines->ready;
}

static te_line_t *make_line(te_lines_t *lines, te_read_t *read,
                            const te_outbox_row_t *row)
{
    te_line_t *line = apr_pcalloc(read->pool, sizeof *line);
    char key[KEY_MAX];

    line->stream.user_id = row->user_id;
    line->stream.topic = row->topic;
    line->home = read;
    ++read->uses;
    line->key_size = make_key(key, &line->stream);
    line->key = apr_pmemdup(read->pool, key, (apr_size_t)line->key_size);
    apr_hash_set(lines->lines, line->key, line->key_size, line);
    return line;
}

/* It is not in the list of those that are ready. */
static void leave(te_lines_t *lines, te_line_t *line)
{
    apr_hash_set(lines->lines, line->key, line->key_size, NULL);
    te_lines_release(line->home);
}

static void append(te_lines_t *lines, te_line_t *line, te_read_t *read,
                   te_outbox_row_t *row)
{
    item_t *item = apr_palloc(read->pool, sizeof *item);

    ++read->uses;
    ++lines->waiting;
    item->row = row;
    item->read = read;
    item->next = NULL;
    if (line->waiting++ == 0) {
        line->first = item;
        if (!line->under_way) {
            be_ready(lines, line);
        }
    }
    else {
        line->last->next = item;
    }
    line->last = item;
    line->stream.above = row->sequence;
}

/* --- reading ----------------------------------------------------------- */

static int add_rows(te_lines_t *lines, te_read_t *read,
                    const apr_array_header_t *rows, int each)
{
    te_outbox_row_t *before = NULL;
    te_line_t *line = NULL;
    int i, streams = 0, of_stream = 0;

    for (i = 0; i < rows->nelts; ++i) {
        te_outbox_row_t *row = APR_ARRAY_IDX(rows, i, te_outbox_row_t *);

        if (before == NULL || !te_outbox_same_stream(row, before)) {
            te_stream_t stream = {row->user_id, row->topic, 0};

            line = find(lines, &stream);
            if (line == NULL) {
                line = make_line(lines, read, row);
                ++streams;
            }
            of_stream = 0;
        }
        append(lines, line, read, row);
        line->dry = ++of_stream < each;
        before = row;
    }
    return streams;
}

int te_lines_add(te_lines_t *lines, te_read_t *read,
                 const apr_array_header_t *rows, int each)
{
    int streams = add_rows(lines, read, rows, each);

    te_lines_release(read);
    return streams;
}

void te_lines_more(te_lines_t *lines, te_read_t *read,
                   const apr_array_header_t *low,
                   const apr_array_header_t *rows, int each)
{
    int i;

    for (i = 0; i < low->nelts; ++i) {
        find(lines, APR_ARRAY_IDX(low, i, const te_stream_t *))->dry = 1;
    }
    te_lines_add(lines, read, rows, each);
    for (i = 0; i < low->nelts; ++i) {
        te_line_t *line = find(lines,
                               APR_ARRAY_IDX(low, i, const te_stream_t *));

        if (line->waiting == 0 && !line->under_way) {
            leave(lines, line);
        }
    }
}

void te_lines_dry(te_lines_t *lines, apr_pool_t *p)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(p, lines->lines); i; i = apr_hash_next(i)) {
        te_line_t *line = apr_hash_this_val(i);

        line->dry = 1;
        if (line->waiting == 0 && !line->under_way) {
            leave(lines, line);
        }
    }
}

apr_array_header_t *te_lines_all(const te_lines_t *lines, apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, te_lines_count(lines) + 1,
                                             sizeof(te_stream_t *));
    apr_hash_index_t *i;

    for (i = lines ? apr_hash_first(p, lines->lines) : NULL; i != NULL;
         i = apr_hash_next(i)) {
        te_line_t *line = apr_hash_this_val(i);

        APR_ARRAY_PUSH(all, te_stream_t *) = &line->stream;
    }
    return all;
}

apr_array_header_t *te_lines_low(const te_lines_t *lines, int few, int most,
                                 apr_pool_t *p)
{
    apr_array_header_t *low = apr_array_make(p, 8, sizeof(te_stream_t *));
    apr_hash_index_t *i;

    for (i = apr_hash_first(p, lines->lines); i && low->nelts < most;
         i = apr_hash_next(i)) {
        te_line_t *line = apr_hash_this_val(i);

        if (!line->dry && line->waiting <= few) {
            APR_ARRAY_PUSH(low, te_stream_t *) = &line->stream;
        }
    }
    return low;
}

/* --- sending ----------------------------------------------------------- */

static void take(te_line_t *line, te_wave_t *wave)
{
    te_sending_t *s = &wave->sendings[wave->n];
    item_t *item = line->first;

    memset(s, 0, sizeof *s);
    s->row = item->row;
    s->result = TE_SENT_UNKNOWN;
    wave->lines[wave->n] = line;
    wave->reads[wave->n++] = item->read;
    line->first = item->next;
    --line->waiting;
    line->under_way = 1;
}

void te_lines_pick(te_lines_t *lines, int n, apr_size_t bytes,
                   apr_size_t beside, apr_pool_t *p, te_wave_t *wave)
{
    te_line_t *line = lines->first, *next;
    const char *topic = line ? line->stream.topic : "";
    apr_size_t sum = 0;

    wave->n = 0;
    wave->sendings = apr_palloc(p, sizeof(te_sending_t) * (apr_size_t)n);
    wave->lines = apr_palloc(p, sizeof(te_line_t *) * (apr_size_t)n);
    wave->reads = apr_palloc(p, sizeof(te_read_t *) * (apr_size_t)n);
    lines->first = lines->last = NULL;
    lines->ready = 0;
    for (; line != NULL; line = next) {
        apr_size_t size = line->first->row->event_size + beside;

        next = line->next;
        if (wave->n < n && strcmp(line->stream.topic, topic) == 0
            && (wave->n == 0 || sum + size <= bytes)) {
            sum += size;
            take(line, wave);
            --lines->waiting;
        }
        else {
            be_ready(lines, line);
        }
    }
}

void te_lines_go_on(te_lines_t *lines, te_line_t *line)
{
    line->under_way = 0;
    if (line->waiting > 0) {
        be_ready(lines, line);
    }
    else if (line->dry) {
        leave(lines, line);
    }
}

void te_lines_stop(te_lines_t *lines, te_line_t *line)
{
    item_t *item = line->first, *next;

    lines->waiting -= line->waiting;
    for (; line->waiting > 0; --line->waiting, item = next) {
        next = item->next;
        te_lines_release(item->read);
    }
    leave(lines, line);
}
