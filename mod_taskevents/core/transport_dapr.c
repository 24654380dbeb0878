/* Dapr's bulk publish API: POST /v1.0/publish/bulk/{pubsub}/{topic}. Read in
 * dapr/dapr: pkg/api/http (onBulkPublish): 204 all accepted; 500 with
 * failedEntries: the others were accepted; anything else: nothing is known. */
#include <apr_escape.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/http_client.h"
#include "../base/json.h"
#include "backoff.h"
#include "transport.h"

#define MAX_REQUEST_BYTES (1024 * 1024)     /* daprd reads 4 MiB */
#define IN_FLIGHT 4
#define STOP_GRACE apr_time_from_sec(2)

typedef struct {
    te_transport_t base;
    const te_settings_t *settings;
    te_http_client_t *client;
    const char *urls[TE_TOPIC_COUNT];
    const char *headers[3];
} dapr_t;

/* One bulk request: some events of one topic. */
typedef struct {
    const char *url;
    apr_array_header_t *sendings;       /* of te_sending_t * */
    apr_size_t bytes;
} bulk_t;

static const char entry_format[] =
    "%s{\"entryId\":\"%s\",\"contentType\":\"application/cloudevents+json\","
    "\"metadata\":{\"partitionKey\":\"%s\"},\"event\":";

/* Room for one entry beside its event: ids and user ids are short, and hold
 * nothing that JSON would escape. */
#define ENTRY_OVERHEAD 320

static const char *bulk_body(apr_pool_t *p, const bulk_t *bulk)
{
    char *body = apr_palloc(p, bulk->bytes + 3), *o = body;
    int i;

    *o++ = '[';
    for (i = 0; i < bulk->sendings->nelts; ++i) {
        const te_outbox_row_t *row =
            APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *)->row;

        o += apr_snprintf(o, ENTRY_OVERHEAD, entry_format, i ? "," : "",
                          row->event_id, row->user_id);
        memcpy(o, row->event, row->event_size);
        o += row->event_size;
        *o++ = '}';
    }
    *o++ = ']';
    *o = '\0';
    return body;
}

static const char *url_of(dapr_t *dapr, const char *topic)
{
    int i;

    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        if (strcmp(topic, dapr->settings->topics[i]) == 0) {
            return dapr->urls[i];
        }
    }
    return NULL;
}

/* A bulk of this topic with room for the event; a new one if there is none. */
static bulk_t *bulk_for(dapr_t *dapr, apr_array_header_t *bulks,
                        const te_outbox_row_t *row, apr_pool_t *p)
{
    const char *url = url_of(dapr, row->topic);
    apr_size_t bytes = row->event_size + ENTRY_OVERHEAD;
    bulk_t *bulk;
    int i;

    for (i = bulks->nelts - 1; i >= 0; --i) {
        bulk = &APR_ARRAY_IDX(bulks, i, bulk_t);
        if (bulk->url == url) {
            if (bulk->sendings->nelts < dapr->settings->publish_batch
                && bulk->bytes + bytes <= MAX_REQUEST_BYTES) {
                bulk->bytes += bytes;
                return bulk;
            }
            break;
        }
    }
    bulk = apr_array_push(bulks);
    bulk->url = url;
    bulk->bytes = bytes;
    bulk->sendings = apr_array_make(p, 16, sizeof(te_sending_t *));
    return bulk;
}

static void settle_all(const bulk_t *bulk, te_sent_e result,
                       const char *error)
{
    int i;

    for (i = 0; i < bulk->sendings->nelts; ++i) {
        te_sending_t *s = APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *);

        s->result = result;
        s->error = error;
    }
}

/* 500 with failedEntries. */
static void settle_some(const bulk_t *bulk, const json_t *failed,
                        apr_pool_t *p)
{
    apr_hash_t *errors = apr_hash_make(p);
    const json_t *entry;
    size_t index;
    int i;

    json_array_foreach(failed, index, entry) {
        const char *id = te_json_get_string(entry, "entryId");
        const char *error = te_json_get_string(entry, "error");

        if (id != NULL) {
            apr_hash_set(errors, id, APR_HASH_KEY_STRING,
                         error ? error : "refused without a reason");
        }
    }
    settle_all(bulk, TE_SENT_ACCEPTED, NULL);
    for (i = 0; i < bulk->sendings->nelts; ++i) {
        te_sending_t *s = APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *);

        s->error = apr_hash_get(errors, s->row->event_id,
                                APR_HASH_KEY_STRING);
        if (s->error != NULL) {
            s->result = TE_SENT_FAILED;
        }
    }
}

static void settle(const bulk_t *bulk, const te_http_request_t *request,
                   apr_pool_t *p)
{
    const json_t *answer, *failed;
    const char *detail, *code;

    if (request->status == 204) {
        settle_all(bulk, TE_SENT_ACCEPTED, NULL);
        return;
    }
    if (request->status == 0) {
        settle_all(bulk, TE_SENT_UNKNOWN, request->error);
        return;
    }
    answer = te_json_parse(p, request->answer, request->answer_size, &detail);
    failed = json_object_get(answer, "failedEntries");
    if (request->status == 500 && json_is_array(failed)) {
        settle_some(bulk, failed, p);
        return;
    }
    code = te_json_get_string(answer, "errorCode");
    settle_all(bulk, TE_SENT_UNKNOWN,
               apr_psprintf(p, "the sidecar answered %d %s", request->status,
                            code ? code : ""));
}

static void send_bulks(dapr_t *dapr, const apr_array_header_t *bulks,
                       int start, int n, apr_pool_t *p)
{
    te_http_request_t requests[IN_FLIGHT];
    int i;

    memset(requests, 0, sizeof requests);
    for (i = 0; i < n; ++i) {
        const bulk_t *bulk = &APR_ARRAY_IDX(bulks, start + i, bulk_t);

        requests[i].url = bulk->url;
        requests[i].headers = dapr->headers;
        requests[i].body = bulk_body(p, bulk);
        requests[i].body_size = strlen(requests[i].body);
    }
    te_http_perform(dapr->client, requests, n,
                    dapr->settings->publish_timeout, STOP_GRACE, p);
    for (i = 0; i < n; ++i) {
        settle(&APR_ARRAY_IDX(bulks, start + i, bulk_t), &requests[i], p);
    }
}

static void dapr_send(te_transport_t *transport, te_sending_t *wave, int n,
                      apr_pool_t *p)
{
    dapr_t *dapr = (dapr_t *)transport;
    apr_array_header_t *bulks = apr_array_make(p, 8, sizeof(bulk_t));
    int i;

    for (i = 0; i < n; ++i) {
        if (url_of(dapr, wave[i].row->topic) == NULL) {
            wave[i].result = TE_SENT_FAILED;
            wave[i].error = "TaskEventsTopic no longer names its topic";
            continue;
        }
        APR_ARRAY_PUSH(bulk_for(dapr, bulks, wave[i].row, p)->sendings,
                       te_sending_t *) = &wave[i];
    }
    for (i = 0; i < bulks->nelts; i += IN_FLIGHT) {
        send_bulks(dapr, bulks, i,
                   bulks->nelts - i < IN_FLIGHT ? bulks->nelts - i
                                                : IN_FLIGHT, p);
    }
}

static void dapr_stop(te_transport_t *transport)
{
    te_http_client_stop(((dapr_t *)transport)->client);
}

apr_status_t te_transport_dapr(te_transport_t **out,
                               const te_settings_t *settings, apr_pool_t *p)
{
    dapr_t *dapr = apr_pcalloc(p, sizeof *dapr);
    int i;

    dapr->base.name = "dapr";
    dapr->base.send = dapr_send;
    dapr->base.wait = te_backoff;
    dapr->base.stop = dapr_stop;
    dapr->settings = settings;
    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        dapr->urls[i] = apr_pstrcat(p, settings->dapr_url,
                                    "/v1.0/publish/bulk/",
                                    apr_pescape_urlencoded(p,
                                                           settings->pubsub),
                                    "/",
                                    apr_pescape_urlencoded(
                                        p, settings->topics[i]),
                                    NULL);
    }
    dapr->headers[0] = "Content-Type: application/json";
    if (settings->dapr_token != NULL) {
        dapr->headers[1] = apr_pstrcat(p, "dapr-api-token: ",
                                       settings->dapr_token, NULL);
    }
    *out = &dapr->base;
    return te_http_client_create(&dapr->client, p);
}
