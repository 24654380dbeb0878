/* /api/{user}/tasks: a user's tasks. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "../core/event.h"
#include "../core/task.h"
#include "reply.h"
#include "resources.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200

/* --- shared by the routes ---------------------------------------------- */

static const char *etag_of(apr_pool_t *p, const te_task_t *task)
{
    return apr_psprintf(p, "\"%" APR_INT64_T_FMT "\"", task->version);
}

static const char *collection_path(te_req_t *req)
{
    return apr_pstrcat(req->pool, req->conf->prefix, "/",
                       ap_escape_path_segment(req->pool, req->match.user_id),
                       "/tasks", NULL);
}

static int reply_task(te_req_t *req, int status, const te_task_t *task)
{
    apr_table_setn(req->r->headers_out, "ETag", etag_of(req->pool, task));
    return te_reply_json(req, status, te_task_json(req->pool, task));
}

static int not_found(te_req_t *req)
{
    return te_reply_problem(req, HTTP_NOT_FOUND, "There is no such task.");
}

/* An event of a user's request about a task, data still without members. */
static te_event_t user_event(te_req_t *req, const te_task_t *task,
                             const char *id, const char *type)
{
    te_event_t event;

    memset(&event, 0, sizeof event);
    event.id = id;
    event.source = req->settings->source;
    event.type = type;
    event.topic = req->settings->topics[TE_TOPIC_TASKS];
    event.user_id = task->user_id;
    event.task_id = task->id;
    event.time = task->updated_at;
    event.origin = TE_ORIGIN_USER;
    event.traceparent = te_traceparent(
        req->pool, apr_table_get(req->r->headers_in, "traceparent"));
    event.data = json_object();
    return event;
}

/* Routes whose query takes nothing. @return OK, or the answer was sent */
static int no_query(te_req_t *req)
{
    if (req->r->args == NULL || *req->r->args == '\0') {
        return OK;
    }
    return te_reply_problem(req, HTTP_BAD_REQUEST,
                            "This path takes no query parameters.");
}

/* --- POST /tasks ------------------------------------------------------- */

typedef struct {
    te_task_t *task;
    const char *event_id;
} creation_t;

static te_db_err_e create_task(te_db_t *db, te_req_t *req, void *data,
                               int again)
{
    creation_t *creation = data;
    te_task_t *task = creation->task;
    te_db_err_e err = TE_DB_OK;
    te_event_t event;

    if (task->id == 0) {
        again = 0;              /* what was lost was only the id */
        err = te_db_next_task_id(req->app->db, db, &task->id);
        if (err != TE_DB_OK) {
            return err;
        }
    }
    event = user_event(req, task, creation->event_id, TE_TASK_CREATED);
    json_object_set_new(event.data, "task", te_task_json(req->pool, task));
    return te_tasks_create(db, req->pool, task,
                           te_event_text(req->pool, &event), again);
}

typedef struct {
    te_req_t *req;
    te_db_err_e err;
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

/* A te_zone_check. While the database is away the zone counts as known; the
 * request ends in 503 anyhow. */
static int zone_known(void *context, const char *name)
{
    zone_question_t *question = context;

    question->name = name;
    question->known = 1;
    if (question->err == TE_DB_OK) {
        question->err = te_request_try(question->req, ask_zone, question);
    }
    return question->known;
}

static int read_new_task(te_req_t *req, te_task_t **task)
{
    zone_question_t question = {req, TE_DB_OK, NULL, 0};
    apr_array_header_t *faults;
    json_t *body;
    int status = te_request_json(req, 0, &body);

    if (status != OK) {
        return status;
    }
    te_task_read(req->pool, body, zone_known, &question, task, &faults);
    if (question.err != TE_DB_OK) {
        return te_reply_unavailable(req);
    }
    if (faults->nelts > 0) {
        return te_reply_faults(req, HTTP_UNPROCESSABLE_ENTITY,
                               "The task breaks the rules named in errors.",
                               faults);
    }
    return OK;
}

int te_tasks_create_route(te_req_t *req)
{
    apr_time_t now = apr_time_now();
    creation_t creation;
    te_task_t *task;
    int status = no_query(req);

    if (status == OK) {
        status = read_new_task(req, &task);
    }
    if (status != OK) {
        return status;
    }
    task->user_id = req->match.user_id;
    task->created_at = task->updated_at = now;
    task->completed_at = task->completed ? now : TE_TIME_NONE;
    if (task->recurring_interval != NULL) {
        task->series_id = te_uuid_v4(req->pool);
        task->occurrence = 1;
    }
    creation.task = task;
    creation.event_id = te_uuid_v4(req->pool);
    if (!te_request_work(req, create_task, &creation)) {
        return DONE;
    }
    te_request_wrote(req);
    apr_table_setn(req->r->headers_out, "Location",
                   apr_psprintf(req->pool, "%s/%" APR_INT64_T_FMT,
                                collection_path(req), task->id));
    return reply_task(req, HTTP_CREATED, task);
}

/* --- GET /tasks -------------------------------------------------------- */

typedef struct {
    int limit;
    te_task_cursor_t cursor;
    int has_cursor;
    apr_array_header_t *tasks;
} listing_t;

/* A cursor is base64url of "created_at in microseconds:id". */
static const char *cursor_text(apr_pool_t *p, const te_task_t *task)
{
    return te_text_base64url(p, apr_psprintf(p, "%" APR_TIME_T_FMT ":%"
                                             APR_INT64_T_FMT,
                                             task->created_at, task->id));
}

static int read_cursor(apr_pool_t *p, const char *text,
                       te_task_cursor_t *cursor)
{
    const char *plain = te_text_unbase64url(p, text);
    char *colon = plain ? strchr(plain, ':') : NULL;

    if (colon == NULL) {
        return 0;
    }
    *colon = '\0';
    return te_text_to_id(plain, &cursor->created_at)
           && te_text_to_id(colon + 1, &cursor->id);
}

static void bad_param(te_req_t *req, apr_array_header_t *faults,
                      const char *name, const char *detail)
{
    te_fault_t *f = apr_array_push(faults);

    f->pointer = apr_pstrcat(req->pool, "?",
                             ap_escape_urlencoded(req->pool, name), NULL);
    f->detail = detail;
}

static void read_param(te_req_t *req, const te_param_t *param,
                       listing_t *listing, apr_array_header_t *faults)
{
    apr_int64_t limit;

    if (strcmp(param->name, "limit") == 0) {
        if (!te_text_to_id(param->value, &limit) || limit > LIMIT_MAX) {
            bad_param(req, faults, "limit",
                      "must be a whole number from 1 to 200");
            return;
        }
        listing->limit = (int)limit;
    }
    else if (strcmp(param->name, "after") == 0) {
        listing->has_cursor = 1;
        if (!read_cursor(req->pool, param->value, &listing->cursor)) {
            bad_param(req, faults, "after",
                      "must be the cursor of a rel=\"next\" link");
        }
    }
    else {
        bad_param(req, faults, param->name, "is not a query parameter here");
    }
}

static int read_listing(te_req_t *req, listing_t *listing)
{
    apr_array_header_t *params = te_request_query(req);
    apr_array_header_t *faults =
        apr_array_make(req->pool, 2, sizeof(te_fault_t));
    const te_fault_t *first;
    int i, j;

    memset(listing, 0, sizeof *listing);
    listing->limit = LIMIT_DEFAULT;
    if (params == NULL) {
        return te_reply_problem(req, HTTP_BAD_REQUEST,
                                "The query has a broken %-escape.");
    }
    for (i = 0; i < params->nelts; ++i) {
        const te_param_t *param = &APR_ARRAY_IDX(params, i, te_param_t);

        for (j = 0; j < i; ++j) {
            if (strcmp(APR_ARRAY_IDX(params, j, te_param_t).name,
                       param->name) == 0) {
                bad_param(req, faults, param->name, "is given twice");
            }
        }
        read_param(req, param, listing, faults);
    }
    if (faults->nelts == 0) {
        return OK;
    }
    first = &APR_ARRAY_IDX(faults, 0, te_fault_t);
    return te_reply_faults(req, HTTP_BAD_REQUEST,
                           apr_psprintf(req->pool, "Query parameter %s %s.",
                                        first->pointer + 1, first->detail),
                           faults);
}

static te_db_err_e list_tasks(te_db_t *db, te_req_t *req, void *data,
                              int again)
{
    listing_t *listing = data;

    (void)again;
    /* one more than asked for tells whether there is a next page */
    return te_tasks_list(db, req->pool, req->match.user_id,
                         listing->limit + 1,
                         listing->has_cursor ? &listing->cursor : NULL,
                         &listing->tasks);
}

int te_tasks_list_route(te_req_t *req)
{
    json_t *array;
    listing_t listing;
    int i, n, status = read_listing(req, &listing);

    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, list_tasks, &listing)) {
        return DONE;
    }
    n = listing.tasks->nelts;
    if (n > listing.limit) {
        n = listing.limit;
        apr_table_setn(req->r->headers_out, "Link", apr_psprintf(
            req->pool, "<%s?limit=%d&after=%s>; rel=\"next\"",
            collection_path(req), listing.limit,
            cursor_text(req->pool,
                        APR_ARRAY_IDX(listing.tasks, n - 1, te_task_t *))));
    }
    array = json_array();
    for (i = 0; i < n; ++i) {
        json_array_append_new(array, te_task_json(
            req->pool, APR_ARRAY_IDX(listing.tasks, i, te_task_t *)));
    }
    return te_reply_json(req, HTTP_OK, array);
}

/* --- GET /tasks/{id} --------------------------------------------------- */

typedef struct {
    apr_int64_t id;
    te_task_t *task;
} lookup_t;

static te_db_err_e get_task(te_db_t *db, te_req_t *req, void *data, int again)
{
    lookup_t *lookup = data;

    (void)again;
    return te_tasks_get(db, req->pool, req->match.user_id, lookup->id,
                        &lookup->task);
}

int te_tasks_get_route(te_req_t *req)
{
    lookup_t lookup;
    const char *known;
    int status = no_query(req);

    if (status != OK) {
        return status;
    }
    lookup.task = NULL;
    if (!te_text_to_id(req->match.id, &lookup.id)) {
        return not_found(req);
    }
    if (!te_request_work(req, get_task, &lookup)) {
        return DONE;
    }
    if (lookup.task == NULL) {
        return not_found(req);
    }
    known = apr_table_get(req->r->headers_in, "If-None-Match");
    if (known != NULL
        && te_etag_listed(req->pool, known,
                          etag_of(req->pool, lookup.task), 0)) {
        apr_table_setn(req->r->headers_out, "ETag",
                       etag_of(req->pool, lookup.task));
        return te_reply_empty(req, HTTP_NOT_MODIFIED);
    }
    return reply_task(req, HTTP_OK, lookup.task);
}

/* --- POST /tasks/{id}/complete ----------------------------------------- */

typedef struct {
    apr_int64_t id;
    int completed;                      /* what it is to be */
    const char *event_id;
    te_task_t *task;                    /* as it is then; NULL: none */
    int stale;                          /* If-Match does not hold */
    int changed;
} completion_t;

static te_outgoing_t *completion_event(te_req_t *req, const te_task_t *task,
                                       const te_task_t *before,
                                       const char *event_id)
{
    te_event_t event = user_event(req, task, event_id,
                                  task->completed ? TE_TASK_COMPLETED
                                                  : TE_TASK_UPDATED);

    if (!task->completed) {
        json_object_set_new(event.data, "changes", json_pack(
            "{s:{s:b,s:b},s:{s:s,s:n}}", "completed", "old", 1, "new", 0,
            "completed_at", "old",
            te_time_format(req->pool, before->completed_at), "new"));
    }
    json_object_set_new(event.data, "task", te_task_json(req->pool, task));
    return te_event_text(req->pool, &event);
}

/* Whether an If-Match header lets the change through. */
static int may_change(te_req_t *req, const te_task_t *task)
{
    const char *wanted = apr_table_get(req->r->headers_in, "If-Match");

    return wanted == NULL
           || te_etag_listed(req->pool, wanted, etag_of(req->pool, task), 1);
}

static te_db_err_e complete_task(te_db_t *db, te_req_t *req, void *data,
                                 int again)
{
    completion_t *c = data;
    te_task_t *before, *task;
    te_db_err_e err = te_tasks_lock(db, req->pool, 1, req->match.user_id,
                                    c->id, &before);

    c->task = NULL;
    c->stale = c->changed = 0;
    if (err != TE_DB_OK || before == NULL) {
        return err;
    }
    c->task = before;
    if (again && strcmp(before->last_event_id, c->event_id) == 0) {
        c->changed = 1;         /* the try whose answer was lost did it */
        return TE_DB_OK;
    }
    c->stale = !may_change(req, before);
    if (c->stale || before->completed == c->completed) {
        return TE_DB_OK;
    }
    task = apr_pmemdup(req->pool, before, sizeof *task);
    task->completed = c->completed;
    task->updated_at = apr_time_now();
    task->completed_at = c->completed ? task->updated_at : TE_TIME_NONE;
    ++task->version;
    err = te_tasks_complete(db, req->pool, task,
                            completion_event(req, task, before,
                                             c->event_id));
    c->task = task;
    c->changed = 1;
    return err;
}

static int read_completion(te_req_t *req, completion_t *c)
{
    apr_array_header_t *faults =
        apr_array_make(req->pool, 1, sizeof(te_fault_t));
    json_t *body, *value;
    const char *name;
    int status = te_request_json(req, 1, &body);

    c->completed = 1;
    if (status != OK || body == NULL) {
        return status;
    }
    json_object_foreach(body, name, value) {
        te_fault_t *f;

        if (strcmp(name, "completed") == 0 && json_is_boolean(value)) {
            c->completed = json_is_true(value);
            continue;
        }
        f = apr_array_push(faults);
        f->pointer = te_fault_pointer(req->pool, name);
        f->detail = strcmp(name, "completed") == 0
                        ? "must be true or false"
                        : "is not a member here; only completed is";
    }
    return faults->nelts == 0
               ? OK
               : te_reply_faults(req, HTTP_UNPROCESSABLE_ENTITY,
                                 "The body breaks the rules named in "
                                 "errors.", faults);
}

int te_tasks_complete_route(te_req_t *req)
{
    completion_t c;
    int status = no_query(req);

    memset(&c, 0, sizeof c);
    if (status == OK) {
        status = read_completion(req, &c);
    }
    if (status != OK) {
        return status;
    }
    c.event_id = te_uuid_v4(req->pool);
    if (!te_text_to_id(req->match.id, &c.id)) {
        return not_found(req);
    }
    if (!te_request_work(req, complete_task, &c)) {
        return DONE;
    }
    if (c.task == NULL) {
        return not_found(req);
    }
    if (c.stale) {
        return te_reply_problem(req, HTTP_PRECONDITION_FAILED,
                                "The task has changed since: If-Match names "
                                "another version.");
    }
    if (c.changed) {
        te_request_wrote(req);
    }
    return reply_task(req, HTTP_OK, c.task);
}
