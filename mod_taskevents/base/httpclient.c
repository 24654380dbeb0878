#include "httpclient.h"

#include <apr_atomic.h>
#include <apr_strings.h>
#include <curl/curl.h>
#include <string.h>

#define MAX_ANSWER (1024 * 1024)
#define CONNECT_TIMEOUT_MS 1000L
/* What is handed over to the kernel in one go: a whole request, mostly. */
#define UPLOAD_BUFFER (256 * 1024L)

struct te_http_client_t {
    CURLM *multi;
    CURL *easy[TE_HTTP_SIDE_BY_SIDE];
    char busy[TE_HTTP_SIDE_BY_SIDE];
    volatile apr_uint32_t stopping;
    apr_time_t give_up;                 /* when all that runs is; 0: never */
    const char *error;                  /* of the last wait; NULL: none */
};

typedef struct {
    te_http_request_t *request;
    struct curl_slist *headers;
    apr_size_t room;
    apr_pool_t *pool;
    int place;                          /* among the client's handles */
    int done;
} transfer_t;

struct te_http_batch_t {
    int n;
    transfer_t transfers[TE_HTTP_SIDE_BY_SIDE];
};

apr_status_t te_http_global_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? APR_SUCCESS
                                                             : APR_EGENERAL;
}

static apr_status_t close_client(void *data)
{
    te_http_client_t *client = data;
    int i;

    for (i = 0; i < TE_HTTP_SIDE_BY_SIDE; ++i) {
        curl_easy_cleanup(client->easy[i]);
    }
    curl_multi_cleanup(client->multi);
    return APR_SUCCESS;
}

const char *te_http_library_version(void)
{
    return curl_version_info(CURLVERSION_NOW)->version;
}

apr_status_t te_http_client_create(te_http_client_t **out, apr_pool_t *p)
{
    te_http_client_t *client = apr_pcalloc(p, sizeof *client);
    int i;

    client->multi = curl_multi_init();
    if (client->multi == NULL) {
        return APR_ENOMEM;
    }
    apr_pool_cleanup_register(p, client, close_client, apr_pool_cleanup_null);
    for (i = 0; i < TE_HTTP_SIDE_BY_SIDE; ++i) {
        client->easy[i] = curl_easy_init();
        if (client->easy[i] == NULL) {
            return APR_ENOMEM;
        }
    }
    *out = client;
    return APR_SUCCESS;
}

/* The answer grows by doubling, so that a long one is not copied per chunk;
 * what is over the cap is read and dropped: the status still counts. */
static size_t keep_answer(char *bytes, size_t size, size_t count, void *data)
{
    transfer_t *t = data;
    te_http_request_t *request = t->request;
    apr_size_t n = size * count;
    apr_size_t keep = n;

    if (request->answer_size + keep > MAX_ANSWER) {
        keep = MAX_ANSWER - request->answer_size;
    }
    if (request->answer_size + keep + 1 > t->room) {
        char *larger;

        t->room = (request->answer_size + keep + 1) * 2;
        larger = apr_palloc(t->pool, t->room);
        memcpy(larger, request->answer, request->answer_size);
        request->answer = larger;
    }
    memcpy(request->answer + request->answer_size, bytes, keep);
    request->answer_size += keep;
    request->answer[request->answer_size] = '\0';
    return n;
}

/* The list grows or stays as it is. */
static CURLcode add_header(transfer_t *t, const char *header)
{
    struct curl_slist *longer = curl_slist_append(t->headers, header);

    if (longer == NULL) {
        return CURLE_OUT_OF_MEMORY;
    }
    t->headers = longer;
    return CURLE_OK;
}

static CURLcode add_headers(transfer_t *t)
{
    const char *const *header;
    CURLcode code = CURLE_OK;

    for (header = t->request->headers; header && *header && code == CURLE_OK;
         ++header) {
        code = add_header(t, *header);
    }
    /* no 100-continue: it would cost a round trip on every large body */
    return code == CURLE_OK ? add_header(t, "Expect:") : code;
}

/* An option that is not set is no request with less: without its headers the
 * token is missing, without "" a proxy of the environment is asked. */
#define SET(option, value)                                              \
    do {                                                                \
        CURLcode code = curl_easy_setopt(easy, (option), (value));      \
                                                                        \
        if (code != CURLE_OK) {                                         \
            return code;                                                \
        }                                                               \
    } while (0)

static CURLcode set_options(CURL *easy, transfer_t *t,
                            apr_interval_time_t timeout)
{
    const te_http_request_t *request = t->request;

    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)apr_time_as_msec(timeout));
    SET(CURLOPT_WRITEFUNCTION, keep_answer);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_PRIVATE, t);
    if (request->body != NULL) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, request->body);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
    }
    if (request->method != NULL) {
        SET(CURLOPT_CUSTOMREQUEST, request->method);
    }
    return CURLE_OK;
}

static CURLcode prepare(CURL *easy, transfer_t *t,
                        apr_interval_time_t timeout)
{
    CURLcode code;

    curl_easy_reset(easy);
    code = add_headers(t);
    return code == CURLE_OK ? set_options(easy, t, timeout) : code;
}

/* It never began. */
static void not_begun(transfer_t *t, const char *error)
{
    t->done = 1;
    t->request->error = error;
    t->request->not_sent = 1;
}

static void finish(transfer_t *t, CURL *easy, CURLcode code)
{
    te_http_request_t *request = t->request;
    long status = 0, size_sent = 0;

    t->done = 1;
    if (code != CURLE_OK) {
        request->error = apr_pstrdup(t->pool, curl_easy_strerror(code));
        curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &size_sent);
        request->not_sent = size_sent == 0;
        return;
    }
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    request->status = (int)status;
}

static void collect(te_http_client_t *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        char *data = NULL;

        if (message->msg == CURLMSG_DONE) {
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &data);
            finish((transfer_t *)(void *)data, message->easy_handle,
                   message->data.result);
        }
    }
}

static int is_done(const te_http_batch_t *batch)
{
    int i;

    for (i = 0; i < batch->n; ++i) {
        if (!batch->transfers[i].done) {
            return 0;
        }
    }
    return 1;
}

/* @return the place of one that is done, or -1 */
static int find_done(te_http_batch_t *const *batches, int n)
{
    int i;

    for (i = 0; i < n; ++i) {
        if (batches[i] != NULL && is_done(batches[i])) {
            return i;
        }
    }
    return -1;
}

int te_http_wait(te_http_client_t *client, te_http_batch_t *const *batches,
                 int n, apr_interval_time_t grace)
{
    int place, running = 1;

    client->error = NULL;
    for (;;) {
        CURLMcode code = curl_multi_perform(client->multi, &running);

        collect(client);
        if ((place = find_done(batches, n)) >= 0) {
            return place;
        }
        if (code != CURLM_OK || running == 0) {
            client->error = curl_multi_strerror(code);
            break;
        }
        if (apr_atomic_read32(&client->stopping)) {
            apr_time_t now = apr_time_now();

            client->give_up = client->give_up ? client->give_up : now + grace;
            if (now >= client->give_up) {
                break;
            }
        }
        code = curl_multi_poll(client->multi, NULL, 0, 200, NULL);
        if (code != CURLM_OK) {         /* or this would be a busy loop */
            client->error = curl_multi_strerror(code);
            break;
        }
    }
    for (place = 0; place < n - 1 && batches[place] == NULL; ++place) {
    }
    return place;
}

static int free_place(te_http_client_t *client)
{
    int i = 0;

    while (client->busy[i]) {
        ++i;
    }
    return i;
}

static curl_off_t bytes_sent(te_http_client_t *client,
                             const te_http_batch_t *batch)
{
    curl_off_t sum = 0, sent;
    int i;

    for (i = 0; i < batch->n; ++i) {
        sent = 0;
        curl_easy_getinfo(client->easy[batch->transfers[i].place],
                          CURLINFO_SIZE_UPLOAD_T, &sent);
        sum += sent;
    }
    return sum;
}

/* As far as the other side takes them at once: who began them may have other
 * things to do for a while, and half a request is of no use to anybody. */
static void send_off(te_http_client_t *client, const te_http_batch_t *batch)
{
    curl_off_t sent = -1, before;
    int running;

    do {
        before = sent;
        curl_multi_perform(client->multi, &running);
        sent = bytes_sent(client, batch);
    } while (sent > before);
}

te_http_batch_t *te_http_begin(te_http_client_t *client,
                               te_http_request_t *requests, int n,
                               apr_interval_time_t timeout, apr_pool_t *p)
{
    te_http_batch_t *batch = apr_pcalloc(p, sizeof *batch);
    CURLMcode added;
    CURLcode code;
    int i;

    batch->n = n;
    for (i = 0; i < n; ++i) {
        te_http_request_t *request = &requests[i];
        transfer_t *t = &batch->transfers[i];

        request->status = 0;
        request->error = NULL;
        request->not_sent = 0;
        request->answer = apr_pstrdup(p, "");
        request->answer_size = 0;
        t->request = request;
        t->pool = p;
        t->place = free_place(client);
        client->busy[t->place] = 1;
        code = prepare(client->easy[t->place], t, timeout);
        if (code != CURLE_OK) {
            not_begun(t, curl_easy_strerror(code));
            continue;
        }
        added = curl_multi_add_handle(client->multi, client->easy[t->place]);
        if (added != CURLM_OK) {
            not_begun(t, curl_multi_strerror(added));
        }
    }
    send_off(client, batch);
    return batch;
}

void te_http_end(te_http_client_t *client, te_http_batch_t *batch,
                 apr_interval_time_t grace)
{
    int i;

    te_http_wait(client, &batch, 1, grace);
    for (i = 0; i < batch->n; ++i) {
        transfer_t *t = &batch->transfers[i];

        curl_multi_remove_handle(client->multi, client->easy[t->place]);
        curl_slist_free_all(t->headers);
        client->busy[t->place] = 0;
        if (!t->done) {
            t->request->error = client->error
                                    ? client->error
                                    : "given up: the server is stopping";
        }
    }
}

void te_http_perform(te_http_client_t *client, te_http_request_t *requests,
                     int n, apr_interval_time_t timeout,
                     apr_interval_time_t grace, apr_pool_t *p)
{
    int start, count, place, free_places = 0;

    for (place = 0; place < TE_HTTP_SIDE_BY_SIDE; ++place) {
        free_places += !client->busy[place];
    }
    for (start = 0; start < n; start += count) {
        count = n - start < free_places ? n - start : free_places;
        te_http_end(client, te_http_begin(client, &requests[start], count,
                                          timeout, p), grace);
    }
}

void te_http_client_stop(te_http_client_t *client)
{
    apr_atomic_set32(&client->stopping, 1);
    curl_multi_wakeup(client->multi);
}
