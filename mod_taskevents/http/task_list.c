/* GET /api/{user}/tasks and …/occurrences: several at once. */
#include <httpd.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../core/task.h"
#include "query.h"
#include "reply.h"
#include "resources.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define OCCURRENCES_DEFAULT 10
#define OCCURRENCES_MAX 366
#define WORDS_MAX 10

typedef struct {
    te_task_filter_t filter;
    int limit;                          /* what was asked for */
    const char *cursor;                 /* as it came, or NULL */
    apr_array_header_t *tasks;
} listing_t;

/* --- query parameters -------------------------------------------------- */

static const char *read_priority(te_req_t *req, const char *value, void *data)
{
    te_task_filter_t *filter = &((listing_t *)data)->filter;

    (void)req;
    filter->priority = te_priority_of(value);
    return filter->priority ? NULL : "must be low, medium or high";
}

static const char *read_completed(te_req_t *req, const char *value,
                                  void *data)
{
    te_task_filter_t *filter = &((listing_t *)data)->filter;

    (void)req;
    filter->completed = strcmp(value, "true") == 0;
    return filter->completed || strcmp(value, "false") == 0
               ? NULL : "must be true or false";
}

static const char *read_tags(te_req_t *req, const char *value, void *data)
{
    te_task_filter_t *filter = &((listing_t *)data)->filter;
    char *last, *tag;

    filter->tags = apr_array_make(req->pool, 4, sizeof(const char *));
    for (tag = apr_strtok(apr_pstrdup(req->pool, value), ",", &last);
         tag != NULL; tag = apr_strtok(NULL, ",", &last)) {
        const char *trimmed = te_text_trim(req->pool, tag);

        if (*trimmed != '\0') {
            APR_ARRAY_PUSH(filter->tags, const char *) = trimmed;
        }
    }
    return filter->tags->nelts >= 1 && filter->tags->nelts <= TE_TAGS_MAX
               ? NULL : "must name 1 to 10 tags, with commas between them";
}

static const char *read_due_before(te_req_t *req, const char *value,
                                   void *data)
{
    (void)req;
    return te_time_parse(value, &((listing_t *)data)->filter.due_before);
}

static const char *read_due_after(te_req_t *req, const char *value,
                                  void *data)
{
    (void)req;
    return te_time_parse(value, &((listing_t *)data)->filter.due_after);
}

static const char *read_words(te_req_t *req, const char *value, void *data)
{
    te_task_filter_t *filter = &((listing_t *)data)->filter;
    char *last, *word;

    filter->words = apr_array_make(req->pool, 4, sizeof(const char *));
    for (word = apr_strtok(apr_pstrdup(req->pool, value), " \t\r\n", &last);
         word != NULL; word = apr_strtok(NULL, " \t\r\n", &last)) {
        APR_ARRAY_PUSH(filter->words, const char *) = word;
    }
    return filter->words->nelts >= 1 && filter->words->nelts <= WORDS_MAX
               ? NULL : "must have 1 to 10 words";
}

static const struct {
    const char *name;
    te_sort_e sort;
    int descending;
} sorts[] = {
    {"created_asc", TE_SORT_CREATED, 0},
    {"created_desc", TE_SORT_CREATED, 1},
    {"updated_asc", TE_SORT_UPDATED, 0},
    {"updated_desc", TE_SORT_UPDATED, 1},
    {"due_date_asc", TE_SORT_DUE_DATE, 0},
    {"due_date_desc", TE_SORT_DUE_DATE, 1},
    {"priority_asc", TE_SORT_PRIORITY, 0},
    {"priority_desc", TE_SORT_PRIORITY, 1},
};

static const char *read_sort(te_req_t *req, const char *value, void *data)
{
    te_task_filter_t *filter = &((listing_t *)data)->filter;
    apr_size_t i;

    (void)req;
    for (i = 0; i < sizeof sorts / sizeof sorts[0]; ++i) {
        if (strcmp(value, sorts[i].name) == 0) {
            filter->sort = sorts[i].sort;
            filter->descending = sorts[i].descending;
            return NULL;
        }
    }
    return "must be created, updated, due_date or priority with _asc or "
           "_desc behind it";
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

/* Read when the order is known. */
static const char *read_after(te_req_t *req, const char *value, void *data)
{
    (void)req;
    ((listing_t *)data)->cursor = value;
    return NULL;
}

static const te_param_rule_t list_rules[] = {
    {"priority", read_priority},
    {"completed", read_completed},
    {"tags", read_tags},
    {"due_before", read_due_before},
    {"due_after", read_due_after},
    {"q", read_words},
    {"sort_by", read_sort},
    {"limit", read_limit},
    {"after", read_after},
    {NULL, NULL}
};

/* --- the cursor -------------------------------------------------------- */

/* base64url of "order:key:id": the place of the last task of a page. */
static const char *cursor_text(te_req_t *req, const listing_t *listing,
                               const te_task_t *task)
{
    apr_int64_t key = te_task_sort_key(task, listing->filter.sort);

    return te_text_base64url(
        req->pool, apr_psprintf(req->pool, "%d%c:%s:%" APR_INT64_T_FMT,
                                listing->filter.sort,
                                listing->filter.descending ? 'd' : 'a',
                                key == TE_TIME_NONE
                                    ? "-"
                                    : apr_psprintf(req->pool,
                                                   "%" APR_INT64_T_FMT, key),
                                task->id));
}

static int is_whole_number(const char *text, apr_int64_t *out)
{
    char *end;

    *out = apr_strtoi64(text, &end, 10);
    return (apr_isdigit(*text) || (*text == '-' && apr_isdigit(text[1])))
           && *end == '\0' && strlen(text) <= 19;
}

/* A key that the order can have: one that no task has is only a place. */
static int is_key(const te_task_filter_t *filter)
{
    if (filter->sort == TE_SORT_PRIORITY) {
        return filter->cursor_key >= TE_PRIORITY_LOW
               && filter->cursor_key <= TE_PRIORITY_HIGH;
    }
    return filter->cursor_key >= TE_TIME_FIRST
           && filter->cursor_key <= TE_TIME_LAST;
}

static int read_cursor(te_req_t *req, listing_t *listing)
{
    te_task_filter_t *filter = &listing->filter;
    const char *plain = te_text_unbase64url(req->pool, listing->cursor);
    const char *order = apr_psprintf(req->pool, "%d%c", filter->sort,
                                     filter->descending ? 'd' : 'a');
    char *key, *id;

    key = plain ? strchr(plain, ':') : NULL;
    id = key ? strchr(key + 1, ':') : NULL;
    if (id == NULL) {
        return 0;
    }
    *key++ = '\0';
    *id++ = '\0';
    filter->has_cursor = 1;
    filter->cursor_key = TE_TIME_NONE;
    return strcmp(plain, order) == 0 && te_text_to_id(id, &filter->cursor_id)
           && ((filter->sort == TE_SORT_DUE_DATE && strcmp(key, "-") == 0)
               || (is_whole_number(key, &filter->cursor_key)
                   && is_key(filter)));
}

/* --- GET /tasks -------------------------------------------------------- */

static int read_listing(te_req_t *req, listing_t *listing)
{
    int status;

    memset(listing, 0, sizeof *listing);
    listing->limit = LIMIT_DEFAULT;
    listing->filter.user_id = req->match.user_id;
    listing->filter.completed = -1;
    listing->filter.due_before = listing->filter.due_after = TE_TIME_NONE;
    listing->filter.sort = TE_SORT_CREATED;
    listing->filter.descending = 1;
    status = te_query_read(req, list_rules, listing);
    if (status == OK && listing->cursor != NULL
        && !read_cursor(req, listing)) {
        return te_reply_problem(req, HTTP_BAD_REQUEST, "Query parameter after "
                                "must be the cursor of a rel=\"next\" link "
                                "of the same order.");
    }
    /* one more than asked for tells whether there is a next page */
    listing->filter.limit = listing->limit + 1;
    return status;
}

static te_db_err_e list_tasks(te_db_t *db, te_req_t *req, void *data,
                              int again)
{
    listing_t *listing = data;

    (void)again;
    return te_tasks_list(db, req->pool, &listing->filter, &listing->tasks);
}

static const char *list_text(te_req_t *req, const apr_array_header_t *tasks,
                             int n)
{
    te_json_out_t out;
    int i;

    te_json_out_start(&out, req->pool,
                      (apr_size_t)(n + 1) * TE_TASK_TEXT_SIZE);
    te_json_put(&out, "[");
    for (i = 0; i < n; ++i) {
        te_json_put(&out, i > 0 ? "," : "");
        te_task_write(&out, APR_ARRAY_IDX(tasks, i, const te_task_t *));
    }
    te_json_put(&out, "]");
    return te_json_out_end(&out);
}

int te_tasks_list_route(te_req_t *req)
{
    listing_t listing;
    int n, status = read_listing(req, &listing);

    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, list_tasks, &listing)) {
        return DONE;
    }
    n = listing.tasks->nelts;
    if (n > listing.limit) {
        const te_task_t *last;

        n = listing.limit;
        last = APR_ARRAY_IDX(listing.tasks, n - 1, const te_task_t *);
        apr_table_setn(req->r->headers_out, "Link", apr_psprintf(
            req->pool, "<%s/%s/tasks?%s>; rel=\"next\"", req->conf->prefix,
            ap_escape_path_segment(req->pool, req->match.user_id),
            te_query_next(req, cursor_text(req, &listing, last))));
    }
    return te_reply_text(req, HTTP_OK,
                         list_text(req, listing.tasks, n));
}

/* --- GET /tasks/{id}/occurrences --------------------------------------- */

typedef struct {
    apr_int64_t id;
    int limit;
    te_task_t *task;
    apr_array_header_t *occurrences;
} preview_t;

static const char *read_count(te_req_t *req, const char *value, void *data)
{
    apr_int64_t limit;

    (void)req;
    if (!te_text_to_id(value, &limit) || limit > OCCURRENCES_MAX) {
        return "must be a whole number from 1 to 366";
    }
    ((preview_t *)data)->limit = (int)limit;
    return NULL;
}

static const te_param_rule_t preview_rules[] = {
    {"limit", read_count},
    {NULL, NULL}
};

static te_db_err_e preview(te_db_t *db, te_req_t *req, void *data, int again)
{
    preview_t *p = data;
    te_db_err_e err = te_tasks_get(db, req->pool, req->match.user_id, p->id,
                                   &p->task);

    (void)again;
    if (err != TE_DB_OK || p->task == NULL) {
        return err;
    }
    return te_tasks_occurrences(db, req->pool, req->match.user_id, p->id,
                                req->settings->catch_up_skip
                                    ? apr_time_now() : TE_TIME_NONE,
                                p->limit, &p->occurrences);
}

int te_tasks_occurrences_route(te_req_t *req)
{
    preview_t p;
    json_t *array;
    int i, status;

    memset(&p, 0, sizeof p);
    p.limit = OCCURRENCES_DEFAULT;
    status = te_query_read(req, preview_rules, &p);
    if (status != OK) {
        return status;
    }
    if (te_text_to_id(req->match.id, &p.id)
        && !te_request_work(req, preview, &p)) {
        return DONE;
    }
    if (p.task == NULL) {
        return te_reply_problem(req, HTTP_NOT_FOUND,
                                "There is no such task.");
    }
    array = json_array();
    for (i = 0; i < p.occurrences->nelts; ++i) {
        const te_occurrence_t *o =
            &APR_ARRAY_IDX(p.occurrences, i, te_occurrence_t);

        json_array_append_new(array, json_pack(
            "{s:i,s:s}", "occurrence", o->number, "due_date",
            te_time_format(req->pool, o->due_date)));
    }
    return te_reply_json(req, HTTP_OK, array);
}
