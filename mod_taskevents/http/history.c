/* GET /api/{user}/events: the user's own handled events, oldest first. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../core/effects.h"
#include "../store/history.h"
#include "query.h"
#include "reply.h"
#include "resources.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define ITEM_TEXT_SIZE 2048

typedef struct {
    apr_int64_t after;
    const char *type;
    int limit;
    apr_array_header_t *items;
} page_t;

static const char *read_after(te_req_t *req, const char *value, void *data)
{
    page_t *page = data;

    (void)req;
    return strcmp(value, "0") == 0 || te_text_to_id(value, &page->after)
               ? NULL : "must be a position: a whole number from 0";
}

static const char *read_limit(te_req_t *req, const char *value, void *data)
{
    apr_int64_t limit;

    (void)req;
    if (!te_text_to_id(value, &limit) || limit > LIMIT_MAX) {
        return "must be a whole number from 1 to 200";
    }
    ((page_t *)data)->limit = (int)limit;
    return NULL;
}

static const char *read_type(te_req_t *req, const char *value, void *data)
{
    (void)req;
    ((page_t *)data)->type = value;
    return te_event_is_known(value)
               ? NULL : "must be a type of event, such as task.completed";
}

static const te_param_rule_t history_rules[] = {
    {"after", read_after},
    {"limit", read_limit},
    {"type", read_type},
    {NULL, NULL}
};

/* One more than asked for tells whether there is a next page. */
static te_db_err_e list_events(te_db_t *db, te_req_t *req, void *data,
                               int again)
{
    page_t *page = data;

    (void)again;
    return te_history_list(db, req->pool, req->match.user_id, page->after,
                           page->type, page->limit + 1, &page->items);
}

static const char *page_text(te_req_t *req, const apr_array_header_t *items,
                             int n)
{
    te_json_out_t out;
    int i;

    te_json_out_start(&out, req->pool, (apr_size_t)(n + 1) * ITEM_TEXT_SIZE);
    te_json_put(&out, "[");
    for (i = 0; i < n; ++i) {
        const te_history_item_t *item =
            &APR_ARRAY_IDX(items, i, te_history_item_t);

        te_json_put(&out, i > 0 ? ",{\"position\":" : "{\"position\":");
        te_json_put_int(&out, item->position);
        te_json_put(&out, ",\"processed_at\":");
        te_json_put_string(&out, te_time_format(req->pool,
                                                item->processed_at));
        te_json_put(&out, ",\"outcome\":");
        te_json_put_string(&out, item->outcome);
        te_json_put(&out, ",\"event\":");
        te_json_put(&out, item->event);     /* it was read as JSON */
        te_json_put(&out, "}");
    }
    te_json_put(&out, "]");
    return te_json_out_end(&out);
}

int te_history_route(te_req_t *req)
{
    page_t page;
    int n, status;

    memset(&page, 0, sizeof page);
    page.limit = LIMIT_DEFAULT;
    status = te_query_read(req, history_rules, &page);
    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, list_events, &page)) {
        return DONE;
    }
    n = page.items->nelts;
    if (n > page.limit) {
        n = page.limit;
        apr_table_setn(req->r->headers_out, "Link", apr_psprintf(
            req->pool, "<%s/%s/events?%s>; rel=\"next\"", req->conf->prefix,
            ap_escape_path_segment(req->pool, req->match.user_id),
            te_query_next(req, apr_psprintf(
                req->pool, "%" APR_INT64_T_FMT,
                APR_ARRAY_IDX(page.items, n - 1,
                              te_history_item_t).position))));
    }
    return te_reply_text(req, HTTP_OK, page_text(req, page.items, n));
}
