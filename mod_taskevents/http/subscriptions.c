/* What the Dapr sidecar calls: /dapr/subscribe and the deliveries. Its rules,
 * read in dapr/dapr pkg/runtime/subscription: 2xx with an empty body is
 * success; a body whose status is any word but SUCCESS is not; 404 drops the
 * event; anything else is tried again. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>

#include "../core/effects.h"
#include "reply.h"
#include "resources.h"

APLOG_USE_MODULE(taskevents);

#define DELIVERY_MAX (256 * 1024)
#define DEAD_LETTER_MAX (4 * 1024 * 1024)   /* daprd's own limit */
#define HEAD_OF_LARGER (64 * 1024)

/* Without a sidecar there is nobody who may call these. */
static int is_local(te_req_t *req)
{
    return req->settings->transport == TE_TRANSPORT_LOCAL;
}

static int not_here(te_req_t *req)
{
    return te_reply_problem(req, HTTP_NOT_FOUND,
                            te_problem_detail(HTTP_NOT_FOUND));
}

static json_t *subscription(te_req_t *req, te_topic_e topic,
                            const char *route)
{
    const te_settings_t *settings = req->settings;
    json_t *json = json_pack("{s:s,s:s,s:s}", "pubsubname", settings->pubsub,
                             "topic", settings->topics[topic], "route",
                             apr_pstrcat(req->pool, req->conf->prefix, route,
                                         NULL));

    if (topic != TE_TOPIC_DEAD_LETTERS) {
        json_object_set_new(json, "deadLetterTopic", json_string(
            settings->topics[TE_TOPIC_DEAD_LETTERS]));
    }
    return json;
}

/* Asked once in a sidecar's life: no database in here. */
int te_subscribe(te_req_t *req)
{
    json_t *all;

    if (is_local(req)) {
        return not_here(req);
    }
    all = json_array();
    json_array_append_new(all, subscription(req, TE_TOPIC_TASKS,
                                            "/events/tasks"));
    json_array_append_new(all, subscription(req, TE_TOPIC_REMINDERS,
                                            "/events/reminders"));
    json_array_append_new(all, subscription(req, TE_TOPIC_DEAD_LETTERS,
                                            "/events/dead-letters"));
    return te_reply_json(req, HTTP_OK, all);
}

typedef struct {
    te_delivery_t delivery;
    te_event_outcome_e outcome;
    int followed;
} handled_t;

static te_db_err_e handle(te_db_t *db, te_req_t *req, void *data, int again)
{
    handled_t *handled = data;

    (void)again;                /* the inbox tells */
    return te_event_handle(req->settings, req->app->db, db, req->pool,
                           &handled->delivery, &handled->outcome,
                           &handled->followed);
}

static te_db_err_e keep_dead_letter(te_db_t *db, te_req_t *req, void *data,
                                    int again)
{
    handled_t *handled = data;

    (void)again;
    return te_event_keep(req->settings, db, req->pool, &handled->delivery,
                         "deadletter",
                         "the sidecar gave it up after its retries");
}

static const char *digits(te_req_t *req, const char *header)
{
    const char *text = apr_table_get(req->r->headers_in, header);
    apr_size_t n = text ? strlen(text) : 0;

    return n > 0 && n < 10 + 9 && strspn(text, "0123456789") == n ? text
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
    delivery->partition = digits(req, "__partition");
    delivery->offset = digits(req, "__offset");
    if (delivery->partition != NULL && strlen(delivery->partition) > 9) {
        delivery->partition = NULL;
    }
}

static int deliver(te_req_t *req, te_topic_e topic, apr_size_t cap,
                   te_work_fn *work)
{
    handled_t handled;
    te_db_err_e err;
    int status;

    if (is_local(req)) {
        return not_here(req);
    }
    memset(&handled, 0, sizeof handled);
    handled.delivery.topic = req->settings->topics[topic];
    read_record(req, &handled.delivery);
    status = te_request_head(req, cap, &handled.delivery.bytes,
                             &handled.delivery.size,
                             &handled.delivery.full_size);
    if (status != OK) {
        return status;
    }
    if (handled.delivery.full_size > (apr_off_t)cap) {
        handled.delivery.size = HEAD_OF_LARGER;
    }
    err = te_request_try(req, work, &handled);
    if (err != TE_DB_OK) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, req->r, "TE0403: a "
                      "delivery was not handled (database: %s) and is left "
                      "to the sidecar's retries", te_db_err_name(err));
        return te_reply_empty(req, HTTP_INTERNAL_SERVER_ERROR);
    }
    if (handled.followed) {
        te_request_wrote(req);
    }
    return te_reply_empty(req, HTTP_OK);
}

int te_deliver_tasks(te_req_t *req)
{
    return deliver(req, TE_TOPIC_TASKS, DELIVERY_MAX, handle);
}

int te_deliver_reminders(te_req_t *req)
{
    return deliver(req, TE_TOPIC_REMINDERS, DELIVERY_MAX, handle);
}

int te_deliver_dead_letters(te_req_t *req)
{
    return deliver(req, TE_TOPIC_DEAD_LETTERS, DEAD_LETTER_MAX,
                   keep_dead_letter);
}
