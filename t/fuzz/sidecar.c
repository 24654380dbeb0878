/* What the sidecar answers to a bulk request. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/httpclient.h"
#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/core/transport.h"
#include "fuzz.h"

#define EVENTS 3
#define UNSET ((te_sent_e)99)

static const int statuses[] = {204, 500, 500, 500, 403, 404, 413, 400, 200,
                               502, 0, 503};

static te_http_request_t given;         /* the answer to all requests */

/* --- in place of the HTTP client --------------------------------------- */

apr_status_t __wrap_te_http_client_create(te_http_client_t **out,
                                          apr_pool_t *p);
te_http_batch_t *__wrap_te_http_begin(te_http_client_t *client,
                                      te_http_request_t *requests, int n,
                                      apr_interval_time_t timeout,
                                      apr_pool_t *p);
void __wrap_te_http_end(te_http_client_t *client, te_http_batch_t *batch,
                        apr_interval_time_t grace);
int __wrap_te_http_wait(te_http_client_t *client,
                        te_http_batch_t *const *batches, int n,
                        apr_interval_time_t grace);
void __wrap_te_http_perform(te_http_client_t *client,
                            te_http_request_t *requests, int n,
                            apr_interval_time_t timeout,
                            apr_interval_time_t grace, apr_pool_t *p);

apr_status_t __wrap_te_http_client_create(te_http_client_t **out,
                                          apr_pool_t *p)
{
    (void)p;
    *out = NULL;
    return APR_SUCCESS;
}

/* A request of ours is a JSON array of whole entries. */
static void check_request(const te_http_request_t *request)
{
    const char *detail;
    const json_t *body, *entry;
    size_t i;

    if (request->body == NULL) {
        return;                         /* the question how it is */
    }
    body = te_json_parse(pool, request->body, request->body_size, &detail);
    PROMISE(json_is_array(body) && json_array_size(body) >= 1
            && json_array_size(body) <= EVENTS);
    json_array_foreach(body, i, entry) {
        PROMISE(te_json_get_string(entry, "entryId") != NULL);
        PROMISE(json_is_object(json_object_get(entry, "event")));
    }
}

static void answer(te_http_request_t *requests, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        check_request(&requests[i]);
        requests[i].status = given.status;
        requests[i].error = given.error;
        requests[i].not_sent = given.not_sent;
        requests[i].answer = given.answer;
        requests[i].answer_size = given.answer_size;
    }
}

te_http_batch_t *__wrap_te_http_begin(te_http_client_t *client,
                                      te_http_request_t *requests, int n,
                                      apr_interval_time_t timeout,
                                      apr_pool_t *p)
{
    static char begun;

    (void)client;
    (void)timeout;
    (void)p;
    answer(requests, n);
    return (te_http_batch_t *)&begun;
}

/* Each has its answer from the beginning. */
int __wrap_te_http_wait(te_http_client_t *client,
                        te_http_batch_t *const *batches, int n,
                        apr_interval_time_t grace)
{
    int i = 0;

    (void)client;
    (void)grace;
    while (i < n - 1 && batches[i] == NULL) {
        ++i;
    }
    return i;
}

void __wrap_te_http_end(te_http_client_t *client, te_http_batch_t *batch,
                        apr_interval_time_t grace)
{
    (void)client;
    (void)batch;
    (void)grace;
}

void __wrap_te_http_perform(te_http_client_t *client,
                            te_http_request_t *requests, int n,
                            apr_interval_time_t timeout,
                            apr_interval_time_t grace, apr_pool_t *p)
{
    (void)client;
    (void)timeout;
    (void)grace;
    (void)p;
    answer(requests, n);
}

/* --- the target -------------------------------------------------------- */

/* The first byte is the status, the others the body. */
static void read_input(const char *bytes, apr_size_t size)
{
    memset(&given, 0, sizeof given);
    given.status = statuses[(unsigned char)bytes[0]
                            % (sizeof statuses / sizeof statuses[0])];
    given.error = given.status == 0 ? "the connection was reset" : NULL;
    given.answer = apr_pstrmemdup(pool, bytes + 1, size - 1);
    given.answer_size = size - 1;
}

/* The entries that an answer says failed; NULL: it says so of none. */
static const json_t *failed_entries(void)
{
    const char *detail;
    const json_t *list = json_object_get(
        te_json_parse(pool, given.answer, given.answer_size, &detail),
        "failedEntries");

    return given.status == 500 && json_is_array(list) ? list : NULL;
}

static int names(const json_t *failed, const char *id)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(failed, i, entry) {
        const char *named = te_json_get_string(entry, "entryId");

        if (named != NULL && strcmp(named, id) == 0) {
            return 1;
        }
    }
    return 0;
}

static void check_result(const te_sending_t *s)
{
    const json_t *failed = failed_entries();

    PROMISE(s->result != UNSET && s->result != TE_SENT_SETTLED);
    PROMISE(s->result == TE_SENT_ACCEPTED || s->error != NULL);
    /* only that the sidecar has it lets an event go */
    PROMISE(s->result != TE_SENT_ACCEPTED || given.status == 204
            || (failed != NULL && !names(failed, s->row->event_id)));
    PROMISE(s->result == TE_SENT_ACCEPTED || given.status != 204);
    PROMISE(s->result != TE_SENT_REFUSED);      /* none of it was taken */
}

void fuzz_publish_answer(const char *bytes, apr_size_t size)
{
    te_outbox_row_t rows[EVENTS];
    te_sending_t wave[EVENTS];
    te_settings_t settings;
    te_transport_t *dapr;
    void *begun;
    int i, n;

    if (size == 0) {
        return;
    }
    read_input(bytes, size);
    n = 1 + (unsigned char)bytes[0] / 16 % EVENTS;
    memset(&settings, 0, sizeof settings);
    settings.dapr_url = "http://127.0.0.1:1";
    settings.pubsub = "kafka-pubsub";
    settings.topics[0] = "tasks";
    settings.topics[1] = "reminders";
    settings.topics[2] = "tasks-dlq";
    settings.publish_batch = 256;
    PROMISE(te_transport_dapr(&dapr, &settings, pool) == APR_SUCCESS);
    memset(rows, 0, sizeof rows);
    memset(wave, 0, sizeof wave);
    for (i = 0; i < n; ++i) {
        rows[i].user_id = "alice";
        rows[i].topic = "tasks";
        rows[i].event_id = apr_psprintf(pool, "%d", i);
        rows[i].event = "{}";
        rows[i].event_size = 2;
        wave[i].row = &rows[i];
        wave[i].result = UNSET;
    }
    begun = dapr->begin(dapr, wave, n, pool);
    dapr->end(dapr, begun);
    for (i = 0; i < n; ++i) {
        check_result(&wave[i]);
    }
}
