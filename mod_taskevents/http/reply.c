#include "reply.h"

#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "page.h"

static void send_text(request_rec *r, int status, const char *type,
                      const char *text)
{
    apr_size_t n = strlen(text);

    r->status = status;
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)n);
    ap_rwrite(text, (int)n, r);
}

int te_reply_json(te_req_t *req, int status, json_t *value)
{
    te_json_keep(req->pool, value);
    send_text(req->r, status, "application/json",
              te_json_text(req->pool, value));
    return DONE;
}

int te_reply_text(te_req_t *req, int status, const char *json)
{
    send_text(req->r, status, "application/json", json);
    return DONE;
}

int te_reply_answer(te_req_t *req, const te_stored_answer_t *answer)
{
    if (answer->etag != NULL) {
        apr_table_setn(req->r->headers_out, "ETag", answer->etag);
    }
    if (answer->location != NULL) {
        apr_table_setn(req->r->headers_out, "Location", answer->location);
    }
    send_text(req->r, answer->status, "application/json", answer->body);
    return DONE;
}

int te_reply_empty(te_req_t *req, int status)
{
    req->r->status = status;
    if (status != HTTP_NO_CONTENT && status != HTTP_NOT_MODIFIED) {
        ap_set_content_length(req->r, 0);
    }
    return DONE;
}

/* "404 Not Found" without its number. */
static const char *phrase(int status)
{
    const char *line = ap_get_status_line(status);

    return strlen(line) > 4 ? line + 4 : line;
}

const char *te_problem_text(request_rec *r, int status, const char *detail,
                            const apr_array_header_t *faults)
{
    json_t *problem = te_json_keep(r->pool, json_object());
    int i;

    json_object_set_new(problem, "type",
                        json_string(faults ? "urn:taskevents:problem:faults"
                                           : "about:blank"));
    json_object_set_new(problem, "title", json_string(phrase(status)));
    json_object_set_new(problem, "status", json_integer(status));
    json_object_set_new(problem, "detail", json_string(detail));
    json_object_set_new(problem, "instance",
                        json_string(ap_os_escape_path(r->pool, r->uri, 1)));
    if (faults != NULL) {
        json_t *list = json_array();

        for (i = 0; i < faults->nelts; ++i) {
            const te_fault_t *f = &APR_ARRAY_IDX(faults, i, te_fault_t);
            json_t *item = json_object();

            json_object_set_new(item, "pointer", json_string(f->pointer));
            json_object_set_new(item, "detail", json_string(f->detail));
            json_array_append_new(list, item);
        }
        json_object_set_new(problem, "errors", list);
    }
    return te_json_text(r->pool, problem);
}

int te_reply_faults(te_req_t *req, int status, const char *detail,
                    const apr_array_header_t *faults)
{
    if (req->page) {
        return te_page_problem(req, status, detail, faults);
    }
    send_text(req->r, status, "application/problem+json",
              te_problem_text(req->r, status, detail, faults));
    return DONE;
}

int te_reply_problem(te_req_t *req, int status, const char *detail)
{
    return te_reply_faults(req, status, detail, NULL);
}

int te_reply_unavailable(te_req_t *req, te_db_err_e err)
{
    apr_table_setn(req->r->headers_out, "Retry-After", "1");
    return te_reply_problem(req, HTTP_SERVICE_UNAVAILABLE, err == TE_DB_OLD
                            ? "The database waits for its migrations; nothing "
                              "was done, try again later."
                            : "The database is away or busy; nothing was "
                              "promised, try again.");
}

const char *te_problem_detail(int status)
{
    switch (status) {
    case HTTP_BAD_REQUEST:
        return "The request cannot be understood.";
    case HTTP_UNAUTHORIZED:
        return "Valid credentials are needed.";
    case HTTP_FORBIDDEN:
        return "These credentials do not open this path.";
    case HTTP_NOT_FOUND:
        return "There is nothing here.";
    case HTTP_METHOD_NOT_ALLOWED:
        return "The method is not allowed here.";
    case HTTP_REQUEST_TIME_OUT:
        return "The request took too long to arrive.";
    case HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "The body is too large.";
    case HTTP_SERVICE_UNAVAILABLE:
        return "The service is not available now; try again.";
    default:
        return "The request was not served.";
    }
}
