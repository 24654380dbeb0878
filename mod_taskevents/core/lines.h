/* What was read from the outbox and is not settled yet: for each stream its
 * events in line, of which the first one may be on its way. One thread's. */
#ifndef TE_CORE_LINES_H
#define TE_CORE_LINES_H

#include <apr_hash.h>

#include "../store/outbox.h"
#include "transport.h"

/* Rows that were read together, and their memory, which goes with the last
 * of them. */
typedef struct te_read_t te_read_t;

typedef struct te_line_t te_line_t;

typedef struct te_lines_t {
    apr_pool_t *pool;
    apr_pool_t *reads;                  /* parent of what was read */
    apr_hash_t *lines;
    te_line_t *first, *last;            /* whose next event may be sent */
    int ready;                          /* how many these are */
    int waiting;                        /* events, of all lines */
} te_lines_t;

/* One event of each of several streams, to be sent together. */
typedef struct te_wave_t {
    int n;
    te_sending_t *sendings;
    te_line_t **lines;
    te_read_t **reads;
    apr_time_t began;
} te_wave_t;

void te_lines_init(te_lines_t *lines, apr_pool_t *p);

/* All of it goes; nothing may be on its way. */
void te_lines_drop(te_lines_t *lines);

/* These three may be asked of NULL, which has none. */

int te_lines_count(const te_lines_t *lines);

int te_lines_has(const te_lines_t *lines, const te_stream_t *stream);

/* te_stream_t *, in p. */
apr_array_header_t *te_lines_all(const te_lines_t *lines, apr_pool_t *p);

/* Before rows are read: where they are to be.
 * @param p  set to the pool for them */
te_read_t *te_lines_read(te_lines_t *lines, apr_pool_t **p);

/* They were: te_outbox_row_t *, one stream's side by side, in order, and
 * behind those that it has here already. Takes over the read.
 * @param each  so many were asked for of a stream: who has fewer has no more
 * @return how many streams are new here */
int te_lines_add(te_lines_t *lines, te_read_t *read,
                 const apr_array_header_t *rows, int each);

/* No more is read of those that are here now. */
void te_lines_dry(te_lines_t *lines, apr_pool_t *p);

/* Those that may have more events in the outbox and only few here, in p;
 * `above` is the last one here. They are read next and given to te_lines_more.
 * @param few   at most that many here
 * @param most  so many streams at most */
apr_array_header_t *te_lines_low(const te_lines_t *lines, int few, int most,
                                 apr_pool_t *p);

/* What te_lines_add is for a new stream, for these. */
void te_lines_more(te_lines_t *lines, te_read_t *read,
                   const apr_array_header_t *low,
                   const apr_array_header_t *rows, int each);

/* The next events of one topic: one of each of at most n streams, those that
 * wait longest; one more only if all need no more than `bytes`, with `beside`
 * for each. They are on their way then. */
void te_lines_pick(te_lines_t *lines, int n, apr_size_t bytes,
                   apr_size_t beside, apr_pool_t *p, te_wave_t *wave);

/* The event of this stream that was on its way is done: the next one may
 * go. */
void te_lines_go_on(te_lines_t *lines, te_line_t *line);

/* It is not: no more of this stream until it is read anew. */
void te_lines_stop(te_lines_t *lines, te_line_t *line);

/* An event that was picked is needed no more. */
void te_lines_release(te_read_t *read);

#endif
