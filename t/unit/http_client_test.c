#include "../../mod_taskevents/base/httpclient.h"

#include <apr_strings.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cases.h"
#include "server.h"

#define MEBI (1024 * 1024)
#define SHORT apr_time_from_msec(300)
#define LONG apr_time_from_sec(20)

static te_http_client_t *client(void)
{
    te_http_client_t *c = NULL;

    ck_assert_int_eq(te_http_client_create(&c, pool), APR_SUCCESS);
    return c;
}

static const char *url(int port, const char *path)
{
    return apr_psprintf(pool, "http://127.0.0.1:%d%s", port, path);
}

static te_http_request_t request(const char *target)
{
    te_http_request_t r;

    memset(&r, 0, sizeof r);
    r.url = target;
    return r;
}

/* What the path asks for. */
static answer_t by_path(const asked_t *asked, void *context)
{
    answer_t a = {200, "said", 0, 0};

    (void)context;
    if (strstr(asked->head, "/hang ") != NULL) {
        a.hang = 1;
    }
    else if (strstr(asked->head, "/close ") != NULL) {
        a.status = 0;
    }
    else if (strstr(asked->head, "/204 ") != NULL) {
        a.status = 204;
    }
    else if (strstr(asked->head, "/404 ") != NULL) {
        a.status = 404;
        a.body = "not here";
    }
    else if (strstr(asked->head, "/empty ") != NULL) {
        a.body = NULL;
    }
    else if (strstr(asked->head, "/302 ") != NULL) {
        a.status = 302;
    }
    return a;
}

static server_t *server;

/* Perform one request. */
static te_http_request_t one(const char *path, apr_interval_time_t timeout)
{
    te_http_request_t r = request(url(server_port(server), path));

    te_http_perform(client(), &r, 1, timeout, 0, pool);
    return r;
}

static void start(void)
{
    server = server_start(by_path, NULL);
}

static void stop(void)
{
    server_stop(server);
}

START_TEST(an_answer_has_its_status_and_its_text)
{
    te_http_request_t r = one("/", LONG);

    ck_assert_int_eq(r.status, 200);
    ck_assert_ptr_null(r.error);
    ck_assert_str_eq(r.answer, "said");
    ck_assert_uint_eq(r.answer_size, 4);
    r = one("/404", LONG);
    ck_assert_int_eq(r.status, 404);
    ck_assert_str_eq(r.answer, "not here");
}
END_TEST

START_TEST(an_answer_without_a_text_has_an_empty_one)
{
    te_http_request_t r = one("/204", LONG);

    ck_assert_int_eq(r.status, 204);
    ck_assert_str_eq(r.answer, "");
    ck_assert_uint_eq(r.answer_size, 0);
    r = one("/empty", LONG);
    ck_assert_int_eq(r.status, 200);
    ck_assert_str_eq(r.answer, "");
}
END_TEST

START_TEST(a_body_is_posted_as_it_is_with_its_headers)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "dapr-api-token: s3cret", NULL};
    te_http_request_t r = request(url(server_port(server), "/in"));
    char body[3000];
    const asked_t *asked;

    memset(body, 'x', sizeof body);
    body[10] = '\0';
    r.headers = headers;
    r.body = body;
    r.body_size = sizeof body;
    te_http_perform(client(), &r, 1, LONG, 0, pool);
    ck_assert_int_eq(r.status, 200);
    asked = server_asked(server, 0);
    ck_assert_int_eq(strncmp(asked->head, "POST /in ", 9), 0);
    ck_assert_uint_eq(asked->body_size, sizeof body);
    ck_assert_mem_eq(asked->body, body, sizeof body);
    ck_assert_ptr_nonnull(strstr(asked->head, "\r\n"
                                 "Content-Type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(asked->head, "\r\n"
                                 "dapr-api-token: s3cret\r\n"));
    ck_assert_ptr_null(strcasestr(asked->head, "expect"));
}
END_TEST

START_TEST(without_a_body_it_is_a_get)
{
    one("/x", LONG);
    ck_assert_int_eq(strncmp(server_asked(server, 0)->head, "GET /x ", 7), 0);
}
END_TEST

START_TEST(a_get_after_a_post_is_a_get)
{
    te_http_client_t *c = client();
    te_http_request_t r = request(url(server_port(server), "/"));

    r.body = "";
    te_http_perform(c, &r, 1, LONG, 0, pool);
    r.body = NULL;
    te_http_perform(c, &r, 1, LONG, 0, pool);
    ck_assert_int_eq(strncmp(server_asked(server, 0)->head, "POST", 4), 0);
    ck_assert_int_eq(strncmp(server_asked(server, 1)->head, "GET ", 4), 0);
}
END_TEST

START_TEST(a_server_that_hangs_ends_with_the_time)
{
    apr_time_t before = apr_time_now();
    te_http_request_t r = one("/hang", SHORT);
    apr_interval_time_t took = apr_time_now() - before;

    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(r.error);
    ck_assert_int_eq(r.not_sent, 0);
    /* curl counts whole milliseconds, by a clock of its own */
    ck_assert_int_ge(took, SHORT - apr_time_from_msec(2));
    ck_assert_int_lt(took, SHORT + apr_time_from_sec(3));
}
END_TEST

START_TEST(a_connection_that_ends_is_no_answer)
{
    te_http_request_t r = one("/close", LONG);

    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(r.error);
    ck_assert_int_eq(r.not_sent, 0);
}
END_TEST

START_TEST(a_connection_that_is_refused_was_not_sent)
{
    te_http_request_t r = request(url(closed_port(), "/"));

    te_http_perform(client(), &r, 1, LONG, 0, pool);
    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(r.error);
    ck_assert_int_eq(r.not_sent, 1);
}
END_TEST

START_TEST(other_protocols_are_not_spoken)
{
    te_http_request_t r[2];

    r[0] = request("file:///etc/hostname");
    r[1] = request("gopher://127.0.0.1/");
    te_http_perform(client(), r, 2, LONG, 0, pool);
    ck_assert_int_eq(r[0].status, 0);
    ck_assert_ptr_nonnull(r[0].error);
    ck_assert_str_eq(r[0].answer, "");
    ck_assert_ptr_nonnull(r[1].error);
}
END_TEST

START_TEST(a_redirect_is_an_answer_not_an_order)
{
    ck_assert_int_eq(one("/302", LONG).status, 302);
    ck_assert_int_eq(server_count(server), 1);
}
END_TEST

START_TEST(no_proxy_is_asked)
{
    setenv("http_proxy", url(closed_port(), ""), 1);
    setenv("all_proxy", url(closed_port(), ""), 1);
    ck_assert_int_eq(one("/", LONG).status, 200);
}
END_TEST

START_TEST(many_requests_are_each_answered)
{
    te_http_request_t r[30];
    int i;

    for (i = 0; i < 30; ++i) {
        r[i] = request(url(server_port(server), i % 3 == 0 ? "/404" : "/"));
    }
    te_http_perform(client(), r, 30, LONG, 0, pool);
    for (i = 0; i < 30; ++i) {
        ck_assert_int_eq(r[i].status, i % 3 == 0 ? 404 : 200);
        ck_assert_str_eq(r[i].answer, i % 3 == 0 ? "not here" : "said");
    }
    ck_assert_int_eq(server_count(server), 30);
}
END_TEST

START_TEST(one_that_hangs_holds_up_no_other)
{
    /* valgrind is slower by as much as Check is told */
    const char *slower = getenv("CK_TIMEOUT_MULTIPLIER");
    te_http_request_t r[4];
    int i;

    for (i = 0; i < 4; ++i) {
        r[i] = request(url(server_port(server), i == 1 ? "/hang" : "/"));
    }
    te_http_perform(client(), r, 4, 10 * SHORT * (slower ? atoi(slower) : 1),
                    0, pool);
    for (i = 0; i < 4; ++i) {
        ck_assert_int_eq(r[i].status, i == 1 ? 0 : 200);
    }
}
END_TEST

START_TEST(two_batches_on_their_way_end_in_any_order)
{
    te_http_client_t *c = client();
    te_http_request_t r[5];
    te_http_batch_t *first, *second;
    int i;

    for (i = 0; i < 5; ++i) {
        r[i] = request(url(server_port(server), i == 0 ? "/404" : "/"));
    }
    first = te_http_begin(c, r, 2, LONG, pool);
    second = te_http_begin(c, r + 2, 2, LONG, pool);
    te_http_end(c, second, 0);
    ck_assert_int_eq(r[2].status, 200);
    ck_assert_int_eq(r[3].status, 200);
    te_http_perform(c, r + 4, 1, LONG, 0, pool);
    ck_assert_int_eq(r[4].status, 200);
    te_http_end(c, first, 0);
    ck_assert_int_eq(r[0].status, 404);
    ck_assert_int_eq(r[1].status, 200);
}
END_TEST

START_TEST(a_client_goes_on_after_a_failure)
{
    te_http_client_t *c = client();
    te_http_request_t r = request(url(server_port(server), "/hang"));

    te_http_perform(c, &r, 1, SHORT, 0, pool);
    ck_assert_int_eq(r.status, 0);
    r.url = url(server_port(server), "/");
    te_http_perform(c, &r, 1, LONG, 0, pool);
    ck_assert_int_eq(r.status, 200);
    ck_assert_ptr_null(r.error);
}
END_TEST

/* --- answers of any size ----------------------------------------------- */

static answer_t long_answer(const asked_t *asked, void *context)
{
    answer_t a = {500, context, 0, 0};

    (void)asked;
    return a;
}

START_TEST(an_answer_over_the_cap_is_cut_and_its_status_counts)
{
    static const int sizes[] = {1, 16384, 100000, MEBI - 1, MEBI, MEBI + 1,
                                3 * MEBI};
    apr_size_t n;

    for (n = 0; n < sizeof sizes / sizeof sizes[0]; ++n) {
        apr_size_t size = (apr_size_t)sizes[n], i;
        char *body = apr_palloc(pool, size + 1);
        te_http_request_t r;
        server_t *s;

        for (i = 0; i < size; ++i) {
            body[i] = (char)('a' + i % 26);
        }
        body[size] = '\0';
        s = server_start(long_answer, body);
        r = request(url(server_port(s), "/"));
        te_http_perform(client(), &r, 1, LONG, 0, pool);
        server_stop(s);
        ck_assert_int_eq(r.status, 500);
        ck_assert_uint_eq(r.answer_size, size < MEBI ? size : MEBI);
        ck_assert_mem_eq(r.answer, body, r.answer_size);
        ck_assert_int_eq(r.answer[r.answer_size], '\0');
        apr_pool_clear(pool);
    }
}
END_TEST

/* --- stopping ---------------------------------------------------------- */

static void *stop_soon(void *data)
{
    usleep(200 * 1000);
    te_http_client_stop(data);
    te_http_client_stop(data);
    return NULL;
}

START_TEST(a_stop_ends_a_request_that_hangs_within_the_grace)
{
    te_http_client_t *c = client();
    te_http_request_t r = request(url(server_port(server), "/hang"));
    apr_interval_time_t grace = apr_time_from_msec(500), took;
    apr_time_t before = apr_time_now();
    pthread_t thread;

    pthread_create(&thread, NULL, stop_soon, c);
    te_http_perform(c, &r, 1, LONG, grace, pool);
    took = apr_time_now() - before;
    pthread_join(thread, NULL);
    ck_assert_int_eq(r.status, 0);
    ck_assert_ptr_nonnull(r.error);
    ck_assert_int_ge(took, apr_time_from_msec(200) + grace);
    ck_assert_int_lt(took, apr_time_from_sec(5));
}
END_TEST

START_TEST(after_a_stop_a_request_still_has_its_grace)
{
    te_http_client_t *c = client();
    te_http_request_t r = request(url(server_port(server), "/"));

    te_http_client_stop(c);
    te_http_perform(c, &r, 1, LONG, apr_time_from_sec(5), pool);
    ck_assert_int_eq(r.status, 200);
    ck_assert_ptr_null(r.error);
}
END_TEST

TCase *http_client_tests(void)
{
    TCase *c = unit_case("http_client", 60);

    tcase_add_checked_fixture(c, start, stop);
    tcase_add_test(c, an_answer_has_its_status_and_its_text);
    tcase_add_test(c, an_answer_without_a_text_has_an_empty_one);
    tcase_add_test(c, a_body_is_posted_as_it_is_with_its_headers);
    tcase_add_test(c, without_a_body_it_is_a_get);
    tcase_add_test(c, a_get_after_a_post_is_a_get);
    tcase_add_test(c, a_server_that_hangs_ends_with_the_time);
    tcase_add_test(c, a_connection_that_ends_is_no_answer);
    tcase_add_test(c, a_connection_that_is_refused_was_not_sent);
    tcase_add_test(c, other_protocols_are_not_spoken);
    tcase_add_test(c, a_redirect_is_an_answer_not_an_order);
    tcase_add_test(c, no_proxy_is_asked);
    tcase_add_test(c, many_requests_are_each_answered);
    tcase_add_test(c, one_that_hangs_holds_up_no_other);
    tcase_add_test(c, two_batches_on_their_way_end_in_any_order);
    tcase_add_test(c, a_client_goes_on_after_a_failure);
    tcase_add_test(c, an_answer_over_the_cap_is_cut_and_its_status_counts);
    tcase_add_test(c, a_stop_ends_a_request_that_hangs_within_the_grace);
    tcase_add_test(c, after_a_stop_a_request_still_has_its_grace);
    return c;
}
