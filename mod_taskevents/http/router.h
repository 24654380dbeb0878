/* Which function answers which method on which path. */
#ifndef TE_HTTP_ROUTER_H
#define TE_HTTP_ROUTER_H

#include <httpd.h>

struct te_req_t;

/* Whose routes, and therefore which guard stands before them. */
typedef enum {
    TE_AREA_NONE,               /* not a path of ours */
    TE_AREA_TASKS,              /* a user's own */
    TE_AREA_SIDECAR,            /* the Dapr sidecar's */
    TE_AREA_STATUS,             /* the operator's */
    TE_AREA_OPEN                /* anybody's */
} te_area_e;

typedef int te_route_fn(struct te_req_t *req);

typedef struct te_route_t {
    const char *name;           /* in metrics and logs */
    const char *pattern;        /* "{prefix}", "{user}" and "{id}" stand for
                                 * one part of the path (the prefix: all) */
    te_area_e area;
    te_route_fn *get, *post, *patch, *delete;   /* NULL: not allowed */
} te_route_t;

typedef struct te_match_t {
    const te_route_t *route;    /* NULL: no route */
    const char *user_id;        /* a valid one, else NULL */
    const char *id;             /* the text in the place of {id} */
} te_match_t;

/* Find the route of a decoded path; texts are copied into p. A path whose
 * {user} part is no user id has no route. */
te_match_t te_router_match(apr_pool_t *p, const char *prefix,
                           const char *path);

/* Same for what is below the location of the status handler. */
te_match_t te_router_match_status(apr_pool_t *p, const char *location,
                                  const char *path);

/* Whether a path is one that this module answers for, found or not. */
int te_router_is_ours(const char *prefix, const char *path);

/* All routes, those of the status handler too, by numbers from 0. */
int te_router_count(void);
const te_route_t *te_router_at(int i);
int te_router_number(const te_route_t *route);

/* The methods of a route as an Allow header names them. */
const char *te_router_allow(apr_pool_t *p, const te_route_t *route);

#endif
