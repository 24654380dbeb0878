/* …/dead-letters below the status handler: events given up on, found, shown,
 * handled again or discarded. */
#include <httpd.h>
#include <apr_base64.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../core/redrive.h"
#include "query.h"
#include "reply.h"
#include "resources.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define REDRIVE_AT_ONCE 500
#define REDRIVE_TIME apr_time_from_sec(3)

/* --- a letter as JSON -------------------------------------------------- */

static json_t *number_or_null(const char *digits)
{
    return digits ? json_integer((json_int_t)apr_atoi64(digits))
                  : json_null();
}

static json_t *time_or_null(te_req_t *req, apr_time_t t)
{
    return t == TE_TIME_NONE ? json_null()
                             : json_string(te_time_format(req->pool, t));
}

static json_t *letter_json(te_req_t *req, const te_letter_t *letter)
{
    return json_pack(
        "{s:I,s:s,s:s,s:s,s:s,s:s,s:s?,s:s?,s:o,s:o,s:I,s:o,s:o,s:o,s:s?,"
        "s:s?,s:s,s:I}",
        "id", (json_int_t)letter->id, "stage", letter->stage, "state",
        letter->state, "reason", letter->reason, "source", letter->source,
        "event_id", letter->event_id, "user_id", letter->user_id, "topic",
        letter->topic, "partition", number_or_null(letter->partition),
        "offset", number_or_null(letter->offset), "attempts",
        (json_int_t)letter->attempts, "first_failed_at",
        time_or_null(req, letter->first_failed_at), "last_failed_at",
        time_or_null(req, letter->last_failed_at), "closed_at",
        time_or_null(req, letter->closed_at), "closed_by", letter->closed_by,
        "note", letter->note, "alert", letter->alert, "body_size",
        (json_int_t)letter->full_size);
}

/* As JSON when it is that, so that it can be read; else its bytes. */
static void add_body(te_req_t *req, json_t *json, const te_letter_t *letter)
{
    const char *detail;
    json_t *body = te_json_parse(req->pool, letter->body, letter->body_size,
                                 &detail);
    char *text;

    if (body != NULL) {
        json_object_set_new(json, "encoding", json_string("json"));
        json_object_set(json, "body", body);
        return;
    }
    text = apr_palloc(req->pool,
                      (apr_size_t)apr_base64_encode_len(
                          (int)letter->body_size));
    apr_base64_encode_binary(text, (const unsigned char *)letter->body,
                             (int)letter->body_size);
    json_object_set_new(json, "encoding", json_string("base64"));
    json_object_set_new(json, "body", json_string(text));
}

static int no_such_letter(te_req_t *req)
{
    return te_reply_problem(req, HTTP_NOT_FOUND,
                            "There is no such dead letter.");
}

/* --- GET …/dead-letters ------------------------------------------------ */

typedef struct {
    te_letter_filter_t filter;
    int limit;                          /* what was asked for */
    apr_array_header_t *letters;
} listing_t;

static int is_one_of(const char *const *words, const char *value)
{
    for (; *words != NULL; ++words) {
        if (strcmp(*words, value) == 0) {
            return 1;
        }
    }
    return 0;
}

static int is_stage(const char *value)
{
    static const char *const stages[] = {"publish", "handle", "malformed",
                                         "deadletter", NULL};

    return is_one_of(stages, value);
}

#define STAGES "must be publish, handle, malformed or deadletter"

static const char *read_state(te_req_t *req, const char *value, void *data)
{
    static const char *const states[] = {
        TE_LETTER_OPEN, TE_LETTER_REDRIVEN, TE_LETTER_DISCARDED, NULL};

    (void)req;
    ((listing_t *)data)->filter.state = value;
    return is_one_of(states, value)
               ? NULL : "must be open, redriven or discarded";
}

static const char *read_stage(te_req_t *req, const char *value, void *data)
{
    (void)req;
    ((listing_t *)data)->filter.stage = value;
    return is_stage(value) ? NULL : STAGES;
}

static const char *read_reason(te_req_t *req, const char *value, void *data)
{
    (void)req;
    ((listing_t *)data)->filter.reason = value;
    return NULL;
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
    (void)req;
    return te_text_to_id(value, &((listing_t *)data)->filter.after)
               ? NULL : "must be the id of a dead letter";
}

static const te_param_rule_t list_rules[] = {
    {"state", read_state},
    {"stage", read_stage},
    {"reason", read_reason},
    {"limit", read_limit},
    {"after", read_after},
    {NULL, NULL}
};

/* One more than asked for tells whether there is a next page. */
static te_db_err_e list_letters(te_db_t *db, te_req_t *req, void *data,
                                int again)
{
    listing_t *listing = data;

    (void)again;
    listing->filter.limit = listing->limit + 1;
    return te_letters_list(db, req->pool, &listing->filter,
                           &listing->letters);
}

int te_letters_route(te_req_t *req)
{
    listing_t listing;
    json_t *array;
    int i, n, status;

    memset(&listing, 0, sizeof listing);
    listing.limit = LIMIT_DEFAULT;
    status = te_query_read(req, list_rules, &listing);
    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, list_letters, &listing)) {
        return DONE;
    }
    n = listing.letters->nelts;
    if (n > listing.limit) {
        const te_letter_t *last;

        n = listing.limit;
        last = APR_ARRAY_IDX(listing.letters, n - 1, const te_letter_t *);
        apr_table_setn(req->r->headers_out, "Link", apr_psprintf(
            req->pool, "<%s?%s>; rel=\"next\"",
            ap_os_escape_path(req->pool, req->r->uri, 1),
            te_query_next(req, apr_psprintf(req->pool,
                                            "%" APR_INT64_T_FMT, last->id))));
    }
    array = json_array();
    for (i = 0; i < n; ++i) {
        json_array_append_new(array, letter_json(
            req, APR_ARRAY_IDX(listing.letters, i, const te_letter_t *)));
    }
    return te_reply_json(req, HTTP_OK, array);
}

/* --- GET …/dead-letters/{id} ------------------------------------------- */

/* One letter, and what is done to it. */
typedef struct {
    apr_int64_t id;
    const char *by;
    te_letter_t *letter;
    int was_open;
    te_redriven_t redriven;
    apr_pool_t *pool;
} single_t;

static te_db_err_e get_letter(te_db_t *db, te_req_t *req, void *data,
                              int again)
{
    single_t *single = data;

    (void)again;
    return te_letters_get(db, req->pool, single->id, &single->letter);
}

int te_letter_route(te_req_t *req)
{
    single_t single;
    json_t *json;
    int status = te_request_no_query(req);

    if (status != OK) {
        return status;
    }
    memset(&single, 0, sizeof single);
    if (te_text_to_id(req->match.id, &single.id)
        && !te_request_work(req, get_letter, &single)) {
        return DONE;
    }
    if (single.letter == NULL) {
        return no_such_letter(req);
    }
    json = letter_json(req, single.letter);
    add_body(req, json, single.letter);
    return te_reply_json(req, HTTP_OK, json);
}

/* --- who may write ----------------------------------------------------- */

static const char *operator_of(te_req_t *req)
{
    return req->r->user ? req->r->user : req->r->useragent_ip;
}

/* @param body  NULL when there is none
 * @return OK; else what the handler must return */
static int read_command(te_req_t *req, json_t **body)
{
    int status = te_request_no_query(req);

    *body = NULL;
    if (status != OK) {
        return status;
    }
    if (te_request_is_foreign(req->r)) {
        return te_reply_problem(req, HTTP_FORBIDDEN, "The request comes from "
                                "a page of another origin.");
    }
    return te_request_json(req, TE_BODY_MAYBE_EMPTY, body);
}

static void fault(te_req_t *req, apr_array_header_t *faults,
                  const char *pointer, const char *detail)
{
    te_fault_t *f = apr_array_push(faults);

    f->pointer = apr_pstrdup(req->pool, pointer);
    f->detail = detail;
}

static int refuse(te_req_t *req, const apr_array_header_t *faults)
{
    return te_reply_faults(req, HTTP_UNPROCESSABLE_ENTITY,
                           "The body breaks the rules named in errors.",
                           faults);
}

/* For what takes no members. */
static int read_bare_command(te_req_t *req, single_t *single)
{
    apr_array_header_t *faults =
        apr_array_make(req->pool, 1, sizeof(te_fault_t));
    const char *name;
    json_t *body, *value;
    int status = read_command(req, &body);

    if (status != OK) {
        return status;
    }
    json_object_foreach(body, name, value) {
        fault(req, faults, te_fault_pointer(req->pool, name),
              "is not a member here");
    }
    if (faults->nelts > 0) {
        return refuse(req, faults);
    }
    memset(single, 0, sizeof *single);
    single->by = operator_of(req);
    single->pool = req->pool;
    return te_text_to_id(req->match.id, &single->id) ? OK
                                                     : no_such_letter(req);
}

static int answer_letter(te_req_t *req, const te_letter_t *letter,
                         const char *wanted)
{
    if (letter == NULL) {
        return no_such_letter(req);
    }
    if (strcmp(letter->state, wanted) != 0) {
        return te_reply_problem(req, HTTP_CONFLICT, apr_psprintf(
            req->pool, "The dead letter is %s already.", letter->state));
    }
    return te_reply_json(req, HTTP_OK, letter_json(req, letter));
}

/* --- POST …/dead-letters/{id}/redrive and …/discard -------------------- */

static te_db_err_e redrive_letter(te_db_t *db, te_req_t *req, void *data,
                                  int again)
{
    single_t *single = data;

    (void)again;                /* a letter that was closed says so */
    return te_redrive(req->settings, req->app->db, db, single->pool,
                      single->id, single->by, &single->redriven);
}

int te_letter_redrive_route(te_req_t *req)
{
    single_t single;
    int status = read_bare_command(req, &single);

    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, redrive_letter, &single)) {
        return DONE;
    }
    if (single.redriven.wrote) {
        te_request_wrote(req);
    }
    if (single.redriven.result == TE_REDRIVE_FAILED) {
        return te_reply_problem(req, HTTP_UNPROCESSABLE_ENTITY, apr_psprintf(
            req->pool, "The event failed again and stays a dead letter: %s.",
            single.redriven.reason));
    }
    if (single.redriven.result == TE_REDRIVE_DONE
        && single.redriven.letter != NULL) {
        return te_reply_json(req, HTTP_OK,
                             letter_json(req, single.redriven.letter));
    }
    return answer_letter(req, single.redriven.letter, TE_LETTER_REDRIVEN);
}

static te_db_err_e discard_letter(te_db_t *db, te_req_t *req, void *data,
                                  int again)
{
    single_t *single = data;

    (void)again;
    return te_discard(db, req->pool, single->id, single->by,
                      &single->was_open, &single->letter);
}

int te_letter_discard_route(te_req_t *req)
{
    single_t single;
    int status = read_bare_command(req, &single);

    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, discard_letter, &single)) {
        return DONE;
    }
    return answer_letter(req, single.letter, TE_LETTER_DISCARDED);
}

/* --- POST …/dead-letters/redrive --------------------------------------- */

typedef struct {
    te_letter_filter_t filter;
    apr_array_header_t *ids;
} batch_t;

static int read_batch(te_req_t *req, te_letter_filter_t *filter)
{
    apr_array_header_t *faults =
        apr_array_make(req->pool, 1, sizeof(te_fault_t));
    const char *name, *text;
    json_t *body, *value;
    int status = read_command(req, &body);

    if (status != OK) {
        return status;
    }
    memset(filter, 0, sizeof *filter);
    filter->state = TE_LETTER_OPEN;
    filter->limit = REDRIVE_AT_ONCE + 1;
    json_object_foreach(body, name, value) {
        text = json_string_value(value);
        if (strcmp(name, "reason") == 0) {
            filter->reason = text;
            if (text == NULL) {
                fault(req, faults, "#/reason", "must be a string");
            }
        }
        else if (strcmp(name, "stage") == 0) {
            filter->stage = text;
            if (text == NULL || !is_stage(text)) {
                fault(req, faults, "#/stage", STAGES);
            }
        }
        else if (strcmp(name, "after") == 0) {
            filter->after = json_integer_value(value);
            if (!json_is_integer(value) || filter->after < 0) {
                fault(req, faults, "#/after", "must be the id of a dead "
                      "letter");
            }
        }
        else {
            fault(req, faults, te_fault_pointer(req->pool, name),
                  "is not a member here");
        }
    }
    if (faults->nelts == 0 && filter->reason == NULL
        && filter->stage == NULL) {
        fault(req, faults, "#", "must have reason or stage");
    }
    return faults->nelts > 0 ? refuse(req, faults) : OK;
}

static te_db_err_e find_letters(te_db_t *db, te_req_t *req, void *data,
                                int again)
{
    batch_t *batch = data;

    (void)again;
    return te_letters_ids(db, req->pool, &batch->filter, &batch->ids);
}

/* What can be done in a request's time, each in a transaction of its own; the
 * rest is for the next request. */
int te_letters_redrive_route(te_req_t *req)
{
    apr_time_t until = apr_time_now() + REDRIVE_TIME;
    json_int_t redriven = 0, failed = 0;
    single_t single;
    batch_t batch;
    int i, status = read_batch(req, &batch.filter);

    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, find_letters, &batch)) {
        return DONE;
    }
    memset(&single, 0, sizeof single);
    single.by = operator_of(req);
    apr_pool_create(&single.pool, req->pool);
    for (i = 0; i < batch.ids->nelts && i < REDRIVE_AT_ONCE
                && apr_time_now() < until; ++i) {
        apr_pool_clear(single.pool);
        single.id = APR_ARRAY_IDX(batch.ids, i, apr_int64_t);
        if (!te_request_work(req, redrive_letter, &single)) {
            return DONE;        /* what was done stays done */
        }
        redriven += single.redriven.result == TE_REDRIVE_DONE;
        failed += single.redriven.result == TE_REDRIVE_FAILED;
        if (single.redriven.wrote) {
            te_request_wrote(req);
        }
    }
    apr_pool_destroy(single.pool);
    return te_reply_json(req, HTTP_OK, json_pack(
        "{s:I,s:I,s:b,s:I}", "redriven", redriven, "failed", failed, "more",
        i < batch.ids->nelts, "after",
        (json_int_t)(i > 0 ? single.id : batch.filter.after)));
}
