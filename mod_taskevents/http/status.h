/* SetHandler taskevents-status: what an operator sees and does. */
#ifndef TE_HTTP_STATUS_H
#define TE_HTTP_STATUS_H

#include "../base/children.h"
#include "../base/trend.h"
#include "../store/dead_letters.h"
#include "../store/glance.h"
#include "request.h"

#define TE_STATUS_HANDLER "taskevents-status"

/* The route of a request for the status handler: what follows the path of the
 * <Location> that set it. */
te_match_t te_status_match(request_rec *r);

/* That path, for links: escaped, without a slash at its end. */
const char *te_status_location(request_rec *r);

/* Whether a <Location> gives paths to the status handler without any Require
 * for them, which leaves them shut. @return its path, or NULL */
const char *te_status_unguarded(apr_pool_t *p, const ap_directive_t *tree);

/* A version of what we are made of. */
typedef struct te_version_t {
    const char *name, *version;
} te_version_t;

/* The service at a glance. */
typedef struct te_status_t {
    apr_time_t now;
    const char *database;               /* NULL: it answered; else why not */
    te_glance_t glance;                 /* as far as it answered */
    apr_array_header_t *children;       /* te_child_t */
    int breaker;                        /* the worst of all publishers: 0
                                         * closed, 1 half-open, 2 open */
    te_trend_point_t points[TE_TREND_STEPS];
    int first;                          /* of them that is known */
    const te_version_t *versions;       /* a NULL name ends them */
} te_status_t;

/* All pools together. */
typedef struct te_pools_t {
    int used, idle, max, waiting;
    apr_uint64_t timeouts;              /* since httpd was started */
    double wait_most;                   /* seconds that 99 of 100 did not wait */
} te_pools_t;

te_pools_t te_status_pools(const te_status_t *status);

/* For how many seconds a thread that is late gave no sign of life; 0: it is
 * not, or there is none. */
double te_status_silence(const te_status_t *status, const te_child_t *child,
                         te_thread_e thread);

/* Look at it. Always works: what is not to be had is said. */
const te_status_t *te_status_look(te_req_t *req);

/* It as a page. */
int te_status_page(te_req_t *req, const te_status_t *status);

/* Pages of dead letters: a list, with what it was filtered by, and the id to
 * go on behind (0: there are no more); and one, with what was just done to it
 * ("" or a word of the form). */
int te_letters_page(te_req_t *req, const te_letter_filter_t *filter,
                    const apr_array_header_t *letters, int limit);
int te_letter_page(te_req_t *req, const te_letter_t *letter,
                   const char *did);

/* What came of a command about many. */
typedef struct te_many_t {
    const te_letter_filter_t *filter;
    int is_discard;
    apr_int64_t done, failed, after;
    int more;
} te_many_t;

int te_many_page(te_req_t *req, const te_many_t *many);

#endif
