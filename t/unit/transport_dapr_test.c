/* Bulk publishing, against a sidecar that answers as the test says. */
#include <apr_strings.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/core/transport.h"
#include "cases.h"
#include "server.h"

#define MOST 400

static te_settings_t settings;
static te_outbox_row_t rows[MOST];
static te_sending_t wave[MOST];
static answer_t next_answer;
static server_t *sidecar;

static answer_t say_next(const asked_t *asked, void *context)
{
    (void)asked;
    return *(const answer_t *)context;
}

static void start(void)
{
    memset(&settings, 0, sizeof settings);
    memset(rows, 0, sizeof rows);
    memset(wave, 0, sizeof wave);
    memset(&next_answer, 0, sizeof next_answer);
    next_answer.status = 204;
    sidecar = server_start(say_next, &next_answer);
    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d",
                                     server_port(sidecar));
    settings.pubsub = "kafka-pubsub";
    settings.topics[TE_TOPIC_TASKS] = "tasks";
    settings.topics[TE_TOPIC_REMINDERS] = "reminders";
    settings.topics[TE_TOPIC_DEAD_LETTERS] = "tasks-dlq";
    settings.publish_timeout = apr_time_from_sec(10);
    settings.publish_batch = 256;
}

static void stop(void)
{
    server_stop(sidecar);
}

/* Whether a request goes there. */
static int is_to(const asked_t *asked, const char *pubsub, const char *topic)
{
    const char *line = apr_psprintf(
        pool, "POST /v1.0/publish/bulk/%s/%s?metadata.rawPayload=true ",
        pubsub, topic);

    return strncmp(asked->head, line, strlen(line)) == 0;
}

/* Event i of the wave, with a text of at least `size` bytes. */
static void add(int i, const char *topic, apr_size_t size)
{
    te_outbox_row_t *row = &rows[i];
    char *padding = apr_palloc(pool, size + 1);

    memset(padding, 'x', size);
    padding[size] = '\0';
    row->user_id = apr_psprintf(pool, "user-%d", i);
    row->topic = topic;
    row->sequence = 1;
    row->event_id = apr_psprintf(pool, "00000000-0000-4000-8000-%012d", i);
    row->event = apr_psprintf(pool, "{\"n\":%d,\"x\":\"%s\"}", i, padding);
    row->event_size = strlen(row->event);
    wave[i].row = row;
    /* not what any answer means, so that each has to be said */
    wave[i].result = TE_SENT_SETTLED;
}

static te_transport_t *transport(void)
{
    te_transport_t *t = NULL;

    ck_assert_int_eq(te_transport_dapr(&t, &settings, pool), APR_SUCCESS);
    return t;
}

static void send_on(te_transport_t *t, int n)
{
    t->end(t, t->begin(t, wave, n, pool));
}

static void send_wave(int n)
{
    send_on(transport(), n);
}

static void assert_all(int n, te_sent_e result)
{
    int i;

    for (i = 0; i < n; ++i) {
        ck_assert_int_eq(wave[i].result, result);
        ck_assert((wave[i].error == NULL) == (result == TE_SENT_ACCEPTED));
    }
}

/* The entries of the n-th request. */
static json_t *entries(int n)
{
    const asked_t *asked = server_asked(sidecar, n);
    const char *detail = "";
    json_t *json;

    ck_assert_ptr_nonnull(asked);
    json = te_json_parse(pool, asked->body, asked->body_size, &detail);
    ck_assert_msg(json_is_array(json), "%s", detail);
    return json;
}

START_TEST(an_entry_has_what_dapr_and_kafka_need)
{
    json_t *entry, *metadata;

    add(0, "tasks", 1);
    rows[0].user_id = "auth0|a=b~c";
    send_wave(1);
    ck_assert_int_eq(server_count(sidecar), 1);
    ck_assert(is_to(server_asked(sidecar, 0), "kafka-pubsub", "tasks"));
    ck_assert_ptr_nonnull(strcasestr(server_asked(sidecar, 0)->head,
                                     "\nContent-Type: application/json\r"));
    ck_assert_uint_eq(json_array_size(entries(0)), 1);
    entry = json_array_get(entries(0), 0);
    ck_assert_str_eq(te_json_get_string(entry, "entryId"), rows[0].event_id);
    ck_assert_str_eq(te_json_get_string(entry, "contentType"),
                     "application/cloudevents+json");
    metadata = json_object_get(entry, "metadata");
    ck_assert_str_eq(te_json_get_string(metadata, "partitionKey"),
                     "auth0|a=b~c");
    ck_assert_str_eq(te_json_text(pool, json_object_get(entry, "event")),
                     "{\"n\":0,\"x\":\"x\",\"pubsubname\":\"kafka-pubsub\","
                     "\"topic\":\"tasks\"}");
}
END_TEST

static const char *const objects[] = {"{}", " { }\n", "\t{\"a\":{}} "};

START_TEST(whatever_object_an_event_is_it_gets_its_topic)
{
    const json_t *event;

    add(0, "tasks", 1);
    rows[0].event = objects[_i];
    rows[0].event_size = strlen(rows[0].event);
    send_wave(1);
    ck_assert_int_eq(wave[0].result, TE_SENT_ACCEPTED);
    event = json_object_get(json_array_get(entries(0), 0), "event");
    ck_assert_uint_eq(json_object_size(event), _i < 2 ? 2 : 3);
    ck_assert_str_eq(te_json_get_string(event, "topic"), "tasks");
}
END_TEST

static const char *const no_objects[] = {"", " ", "null", "[]", "{", "}", "x",
                                         "\"{}\"", "{} x"};

/* A raw payload is not looked into by the sidecar. */
START_TEST(an_event_that_is_no_object_is_refused_and_the_others_go)
{
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    rows[0].event = no_objects[_i];
    rows[0].event_size = strlen(rows[0].event);
    send_wave(2);
    ck_assert_int_eq(wave[0].result, TE_SENT_REFUSED);
    ck_assert_ptr_nonnull(wave[0].error);
    ck_assert_int_eq(wave[1].result, TE_SENT_ACCEPTED);
    ck_assert_uint_eq(json_array_size(entries(0)), 1);
    send_wave(1);
    ck_assert_int_eq(wave[0].result, TE_SENT_REFUSED);
    ck_assert_int_eq(server_count(sidecar), 1);
}
END_TEST

START_TEST(the_token_goes_along_when_there_is_one)
{
    add(0, "tasks", 1);
    send_wave(1);
    settings.dapr_token = "s3cret";
    send_wave(1);
    ck_assert_ptr_null(strcasestr(server_asked(sidecar, 0)->head,
                                  "dapr-api-token"));
    ck_assert_ptr_nonnull(strcasestr(server_asked(sidecar, 1)->head,
                                     "\ndapr-api-token: s3cret\r"));
}
END_TEST

START_TEST(configured_names_are_in_the_path)
{
    settings.pubsub = "my-pubsub_2";
    settings.topics[TE_TOPIC_TASKS] = "prod.tasks-v1";
    add(0, "prod.tasks-v1", 1);
    send_wave(1);
    ck_assert(is_to(server_asked(sidecar, 0), "my-pubsub_2", "prod.tasks-v1"));
    assert_all(1, TE_SENT_ACCEPTED);
}
END_TEST

START_TEST(a_204_accepts_all)
{
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    send_wave(2);
    assert_all(2, TE_SENT_ACCEPTED);
}
END_TEST

START_TEST(a_500_with_failed_entries_accepts_the_others)
{
    next_answer.status = 500;
    next_answer.body = apr_psprintf(
        pool, "{\"failedEntries\":[{\"entryId\":\"%s\",\"error\":\"full\"},"
        "{\"entryId\":\"%s\"},{\"entryId\":\"of nobody\"},{},7],"
        "\"errorCode\":\"ERR_PUBSUB_PUBLISH_MESSAGE\"}",
        "00000000-0000-4000-8000-000000000001",
        "00000000-0000-4000-8000-000000000003");
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    add(2, "tasks", 1);
    add(3, "tasks", 1);
    send_wave(4);
    ck_assert_int_eq(wave[0].result, TE_SENT_ACCEPTED);
    ck_assert_int_eq(wave[1].result, TE_SENT_FAILED);
    ck_assert_str_eq(wave[1].error, "full");
    ck_assert_int_eq(wave[2].result, TE_SENT_ACCEPTED);
    ck_assert_int_eq(wave[3].result, TE_SENT_FAILED);
    ck_assert_ptr_nonnull(wave[3].error);
}
END_TEST

/* An answer that tells nothing about any event. */
static const answer_t unclear[] = {
    {500, "{\"errorCode\":\"ERR_PUBSUB_PUBLISH_MESSAGE\"}", 0, 0},
    {500, "{\"failedEntries\":{}}", 0, 0},
    {500, "{\"failedEntries\":null}", 0, 0},
    {500, "", 0, 0},
    {500, NULL, 0, 0},
    {500, "{\"failedEntries\":[", 0, 0},
    {500, "\xff\xfe garbage", 0, 0},
    {500, "a\0b", 3, 0},
    {400, "{\"errorCode\":\"ERR_PUBSUB_EVENTS_SER\"}", 0, 0},
    {400, "{\"failedEntries\":[]}", 0, 0},
    {401, "[]", 0, 0},
    {413, "7", 0, 0},
    {502, "<html>", 0, 0},
    {503, NULL, 0, 0},
    {302, NULL, 0, 0},
    {0, NULL, 0, 0},
};

START_TEST(any_other_answer_leaves_it_unknown)
{
    next_answer = unclear[_i];
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    send_wave(2);
    assert_all(2, TE_SENT_UNKNOWN);
}
END_TEST

/* Configuration: of the topic or of the component. */
static const answer_t no_topic[] = {
    {403, "{\"errorCode\":\"ERR_PUBSUB_FORBIDDEN\"}", 0, 0},
    {404, "{\"errorCode\":\"ERR_PUBSUB_NOT_FOUND\"}", 0, 0},
    {400, "{\"errorCode\":\"ERR_PUBSUB_NOT_CONFIGURED\"}", 0, 0},
    {404, NULL, 0, 0},
};

START_TEST(a_topic_that_is_not_to_be_had_is_held)
{
    next_answer = no_topic[_i];
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    send_wave(2);
    assert_all(2, TE_SENT_HELD);
    ck_assert_int_eq(server_count(sidecar), 1);
}
END_TEST

/* A sidecar that cannot read events with "bad" in them. */
static answer_t refuse_bad(const asked_t *asked, void *context)
{
    const answer_t *refusal = context;
    answer_t fine = {204, NULL, 0, 0};

    return strstr(asked->body, "bad") != NULL ? *refusal : fine;
}

static void make_bad(int i)
{
    rows[i].event = "{\"bad\":1}";
    rows[i].event_size = strlen(rows[i].event);
}

START_TEST(one_bad_event_does_not_hold_up_its_request)
{
    answer_t refusal = {400, "{\"errorCode\":\"ERR_PUBSUB_EVENTS_SER\"}", 0,
                        0};
    server_t *own = server_start(refuse_bad, &refusal);
    int i;

    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d",
                                     server_port(own));
    for (i = 0; i < 9; ++i) {
        add(i, "tasks", 1);
    }
    make_bad(2);
    make_bad(7);
    send_wave(9);
    server_stop(own);
    for (i = 0; i < 9; ++i) {
        ck_assert_int_eq(wave[i].result, i == 2 || i == 7
                                             ? TE_SENT_REFUSED
                                             : TE_SENT_ACCEPTED);
    }
    ck_assert_ptr_nonnull(strstr(wave[2].error, "ERR_PUBSUB_EVENTS_SER"));
}
END_TEST

START_TEST(alone_it_is_not_certain_that_the_event_is_bad)
{
    next_answer = unclear[8];
    add(0, "tasks", 1);
    send_wave(1);
    ck_assert_int_eq(wave[0].result, TE_SENT_FAILED);
    ck_assert_int_eq(wave[0].maybe_refused, 1);
}
END_TEST

/* Well by its own account, yet it answers 500 to what has "bad" in it. */
static answer_t choke_on_bad(const asked_t *asked, void *context)
{
    answer_t choked = {500, "{\"errorCode\":\"ERR_PUBSUB_PUBLISH_MESSAGE\"}",
                       0, 0};
    answer_t fine = {204, NULL, 0, 0};

    (void)context;
    return asked->body != NULL && strstr(asked->body, "bad") != NULL ? choked
                                                                     : fine;
}

START_TEST(what_a_well_sidecar_cannot_digest_three_times_is_taken_apart)
{
    server_t *own = server_start(choke_on_bad, NULL);
    te_transport_t *t;
    int i;

    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d",
                                     server_port(own));
    t = transport();
    for (i = 0; i < 4; ++i) {
        add(i, "tasks", 1);
    }
    make_bad(1);
    send_on(t, 4);
    assert_all(4, TE_SENT_UNKNOWN);
    send_on(t, 4);
    assert_all(4, TE_SENT_UNKNOWN);
    send_on(t, 4);
    server_stop(own);
    for (i = 0; i < 4; ++i) {
        ck_assert_int_eq(wave[i].result, i == 1 ? TE_SENT_REFUSED
                                                : TE_SENT_ACCEPTED);
    }
}
END_TEST

START_TEST(a_broker_that_takes_nothing_is_an_outage)
{
    next_answer.status = 500;
    next_answer.body =
        "{\"failedEntries\":["
        "{\"entryId\":\"00000000-0000-4000-8000-000000000000\"},"
        "{\"entryId\":\"00000000-0000-4000-8000-000000000001\"}]}";
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    send_wave(2);
    assert_all(2, TE_SENT_UNKNOWN);
}
END_TEST

START_TEST(the_trace_of_the_first_event_goes_along)
{
    add(0, "tasks", 1);
    rows[0].traceparent =
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    send_wave(1);
    ck_assert_ptr_nonnull(strcasestr(
        server_asked(sidecar, 0)->head,
        "\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
}
END_TEST

START_TEST(an_error_names_status_and_code)
{
    next_answer = unclear[8];
    add(0, "tasks", 1);
    send_wave(1);
    ck_assert_ptr_nonnull(strstr(wave[0].error, "400"));
    ck_assert_ptr_nonnull(strstr(wave[0].error, "ERR_PUBSUB_EVENTS_SER"));
}
END_TEST

START_TEST(a_sidecar_that_hangs_leaves_it_unknown)
{
    apr_time_t before = apr_time_now();

    next_answer.hang = 1;
    settings.publish_timeout = apr_time_from_msec(300);
    add(0, "tasks", 1);
    send_wave(1);
    assert_all(1, TE_SENT_UNKNOWN);
    ck_assert_int_lt(apr_time_now() - before, apr_time_from_sec(3));
}
END_TEST

START_TEST(a_sidecar_that_is_away_leaves_it_unknown)
{
    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d",
                                     closed_port());
    add(0, "tasks", 1);
    send_wave(1);
    assert_all(1, TE_SENT_UNKNOWN);
}
END_TEST

static void *stop_soon(void *data)
{
    te_transport_t *t = data;

    usleep(200 * 1000);
    t->stop(t);
    return NULL;
}

START_TEST(a_stop_ends_a_wave_that_hangs)
{
    te_transport_t *t = transport();
    apr_time_t before = apr_time_now();
    pthread_t thread;

    next_answer.hang = 1;
    add(0, "tasks", 1);
    pthread_create(&thread, NULL, stop_soon, t);
    send_on(t, 1);
    pthread_join(thread, NULL);
    assert_all(1, TE_SENT_UNKNOWN);
    ck_assert_int_lt(apr_time_now() - before, apr_time_from_sec(5));
}
END_TEST

START_TEST(each_topic_has_a_request_of_its_own)
{
    int i;

    for (i = 0; i < 6; ++i) {
        add(i, i % 2 ? "reminders" : "tasks", 1);
    }
    send_wave(6);
    assert_all(6, TE_SENT_ACCEPTED);
    ck_assert_int_eq(server_count(sidecar), 2);
    ck_assert_uint_eq(json_array_size(entries(0)), 3);
    ck_assert_uint_eq(json_array_size(entries(1)), 3);
    for (i = 0; i < 2; ++i) {
        int tasks = is_to(server_asked(sidecar, i), "kafka-pubsub", "tasks");
        json_t *list = entries(i), *entry;
        size_t n;

        json_array_foreach(list, n, entry) {
            const char *id = te_json_get_string(entry, "entryId");

            ck_assert_int_eq((id[35] - '0') % 2, !tasks);
        }
    }
}
END_TEST

START_TEST(a_request_has_at_most_the_batch)
{
    int i, total = 0;

    settings.publish_batch = 100;
    for (i = 0; i < 350; ++i) {
        add(i, "tasks", 1);
    }
    send_wave(350);
    assert_all(350, TE_SENT_ACCEPTED);
    ck_assert_int_eq(server_count(sidecar), 4);
    for (i = 0; i < 4; ++i) {
        ck_assert_uint_le(json_array_size(entries(i)), 100);
        total += (int)json_array_size(entries(i));
    }
    ck_assert_int_eq(total, 350);
}
END_TEST

START_TEST(a_request_has_at_most_a_mebibyte)
{
    int i, total = 0;

    for (i = 0; i < 10; ++i) {
        add(i, "tasks", 300 * 1000);
    }
    send_wave(10);
    assert_all(10, TE_SENT_ACCEPTED);
    ck_assert_int_ge(server_count(sidecar), 4);
    for (i = 0; i < server_count(sidecar); ++i) {
        ck_assert_uint_le(server_asked(sidecar, i)->body_size, 1024 * 1024);
        total += (int)json_array_size(entries(i));
    }
    ck_assert_int_eq(total, 10);
}
END_TEST

START_TEST(an_event_larger_than_that_goes_alone)
{
    add(0, "tasks", 1);
    add(1, "tasks", 1100 * 1000);
    add(2, "tasks", 1);
    send_wave(3);
    assert_all(3, TE_SENT_ACCEPTED);
    ck_assert_int_eq(server_count(sidecar), 3);
}
END_TEST

START_TEST(the_longest_ids_have_room)
{
    char user[129];

    memset(user, '|', 128);
    user[128] = '\0';
    add(0, "tasks", 1);
    add(1, "tasks", 1);
    rows[0].user_id = rows[1].user_id = user;
    send_wave(2);
    ck_assert_uint_eq(json_array_size(entries(0)), 2);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(
        json_array_get(entries(0), 1), "event"), "n")), 1);
}
END_TEST

START_TEST(a_topic_that_is_no_longer_configured_fails_alone)
{
    add(0, "tasks", 1);
    add(1, "renamed-away", 1);
    send_wave(2);
    ck_assert_int_eq(wave[0].result, TE_SENT_ACCEPTED);
    ck_assert_int_eq(wave[1].result, TE_SENT_HELD);
    ck_assert_ptr_nonnull(wave[1].error);
    ck_assert_int_eq(server_count(sidecar), 1);
}
END_TEST

/* A sidecar that refuses reminders and takes tasks. */
static answer_t refuse_reminders(const asked_t *asked, void *context)
{
    answer_t a = {204, NULL, 0, 0};

    (void)context;
    if (strstr(asked->head, "/reminders?") != NULL) {
        a.status = 404;
    }
    return a;
}

START_TEST(the_answer_for_one_topic_says_nothing_about_another)
{
    server_t *own = server_start(refuse_reminders, NULL);

    settings.dapr_url = apr_psprintf(pool, "http://127.0.0.1:%d",
                                     server_port(own));
    add(0, "tasks", 1);
    add(1, "reminders", 1);
    add(2, "tasks", 1);
    send_wave(3);
    server_stop(own);
    ck_assert_int_eq(wave[0].result, TE_SENT_ACCEPTED);
    ck_assert_int_eq(wave[1].result, TE_SENT_HELD);
    ck_assert_int_eq(wave[2].result, TE_SENT_ACCEPTED);
}
END_TEST

START_TEST(an_empty_wave_asks_nothing)
{
    send_wave(0);
    ck_assert_int_eq(server_count(sidecar), 0);
}
END_TEST

START_TEST(it_never_gives_an_event_up_by_itself)
{
    te_transport_t *t = transport();

    ck_assert_str_eq(t->name, "dapr");
    ck_assert_int_eq(t->max_attempts, 0);
    ck_assert_int_le(t->backoff(100, 0xffff), apr_time_from_sec(30));
    ck_assert_int_ge(t->backoff(1, 0), apr_time_from_msec(250));
}
END_TEST

TCase *transport_dapr_tests(void)
{
    TCase *c = unit_case("transport_dapr", 60);

    tcase_add_checked_fixture(c, start, stop);
    tcase_add_test(c, an_entry_has_what_dapr_and_kafka_need);
    tcase_add_loop_test(c, whatever_object_an_event_is_it_gets_its_topic, 0,
                        sizeof objects / sizeof objects[0]);
    tcase_add_loop_test(c, an_event_that_is_no_object_is_refused_and_the_others_go,
                        0, sizeof no_objects / sizeof no_objects[0]);
    tcase_add_test(c, the_token_goes_along_when_there_is_one);
    tcase_add_test(c, configured_names_are_in_the_path);
    tcase_add_test(c, a_204_accepts_all);
    tcase_add_test(c, a_500_with_failed_entries_accepts_the_others);
    tcase_add_loop_test(c, any_other_answer_leaves_it_unknown, 0,
                        sizeof unclear / sizeof unclear[0]);
    tcase_add_loop_test(c, a_topic_that_is_not_to_be_had_is_held, 0,
                        sizeof no_topic / sizeof no_topic[0]);
    tcase_add_test(c, one_bad_event_does_not_hold_up_its_request);
    tcase_add_test(c, alone_it_is_not_certain_that_the_event_is_bad);
    tcase_add_test(c,
                   what_a_well_sidecar_cannot_digest_three_times_is_taken_apart);
    tcase_add_test(c, a_broker_that_takes_nothing_is_an_outage);
    tcase_add_test(c, the_trace_of_the_first_event_goes_along);
    tcase_add_test(c, an_error_names_status_and_code);
    tcase_add_test(c, a_sidecar_that_hangs_leaves_it_unknown);
    tcase_add_test(c, a_sidecar_that_is_away_leaves_it_unknown);
    tcase_add_test(c, a_stop_ends_a_wave_that_hangs);
    tcase_add_test(c, each_topic_has_a_request_of_its_own);
    tcase_add_test(c, a_request_has_at_most_the_batch);
    tcase_add_test(c, a_request_has_at_most_a_mebibyte);
    tcase_add_test(c, an_event_larger_than_that_goes_alone);
    tcase_add_test(c, the_longest_ids_have_room);
    tcase_add_test(c, a_topic_that_is_no_longer_configured_fails_alone);
    tcase_add_test(c, the_answer_for_one_topic_says_nothing_about_another);
    tcase_add_test(c, an_empty_wave_asks_nothing);
    tcase_add_test(c, it_never_gives_an_event_up_by_itself);
    return c;
}
