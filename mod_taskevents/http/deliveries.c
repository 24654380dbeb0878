/* What the Dapr sidecar delivers. Its rules, read in dapr/dapr
 * pkg/runtime/subscription: of one event, 2xx with an empty body is success; a
 * body whose status is any word but SUCCESS is not; 404 drops the event;
 * anything else is tried again. Of several, a status for each; what has none
 * is tried again, and so are all of them after a body that is none. */
#include <httpd.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/log.h"
#include "../base/text.h"
#include "../core/bulk.h"
#include "../core/effects.h"
#include "../core/event.h"
#include "reply.h"
#include "resources.h"

#define EVENT_MAX (256 * 1024)
#define BODY_MAX (4 * 1024 * 1024)      /* daprd's own limit */
#define HEAD_OF_LARGER (64 * 1024)
/* After that no other one of a batch is begun: with the time that the last may
 * take this stays below the sidecar's patience of 10 s (resiliency.yaml). */
#define BULK_PATIENCE apr_time_from_sec(5)

typedef struct {
    te_delivery_t *deliveries;
    int n;
    int followed;               /* something new is in the outbox */
} work_t;

static te_db_err_e handle(te_db_t *db, te_req_t *req, void *data, int again)
{
    work_t *work = data;
    int followed;
    te_db_err_e err = te_events_handle(req->settings, req->app->db, db,
                                       req->pool, work->deliveries, work->n,
                                       &followed);

    (void)again;                /* the inbox tells */
    work->followed |= followed;
    return err;
}

static te_db_err_e keep_dead_letter(te_db_t *db, te_req_t *req, void *data,
                                    int again)
{
    work_t *work = data;

    (void)again;
    return te_event_keep(req->settings, db, req->pool, work->deliveries,
                         "deadletter",
                         "the sidecar gave it up after its retries");
}

static void cut(te_delivery_t *delivery, apr_size_t cap)
{
    if (delivery->full_size > (apr_off_t)cap) {
        delivery->size = HEAD_OF_LARGER;
    }
}

/* Who it is, also of one that nobody has read yet. */
static const char *id_of(te_req_t *req, te_delivery_t *delivery)
{
    const char *source;

    if (delivery->event_id == NULL) {
        te_event_identity(req->pool, delivery->bytes, delivery->size,
                          &source, &delivery->event_id, &delivery->user_id);
    }
    return te_text_printable(req->pool,
                             delivery->event_id ? delivery->event_id : "-");
}

static void tell_failure(te_req_t *req, int n, te_delivery_t *first,
                         te_db_err_e err)
{
    te_log(TE_LOG_WARNING, 0, "TE0403", "deliveries were not handled (%d, "
           "database: %s) and are left to the sidecar's retries; the first "
           "is event %s", n, te_db_err_name(err), id_of(req, first));
}

/* For the access log. */
static void note_delivery(te_req_t *req, te_delivery_t *delivery,
                          const char *outcome)
{
    te_request_note_event(req, id_of(req, delivery));
    if (delivery->user_id != NULL) {
        te_request_note(req, "user",
                        te_text_printable(req->pool, delivery->user_id));
    }
    if (delivery->task_id != 0) {
        te_request_note_task(req, delivery->task_id);
    }
    te_request_note(req, "outcome", outcome);
}

/* --- one event --------------------------------------------------------- */

static int deliver_one(te_req_t *req, te_delivery_t *delivery,
                       te_work_fn *what)
{
    work_t work = {delivery, 1, 0};
    te_db_err_e err = te_request_try(req, what, &work);

    note_delivery(req, delivery,
                  err == TE_DB_OK && what == keep_dead_letter
                      ? "dead_letter" : te_event_outcome(delivery));
    if (err != TE_DB_OK) {
        tell_failure(req, 1, delivery, err);
        return te_reply_empty(req, HTTP_INTERNAL_SERVER_ERROR);
    }
    if (work.followed) {
        te_request_wrote(req);
    }
    return te_reply_empty(req, HTTP_OK);
}

/* --- several ----------------------------------------------------------- */

/* Nothing can be expected of the next one either. */
static int is_outage(te_db_err_e err)
{
    return err == TE_DB_AWAY || err == TE_DB_OLD || err == TE_DB_LOST;
}

/* Whose turn it is to wait when this one fails. */
static const char *stream_of(te_req_t *req, const te_delivery_t *delivery)
{
    const char *source, *id, *user = delivery->user_id;

    if (user == NULL) {
        te_event_identity(req->pool, delivery->bytes, delivery->size, &source,
                          &id, &user);
    }
    return user ? user : "";
}

/* The batch failed: one by one. What has to wait makes the later ones of its
 * stream wait too, and nobody else. */
static te_db_err_e one_by_one(te_req_t *req, const work_t *batch,
                              int *followed)
{
    apr_hash_t *waiting = apr_hash_make(req->pool);
    apr_time_t give_up = req->r->request_time + BULK_PATIENCE;
    te_db_err_e err = TE_DB_OK, last = TE_DB_OK;
    int i;

    for (i = 0; i < batch->n && !is_outage(err)
                && apr_time_now() < give_up; ++i) {
        work_t work = {&batch->deliveries[i], 1, 0};
        const char *stream = stream_of(req, work.deliveries);

        if (work.deliveries->done
            || apr_hash_get(waiting, stream, APR_HASH_KEY_STRING) != NULL) {
            continue;
        }
        err = te_request_try(req, handle, &work);
        *followed |= work.followed;
        if (err != TE_DB_OK) {
            last = err;
            apr_hash_set(waiting, stream, APR_HASH_KEY_STRING, stream);
        }
    }
    return last != TE_DB_OK ? last : TE_DB_BUSY;
}

/* How many of them and, for the access log, the first one's id. */
static void note_batch(te_req_t *req, const work_t *batch, int n_done)
{
    te_request_note_event(req, id_of(req, batch->deliveries));
    te_request_note(req, "outcome", apr_psprintf(req->pool, "%d of %d done",
                                                 n_done, batch->n));
}

static int answer_all(te_req_t *req, const apr_array_header_t *entries,
                      const work_t *batch, te_db_err_e err)
{
    char *done = apr_pcalloc(req->pool, (apr_size_t)batch->n + 1);
    te_delivery_t *failed = NULL;
    int i, n_done = 0;

    for (i = 0; i < batch->n; ++i) {
        n_done += done[i] = (char)batch->deliveries[i].done;
        if (!done[i] && failed == NULL) {
            failed = &batch->deliveries[i];
        }
    }
    if (failed != NULL) {
        tell_failure(req, batch->n - n_done, failed, err);
    }
    if (batch->n > 0) {
        note_batch(req, batch, n_done);
    }
    if (batch->followed) {
        te_request_wrote(req);
    }
    return n_done == 0 && batch->n > 0
               ? te_reply_empty(req, HTTP_INTERNAL_SERVER_ERROR)
               : te_reply_text(req, HTTP_OK,
                               te_bulk_answer(req->pool, entries, done));
}

static int deliver_all(te_req_t *req, const te_delivery_t *whole,
                       const apr_array_header_t *entries)
{
    work_t batch = {NULL, entries->nelts, 0};
    te_db_err_e err;
    int i;

    if (batch.n == 0) {         /* broken: what is in it comes again, singly */
        te_log(TE_LOG_WARNING, 0, "TE0404", "a bulk delivery of %"
               APR_SIZE_T_FMT " bytes has no entries; the sidecar is asked "
               "to deliver again", whole->size);
        return answer_all(req, entries, &batch, TE_DB_OK);
    }
    batch.deliveries = apr_pcalloc(req->pool, (apr_size_t)batch.n
                                              * sizeof *batch.deliveries);
    for (i = 0; i < batch.n; ++i) {
        const te_bulk_entry_t *entry =
            &APR_ARRAY_IDX(entries, i, te_bulk_entry_t);
        te_delivery_t *delivery = &batch.deliveries[i];

        delivery->topic = whole->topic;
        delivery->bytes = entry->event;
        delivery->size = entry->size;
        delivery->full_size = (apr_off_t)entry->size;
        cut(delivery, EVENT_MAX);
    }
    err = te_request_try(req, handle, &batch);
    if (err != TE_DB_OK && !is_outage(err)) {
        err = one_by_one(req, &batch, &batch.followed);
    }
    return answer_all(req, entries, &batch, err);
}

static const char *digits(te_req_t *req, const char *header, apr_size_t most)
{
    const char *text = apr_table_get(req->r->headers_in, header);
    apr_size_t n = text ? strlen(text) : 0;

    return n > 0 && n <= most && strspn(text, "0123456789") == n ? text
                                                                 : NULL;
}

/* Where the record stood. On the dead-letter route these headers are the
 * original record's: the sidecar copies them along with it. */
static void read_record(te_req_t *req, te_delivery_t *delivery)
{
    const char *topic = apr_table_get(req->r->headers_in, "__topic");

    if (topic != NULL && te_topic_valid(topic)) {
        delivery->topic = topic;
    }
    delivery->partition = digits(req, "__partition", 9);
    delivery->offset = digits(req, "__offset", 18);
}

/* --- routes ------------------------------------------------------------ */

static int deliver(te_req_t *req, te_topic_e topic, te_work_fn *what)
{
    apr_array_header_t *entries = NULL;
    te_delivery_t delivery;

    /* without a sidecar there is nobody who may call these */
    if (req->settings->transport == TE_TRANSPORT_LOCAL) {
        return te_reply_problem(req, HTTP_NOT_FOUND,
                                te_problem_detail(HTTP_NOT_FOUND));
    }
    memset(&delivery, 0, sizeof delivery);
    delivery.topic = req->settings->topics[topic];
    read_record(req, &delivery);
    if (!te_request_head(req, BODY_MAX, &delivery.bytes, &delivery.size,
                         &delivery.full_size)) {
        return te_reply_empty(req, HTTP_INTERNAL_SERVER_ERROR);
    }
    if (what == handle && delivery.full_size <= BODY_MAX) {
        entries = te_bulk_parse(req->pool, delivery.bytes, delivery.size);
    }
    if (entries != NULL) {
        return deliver_all(req, &delivery, entries);
    }
    cut(&delivery, what == handle ? EVENT_MAX : BODY_MAX);
    return deliver_one(req, &delivery, what);
}

int te_deliver_tasks(te_req_t *req)
{
    return deliver(req, TE_TOPIC_TASKS, handle);
}

int te_deliver_reminders(te_req_t *req)
{
    return deliver(req, TE_TOPIC_REMINDERS, handle);
}

int te_deliver_dead_letters(te_req_t *req)
{
    return deliver(req, TE_TOPIC_DEAD_LETTERS, keep_dead_letter);
}
