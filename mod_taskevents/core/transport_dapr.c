/* Dapr's bulk publish API: POST /v1.0/publish/bulk/{pubsub}/{topic}. Read in
 * dapr/dapr: pkg/api/http (onBulkPublish): 204 all accepted; 500 with
 * failedEntries: the others were accepted; anything else: nothing is known.
 * With metadata.rawPayload an event goes on as it is, here a whole envelope. */
#include <apr_escape.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/httpclient.h"
#include "../base/json.h"
#include "../base/text.h"
#include "backoff.h"
#include "transport.h"

#define MAX_REQUEST_BYTES (1024 * 1024)     /* daprd reads 4 MiB */
#define SIDE_BY_SIDE 4          /* requests, one of each wave */
#define HEADERS_MAX 4
#define STRANGE_ANSWERS 3
#define HEALTH_TIMEOUT apr_time_from_sec(1)
#define STOP_GRACE apr_time_from_sec(2)

typedef struct {
    const char *url;
    const char *tail;                   /* of an event, with its end */
} topic_t;

typedef struct {
    te_transport_t base;
    const te_settings_t *settings;
    te_http_client_t *client;
    topic_t topics[TE_TOPIC_COUNT];
    const char *health_url;
    const char *token_header;           /* NULL: no token */
    int strange_answers;                /* in a row */
} dapr_t;

/* One bulk request: some events of one topic. */
typedef struct {
    const topic_t *topic;
    apr_array_header_t *sendings;       /* of te_sending_t * */
    apr_size_t bytes;
} bulk_t;

/* What an entry has before its id, its user id and its event. An id and a user
 * id hold nothing that JSON would escape. */
static const char before_id[] = "{\"entryId\":\"";
static const char before_user[] =
    "\",\"contentType\":\"application/cloudevents+json\","
    "\"metadata\":{\"partitionKey\":\"";
static const char before_event[] = "\"},\"event\":";

/* Room for these, and for ids of the longest. */
#define ENTRY_OVERHEAD 320

static const char *past_blanks(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

/* @return the event's bytes up to its last bracket; 0: it is no object */
static apr_size_t size_of_object(const te_outbox_row_t *row)
{
    apr_size_t n = row->event_size;

    while (n > 0 && strchr(" \t\r\n", row->event[n - 1]) != NULL) {
        --n;
    }
    return n > 1 && row->event[n - 1] == '}'
           && *past_blanks(row->event) == '{' ? n - 1 : 0;
}

static void put_event(te_json_out_t *out, const te_outbox_row_t *row,
                      const char *tail)
{
    apr_size_t n = size_of_object(row);

    te_json_put_bytes(out, row->event, n);
    if (past_blanks(past_blanks(row->event) + 1) < row->event + n) {
        te_json_put(out, ",");          /* behind a member */
    }
    te_json_put(out, tail);
}

static const char *bulk_body(apr_pool_t *p, const bulk_t *bulk,
                             apr_size_t *size)
{
    te_json_out_t out;
    int i;

    te_json_out_start(&out, p, bulk->bytes + 3);
    for (i = 0; i < bulk->sendings->nelts; ++i) {
        const te_outbox_row_t *row =
            APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *)->row;

        te_json_put(&out, i ? "," : "[");
        te_json_put(&out, before_id);
        te_json_put(&out, row->event_id);
        te_json_put(&out, before_user);
        te_json_put(&out, row->user_id);
        te_json_put(&out, before_event);
        put_event(&out, row, bulk->topic->tail);
        te_json_put(&out, "}");
    }
    te_json_put(&out, "]");
    *size = out.size;
    return te_json_out_end(&out);
}

static apr_size_t entry_size(const te_outbox_row_t *row, const topic_t *topic)
{
    return ENTRY_OVERHEAD + row->event_size + strlen(topic->tail);
}

static const topic_t *find_topic(const dapr_t *dapr, const char *topic)
{
    int i;

    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        if (strcmp(topic, dapr->settings->topics[i]) == 0) {
            return &dapr->topics[i];
        }
    }
    return NULL;
}

/* A bulk of this topic with room for the event; a new one if there is none. */
static bulk_t *bulk_for(dapr_t *dapr, apr_array_header_t *bulks,
                        const te_outbox_row_t *row, apr_pool_t *p)
{
    const topic_t *topic = find_topic(dapr, row->topic);
    apr_size_t bytes = entry_size(row, topic);
    bulk_t *bulk;
    int i;

    for (i = bulks->nelts - 1; i >= 0; --i) {
        bulk = &APR_ARRAY_IDX(bulks, i, bulk_t);
        if (bulk->topic == topic) {
            if (bulk->sendings->nelts < dapr->settings->publish_batch
                && bulk->bytes + bytes <= MAX_REQUEST_BYTES) {
                bulk->bytes += bytes;
                return bulk;
            }
            break;
        }
    }
    bulk = apr_array_push(bulks);
    bulk->topic = topic;
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

static void tell_reason(const bulk_t *bulk, const char *reason)
{
    int i;

    for (i = 0; i < bulk->sendings->nelts; ++i) {
        APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *)->reason = reason;
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
    if (bulk->sendings->nelts > 1
        && apr_hash_count(errors) >= (unsigned int)bulk->sendings->nelts) {
        /* the broker is away, not every single event at fault */
        settle_all(bulk, TE_SENT_UNKNOWN, "the broker took none of a "
                   "request's events");
        return;
    }
    for (i = 0; i < bulk->sendings->nelts; ++i) {
        te_sending_t *s = APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *);

        s->error = apr_hash_get(errors, s->row->event_id,
                                APR_HASH_KEY_STRING);
        if (s->error != NULL) {
            s->result = TE_SENT_FAILED;
        }
    }
}

/* What an answer means for a request as a whole. */
typedef enum {
    ANSWER_SETTLED,             /* each event has its result */
    ANSWER_REFUSED,             /* something in it cannot be taken: all of it
                                 * was turned down */
    ANSWER_NO_TOPIC,            /* the topic or the component is not there, or
                                 * not for us */
    ANSWER_UNKNOWN
} answer_e;

static int is_one_of(const char *code, const char *const *codes)
{
    for (; code != NULL && *codes != NULL; ++codes) {
        if (strcmp(code, *codes) == 0) {
            return 1;
        }
    }
    return 0;
}

/* dapr/dapr pkg/api/errors/pubsub.go: by status and errorCode, for a bad
 * event is a 500 too. */
static answer_e classify(int status, const char *code)
{
    static const char *const about_events[] = {
        "ERR_PUBSUB_EVENTS_SER", "ERR_PUBSUB_CLOUD_EVENTS_SER", NULL};
    static const char *const about_topics[] = {
        "ERR_PUBSUB_FORBIDDEN", "ERR_PUBSUB_NOT_FOUND",
        "ERR_PUBSUB_NOT_CONFIGURED", "ERR_PUBSUB_EMPTY",
        "ERR_TOPIC_NAME_EMPTY", NULL};

    if (is_one_of(code, about_events) || status == 413) {
        return ANSWER_REFUSED;
    }
    if (is_one_of(code, about_topics) || status == 403 || status == 404) {
        return ANSWER_NO_TOPIC;
    }
    return ANSWER_UNKNOWN;
}

static answer_e settle(const bulk_t *bulk, const te_http_request_t *request,
                       apr_pool_t *p)
{
    const json_t *answer, *failed;
    const char *detail, *code, *error;
    answer_e kind;

    if (request->status == 204) {
        settle_all(bulk, TE_SENT_ACCEPTED, NULL);
        return ANSWER_SETTLED;
    }
    if (request->status == 0) {
        settle_all(bulk, TE_SENT_UNKNOWN, request->error);
        tell_reason(bulk, request->not_sent ? "unreachable" : "no_answer");
        return ANSWER_UNKNOWN;
    }
    answer = te_json_parse(p, request->answer, request->answer_size, &detail);
    failed = json_object_get(answer, "failedEntries");
    if (request->status == 500 && json_is_array(failed)) {
        settle_some(bulk, failed, p);
        return ANSWER_SETTLED;
    }
    code = te_json_get_string(answer, "errorCode");
    error = apr_psprintf(p, "the sidecar answered %d %s", request->status,
                         code ? te_text_printable(p, code) : "");
    kind = classify(request->status, code);
    settle_all(bulk, kind == ANSWER_REFUSED ? TE_SENT_REFUSED
                     : kind == ANSWER_NO_TOPIC ? TE_SENT_HELD
                                               : TE_SENT_UNKNOWN, error);
    return kind;
}

static void fill(const dapr_t *dapr, const bulk_t *bulk,
                 te_http_request_t *request, const char **headers,
                 apr_pool_t *p)
{
    const te_outbox_row_t *first =
        APR_ARRAY_IDX(bulk->sendings, 0, te_sending_t *)->row;
    int n = 0;

    headers[n++] = "Content-Type: application/json";
    if (dapr->token_header != NULL) {
        headers[n++] = dapr->token_header;
    }
    /* of several events the first one's trace names the request */
    if (first->traceparent != NULL) {
        headers[n++] = apr_pstrcat(p, "traceparent: ", first->traceparent,
                                   NULL);
    }
    headers[n] = NULL;
    memset(request, 0, sizeof *request);
    request->url = bulk->topic->url;
    request->headers = headers;
    request->body = bulk_body(p, bulk, &request->body_size);
}

/* The reason stays what the sidecar said. */
static void mark_refused(const bulk_t *bulk)
{
    int i;

    for (i = 0; i < bulk->sendings->nelts; ++i) {
        APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *)->result =
            TE_SENT_REFUSED;
    }
}

static void send_refused(dapr_t *dapr, const bulk_t *bulk, apr_pool_t *p);

/* Send some of a refused request by themselves. */
static void send_part(dapr_t *dapr, const bulk_t *whole, int start, int n,
                      apr_pool_t *p)
{
    const char *headers[HEADERS_MAX];
    te_http_request_t request;
    bulk_t part;
    int i;

    part.topic = whole->topic;
    part.bytes = 0;
    part.sendings = apr_array_make(p, n, sizeof(te_sending_t *));
    for (i = start; i < start + n; ++i) {
        te_sending_t *s = APR_ARRAY_IDX(whole->sendings, i, te_sending_t *);

        APR_ARRAY_PUSH(part.sendings, te_sending_t *) = s;
        part.bytes += entry_size(s->row, part.topic);
    }
    fill(dapr, &part, &request, headers, p);
    te_http_perform(dapr->client, &request, 1,
                    dapr->settings->publish_timeout, STOP_GRACE, p);
    switch (settle(&part, &request, p)) {
    case ANSWER_UNKNOWN:
        if (request.status != 500) {
            break;
        }
        mark_refused(&part);
        /* fall through */
    case ANSWER_REFUSED:
        send_refused(dapr, &part, p);
        break;
    case ANSWER_SETTLED:
    case ANSWER_NO_TOPIC:
        break;
    }
}

/* One bad event turns down a whole request: halve it until it stands alone.
 * When nothing of it is taken it is not one event that is wrong. */
static void send_refused(dapr_t *dapr, const bulk_t *bulk, apr_pool_t *p)
{
    int n = bulk->sendings->nelts;

    if (n > 1) {
        send_part(dapr, bulk, 0, n / 2, p);
        send_part(dapr, bulk, n / 2, n - n / 2, p);
    }
}

/* Which event is wrong is certain only when another one of the same request
 * was taken. */
static void check_refusals(const bulk_t *bulk)
{
    int i, n = bulk->sendings->nelts, refused = 0;

    for (i = 0; i < n; ++i) {
        refused += APR_ARRAY_IDX(bulk->sendings, i, te_sending_t *)->result
                   == TE_SENT_REFUSED;
    }
    if (refused < n) {
        return;
    }
    if (n > 1) {
        settle_all(bulk, TE_SENT_UNKNOWN,
                   "the sidecar refuses every event of a request");
        return;
    }
    APR_ARRAY_IDX(bulk->sendings, 0, te_sending_t *)->result = TE_SENT_FAILED;
    APR_ARRAY_IDX(bulk->sendings, 0, te_sending_t *)->maybe_refused = 1;
}

/* A 500 that names no event, again and again, from a sidecar that says it is
 * well: then something in the request is what it cannot digest. */
static int is_indigestible(dapr_t *dapr, const te_http_request_t *failed,
                           apr_pool_t *p)
{
    const char *const headers[] = {dapr->token_header, NULL};
    te_http_request_t health;

    if (failed->status != 500) {
        dapr->strange_answers = 0;
        return 0;
    }
    if (++dapr->strange_answers < STRANGE_ANSWERS) {
        return 0;
    }
    dapr->strange_answers = 0;
    memset(&health, 0, sizeof health);
    health.url = dapr->health_url;
    health.headers = headers;
    te_http_perform(dapr->client, &health, 1, HEALTH_TIMEOUT, STOP_GRACE, p);
    return health.status == 204;
}

static void settle_bulk(dapr_t *dapr, const bulk_t *bulk,
                        const te_http_request_t *request, apr_pool_t *p)
{
    answer_e answer = settle(bulk, request, p);

    if (answer == ANSWER_REFUSED
        || (answer == ANSWER_UNKNOWN && is_indigestible(dapr, request, p))) {
        mark_refused(bulk);
        send_refused(dapr, bulk, p);
        check_refusals(bulk);
    }
    else if (answer == ANSWER_SETTLED) {
        dapr->strange_answers = 0;
    }
}

/* A wave on its way: one request, or several after each other. */
typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *bulks;
    int at;                             /* of the bulks, the one on its way */
    te_http_request_t request;
    te_http_batch_t *batch;             /* NULL: all bulks are settled */
} begun_t;

static void begin_next(dapr_t *dapr, begun_t *begun)
{
    const char *headers[HEADERS_MAX];

    begun->batch = NULL;
    if (begun->at < begun->bulks->nelts) {
        fill(dapr, &APR_ARRAY_IDX(begun->bulks, begun->at, bulk_t),
             &begun->request, headers, begun->pool);
        begun->batch = te_http_begin(dapr->client, &begun->request, 1,
                                     dapr->settings->publish_timeout,
                                     begun->pool);
    }
}

static void *dapr_begin(te_transport_t *transport, te_sending_t *wave, int n,
                        apr_pool_t *p)
{
    dapr_t *dapr = (dapr_t *)transport;
    begun_t *begun = apr_pcalloc(p, sizeof *begun);
    int i;

    begun->pool = p;
    begun->bulks = apr_array_make(p, 8, sizeof(bulk_t));
    for (i = 0; i < n; ++i) {
        if (find_topic(dapr, wave[i].row->topic) == NULL) {
            wave[i].result = TE_SENT_HELD;
            wave[i].error = "TaskEventsTopic no longer names its topic";
            continue;
        }
        if (size_of_object(wave[i].row) == 0) {
            wave[i].result = TE_SENT_REFUSED;
            wave[i].error = "it is not a JSON object";
            continue;
        }
        APR_ARRAY_PUSH(bulk_for(dapr, begun->bulks, wave[i].row, p)->sendings,
                       te_sending_t *) = &wave[i];
    }
    begin_next(dapr, begun);
    return begun;
}

static int dapr_wait_for(te_transport_t *transport, void *const *begun, int n)
{
    te_http_batch_t *batches[SIDE_BY_SIDE] = {NULL};
    int i;

    for (i = 0; i < n; ++i) {
        if (begun[i] != NULL) {
            batches[i] = ((const begun_t *)begun[i])->batch;
            if (batches[i] == NULL) {
                return i;
            }
        }
    }
    return te_http_wait(((dapr_t *)transport)->client, batches, n,
                        STOP_GRACE);
}

static void dapr_end(te_transport_t *transport, void *data)
{
    dapr_t *dapr = (dapr_t *)transport;
    begun_t *begun = data;

    while (begun->batch != NULL) {
        te_http_end(dapr->client, begun->batch, STOP_GRACE);
        settle_bulk(dapr, &APR_ARRAY_IDX(begun->bulks, begun->at, bulk_t),
                    &begun->request, begun->pool);
        ++begun->at;
        begin_next(dapr, begun);
    }
}

static void dapr_stop(te_transport_t *transport)
{
    te_http_client_stop(((dapr_t *)transport)->client);
}

/* What the sidecar would write into each envelope after it had taken it apart:
 * half of what an event costs it. A raw payload is left as it is, so what names
 * the way that the event goes is written here.
 * @return the bytes that each event gets */
static apr_size_t make_topic(const dapr_t *dapr, topic_t *topic,
                             const char *name, apr_pool_t *p)
{
    const te_settings_t *settings = dapr->settings;
    te_json_out_t tail;

    topic->url = apr_pstrcat(p, settings->dapr_url, "/v1.0/publish/bulk/",
                             apr_pescape_urlencoded(p, settings->pubsub), "/",
                             apr_pescape_urlencoded(p, name),
                             "?metadata.rawPayload=true", NULL);
    te_json_out_start(&tail, p, 64);
    te_json_put(&tail, "\"pubsubname\":");
    te_json_put_string(&tail, settings->pubsub);
    te_json_put(&tail, ",\"topic\":");
    te_json_put_string(&tail, name);
    te_json_put(&tail, "}");
    topic->tail = te_json_out_end(&tail);
    return strlen(topic->tail);
}

apr_status_t te_transport_dapr(te_transport_t **out,
                               const te_settings_t *settings, apr_pool_t *p)
{
    dapr_t *dapr = apr_pcalloc(p, sizeof *dapr);
    int i;

    dapr->base.name = "dapr";
    dapr->base.side_by_side = SIDE_BY_SIDE;
    dapr->base.bytes = MAX_REQUEST_BYTES;
    dapr->base.begin = dapr_begin;
    dapr->base.wait_for = dapr_wait_for;
    dapr->base.end = dapr_end;
    dapr->base.stage = "publish";
    dapr->base.backoff = te_backoff;
    dapr->base.longest_wait_alone = apr_time_from_sec(2);
    dapr->base.stop = dapr_stop;
    dapr->settings = settings;
    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        apr_size_t beside = ENTRY_OVERHEAD
                            + make_topic(dapr, &dapr->topics[i],
                                         settings->topics[i], p);

        if (beside > dapr->base.beside) {
            dapr->base.beside = beside;
        }
    }
    if (settings->dapr_token != NULL) {
        dapr->token_header = apr_pstrcat(p, "dapr-api-token: ",
                                       settings->dapr_token, NULL);
    }
    dapr->health_url = apr_pstrcat(p, settings->dapr_url,
                                   "/v1.0/healthz/outbound", NULL);
    *out = &dapr->base;
    return te_http_client_create(&dapr->client, p);
}
