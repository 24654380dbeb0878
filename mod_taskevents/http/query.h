/* Query parameters: each named once, each understood, or 400. */
#ifndef TE_HTTP_QUERY_H
#define TE_HTTP_QUERY_H

#include "request.h"

/* A parameter that a route takes.
 * @return NULL, or what is wrong with the value ("must be …") */
typedef const char *te_param_fn(te_req_t *req, const char *value, void *data);

typedef struct te_param_rule_t {
    const char *name;                   /* NULL ends the list */
    te_param_fn *read;
} te_param_rule_t;

/* Read the whole query by the rules.
 * @return OK, or DONE: 400 with every fault was sent */
int te_query_read(te_req_t *req, const te_param_rule_t *rules, void *data);

/* A te_param_fn for what te_page_wanted reads: html or json. */
const char *te_query_format(te_req_t *req, const char *value, void *data);

/* name=value&… as an object of strings, released with the request; NULL when
 * it is broken or has a name twice. */
json_t *te_query_object(te_req_t *req, const char *text);

/* The query as it came but with `after` set to cursor: the next page's. */
const char *te_query_next(te_req_t *req, const char *cursor);

#endif
