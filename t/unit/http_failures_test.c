/* What libcurl cannot do, at each moment of a request: no memory, and each of
 * its functions that may say no. A request succeeds or has its error, nothing
 * is kept that is not given back, and the next request works. */
#include <apr_strings.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../../mod_taskevents/base/httpclient.h"
#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/core/chores.h"
#include "../../mod_taskevents/core/publisher.h"
#include "../../mod_taskevents/core/transport.h"
#include "cases.h"
#include "server.h"

#define MOST 2000
#define LONG apr_time_from_sec(20)
#define REQUESTS 3

typedef enum {
    NOTHING,
    ALLOCATION,                         /* of libcurl itself */
    GLOBAL_INIT, EASY_INIT, MULTI_INIT, SLIST_APPEND, SETOPT, ADD_HANDLE,
    PERFORM, POLL, WAKEUP
} refusal_e;

/* What is refused, and when: the left-th time, and maybe from then on. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static refusal_e what;
static int left, for_good, refused;
/* Blocks that libcurl has. An address that it had no memory to read becomes
 * a name, and it looks names up in a thread that may outlive the request. */
static atomic_int kept;

static int is_refused(refusal_e which)
{
    int is = 0;

    pthread_mutex_lock(&mutex);
    if (which == what && left > 0 && --left == 0) {
        left = for_good;
        is = refused = 1;
    }
    pthread_mutex_unlock(&mutex);
    return is;
}

static void refuse(refusal_e which, int nth, int and_from_then_on)
{
    pthread_mutex_lock(&mutex);
    what = which;
    left = nth;
    for_good = and_from_then_on;
    refused = 0;
    pthread_mutex_unlock(&mutex);
}

/* --- libcurl's memory -------------------------------------------------- */

static void *counted(void *block)
{
    if (block != NULL) {
        atomic_fetch_add(&kept, 1);
    }
    return block;
}

static void *give(size_t size)
{
    return is_refused(ALLOCATION) ? NULL : counted(malloc(size));
}

static void *give_zeroed(size_t n, size_t size)
{
    return is_refused(ALLOCATION) ? NULL : counted(calloc(n, size));
}

static char *give_copy(const char *text)
{
    return is_refused(ALLOCATION) ? NULL : counted(strdup(text));
}

static void *give_more(void *block, size_t size)
{
    void *more = is_refused(ALLOCATION) ? NULL : realloc(block, size);

    return block == NULL ? counted(more) : more;
}

static void take_back(void *block)
{
    if (block != NULL) {
        atomic_fetch_sub(&kept, 1);
        free(block);
    }
}

/* @return how many blocks more than before are kept, once it is none or the
 * time that a thread may take to end is over */
static int kept_since(int before)
{
    int ms;

    for (ms = 0; ms < 10000 && atomic_load(&kept) != before; ++ms) {
        usleep(1000);
    }
    return atomic_load(&kept) - before;
}

/* --- libcurl's functions ----------------------------------------------- */

CURLcode __real_curl_global_init(long flags);
CURLcode __wrap_curl_global_init(long flags);
CURL *__real_curl_easy_init(void);
CURL *__wrap_curl_easy_init(void);
CURLM *__real_curl_multi_init(void);
CURLM *__wrap_curl_multi_init(void);
struct curl_slist *__real_curl_slist_append(struct curl_slist *, const char *);
struct curl_slist *__wrap_curl_slist_append(struct curl_slist *, const char *);
CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLMcode __real_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLMcode __real_curl_multi_perform(CURLM *multi, int *running);
CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running);
CURLMcode __real_curl_multi_poll(CURLM *multi, struct curl_waitfd *more,
                                 unsigned int n, int ms, int *ready);
CURLMcode __wrap_curl_multi_poll(CURLM *multi, struct curl_waitfd *more,
                                 unsigned int n, int ms, int *ready);
CURLMcode __real_curl_multi_wakeup(CURLM *multi);
CURLMcode __wrap_curl_multi_wakeup(CURLM *multi);

CURLcode __wrap_curl_global_init(long flags)
{
    return is_refused(GLOBAL_INIT) ? CURLE_FAILED_INIT
                                   : __real_curl_global_init(flags);
}

CURL *__wrap_curl_easy_init(void)
{
    return is_refused(EASY_INIT) ? NULL : __real_curl_easy_init();
}

CURLM *__wrap_curl_multi_init(void)
{
    return is_refused(MULTI_INIT) ? NULL : __real_curl_multi_init();
}

struct curl_slist *__wrap_curl_slist_append(struct curl_slist *list,
                                            const char *text)
{
    return is_refused(SLIST_APPEND) ? NULL
                                    : __real_curl_slist_append(list, text);
}

CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    CURLcode code = CURLE_OUT_OF_MEMORY;
    va_list ap;

    if (is_refused(SETOPT)) {
        return code;
    }
    va_start(ap, option);
    if (option < CURLOPTTYPE_OBJECTPOINT) {
        code = __real_curl_easy_setopt(easy, option, va_arg(ap, long));
    }
    else if (option < CURLOPTTYPE_OFF_T) {
        code = __real_curl_easy_setopt(easy, option, va_arg(ap, void *));
    }
    else {
        code = __real_curl_easy_setopt(easy, option, va_arg(ap, curl_off_t));
    }
    va_end(ap);
    return code;
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    return is_refused(ADD_HANDLE) ? CURLM_OUT_OF_MEMORY
                                  : __real_curl_multi_add_handle(multi, easy);
}

CURLMcode __wrap_curl_multi_perform(CURLM *multi, int *running)
{
    return is_refused(PERFORM) ? CURLM_OUT_OF_MEMORY
                               : __real_curl_multi_perform(multi, running);
}

CURLMcode __wrap_curl_multi_poll(CURLM *multi, struct curl_waitfd *more,
                                 unsigned int n, int ms, int *ready)
{
    return is_refused(POLL) ? CURLM_OUT_OF_MEMORY
                            : __real_curl_multi_poll(multi, more, n, ms,
                                                     ready);
}

CURLMcode __wrap_curl_multi_wakeup(CURLM *multi)
{
    return is_refused(WAKEUP) ? CURLM_WAKEUP_FAILURE
                              : __real_curl_multi_wakeup(multi);
}

/* --- requests ---------------------------------------------------------- */

static int is_to_poll(void)
{
    int is;

    pthread_mutex_lock(&mutex);
    is = what == POLL && !refused;
    pthread_mutex_unlock(&mutex);
    return is;
}

/* A sidecar's way: what has no token is turned down. It takes its time when
 * there is to be something to wait for. */
static answer_t take(const asked_t *asked, void *context)
{
    answer_t a = {204, NULL, 0, 0};
    int ms;

    (void)context;
    for (ms = 0; ms < 300 && is_to_poll(); ++ms) {
        usleep(1000);
    }
    if (strcasestr(asked->head, "\r\ndapr-api-token: s3cret\r\n") == NULL) {
        a.status = 401;
    }
    return a;
}

/* Nothing else of the process has begun with it. */
static void start(void)
{
    refuse(NOTHING, 0, 0);
    curl_global_cleanup();
    ck_assert_int_eq(curl_global_init_mem(CURL_GLOBAL_DEFAULT, give, take_back,
                                          give_more, give_copy, give_zeroed),
                     CURLE_OK);
}

static void stop(void)
{
    refuse(NOTHING, 0, 0);
    curl_global_cleanup();
    te_http_global_init();
}

static int was_asked(server_t *server, const char *line)
{
    int i, n = server_count(server);

    for (i = 0; i < n; ++i) {
        if (strncmp(server_asked(server, i)->head, line, strlen(line)) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Three requests in two batches; what came of each is judged. */
static void perform_some(te_http_client_t *client, server_t *server,
                         const char *round, int *successes)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "dapr-api-token: s3cret", NULL};
    te_http_request_t r[REQUESTS];
    te_http_batch_t *first, *second;
    int i;

    memset(r, 0, sizeof r);
    for (i = 0; i < REQUESTS; ++i) {
        r[i].url = apr_psprintf(pool, "http://127.0.0.1:%d/%s/%d",
                                server_port(server), round, i);
        r[i].headers = headers;
        r[i].body = i < 2 ? "[]" : NULL;
        r[i].body_size = i < 2 ? 2 : 0;
        r[i].method = i < 2 ? NULL : "DELETE";
    }
    first = te_http_begin(client, r, 2, LONG, pool);
    second = te_http_begin(client, r + 2, 1, LONG, pool);
    te_http_end(client, second, 0);
    te_http_end(client, first, 0);
    *successes = 0;
    for (i = 0; i < REQUESTS; ++i) {
        int was = was_asked(server, apr_psprintf(
            pool, "%s /%s/%d ", i < 2 ? "POST" : "DELETE", round, i));

        /* never one with less in it, which would be 401 */
        ck_assert_msg(r[i].status == 204 || r[i].status == 0, "%d",
                      r[i].status);
        ck_assert((r[i].error == NULL) == (r[i].status != 0));
        ck_assert_int_eq(r[i].answer_size, 0);
        if (r[i].status != 0) {
            ck_assert(was);
            ++*successes;
        }
        if (r[i].not_sent) {
            ck_assert_int_eq(r[i].status, 0);
            ck_assert(!was);
        }
    }
}

/* A client, requests that meet the refusal, and some that do not. @return
 * whether there was one */
static int try_once(refusal_e which, int nth, int and_from_then_on)
{
    server_t *server = server_start(take, NULL);
    te_http_client_t *client = NULL;
    int before = atomic_load(&kept), met, successes, more;
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    refuse(which, nth, and_from_then_on);
    if (te_http_client_create(&client, p) == APR_SUCCESS) {
        perform_some(client, server, "refused", &successes);
        met = refused;
        ck_assert(met || successes == REQUESTS);
        refuse(NOTHING, 0, 0);
        perform_some(client, server, "then", &successes);
        ck_assert_int_eq(successes, REQUESTS);
    }
    else {
        met = refused;
        ck_assert(met);
    }
    refuse(NOTHING, 0, 0);
    apr_pool_destroy(p);
    more = kept_since(before);
    ck_assert_msg(more == 0, "%d blocks are not given back", more);
    server_stop(server);
    return met;
}

static const refusal_e one_by_one[] = {
    ALLOCATION, EASY_INIT, MULTI_INIT, SLIST_APPEND, SETOPT, ADD_HANDLE,
    PERFORM, POLL
};
#define ONE_BY_ONE ((int)(sizeof one_by_one / sizeof one_by_one[0]))

/* The loop's number: what, and whether once or from then on. */
START_TEST(whatever_libcurl_refuses_a_request_succeeds_or_has_its_error)
{
    int n = 1;

    while (try_once(one_by_one[_i / 2], n, _i % 2)) {
        ++n;
        ck_assert_int_le(n, MOST);
    }
    ck_assert_int_gt(n, 1);             /* it was asked for at all */
}
END_TEST

START_TEST(a_library_that_does_not_begin_is_said)
{
    refuse(GLOBAL_INIT, 1, 0);
    ck_assert_int_ne(te_http_global_init(), APR_SUCCESS);
    ck_assert_int_eq(te_http_global_init(), APR_SUCCESS);
}
END_TEST

static answer_t hang(const asked_t *asked, void *context)
{
    answer_t a = {200, NULL, 0, 1};

    (void)asked;
    (void)context;
    return a;
}

static void *stop_soon(void *client)
{
    usleep(100 * 1000);
    te_http_client_stop(client);
    return NULL;
}

/* Then it is seen when the wait has had its time. */
START_TEST(a_stop_that_cannot_wake_the_client_still_ends_it)
{
    server_t *server = server_start(hang, NULL);
    apr_time_t before = apr_time_now();
    te_http_client_t *client = NULL;
    te_http_request_t r;
    pthread_t thread;

    refuse(WAKEUP, 1, 1);
    ck_assert_int_eq(te_http_client_create(&client, pool), APR_SUCCESS);
    memset(&r, 0, sizeof r);
    r.url = apr_psprintf(pool, "http://127.0.0.1:%d/", server_port(server));
    pthread_create(&thread, NULL, stop_soon, client);
    te_http_perform(client, &r, 1, LONG, 0, pool);
    pthread_join(thread, NULL);
    ck_assert(refused);
    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(strstr(r.error, "stopping"));
    ck_assert_int_lt(apr_time_now() - before, apr_time_from_sec(5));
    server_stop(server);
}
END_TEST

/* --- events ------------------------------------------------------------ */

#define EVENTS 4

static te_settings_t settings;
static te_outbox_row_t rows[EVENTS];
static te_sending_t wave[EVENTS];

static void prepare_events(int port)
{
    int i;

    memset(&settings, 0, sizeof settings);
    memset(rows, 0, sizeof rows);
    memset(wave, 0, sizeof wave);
    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d", port);
    settings.dapr_token = "s3cret";
    settings.pubsub = "kafka-pubsub";
    settings.topics[TE_TOPIC_TASKS] = "tasks";
    settings.topics[TE_TOPIC_REMINDERS] = "reminders";
    settings.topics[TE_TOPIC_DEAD_LETTERS] = "tasks-dlq";
    settings.publish_timeout = LONG;
    settings.publish_batch = 256;
    for (i = 0; i < EVENTS; ++i) {
        rows[i].user_id = apr_psprintf(pool, "user-%d", i);
        rows[i].topic = i % 2 ? "reminders" : "tasks";
        rows[i].event_id =
            apr_psprintf(pool, "00000000-0000-4000-8000-%012d", i);
        rows[i].event = "{\"n\":1}";
        rows[i].event_size = strlen(rows[i].event);
        rows[i].traceparent =
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        wave[i].row = &rows[i];
    }
}

/* Whether the sidecar got this event. */
static int has_got(server_t *sidecar, const char *event_id)
{
    int i, n = server_count(sidecar);

    for (i = 0; i < n; ++i) {
        const asked_t *asked = server_asked(sidecar, i);

        if (memmem(asked->body, asked->body_size, event_id,
                   strlen(event_id)) != NULL) {
            return 1;
        }
    }
    return 0;
}

static int send_once(te_transport_t *transport, server_t *sidecar)
{
    int i, accepted = 0;

    for (i = 0; i < EVENTS; ++i) {
        wave[i].result = TE_SENT_SETTLED;   /* what it never says */
        wave[i].error = NULL;
    }
    transport->end(transport, transport->begin(transport, wave, EVENTS, pool));
    for (i = 0; i < EVENTS; ++i) {
        if (wave[i].result == TE_SENT_ACCEPTED) {
            ck_assert(has_got(sidecar, rows[i].event_id));
            ++accepted;
        }
        else {
            /* that of the transport, not of the event: it waits */
            ck_assert_int_eq(wave[i].result, TE_SENT_UNKNOWN);
            ck_assert_ptr_nonnull(wave[i].error);
        }
    }
    return accepted;
}

static int publish_once(refusal_e which, int nth, int and_from_then_on)
{
    server_t *sidecar = server_start(take, NULL);
    te_transport_t *transport = NULL;
    int before = atomic_load(&kept), met, accepted;
    apr_pool_t *p;

    prepare_events(server_port(sidecar));
    apr_pool_create(&p, pool);
    refuse(which, nth, and_from_then_on);
    if (te_transport_dapr(&transport, &settings, p) == APR_SUCCESS) {
        accepted = send_once(transport, sidecar);
        met = refused;
        ck_assert(met || accepted == EVENTS);
        refuse(NOTHING, 0, 0);
        ck_assert_int_eq(send_once(transport, sidecar), EVENTS);
    }
    else {
        met = refused;
        ck_assert(met);
    }
    refuse(NOTHING, 0, 0);
    apr_pool_destroy(p);
    ck_assert_int_eq(kept_since(before), 0);
    server_stop(sidecar);
    return met;
}

START_TEST(no_event_is_accepted_that_the_sidecar_did_not_take)
{
    int n = 1;

    while (publish_once(one_by_one[_i / 2], n, _i % 2)) {
        ++n;
        ck_assert_int_le(n, MOST);
    }
    ck_assert_int_gt(n, 1);
}
END_TEST

/* --- threads ----------------------------------------------------------- */

/* Whoever starts them is told, and nothing of them runs or is kept. */
START_TEST(threads_that_get_no_client_are_not_started)
{
    static const refusal_e handles[] = {MULTI_INIT, EASY_INIT};
    te_publisher_t *publisher = NULL;
    te_chores_t *chores = NULL;
    int i, before = atomic_load(&kept);

    prepare_events(closed_port());
    settings.transport = TE_TRANSPORT_DAPR;
    for (i = 0; i < 2; ++i) {
        refuse(handles[i], 1, 0);
        ck_assert_int_eq(te_publisher_start(&publisher, &settings, NULL, pool),
                         APR_ENOMEM);
        ck_assert_ptr_null(publisher);
        refuse(handles[i], 1, 0);
        ck_assert_int_eq(te_chores_start(&chores, NULL, 0, TE_THREAD_CHORES,
                                         &settings, NULL, NULL, pool),
                         APR_ENOMEM);
        ck_assert_ptr_null(chores);
        ck_assert_int_eq(kept_since(before), 0);
    }
}
END_TEST

TCase *http_failures_tests(void)
{
    TCase *c = unit_case("http_failures", 240);

    tcase_add_checked_fixture(c, start, stop);
    tcase_add_loop_test(
        c, whatever_libcurl_refuses_a_request_succeeds_or_has_its_error, 0,
        2 * ONE_BY_ONE);
    tcase_add_test(c, a_library_that_does_not_begin_is_said);
    tcase_add_test(c, a_stop_that_cannot_wake_the_client_still_ends_it);
    tcase_add_loop_test(c, no_event_is_accepted_that_the_sidecar_did_not_take,
                        0, 2 * ONE_BY_ONE);
    tcase_add_test(c, threads_that_get_no_client_are_not_started);
    return c;
}
