/* A small HTTP client on libcurl for one thread: several requests side by
 * side, kept connections, bounded answers, and a stop that others can ask. */
#ifndef TE_BASE_HTTPCLIENT_H
#define TE_BASE_HTTPCLIENT_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct te_http_client_t te_http_client_t;

typedef struct te_http_request_t {
    const char *url;
    const char *const *headers;     /* "Name: value", NULL ends the list */
    const char *method;             /* NULL: POST with a body, else GET */
    const char *body;               /* NULL: none */
    apr_size_t body_size;

    /* set by te_http_perform */
    int status;                     /* HTTP status; 0: no answer */
    const char *error;              /* why there was none, else NULL */
    int not_sent;                   /* 1: no connection was made at all */
    char *answer;                   /* NUL-terminated, at most 1 MiB kept */
    apr_size_t answer_size;
} te_http_request_t;

/* Once per process, before any thread. */
apr_status_t te_http_global_init(void);

/* A client in p, released with it. Used by one thread. */
apr_status_t te_http_client_create(te_http_client_t **out, apr_pool_t *p);

/* Run n requests side by side and return when each has an answer, has failed
 * or has had its time; answers are allocated in p. Redirects are not
 * followed, no proxy is asked, only http and https are spoken. After
 * te_http_client_stop, requests still running get `grace` more and then fail
 * with status 0. */
void te_http_perform(te_http_client_t *client, te_http_request_t *requests,
                     int n, apr_interval_time_t timeout,
                     apr_interval_time_t grace, apr_pool_t *p);

/* Ask the client's thread to come back soon. Any thread, any number of
 * times, as long as the client's pool lives. */
void te_http_client_stop(te_http_client_t *client);

#endif
