/* /api/{user}/notifications: what a user was told, and whether it was read. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../store/notifications.h"
#include "query.h"
#include "reply.h"
#include "resources.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define TEXT_SIZE 1024          /* about what one takes */
#define CURSOR "notification:"

static void write_one(te_json_out_t *out, const te_notification_t *n)
{
    te_json_put(out, "{\"id\":");
    te_json_put_int(out, n->id);
    te_json_put(out, ",\"user_id\":");
    te_json_put_string(out, n->user_id);
    te_json_put(out, ",\"type\":");
    te_json_put_string(out, n->type);
    te_json_put(out, ",\"title\":");
    te_json_put_string(out, n->title);
    te_json_put(out, ",\"message\":");
    te_json_put_string(out, n->message);
    te_json_put(out, ",\"task_id\":");
    te_json_put_int(out, n->task_id);
    te_json_put(out, ",\"data\":");
    te_json_put(out, n->data);
    te_json_put(out, n->read_at == TE_TIME_NONE ? ",\"read\":false"
                                                : ",\"read\":true");
    te_json_put(out, ",\"read_at\":");
    te_json_put_string(out, te_time_format(out->pool, n->read_at));
    te_json_put(out, ",\"created_at\":");
    te_json_put_string(out, te_time_format(out->pool, n->created_at));
    te_json_put(out, "}");
}

/* --- GET /notifications ------------------------------------------------ */

typedef struct {
    te_notification_filter_t filter;
    int limit;                          /* what was asked for */
    apr_array_header_t *notifications;
    apr_int64_t unread;
} listing_t;

static const char *read_unread(te_req_t *req, const char *value, void *data)
{
    listing_t *listing = data;

    (void)req;
    listing->filter.unread = strcmp(value, "true") == 0;
    return listing->filter.unread || strcmp(value, "false") == 0
               ? NULL : "must be true or false";
}

static const char *read_limit(te_req_t *req, const char *value, void *data)
{
    apr_int64_t limit;

    (void)req;
    if (!te_text_to_id(value, &limit) || limit > LIMIT_MAX) {
        return "must be a whole number from 1 to 200";
    }
    ((listing_t *)data)->limit = (int)limit;
    return NULL;
}

static const char *read_after(te_req_t *req, const char *value, void *data)
{
    const char *plain = te_text_unbase64url(req->pool, value);
    apr_size_t n = sizeof CURSOR - 1;

    return plain != NULL && strncmp(plain, CURSOR, n) == 0
                   && te_text_to_id(plain + n,
                                    &((listing_t *)data)->filter.before)
               ? NULL : "must be the cursor of a rel=\"next\" link";
}

static const te_param_rule_t rules[] = {
    {"unread", read_unread},
    {"limit", read_limit},
    {"after", read_after},
    {NULL, NULL}
};

static te_db_err_e list(te_db_t *db, te_req_t *req, void *data, int again)
{
    listing_t *listing = data;

    (void)again;
    return te_notifications_list(db, req->pool, &listing->filter,
                                 &listing->notifications, &listing->unread);
}

/* The first n as a JSON array. */
static const char *list_text(te_req_t *req,
                             const apr_array_header_t *notifications, int n)
{
    te_json_out_t out;
    int i;

    te_json_out_start(&out, req->pool, (apr_size_t)(n + 1) * TEXT_SIZE);
    te_json_put(&out, "[");
    for (i = 0; i < n; ++i) {
        te_json_put(&out, i > 0 ? "," : "");
        write_one(&out, APR_ARRAY_IDX(notifications, i,
                                      const te_notification_t *));
    }
    te_json_put(&out, "]");
    return te_json_out_end(&out);
}

static void link_next(te_req_t *req, const te_notification_t *last)
{
    const char *cursor = te_text_base64url(
        req->pool, apr_psprintf(req->pool, CURSOR "%" APR_INT64_T_FMT,
                                last->id));

    apr_table_setn(req->r->headers_out, "Link", apr_psprintf(
        req->pool, "<%s/%s/notifications?%s>; rel=\"next\"",
        req->conf->prefix,
        ap_escape_path_segment(req->pool, req->match.user_id),
        te_query_next(req, cursor)));
}

int te_notifications_list_route(te_req_t *req)
{
    listing_t listing;
    int n, status;

    memset(&listing, 0, sizeof listing);
    listing.limit = LIMIT_DEFAULT;
    listing.filter.user_id = req->match.user_id;
    status = te_query_read(req, rules, &listing);
    if (status != OK) {
        return status;
    }
    /* one more than asked for tells whether there is a next page */
    listing.filter.limit = listing.limit + 1;
    if (!te_request_work(req, list, &listing)) {
        return DONE;
    }
    n = listing.notifications->nelts;
    if (n > listing.limit) {
        n = listing.limit;
        link_next(req, APR_ARRAY_IDX(listing.notifications, n - 1,
                                     const te_notification_t *));
    }
    apr_table_setn(req->r->headers_out, "X-Unread-Count",
                   apr_psprintf(req->pool, "%" APR_INT64_T_FMT,
                                listing.unread));
    return te_reply_text(req, HTTP_OK,
                         list_text(req, listing.notifications, n));
}

/* --- PATCH /notifications/{id} ----------------------------------------- */

typedef struct {
    apr_int64_t id;
    int read;                           /* 1, 0; -1: as it is */
    te_notification_t *notification;
} marking_t;

static void add_fault(te_req_t *req, apr_array_header_t *faults,
                      const char *name, const char *detail)
{
    te_fault_t *f = apr_array_push(faults);

    f->pointer = te_fault_pointer(req->pool, name);
    f->detail = detail;
}

/* A merge patch, in which null is the default: unread. */
static apr_array_header_t *read_marking(te_req_t *req, json_t *body,
                                        marking_t *marking)
{
    apr_array_header_t *faults = apr_array_make(req->pool, 1,
                                                sizeof(te_fault_t));
    const char *name;
    json_t *value;

    marking->read = -1;
    json_object_foreach(body, name, value) {
        if (strcmp(name, "read") != 0) {
            add_fault(req, faults, name,
                      "is not a member here; only read can be changed");
        }
        else if (!json_is_boolean(value) && !json_is_null(value)) {
            add_fault(req, faults, name, "must be true or false");
        }
        else {
            marking->read = json_is_true(value);
        }
    }
    return faults;
}

static te_db_err_e mark(te_db_t *db, te_req_t *req, void *data, int again)
{
    marking_t *marking = data;

    (void)again;                /* twice is the same as once */
    return marking->read < 0
               ? te_notification_get(db, req->pool, req->match.user_id,
                                     marking->id, &marking->notification)
               : te_notification_mark(db, req->pool, req->match.user_id,
                                      marking->id, marking->read,
                                      &marking->notification);
}

static int faulty(te_req_t *req, const apr_array_header_t *faults)
{
    return te_reply_faults(req, HTTP_UNPROCESSABLE_ENTITY,
                           "The body breaks the rules named in errors.",
                           faults);
}

int te_notifications_patch_route(te_req_t *req)
{
    apr_array_header_t *faults;
    te_json_out_t out;
    marking_t marking;
    json_t *body;
    int status = te_request_no_query(req);

    if (status == OK) {
        status = te_request_json(req, TE_BODY_PATCH, &body);
    }
    if (status != OK) {
        return status;
    }
    memset(&marking, 0, sizeof marking);
    faults = read_marking(req, body, &marking);
    if (faults->nelts > 0) {
        marking.read = -1;      /* only whether it is there at all */
    }
    if (te_text_to_id(req->match.id, &marking.id)
        && !te_request_work(req, mark, &marking)) {
        return DONE;
    }
    if (marking.notification == NULL) {
        return te_reply_problem(req, HTTP_NOT_FOUND,
                                "There is no such notification.");
    }
    if (faults->nelts > 0) {
        return faulty(req, faults);
    }
    te_json_out_start(&out, req->pool, TEXT_SIZE);
    write_one(&out, marking.notification);
    return te_reply_text(req, HTTP_OK, te_json_out_end(&out));
}

/* --- POST /notifications/read ------------------------------------------ */

static te_db_err_e mark_all(te_db_t *db, te_req_t *req, void *data, int again)
{
    apr_int64_t n;
    te_db_err_e err = te_notifications_mark_all(db, req->match.user_id, &n);

    (void)again;
    *(apr_int64_t *)data = n;
    return err;
}

static te_stored_answer_t *marked_all(te_req_t *req, void *data)
{
    te_stored_answer_t *answer = apr_pcalloc(req->pool, sizeof *answer);

    answer->status = HTTP_OK;
    answer->body = apr_psprintf(req->pool, "{\"marked\":%" APR_INT64_T_FMT
                                "}", *(apr_int64_t *)data);
    return answer;
}

/* The body has no members: none, or an empty object. */
int te_notifications_read_route(te_req_t *req)
{
    apr_array_header_t *faults = apr_array_make(req->pool, 1,
                                                sizeof(te_fault_t));
    apr_int64_t marked = 0;
    const char *name;
    json_t *body, *value;
    int status = te_request_no_query(req);

    if (status == OK) {
        status = te_request_json(req, TE_BODY_OPTIONAL, &body);
    }
    if (status != OK) {
        return status;
    }
    json_object_foreach(body, name, value) {
        add_fault(req, faults, name, "is not a member here; there is none");
    }
    if (faults->nelts > 0) {
        return faulty(req, faults);
    }
    status = te_request_post(req, NULL, mark_all, marked_all, &marked);
    return status == OK ? te_reply_answer(req, marked_all(req, &marked))
                        : status;
}
