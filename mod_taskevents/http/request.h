/* One request of ours: what was asked, and the database for it. */
#ifndef TE_HTTP_REQUEST_H
#define TE_HTTP_REQUEST_H

#include <httpd.h>
#include <jansson.h>

#include "../store/idempotency.h"
#include "app.h"
#include "directives.h"
#include "router.h"

typedef struct te_req_t {
    request_rec *r;
    apr_pool_t *pool;                   /* the request's */
    const te_server_conf_t *conf;
    const te_settings_t *settings;
    te_app_t *app;
    te_match_t match;
    int page;                           /* answered as HTML, errors too */
    const char *body;                   /* once it was read */
    apr_size_t body_size;
    const te_key_t *key;                /* Idempotency-Key; NULL: none */
    const char *traceparent;            /* of all its events */
    apr_interval_time_t db_time;        /* spent on the database so far */
} te_req_t;

/* Notes that travel with a request_rec: made by the guards (access.c), read
 * by the handler, by the problem filter and after the response. */
typedef struct te_notes_t {
    const char *owner;                  /* the user the guard let in */
    int owner_granted;                  /* Require taskevents-owner did */
    int sidecar_granted;                /* Require taskevents-sidecar did */
    int denied;                         /* 401 or 403 instead of what httpd
                                         * makes of a denial; 0: httpd's */
    int wrote;                          /* the outbox has something new */
    int is_no_file;                     /* its <Location> gives it to us */
    const te_route_t *route;            /* of the handler; NULL: not there */
} te_notes_t;

/* The notes of a request, made when they are first asked for. */
te_notes_t *te_notes(request_rec *r);

/* Read the body, up to cap bytes.
 * @return OK; DONE when an answer was sent already (too large, broken); or
 *         what the handler must return */
int te_request_body(te_req_t *req, apr_int64_t cap, const char **bytes,
                    apr_size_t *size);

/* Read a message that is wanted whatever its size: the first cap bytes are
 * kept and full_size counts all of them.
 * @return 0: it did not come to its end; nothing was answered */
int te_request_head(te_req_t *req, apr_size_t cap, const char **bytes,
                    apr_size_t *size, apr_off_t *full_size);

typedef enum {
    TE_BODY_JSON,               /* application/json */
    TE_BODY_OPTIONAL,           /* the same, or nothing at all */
    TE_BODY_MAYBE_EMPTY,        /* said to be it, but maybe without bytes */
    TE_BODY_PATCH               /* application/merge-patch+json too */
} te_body_e;

/* Whether a browser says that the request comes from a page of another
 * origin. */
int te_request_is_foreign(const request_rec *r);

/* Read a JSON object: checks the media type (415), size (413), syntax (400).
 * A body that may be left out must not be by a page of another origin (403).
 * @param value  NULL when optional and the body is empty
 * @return as te_request_body */
int te_request_json(te_req_t *req, te_body_e kind, json_t **value);

/* Whether the time zone that a body names exists; 1 when it names none.
 * @return OK, or DONE: 503 was sent */
int te_request_zone(te_req_t *req, const json_t *body, int *known);

/* For routes whose query takes nothing. @return OK, or DONE: 400 was sent */
int te_request_no_query(te_req_t *req);

/* Whether an ETag is in an If-Match or If-None-Match list; "*" matches.
 * strong: RFC 9110 13.1.1, where weak ones never match. */
int te_etag_listed(apr_pool_t *p, const char *list, const char *etag,
                   int strong);

/* Work with the database on behalf of a request. When req->key is set, a
 * transaction is open and stays so: the work neither begins nor commits one.
 * @param again  1 when the answer of an earlier try was lost, so that what it
 *               was to write may be there */
typedef te_db_err_e te_work_fn(te_db_t *db, te_req_t *req, void *data,
                               int again);

/* Borrow a connection, do the work, give it back; again when PostgreSQL asks
 * for it or the connection was lost, while there is time. On failure the
 * answer (503, or 500 for a fault of ours) has been sent.
 * @return 1 when the work was done */
int te_request_work(te_req_t *req, te_work_fn *work, void *data);

/* A quicker way to do a work, which may be refused.
 * @return TE_DB_OK; TE_DB_AGAIN: not done, TE_DB_LOST: done or not: the work
 *         itself is next; anything else: as that ends */
typedef te_db_err_e te_shortcut_fn(te_req_t *req, void *data,
                                   apr_time_t deadline);

/* te_request_work with a shortcut (or NULL) before it. */
int te_request_work_or(te_req_t *req, te_shortcut_fn *shortcut,
                       te_work_fn *work, void *data);

/* te_request_work without an answer: for deliveries. */
te_db_err_e te_request_try(te_req_t *req, te_work_fn *work, void *data);

/* The answer to a work that succeeded, to be kept under the request's key;
 * NULL when there is nothing to keep (an error). */
typedef te_stored_answer_t *te_answer_fn(te_req_t *req, void *data);

/* te_request_work for a POST: with an Idempotency-Key, the answer is stored
 * in the transaction of the work, and given again when the key comes again.
 * @param shortcut  for a POST without a key, or NULL
 * @return OK: the work was done, the caller sends its answer; DONE: an answer
 *         (stored, 400, 409, 422, 500, 503) was sent */
int te_request_post(te_req_t *req, te_shortcut_fn *shortcut,
                    te_work_fn *work, te_answer_fn *answer, void *data);

/* There is something new in the outbox: ring now, and after the response. */
void te_request_wrote(te_req_t *req);

/* Set taskevents_<name> of httpd's request environment, for its access log; an
 * event's id is added to those that are there. value lives as long as the
 * request. docs/log-codes.md lists them. */
void te_request_note(te_req_t *req, const char *name, const char *value);
void te_request_note_event(te_req_t *req, const char *event_id);
void te_request_note_task(te_req_t *req, apr_int64_t task_id);

#endif
