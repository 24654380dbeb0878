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
#include "page.h"
#include "query.h"
#include "reply.h"
#include "resources.h"
#include "status.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 200
#define AT_ONCE 500
#define TIME_FOR_MANY apr_time_from_sec(3)

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
        "{s:I,s:s,s:s,s:s,s:s,s:s,s:s?,s:s?,s:s?,s:o,s:o,s:I,s:o,s:o,s:o,"
        "s:s?,s:s?,s:s,s:I}",
        "id", (json_int_t)letter->id, "stage", letter->stage, "state",
        letter->state, "reason", letter->reason, "source", letter->source,
        "event_id", letter->event_id, "type", letter->type, "user_id", letter->user_id, "topic",
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

/* Fields of a form that were left empty ask for nothing. */
static const char *given(const te_req_t *req, const char *value)
{
    return req->page && *value == '\0' ? NULL : value;
}

static const char *read_state(te_req_t *req, const char *value, void *data)
{
    static const char *const states[] = {
        TE_LETTER_OPEN, TE_LETTER_REDRIVEN, TE_LETTER_DISCARDED, NULL};
    te_letter_filter_t *filter = &((listing_t *)data)->filter;

    filter->state = given(req, value);
    return filter->state == NULL || is_one_of(states, value)
               ? NULL : "must be open, redriven or discarded";
}

static const char *read_stage(te_req_t *req, const char *value, void *data)
{
    te_letter_filter_t *filter = &((listing_t *)data)->filter;

    filter->stage = given(req, value);
    return filter->stage == NULL || is_stage(value) ? NULL : STAGES;
}

static const char *read_reason(te_req_t *req, const char *value, void *data)
{
    ((listing_t *)data)->filter.reason = given(req, value);
    return NULL;
}

static const char *read_user(te_req_t *req, const char *value, void *data)
{
    ((listing_t *)data)->filter.user_id = given(req, value);
    return NULL;
}

static const char *read_type(te_req_t *req, const char *value, void *data)
{
    ((listing_t *)data)->filter.type = given(req, value);
    return NULL;
}

static const char *read_event(te_req_t *req, const char *value, void *data)
{
    ((listing_t *)data)->filter.event_id = given(req, value);
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
    {"user", read_user},
    {"type", read_type},
    {"event", read_event},
    {"format", te_query_format},
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
    if (req->page) {
        return te_letters_page(req, &listing.filter, listing.letters,
                               listing.limit);
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
    te_operator_t by;
    const char *did;                    /* what a page was sent for */
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

static const char *read_did(te_req_t *req, const char *value, void *data)
{
    (void)req;
    ((single_t *)data)->did = value;
    return NULL;
}

static const te_param_rule_t single_rules[] = {
    {"format", te_query_format},
    {"did", read_did},
    {NULL, NULL}
};

int te_letter_route(te_req_t *req)
{
    single_t single;
    json_t *json;
    int status;

    memset(&single, 0, sizeof single);
    single.did = "";
    status = te_query_read(req, single_rules, &single);
    if (status != OK) {
        return status;
    }
    if (te_text_to_id(req->match.id, &single.id)
        && !te_request_work(req, get_letter, &single)) {
        return DONE;
    }
    if (single.letter == NULL) {
        return no_such_letter(req);
    }
    if (req->page) {
        return te_letter_page(req, single.letter, single.did);
    }
    json = letter_json(req, single.letter);
    add_body(req, json, single.letter);
    return te_reply_json(req, HTTP_OK, json);
}

/* --- who may write ----------------------------------------------------- */

/* A form of ours, or JSON.
 * @param body  NULL when there is none
 * @return OK; else what the handler must return */
static int read_command(te_req_t *req, te_operator_t *by, json_t **body)
{
    int status = te_request_no_query(req);

    *body = NULL;
    if (status != OK) {
        return status;
    }
    if (te_request_is_foreign(req->r)) {
        te_page_tell_refused(req, "it comes from a page of another origin");
        return te_reply_problem(req, HTTP_FORBIDDEN, "The request comes from "
                                "a page of another origin.");
    }
    te_page_operator(req, &by->name, &by->peer);
    return req->page ? te_page_read_form(req, body)
                     : te_request_json(req, TE_BODY_MAYBE_EMPTY, body);
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
    int status;

    memset(single, 0, sizeof *single);
    status = read_command(req, &single->by, &body);
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
    single->pool = req->pool;
    return te_text_to_id(req->match.id, &single->id) ? OK
                                                     : no_such_letter(req);
}

/* To the page of the letter, which says what came of it. */
static int see_letter(te_req_t *req, apr_int64_t id)
{
    return te_page_see(req, apr_psprintf(
        req->pool, "%s/dead-letters/%" APR_INT64_T_FMT "?did=it",
        te_status_location(req->r), id));
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
    return req->page ? see_letter(req, letter->id)
                     : te_reply_json(req, HTTP_OK, letter_json(req, letter));
}

/* --- POST …/dead-letters/{id}/redrive and …/discard -------------------- */

static te_db_err_e redrive_letter(te_db_t *db, te_req_t *req, void *data,
                                  int again)
{
    single_t *single = data;

    (void)again;                /* a letter that was closed says so */
    return te_redrive(req->settings, req->app->db, db, single->pool,
                      single->id, &single->by, &single->redriven);
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
        return req->page ? see_letter(req, single.id)
                         : te_reply_problem(
            req, HTTP_UNPROCESSABLE_ENTITY, apr_psprintf(
            req->pool, "The event failed again and stays a dead letter: %s.",
            single.redriven.reason));
    }
    if (single.redriven.result == TE_REDRIVE_DONE
        && single.redriven.letter != NULL) {
        return answer_letter(req, single.redriven.letter,
                             single.redriven.letter->state);
    }
    return answer_letter(req, single.redriven.letter, TE_LETTER_REDRIVEN);
}

static te_db_err_e discard_letter(te_db_t *db, te_req_t *req, void *data,
                                  int again)
{
    single_t *single = data;

    (void)req;
    (void)again;
    return te_discard(db, single->pool, single->id, &single->by,
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

/* --- POST …/dead-letters/redrive and …/discard ------------------------- */

typedef struct {
    te_letter_filter_t filter;
    te_operator_t by;
    apr_array_header_t *ids;
} batch_t;

/* The member of a filter by its name; NULL: there is none. */
static const char **part_of(te_letter_filter_t *filter, const char *name)
{
    return strcmp(name, "reason") == 0  ? &filter->reason
           : strcmp(name, "stage") == 0 ? &filter->stage
           : strcmp(name, "user") == 0  ? &filter->user_id
           : strcmp(name, "type") == 0  ? &filter->type
           : strcmp(name, "event") == 0 ? &filter->event_id : NULL;
}

/* The fields of a form are strings all of them. */
static int read_after_member(const te_req_t *req, const json_t *value,
                             apr_int64_t *after)
{
    if (req->page) {
        return te_text_to_id(json_string_value(value), after);
    }
    *after = json_integer_value(value);
    return json_is_integer(value) && *after >= 0;
}

static void read_batch_member(te_req_t *req, const char *name,
                              const json_t *value,
                              te_letter_filter_t *filter,
                              apr_array_header_t *faults)
{
    const char *text = json_string_value(value);
    const char *pointer = te_fault_pointer(req->pool, name);
    const char **part = part_of(filter, name);

    if (part != NULL) {
        *part = text;
        if (part == &filter->stage && (text == NULL || !is_stage(text))) {
            fault(req, faults, pointer, STAGES);
        }
        else if (text == NULL) {
            fault(req, faults, pointer, "must be a string");
        }
    }
    else if (strcmp(name, "after") != 0) {
        fault(req, faults, pointer, "is not a member here");
    }
    else if (!read_after_member(req, value, &filter->after)) {
        fault(req, faults, pointer, "must be the id of a dead letter");
    }
}

static int read_batch(te_req_t *req, batch_t *batch)
{
    te_letter_filter_t *filter = &batch->filter;
    apr_array_header_t *faults =
        apr_array_make(req->pool, 1, sizeof(te_fault_t));
    const char *name;
    json_t *body, *value;
    int status;

    memset(batch, 0, sizeof *batch);
    status = read_command(req, &batch->by, &body);
    if (status != OK) {
        return status;
    }
    filter->state = TE_LETTER_OPEN;
    filter->limit = AT_ONCE + 1;
    json_object_foreach(body, name, value) {
        read_batch_member(req, name, value, filter, faults);
    }
    if (faults->nelts == 0 && filter->reason == NULL && filter->stage == NULL
        && filter->user_id == NULL && filter->type == NULL
        && filter->event_id == NULL) {
        fault(req, faults, "#", "must have reason, stage, user, type or "
              "event");
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

static void count_redriven(te_req_t *req, const single_t *single,
                           te_many_t *many)
{
    many->done += single->redriven.result == TE_REDRIVE_DONE;
    many->failed += single->redriven.result == TE_REDRIVE_FAILED;
    if (single->redriven.wrote) {
        te_request_wrote(req);
    }
}

static int answer_many(te_req_t *req, const te_many_t *many)
{
    json_t *json;

    if (req->page) {
        return te_many_page(req, many);
    }
    json = many->is_discard
               ? json_pack("{s:I}", "discarded", (json_int_t)many->done)
               : json_pack("{s:I,s:I}", "redriven", (json_int_t)many->done,
                           "failed", (json_int_t)many->failed);
    json_object_set_new(json, "more", json_boolean(many->more));
    json_object_set_new(json, "after", json_integer((json_int_t)many->after));
    return te_reply_json(req, HTTP_OK, json);
}

/* What can be done in a request's time, each in a transaction of its own; the
 * rest is for the next request. */
static int work_on_many(te_req_t *req, int is_discard)
{
    apr_time_t until = apr_time_now() + TIME_FOR_MANY;
    te_many_t many;
    single_t single;
    batch_t batch;
    int i, status = read_batch(req, &batch);

    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, find_letters, &batch)) {
        return DONE;
    }
    memset(&many, 0, sizeof many);
    many.filter = &batch.filter;
    many.is_discard = is_discard;
    memset(&single, 0, sizeof single);
    single.by = batch.by;
    apr_pool_create(&single.pool, req->pool);
    for (i = 0; i < batch.ids->nelts && i < AT_ONCE
                && apr_time_now() < until; ++i) {
        apr_pool_clear(single.pool);
        single.id = APR_ARRAY_IDX(batch.ids, i, apr_int64_t);
        if (!te_request_work(req, is_discard ? discard_letter
                                             : redrive_letter, &single)) {
            return DONE;        /* what was done stays done */
        }
        if (is_discard) {
            many.done += single.was_open;
        }
        else {
            count_redriven(req, &single, &many);
        }
    }
    apr_pool_destroy(single.pool);
    many.after = i > 0 ? single.id : batch.filter.after;
    many.more = i < batch.ids->nelts;
    return answer_many(req, &many);
}

int te_letters_redrive_route(te_req_t *req)
{
    return work_on_many(req, 0);
}

int te_letters_discard_route(te_req_t *req)
{
    return work_on_many(req, 1);
}
