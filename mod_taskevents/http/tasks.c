/* /api/{user}/tasks: a user's tasks, made, read, changed and deleted. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "../core/event.h"
#include "../core/recurrence.h"
#include "../core/task.h"
#include "reply.h"
#include "resources.h"

/* --- shared by the routes ---------------------------------------------- */

static const char *etag_of(apr_pool_t *p, const te_task_t *task)
{
    return apr_psprintf(p, "\"%" APR_INT64_T_FMT "\"", task->version);
}

static const char *task_path(te_req_t *req, const te_task_t *task)
{
    return apr_psprintf(req->pool, "%s/%s/tasks/%" APR_INT64_T_FMT,
                        req->conf->prefix,
                        ap_escape_path_segment(req->pool, task->user_id),
                        task->id);
}

static te_stored_answer_t *answer_with(te_req_t *req, int status,
                                       const te_task_t *task)
{
    te_stored_answer_t *answer = apr_pcalloc(req->pool, sizeof *answer);
    te_json_out_t out;

    te_json_out_start(&out, req->pool, TE_TASK_TEXT_SIZE);
    te_task_write(&out, task);
    answer->status = status;
    answer->etag = etag_of(req->pool, task);
    answer->location = status == HTTP_CREATED ? task_path(req, task) : NULL;
    answer->body = te_json_out_end(&out);
    return answer;
}

static int not_found(te_req_t *req)
{
    return te_reply_problem(req, HTTP_NOT_FOUND, "There is no such task.");
}

static int faulty(te_req_t *req, const apr_array_header_t *faults)
{
    return te_reply_faults(req, HTTP_UNPROCESSABLE_ENTITY,
                           "The body breaks the rules named in errors.",
                           faults);
}

/* Whether an If-Match header lets a change through. */
static int may_change(te_req_t *req, const te_task_t *task)
{
    const char *wanted = apr_table_get(req->r->headers_in, "If-Match");

    return wanted == NULL
           || te_etag_listed(req->pool, wanted, etag_of(req->pool, task), 1);
}

static int stale(te_req_t *req)
{
    return te_reply_problem(req, HTTP_PRECONDITION_FAILED,
                            "The task has changed since: If-Match names "
                            "another version.");
}

/* An event of a user's request about a task.
 * @param data   taken; members of its data, or NULL
 * @param shown  the task as a member of its data, or NULL */
static te_outgoing_t *user_event(te_req_t *req, const te_task_t *task,
                                 const char *id, const char *type,
                                 json_t *data, const te_task_t *shown)
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
    if (req->traceparent == NULL) {
        req->traceparent = te_traceparent(
            req->pool, apr_table_get(req->r->headers_in, "traceparent"));
        te_request_note(req, "traceparent", req->traceparent);
    }
    event.traceparent = req->traceparent;
    event.data = data;
    event.task = shown;
    return te_event_text(req->pool, &event);
}

/* --- POST /tasks ------------------------------------------------------- */

typedef struct {
    te_task_t *task;
    const char *event_id;
} creation_t;

static te_outgoing_t *creation_event(te_req_t *req, const creation_t *creation)
{
    return user_event(req, creation->task, creation->event_id,
                      TE_TASK_CREATED, NULL, creation->task);
}

static te_db_err_e create_with_others(te_req_t *req, void *data,
                                      apr_time_t deadline)
{
    creation_t *creation = data;
    te_task_t *task = creation->task;

    task->id = te_db_take_task_id(req->app->db);
    if (task->id == 0) {
        return TE_DB_AGAIN;     /* it needs a connection for that */
    }
    return te_group_write(req->app->creates, req->pool, task,
                          creation_event(req, creation), deadline);
}

static te_db_err_e create_task(te_db_t *db, te_req_t *req, void *data,
                               int again)
{
    creation_t *creation = data;
    te_task_t *task = creation->task;
    te_db_err_e err = TE_DB_OK;

    if (task->id == 0) {
        again = 0;              /* what was lost was only the id */
        err = te_db_next_task_id(req->app->db, db, &task->id);
        if (err != TE_DB_OK) {
            return err;
        }
    }
    return te_tasks_create(db, req->pool, task,
                           creation_event(req, creation), again);
}

static te_stored_answer_t *created(te_req_t *req, void *data)
{
    return answer_with(req, HTTP_CREATED, ((creation_t *)data)->task);
}

static int read_new_task(te_req_t *req, te_task_t **task)
{
    apr_array_header_t *faults;
    int known, status;
    json_t *body;

    status = te_request_json(req, TE_BODY_JSON, &body);
    if (status == OK) {
        status = te_request_zone(req, body, &known);
    }
    if (status != OK) {
        return status;
    }
    te_task_read(req->pool, body, known, task, &faults);
    return faults->nelts > 0 ? faulty(req, faults) : OK;
}

int te_tasks_create_route(te_req_t *req)
{
    apr_time_t now = apr_time_now();
    creation_t creation;
    te_task_t *task;
    int status = te_request_no_query(req);

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
    status = te_request_post(req, create_with_others, create_task, created,
                             &creation);
    if (status != OK) {
        return status;
    }
    te_request_note_task(req, task->id);
    te_request_note_event(req, creation.event_id);
    te_request_wrote(req);
    return te_reply_answer(req, created(req, &creation));
}

/* --- GET /tasks/{id} --------------------------------------------------- */

typedef struct {
    apr_int64_t id;
    te_task_t *task;
} lookup_t;

static te_db_err_e get_with_others(te_req_t *req, void *data,
                                   apr_time_t deadline)
{
    lookup_t *lookup = data;

    return te_group_get(req->app->reads, req->pool, req->match.user_id,
                        lookup->id, &lookup->task, deadline);
}

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
    const char *known, *etag;
    int status = te_request_no_query(req);

    if (status != OK) {
        return status;
    }
    lookup.task = NULL;
    if (!te_text_to_id(req->match.id, &lookup.id)) {
        return not_found(req);
    }
    if (!te_request_work_or(req, get_with_others, get_task, &lookup)) {
        return DONE;
    }
    if (lookup.task == NULL) {
        return not_found(req);
    }
    etag = etag_of(req->pool, lookup.task);
    known = apr_table_get(req->r->headers_in, "If-None-Match");
    if (known != NULL && te_etag_listed(req->pool, known, etag, 0)) {
        apr_table_setn(req->r->headers_out, "ETag", etag);
        return te_reply_empty(req, HTTP_NOT_MODIFIED);
    }
    return te_reply_answer(req, answer_with(req, HTTP_OK, lookup.task));
}

/* --- PATCH /tasks/{id}, POST /tasks/{id}/complete ---------------------- */

typedef struct {
    apr_int64_t id;
    const json_t *patch;                /* what is to change */
    int zone_known;
    apr_array_header_t *faults;         /* in it */
    const char *event_ids[2];
    int n_events;
    te_task_t *task;                    /* as it is then; NULL: none */
    const char *xact;                   /* what the last try wrote in */
    te_task_t *written;                 /* and what */
    int is_stale;                       /* If-Match does not hold */
    int changed;
} change_t;

/* Which series the changed task belongs to. */
static te_db_err_e join_series(te_db_t *db, te_req_t *req, te_task_t *after)
{
    int last = 0, ended;
    te_db_err_e err = TE_DB_OK;

    if (after->series_id != NULL) {
        err = te_series_lock(db, req->pool, after->series_id,
                             after->user_id, &last, &ended);
    }
    if (err == TE_DB_OK && (last == 0 || last != after->occurrence)) {
        after->series_id = te_uuid_v4(req->pool);
        after->occurrence = 1;
    }
    return err;
}

static te_db_err_e write_series(te_db_t *db, te_req_t *req,
                                te_series_change_e what,
                                const te_task_t *after)
{
    switch (what) {
    case TE_SERIES_START:
    case TE_SERIES_ANCHOR:
        return te_series_put(db, req->pool, after);
    case TE_SERIES_STOP:
        return te_series_end(db, req->pool, after, after->updated_at);
    case TE_SERIES_SAME:
        break;
    }
    return TE_DB_OK;
}

/* The events of a change. Completing a task is one task.completed; what else
 * the same request changed is one task.updated before it. */
static int change_events(te_req_t *req, const change_t *c,
                         const te_task_t *before, const te_task_t *after,
                         te_outgoing_t **events)
{
    int completes = after->completed && !before->completed, n = 0;
    te_task_t *updated = apr_pmemdup(req->pool, after, sizeof *updated);
    json_t *changes;

    if (completes) {
        updated->completed = 0;
        updated->completed_at = TE_TIME_NONE;
    }
    changes = te_task_changes(req->pool, before, updated);
    if (json_object_size(changes) > 0) {
        events[n] = user_event(req, updated, c->event_ids[n],
                               TE_TASK_UPDATED,
                               json_pack("{s:o}", "changes", changes),
                               updated);
        ++n;
    }
    else {
        json_decref(changes);
    }
    if (completes) {
        events[n] = user_event(req, after, c->event_ids[n],
                               TE_TASK_COMPLETED, NULL, after);
        ++n;
    }
    return n;
}

/* Write a change that is one. */
static te_db_err_e write_change(te_db_t *db, te_req_t *req, change_t *c,
                                const te_task_t *before, te_task_t *after)
{
    te_series_change_e series = te_series_change(before, after);
    te_outgoing_t *events[2];
    te_db_err_e err = TE_DB_OK;
    int n;

    after->version = before->version + 1;
    after->updated_at = apr_time_now();
    if (after->completed != before->completed) {
        after->completed_at = after->completed ? after->updated_at
                                               : TE_TIME_NONE;
    }
    if (series == TE_SERIES_START) {
        err = join_series(db, req, after);
    }
    c->xact = before->held_by;
    c->written = after;
    n = change_events(req, c, before, after, events);
    after->last_event_id = events[n - 1]->id;
    c->n_events = n;
    if (err == TE_DB_OK) {
        err = write_series(db, req, series, after);
    }
    if (err == TE_DB_OK) {
        err = te_tasks_update(db, req->pool, after, events, n,
                              req->key == NULL);
    }
    c->task = after;
    c->changed = 1;
    return err;
}

/* Whether an earlier try was committed, though its answer was lost: it is
 * not enough to look at the row, which others may have changed since. */
static te_db_err_e was_committed(te_db_t *db, const char *xact, int *done)
{
    *done = 0;
    return xact == NULL ? TE_DB_OK : te_db_committed(db, xact, done);
}

static te_db_err_e change_task(te_db_t *db, te_req_t *req, void *data,
                               int again)
{
    change_t *c = data;
    te_task_t *before, *after;
    json_t *changes;
    te_db_err_e err = te_tasks_lock(db, req->pool, req->key == NULL,
                                    req->match.user_id, c->id, &before);

    (void)again;
    c->is_stale = c->changed = 0;
    if (err == TE_DB_OK) {
        err = was_committed(db, c->xact, &c->changed);
    }
    c->task = c->changed ? c->written : before;
    if (err != TE_DB_OK || before == NULL || c->changed) {
        return err;
    }
    c->is_stale = !may_change(req, before);
    if (c->is_stale || (c->faults != NULL && c->faults->nelts > 0)) {
        return TE_DB_OK;
    }
    te_task_patch(req->pool, c->patch, c->zone_known, before, &after,
                  &c->faults);
    if (c->faults->nelts > 0) {
        return TE_DB_OK;
    }
    changes = te_json_keep(req->pool,
                           te_task_changes(req->pool, before, after));
    return json_object_size(changes) == 0
               ? TE_DB_OK : write_change(db, req, c, before, after);
}

static int is_done(const change_t *c)
{
    return c->task != NULL && !c->is_stale
           && (c->faults == NULL || c->faults->nelts == 0);
}

static te_stored_answer_t *changed(te_req_t *req, void *data)
{
    const change_t *c = data;

    return is_done(c) ? answer_with(req, HTTP_OK, c->task) : NULL;
}

/* The answer after the work. */
static int reply_change(te_req_t *req, change_t *c)
{
    int i;

    if (c->task == NULL) {
        return not_found(req);
    }
    if (c->is_stale) {
        return stale(req);
    }
    if (!is_done(c)) {
        return faulty(req, c->faults);
    }
    if (c->changed) {
        for (i = 0; i < c->n_events; ++i) {
            te_request_note_event(req, c->event_ids[i]);
        }
        te_request_wrote(req);
    }
    return te_reply_answer(req, changed(req, c));
}

static void start_change(te_req_t *req, change_t *c)
{
    memset(c, 0, sizeof *c);
    c->zone_known = 1;
    c->event_ids[0] = te_uuid_v4(req->pool);
    c->event_ids[1] = te_uuid_v4(req->pool);
}

int te_tasks_patch_route(te_req_t *req)
{
    json_t *body;
    change_t c;
    int status = te_request_no_query(req);

    start_change(req, &c);
    if (status == OK) {
        status = te_request_json(req, TE_BODY_PATCH, &body);
    }
    if (status == OK) {
        status = te_request_zone(req, body, &c.zone_known);
    }
    if (status != OK) {
        return status;
    }
    c.patch = body;
    if (!te_text_to_id(req->match.id, &c.id)) {
        return not_found(req);
    }
    if (!te_request_work(req, change_task, &c)) {
        return DONE;
    }
    return reply_change(req, &c);
}

/* The body of complete may say {"completed": false}; nothing: true. */
static void read_completion(te_req_t *req, const json_t *body, change_t *c)
{
    int completed = 1;
    const char *name;
    json_t *value;

    c->faults = apr_array_make(req->pool, 1, sizeof(te_fault_t));
    json_object_foreach((json_t *)body, name, value) {
        te_fault_t *f;

        if (strcmp(name, "completed") == 0 && json_is_boolean(value)) {
            completed = json_is_true(value);
            continue;
        }
        f = apr_array_push(c->faults);
        f->pointer = te_fault_pointer(req->pool, name);
        f->detail = strcmp(name, "completed") == 0
                        ? "must be true or false"
                        : "is not a member here; only completed is";
    }
    c->patch = te_json_keep(req->pool, json_pack("{s:b}", "completed",
                                                 completed));
}

int te_tasks_complete_route(te_req_t *req)
{
    json_t *body;
    change_t c;
    int status = te_request_no_query(req);

    start_change(req, &c);
    if (status == OK) {
        status = te_request_json(req, TE_BODY_OPTIONAL, &body);
    }
    if (status != OK) {
        return status;
    }
    read_completion(req, body, &c);
    if (!te_text_to_id(req->match.id, &c.id)) {
        return not_found(req);
    }
    status = te_request_post(req, NULL, change_task, changed, &c);
    return status == OK ? reply_change(req, &c) : status;
}

/* --- DELETE /tasks/{id} ------------------------------------------------ */

typedef struct {
    apr_int64_t id;
    const char *event_id;
    const char *xact;                   /* what the last try wrote in */
    int found, is_stale;
} deletion_t;

static te_db_err_e delete_task(te_db_t *db, te_req_t *req, void *data,
                               int again)
{
    deletion_t *d = data;
    te_task_t *task;
    te_db_err_e err = te_tasks_lock(db, req->pool, 1, req->match.user_id,
                                    d->id, &task);

    (void)again;
    d->is_stale = 0;
    if (err == TE_DB_OK) {
        err = was_committed(db, d->xact, &d->found);
    }
    if (err != TE_DB_OK || d->found || task == NULL) {
        return err;
    }
    d->found = 1;
    d->is_stale = !may_change(req, task);
    if (d->is_stale) {
        return TE_DB_OK;
    }
    d->xact = task->held_by;
    task->updated_at = apr_time_now();
    if (!task->completed && task->recurring_interval != NULL) {
        err = te_series_end(db, req->pool, task, task->updated_at);
        if (err != TE_DB_OK) {
            return err;
        }
    }
    return te_tasks_delete(
        db, req->pool, task,
        user_event(req, task, d->event_id, TE_TASK_DELETED,
                   json_pack("{s:s,s:s?,s:o}", "title", task->title,
                             "series_id", task->series_id, "occurrence",
                             task->occurrence
                                 ? json_integer(task->occurrence)
                                 : json_null()),
                   NULL));
}

int te_tasks_delete_route(te_req_t *req)
{
    deletion_t d;
    int status = te_request_no_query(req);

    if (status != OK) {
        return status;
    }
    memset(&d, 0, sizeof d);
    d.event_id = te_uuid_v4(req->pool);
    if (!te_text_to_id(req->match.id, &d.id)) {
        return not_found(req);
    }
    if (!te_request_work(req, delete_task, &d)) {
        return DONE;
    }
    if (!d.found) {
        return not_found(req);
    }
    if (d.is_stale) {
        return stale(req);
    }
    te_request_note_event(req, d.event_id);
    te_request_wrote(req);
    return te_reply_empty(req, HTTP_NO_CONTENT);
}
