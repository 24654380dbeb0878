#include "request.h"

#include <httpd.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <stdlib.h>
#include <string.h>
#include <util_filter.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../core/task.h"
#include "../store/db.h"
#include "reply.h"

extern module AP_MODULE_DECLARE_DATA taskevents_module;

/* All a request may spend on the database: the client has its 503 within 5 s
 * even when PostgreSQL hangs. */
#define DB_BUDGET apr_time_from_msec(4400)
#define LEAST_FOR_ANOTHER_TRY apr_time_from_msec(200)

te_notes_t *te_notes(request_rec *r)
{
    te_notes_t *notes = ap_get_module_config(r->request_config,
                                             &taskevents_module);

    if (notes == NULL) {
        notes = apr_pcalloc(r->pool, sizeof *notes);
        ap_set_module_config(r->request_config, &taskevents_module, notes);
    }
    return notes;
}

/* --- body -------------------------------------------------------------- */

typedef struct {
    char *bytes;
    apr_size_t size, room, cap;
    apr_off_t full_size;
} body_t;

static void keep(te_req_t *req, body_t *body, const char *data, apr_size_t n)
{
    body->full_size += (apr_off_t)n;
    if (body->size + n > body->cap) {
        n = body->cap - body->size;
    }
    if (body->size + n + 1 > body->room) {
        char *larger;

        body->room = (body->size + n + 1) * 2;
        larger = apr_palloc(req->pool, body->room);
        memcpy(larger, body->bytes, body->size);
        body->bytes = larger;
    }
    memcpy(body->bytes + body->size, data, n);
    body->size += n;
}

/* @return OK or an HTTP status; AP_FILTER_ERROR: a filter answered already */
static int read_brigade(te_req_t *req, apr_bucket_brigade *bb, body_t *body,
                        int *eos)
{
    apr_bucket *b;
    apr_status_t rv = ap_get_brigade(req->r->input_filters, bb,
                                     AP_MODE_READBYTES, APR_BLOCK_READ,
                                     HUGE_STRING_LEN);

    if (rv != APR_SUCCESS) {
        return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t n;

        if (APR_BUCKET_IS_EOS(b)) {
            *eos = 1;
        }
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        rv = apr_bucket_read(b, &data, &n, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return HTTP_BAD_REQUEST;
        }
        keep(req, body, data, n);
    }
    apr_brigade_cleanup(bb);
    return OK;
}

/* @param stop_over  give up once more than cap has come */
static int read_body(te_req_t *req, body_t *body, int stop_over)
{
    apr_bucket_brigade *bb =
        apr_brigade_create(req->pool, req->r->connection->bucket_alloc);
    int eos = 0, status = OK;

    body->bytes = apr_pstrdup(req->pool, "");
    while (!eos && status == OK) {
        status = read_brigade(req, bb, body, &eos);
        if (stop_over && body->full_size > (apr_off_t)body->cap) {
            break;
        }
    }
    body->bytes[body->size] = '\0';
    apr_brigade_destroy(bb);
    return status;
}

static int too_large(te_req_t *req, apr_int64_t cap)
{
    return te_reply_problem(req, HTTP_REQUEST_ENTITY_TOO_LARGE,
                            apr_psprintf(req->pool, "The body may have at "
                                         "most %" APR_INT64_T_FMT " bytes.",
                                         cap));
}

int te_request_body(te_req_t *req, apr_int64_t cap, const char **bytes,
                    apr_size_t *size)
{
    const char *length = apr_table_get(req->r->headers_in, "Content-Length");
    body_t body;
    int status;

    memset(&body, 0, sizeof body);
    body.cap = (apr_size_t)cap;
    if (length != NULL && apr_atoi64(length) > cap) {
        return too_large(req, cap);
    }
    status = read_body(req, &body, 1);
    if (status != OK) {
        return status == AP_FILTER_ERROR
                   ? status
                   : te_reply_problem(req, status, "The body could not be "
                                      "read to its end.");
    }
    if (body.full_size > (apr_off_t)cap) {
        return too_large(req, cap);
    }
    *bytes = req->body = body.bytes;
    *size = req->body_size = body.size;
    return OK;
}

int te_request_head(te_req_t *req, apr_size_t cap, const char **bytes,
                    apr_size_t *size, apr_off_t *full_size)
{
    body_t body;
    int whole;

    memset(&body, 0, sizeof body);
    body.cap = cap;
    whole = read_body(req, &body, 0) == OK;
    *bytes = body.bytes;
    *size = body.size;
    *full_size = body.full_size;
    return whole;
}

/* --- pages of others --------------------------------------------------- */

/* "https://host:port" against "host:port". */
static int same_host(const char *origin, const char *host)
{
    const char *at = strstr(origin, "://");

    return at != NULL && host != NULL && ap_cstr_casecmp(at + 3, host) == 0;
}

/* A page of somebody else in a user's browser must not be able to do what the
 * user may: browsers say where a request comes from, and let no foreign page
 * send application/json unasked. */
int te_request_is_foreign(const request_rec *r)
{
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    const char *origin = apr_table_get(r->headers_in, "Origin");

    return (site != NULL && strcmp(site, "same-origin") != 0
            && strcmp(site, "none") != 0)
           || (origin != NULL
               && !same_host(origin, apr_table_get(r->headers_in, "Host")));
}

/* A POST with neither a body nor a type is sent unasked, with the credentials
 * that the browser keeps (a password, a cookie). A bearer token is none: a page
 * that sends one has it, and was asked for. */
static int is_unasked(const te_req_t *req)
{
    const char *given = apr_table_get(req->r->headers_in, "Authorization");
    const char *site = apr_table_get(req->r->headers_in, "Sec-Fetch-Site");

    /* behind a proxy the host may have another name: with Sec-Fetch-Site the
     * browser knows better */
    return te_request_is_foreign(req->r)
           && (site == NULL || strcmp(site, "same-origin") != 0)
           && (given == NULL || ap_cstr_casecmpn(given, "Bearer ", 7) != 0);
}

/* --- JSON -------------------------------------------------------------- */

static int is_media_type(const char *type, const char *wanted)
{
    apr_size_t n = strlen(wanted);

    return ap_cstr_casecmpn(type, wanted, n) == 0
           && (type[n] == '\0' || type[n] == ';' || apr_isspace(type[n]));
}

static int is_accepted(const char *type, te_body_e kind)
{
    if (type == NULL) {
        return kind == TE_BODY_OPTIONAL;
    }
    return is_media_type(type, "application/json")
           || (kind == TE_BODY_PATCH
               && is_media_type(type, "application/merge-patch+json"));
}

int te_request_json(te_req_t *req, te_body_e kind, json_t **value)
{
    const char *type = apr_table_get(req->r->headers_in, "Content-Type");
    const char *bytes, *detail;
    apr_size_t size;
    int status;

    *value = NULL;
    if (!is_accepted(type, kind)) {
        return te_reply_problem(req, HTTP_UNSUPPORTED_MEDIA_TYPE,
                                kind == TE_BODY_PATCH
                                    ? "Content-Type must be application/json "
                                      "or application/merge-patch+json."
                                    : "Content-Type must be "
                                      "application/json.");
    }
    if (type == NULL && is_unasked(req)) {
        return te_reply_problem(req, HTTP_FORBIDDEN, "A page of another "
                                "origin must say Content-Type: "
                                "application/json.");
    }
    status = te_request_body(req, req->conf->max_body, &bytes, &size);
    if (status != OK
        || (size == 0 && (kind == TE_BODY_OPTIONAL
                          || kind == TE_BODY_MAYBE_EMPTY))) {
        return status;
    }
    *value = te_json_parse(req->pool, bytes, size, &detail);
    if (*value == NULL) {
        return te_reply_problem(req, HTTP_BAD_REQUEST, detail);
    }
    if (!json_is_object(*value)) {
        return te_reply_problem(req, HTTP_BAD_REQUEST,
                                "The body must be a JSON object.");
    }
    return OK;
}

typedef struct {
    const char *name;
    int known;
} zone_question_t;

static te_db_err_e ask_zone(te_db_t *db, te_req_t *req, void *data, int again)
{
    zone_question_t *question = data;

    (void)again;
    return te_db_zone_known(req->app->db, db, question->name,
                            &question->known);
}

int te_request_zone(te_req_t *req, const json_t *body, int *known)
{
    zone_question_t question;

    *known = 1;
    question.name = te_task_zone_named(body);
    if (question.name == NULL) {
        return OK;
    }
    if (!te_request_work(req, ask_zone, &question)) {
        return DONE;
    }
    *known = question.known;
    return OK;
}

/* --- conditions -------------------------------------------------------- */

/* mod_deflate and mod_brotli rewrite "3" to "3-gzip" and "3-br". */
static int same_tag(const char *listed, apr_size_t n, const char *etag)
{
    static const char *const suffixes[] = {"", "-gzip", "-br"};
    apr_size_t stem = strlen(etag) - 1, i;      /* without the last quote */

    for (i = 0; i < sizeof suffixes / sizeof suffixes[0]; ++i) {
        apr_size_t m = strlen(suffixes[i]);

        if (n == stem + m + 1 && strncmp(listed, etag, stem) == 0
            && strncmp(listed + stem, suffixes[i], m) == 0
            && listed[n - 1] == '"') {
            return 1;
        }
    }
    return 0;
}

int te_etag_listed(apr_pool_t *p, const char *list, const char *etag,
                   int strong)
{
    char *last, *item;

    for (item = apr_strtok(apr_pstrdup(p, list), ",", &last); item != NULL;
         item = apr_strtok(NULL, ",", &last)) {
        apr_size_t n;
        int weak;

        item += strspn(item, " \t");
        weak = strncmp(item, "W/", 2) == 0;
        item += weak ? 2 : 0;
        n = strlen(item);
        while (n > 0 && apr_isspace(item[n - 1])) {
            --n;
        }
        if ((!weak && n == 1 && *item == '*')
            || (!(weak && strong) && same_tag(item, n, etag))) {
            return 1;
        }
    }
    return 0;
}

/* --- database ---------------------------------------------------------- */

static te_db_err_e try_in_time(te_req_t *req, te_work_fn *work, void *data,
                               apr_time_t deadline, int lost)
{
    te_db_err_e err;
    int tries = 0;
    te_db_t *db;

    do {
        err = te_db_acquire(req->app->db, &db, deadline - apr_time_now());
        if (err != TE_DB_OK) {
            return err;
        }
        err = work(db, req, data, lost);
        if (err != TE_DB_OK) {
            te_log(err == TE_DB_FAILED ? TE_LOG_ERR : TE_LOG_INFO, 0,
                   "TE0101", "%s: the database answered '%s': %s",
                   req->match.route->name, te_db_err_name(err),
                   te_db_error(db));
        }
        te_db_release(db);
        lost |= err == TE_DB_LOST;
    } while ((err == TE_DB_AGAIN || err == TE_DB_LOST)
             && ++tries < TE_DB_TRIES
             && deadline - apr_time_now() > LEAST_FOR_ANOTHER_TRY);
    return err;
}

static te_db_err_e try_until(te_req_t *req, te_work_fn *work, void *data,
                             apr_time_t deadline, int lost)
{
    apr_time_t began = apr_time_now();
    te_db_err_e err = try_in_time(req, work, data, deadline, lost);

    req->db_time += apr_time_now() - began;
    return err;
}

te_db_err_e te_request_try(te_req_t *req, te_work_fn *work, void *data)
{
    return try_until(req, work, data, apr_time_now() + DB_BUDGET, 0);
}

int te_request_work_or(te_req_t *req, te_shortcut_fn *shortcut,
                       te_work_fn *work, void *data)
{
    apr_time_t began = apr_time_now(), deadline = began + DB_BUDGET;
    te_db_err_e err = shortcut ? shortcut(req, data, deadline) : TE_DB_AGAIN;

    req->db_time += apr_time_now() - began;
    if (err == TE_DB_AGAIN || err == TE_DB_LOST) {
        err = try_until(req, work, data, deadline, err == TE_DB_LOST);
    }
    if (err == TE_DB_OK) {
        return 1;
    }
    if (err == TE_DB_FAILED || err == TE_DB_TAKEN) {
        te_reply_problem(req, HTTP_INTERNAL_SERVER_ERROR,
                         "The server met a fault of its own.");
    }
    else {
        te_reply_unavailable(req, err);
    }
    return 0;
}

int te_request_work(te_req_t *req, te_work_fn *work, void *data)
{
    return te_request_work_or(req, NULL, work, data);
}

void te_request_note(te_req_t *req, const char *name, const char *value)
{
    apr_table_setn(req->r->subprocess_env,
                   apr_pstrcat(req->pool, "taskevents_", name, NULL), value);
}

void te_request_note_event(te_req_t *req, const char *event_id)
{
    apr_table_mergen(req->r->subprocess_env, "taskevents_event_id", event_id);
}

void te_request_note_task(te_req_t *req, apr_int64_t task_id)
{
    te_request_note(req, "task_id", apr_psprintf(req->pool, "%"
                                                 APR_INT64_T_FMT, task_id));
}

void te_request_wrote(te_req_t *req)
{
    te_notes(req->r)->wrote = 1;
    te_publisher_ring(req->app->publisher);
}
