/* The handlers of the routes with as little of httpd around them as they
 * need, and a database that is never there: what a request is taken for shows
 * in the answer, and in what was asked of the database. */
#ifndef TE_T_FUZZ_SERVER_H
#define TE_T_FUZZ_SERVER_H

#include <httpd.h>
#include <jansson.h>

#include "../../mod_taskevents/http/router.h"
#include "../../mod_taskevents/store/idempotency.h"
#include "fuzz.h"

typedef struct answer_t {
    te_match_t match;                   /* of its path */
    int status;
    const char *type;                   /* NULL: no body */
    const char *body;
    apr_table_t *headers;
    int asked;                          /* the database was */
    const te_task_filter_t *filter;     /* the list was asked for with it */
    const te_key_t *key;                /* what was claimed */
} answer_t;

/* A request of these parts, each in pool.
 * @param path     decoded, as httpd gives it to a handler
 * @param headers  NULL: none
 * @return the answer; NULL: its path is none of ours, or the method is not
 *         one of this path. What every answer promises was checked. */
const answer_t *serve(const char *method, const char *path, const char *args,
                      apr_table_t *headers, const char *body,
                      apr_size_t size);

/* Decode %-escapes in place. @return 0: one is broken, or stands for one of
 * `forbid` */
int unescape(char *text, const char *forbid);

#endif
