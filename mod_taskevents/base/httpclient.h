/* A small HTTP client on libcurl for one thread: several requests side by
 * side, kept connections, bounded answers, and a stop that others can ask. */
#ifndef TE_BASE_HTTPCLIENT_H
#define TE_BASE_HTTPCLIENT_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct te_http_client_t te_http_client_t;

/* Requests of a client that can be under way at once. */
#define TE_HTTP_SIDE_BY_SIDE 8

typedef struct te_http_request_t {
    const char *url;
    const char *const *headers;     /* "Name: value", NULL ends the list */
    const char *method;             /* NULL: POST with a body, else GET */
    const char *body;               /* NULL: none */
    apr_size_t body_size;

    /* set at its end */
    int status;                     /* HTTP status; 0: no answer */
    const char *error;              /* why there was none, else NULL */
    int not_sent;                   /* 1: nothing of it can have arrived */
    char *answer;                   /* NUL-terminated, at most 1 MiB kept */
    apr_size_t answer_size;
} te_http_request_t;

/* Once per process, before any thread. */
apr_status_t te_http_global_init(void);

/* libcurl's version, as it is loaded. */
const char *te_http_library_version(void);

/* A client in p, released with it. Used by one thread. */
apr_status_t te_http_client_create(te_http_client_t **out, apr_pool_t *p);

typedef struct te_http_batch_t te_http_batch_t;

/* Begin n requests, which go on whenever the client is asked for anything.
 * At most TE_HTTP_SIDE_BY_SIDE may be under way. The batch and the answers are
 * allocated in p, which has to live until te_http_end, as the requests have.
 * Redirects are not followed, no proxy is asked, only http and https are
 * spoken. */
te_http_batch_t *te_http_begin(te_http_client_t *client,
                               te_http_request_t *requests, int n,
                               apr_interval_time_t timeout, apr_pool_t *p);

/* Return when all requests of one of these batches (NULL: none) are at their
 * end, or after te_http_client_stop and `grace` more. @return its place */
int te_http_wait(te_http_client_t *client, te_http_batch_t *const *batches,
                 int n, apr_interval_time_t grace);

/* Return when each request of the batch has an answer, has failed or has had
 * its time. After te_http_client_stop, those still running get `grace` more
 * and then fail with status 0. */
void te_http_end(te_http_client_t *client, te_http_batch_t *batch,
                 apr_interval_time_t grace);

/* Both at once, for any n. */
void te_http_perform(te_http_client_t *client, te_http_request_t *requests,
                     int n, apr_interval_time_t timeout,
                     apr_interval_time_t grace, apr_pool_t *p);

/* Ask the client's thread to come back soon. Any thread, any number of
 * times, as long as the client's pool lives. */
void te_http_client_stop(te_http_client_t *client);

#endif
