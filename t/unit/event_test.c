#include "../../mod_taskevents/core/event.h"

#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "cases.h"

#define ID "2ed6657d-e927-568b-95e1-2665a8aea6a2"
#define CAUSE "886313e1-3b8a-5372-9b90-0c9aee199e5d"
#define FIRST "0a300ee9-f9e4-5697-a51a-efc7fafaba67"
#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define SEQUENCE "00000000000000000017"

static te_event_t sample(void)
{
    te_event_t event;

    memset(&event, 0, sizeof event);
    event.id = ID;
    event.source = "/taskevents";
    event.type = TE_TASK_COMPLETED;
    event.topic = "tasks";
    event.user_id = "auth0|a=b~c";
    event.task_id = 42;
    event.time = APR_INT64_C(1769850000123456);
    event.origin = TE_ORIGIN_USER;
    event.traceparent = TRACE;
    event.data = json_object();
    return event;
}

/* The whole event, as the database splices it. */
static const char *spliced(const te_event_t *event)
{
    te_outgoing_t *out = te_event_text(pool, event);

    return apr_pstrcat(pool, out->head, SEQUENCE, out->tail, NULL);
}

static json_t *parsed(const char *text)
{
    const char *detail = "";
    json_t *json = te_json_parse(pool, text, strlen(text), &detail);

    ck_assert_msg(json != NULL, "%s: %s", text, detail);
    return json;
}

START_TEST(the_envelope_has_the_attributes_of_the_contract_in_order)
{
    te_event_t event = sample();

    event.correlation_id = FIRST;
    event.causation_id = CAUSE;
    json_object_set_new(event.data, "task", json_integer(1));
    ck_assert_str_eq(spliced(&event),
        "{\"specversion\":\"1.0\",\"id\":\"" ID "\","
        "\"source\":\"/taskevents\",\"type\":\"task.completed\","
        "\"subject\":\"tasks/42\",\"time\":\"2026-01-31T09:00:00.123456Z\","
        "\"datacontenttype\":\"application/json\","
        "\"partitionkey\":\"auth0|a=b~c\",\"sequence\":\"" SEQUENCE "\","
        "\"correlationid\":\"" FIRST "\",\"causationid\":\"" CAUSE "\","
        "\"traceparent\":\"" TRACE "\",\"traceid\":\"" TRACE "\","
        "\"dataschema\":\"urn:taskevents:schemas/task.completed.v1.json\","
        "\"data\":{\"user_id\":\"auth0|a=b~c\",\"task_id\":42,"
        "\"timestamp\":\"2026-01-31T09:00:00.123456Z\",\"origin\":\"user\","
        "\"task\":1}}");
}
END_TEST

START_TEST(the_first_of_a_chain_names_itself_and_no_cause)
{
    te_event_t event = sample();
    json_t *json = parsed(spliced(&event));

    ck_assert_str_eq(te_json_get_string(json, "correlationid"), ID);
    ck_assert_ptr_null(json_object_get(json, "causationid"));
}
END_TEST

START_TEST(attribute_names_are_those_that_cloudevents_allows)
{
    te_event_t event = sample();
    const char *name;
    json_t *json, *value;

    event.causation_id = CAUSE;
    json = parsed(spliced(&event));
    json_object_foreach(json, name, value) {
        ck_assert_msg(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")
                      == strlen(name), "%s", name);
        ck_assert_msg(strcmp(name, "data") == 0
                      || *json_string_value(value) != '\0', "%s", name);
    }
}
END_TEST

START_TEST(the_outgoing_event_says_where_it_goes)
{
    te_event_t event = sample();
    te_outgoing_t *out = te_event_text(pool, &event);

    ck_assert_str_eq(out->id, ID);
    ck_assert_str_eq(out->user_id, "auth0|a=b~c");
    ck_assert_str_eq(out->topic, "tasks");
}
END_TEST

START_TEST(no_text_in_the_data_is_taken_for_the_hole)
{
    static const char trap[] = "\"sequence\":\"####################\"";
    te_event_t event = sample();
    json_t *json;

    event.source = "\"sequence\":\"####################\"";
    json_object_set_new(event.data, "sequence",
                        json_string("####################"));
    json_object_set_new(event.data, "title", json_string(trap));
    json = parsed(spliced(&event));
    ck_assert_str_eq(te_json_get_string(json, "sequence"), SEQUENCE);
    ck_assert_str_eq(te_json_get_string(json, "source"), trap);
    json = json_object_get(json, "data");
    ck_assert_str_eq(te_json_get_string(json, "sequence"),
                     "####################");
    ck_assert_str_eq(te_json_get_string(json, "title"), trap);
}
END_TEST

START_TEST(nasty_titles_leave_valid_json)
{
    int i;

    unit_seed();
    for (i = 0; i < 500; ++i) {
        te_event_t event = sample();
        const char *title = unit_nasty_text(60);
        json_t *json;

        json_object_set_new(event.data, "title", json_string(title));
        json = parsed(spliced(&event));
        ck_assert_str_eq(te_json_get_string(json_object_get(json, "data"),
                                            "title"), title);
        ck_assert_str_eq(te_json_get_string(json, "sequence"), SEQUENCE);
    }
}
END_TEST

/* --- coming in --------------------------------------------------------- */

static te_incoming_t *taken(const char *text)
{
    const char *reason = NULL;
    te_incoming_t *event = te_event_parse(pool, text, strlen(text), &reason);

    ck_assert_msg(event != NULL, "%s: %s", text, reason);
    return event;
}

START_TEST(what_we_write_we_read)
{
    te_event_t event = sample();
    te_incoming_t *in;
    const char *text;

    event.correlation_id = FIRST;
    event.causation_id = CAUSE;
    json_object_set_new(event.data, "task", json_object());
    text = spliced(&event);
    in = taken(text);
    ck_assert_str_eq(in->id, ID);
    ck_assert_str_eq(in->source, "/taskevents");
    ck_assert_str_eq(in->type, "task.completed");
    ck_assert_str_eq(in->user_id, "auth0|a=b~c");
    ck_assert_int_eq(in->task_id, 42);
    ck_assert_int_eq(in->time, APR_INT64_C(1769850000123456));
    ck_assert_str_eq(in->origin, "user");
    ck_assert_str_eq(in->correlation_id, FIRST);
    ck_assert_str_eq(in->traceparent, TRACE);
    ck_assert(json_is_object(json_object_get(in->data, "task")));
    ck_assert_str_eq(in->text, text);
}
END_TEST

START_TEST(a_foreign_event_needs_four_attributes)
{
    te_incoming_t *in = taken("{\"specversion\":\"1.0\",\"id\":\"x\","
                              "\"source\":\"urn:them\",\"type\":\"t\"}");

    ck_assert_ptr_null(in->user_id);
    ck_assert_int_eq(in->task_id, 0);
    ck_assert_int_eq(in->time, TE_TIME_NONE);
    ck_assert_str_eq(in->origin, "");
    ck_assert_str_eq(in->correlation_id, "x");
    ck_assert_ptr_null(in->traceparent);
    ck_assert_ptr_null(in->data);
}
END_TEST

START_TEST(the_data_of_a_foreign_event_may_be_anything)
{
    static const char *const data[] = {"null", "1", "\"x\"", "[]", "true"};
    apr_size_t i;

    for (i = 0; i < sizeof data / sizeof data[0]; ++i) {
        ck_assert_ptr_null(
            taken(apr_psprintf(pool, "{\"specversion\":\"1.0\",\"id\":\"x\","
                               "\"source\":\"s\",\"type\":\"t\",\"data\":%s}",
                               data[i]))->data);
    }
}
END_TEST

#define ENVELOPE "\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"s\"," \
    "\"type\":\"t\""

static const char *const refused[] = {
    "", "x", "[]", "null", "1", "\"x\"", "{}", "{" ENVELOPE, "\xff",
    "{" ENVELOPE "} ,",
    /* specversion */
    "{\"id\":\"x\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"0.3\",\"id\":\"x\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":1.0,\"id\":\"x\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0.0\",\"id\":\"x\",\"source\":\"s\",\"type\":\"t\"}",
    /* a missing, empty or wrong attribute */
    "{\"specversion\":\"1.0\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"x\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"s\"}",
    "{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"s\",\"type\":\"\"}",
    "{\"specversion\":\"1.0\",\"id\":7,\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":null,\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":[],\"type\":\"t\"}",
    /* time */
    "{" ENVELOPE ",\"time\":\"yesterday\"}", "{" ENVELOPE ",\"time\":1}",
    "{" ENVELOPE ",\"time\":\"2026-01-31T09:00:00\"}",
    /* JSON's own */
    "{" ENVELOPE ",\"id\":\"y\"}",
    "{" ENVELOPE ",\"data\":{\"title\":\"a\\u0000b\"}}",
};

START_TEST(what_is_no_event_is_refused_with_a_reason)
{
    const char *text = refused[_i], *reason = NULL;
    te_incoming_t *event = te_event_parse(pool, text, strlen(text), &reason);

    ck_assert_msg(event == NULL, "accepted: %s", text);
    ck_assert(reason != NULL && *reason);
}
END_TEST

static const char *const faulty_data[] = {
    "{" ENVELOPE ",\"data\":{\"user_id\":1}}",
    "{" ENVELOPE ",\"data\":{\"user_id\":\"\"}}",
    "{" ENVELOPE ",\"data\":{\"user_id\":\"SEKRET !\"}}",
    "{" ENVELOPE ",\"data\":{\"user_id\":\"events\"}}",
    "{" ENVELOPE ",\"data\":{\"user_id\":null}}",
    "{" ENVELOPE ",\"data\":{\"task_id\":\"1\"}}",
    "{" ENVELOPE ",\"data\":{\"task_id\":0}}",
    "{" ENVELOPE ",\"data\":{\"task_id\":-1}}",
    "{" ENVELOPE ",\"data\":{\"task_id\":1.5}}",
};

/* a foreign event may mean something else by these names */
START_TEST(data_that_is_none_of_ours_is_no_fault_of_the_event)
{
    const char *text = faulty_data[_i], *reason = NULL;
    te_incoming_t *event = te_event_parse(pool, text, strlen(text), &reason);

    ck_assert_msg(event != NULL, "%s", reason);
    ck_assert_ptr_nonnull(event->data_fault);
    ck_assert_msg(strstr(event->data_fault, "SEKRET") == NULL, "%s",
                  event->data_fault);
    ck_assert_ptr_null(event->user_id);
    ck_assert_int_eq(event->task_id, 0);
}
END_TEST

START_TEST(a_reason_never_holds_the_senders_text)
{
    static const char *const texts[] = {
        "{" ENVELOPE ",\"time\":\"SEKRET\"}",
        "{\"specversion\":\"SEKRET\",\"id\":\"x\"}", "SEKRET", "{\"SEKRET",
        "{\"SEKRET\":1,\"SEKRET\":1}",
    };
    apr_size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        const char *reason = "";

        ck_assert_ptr_null(te_event_parse(pool, texts[i], strlen(texts[i]),
                                          &reason));
        ck_assert_msg(strstr(reason, "SEKRET") == NULL, "%s", reason);
    }
}
END_TEST

START_TEST(bytes_need_no_nul_behind_them)
{
    static const char text[] = "{" ENVELOPE "}garbage";
    const char *reason = NULL;
    te_incoming_t *event = te_event_parse(pool, text,
                                          sizeof text - sizeof "garbage",
                                          &reason);

    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(event->text, "{" ENVELOPE "}");
}
END_TEST

START_TEST(the_identity_of_a_broken_event_is_what_is_sound)
{
    static const char *const texts[][4] = {
        {"{\"id\":\"x\",\"source\":\"s\",\"data\":{\"user_id\":\"u\"}}",
         "s", "x", "u"},
        {"{\"id\":7,\"source\":\"s\",\"data\":{\"user_id\":\"a b\"}}", "s",
         NULL, NULL},
        {"{\"id\":\"\",\"data\":[]}", NULL, NULL, NULL},
        {"[1]", NULL, NULL, NULL}, {"{\"id\":\"x\"", NULL, NULL, NULL},
    };
    apr_size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; ++i) {
        const char *found[3] = {NULL, NULL, NULL};
        int n;

        te_event_identity(pool, texts[i][0], strlen(texts[i][0]), &found[0],
                          &found[1], &found[2]);
        for (n = 0; n < 3; ++n) {
            ck_assert_pstr_eq(found[n], texts[i][n + 1]);
        }
    }
}
END_TEST

START_TEST(a_name_of_an_event_has_at_most_512_bytes)
{
    const char *reason, *text, *id = "";
    int i;

    for (i = 0; i < 512; ++i) {
        id = apr_pstrcat(pool, id, "x", NULL);
    }
    text = apr_pstrcat(pool, "{\"specversion\":\"1.0\",\"source\":\"s\","
                       "\"type\":\"t\",\"id\":\"", id, "\"}", NULL);
    ck_assert_str_eq(taken(text)->id, id);
    text = apr_pstrcat(pool, "{\"specversion\":\"1.0\",\"source\":\"s\","
                       "\"type\":\"t\",\"id\":\"x", id, "\"}", NULL);
    ck_assert_ptr_null(te_event_parse(pool, text, strlen(text), &reason));
}
END_TEST

/* --- tracing ----------------------------------------------------------- */

static const char *const bad_traces[] = {
    NULL, "", "00", "x" TRACE, TRACE "-00", TRACE " ",
    /* all zero */
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    /* upper case, other versions, other separators, no hex digits */
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
    "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b -01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\"\"",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
};

START_TEST(a_valid_trace_is_continued)
{
    ck_assert_str_eq(te_traceparent(pool, TRACE), TRACE);
    ck_assert_str_eq(te_traceparent(pool, "00-0000000000000000000000000000000"
                                    "1-0000000000000001-ff"),
                     "00-00000000000000000000000000000001-0000000000000001"
                     "-ff");
}
END_TEST

START_TEST(without_a_valid_one_a_new_trace_begins)
{
    const char *made = te_traceparent(pool, bad_traces[_i]);

    ck_assert_msg(bad_traces[_i] == NULL || strcmp(made, bad_traces[_i]) != 0,
                  "continued: %s", made);
    ck_assert_uint_eq(strlen(made), 55);
    /* a valid one: it is continued */
    ck_assert_str_eq(te_traceparent(pool, made), made);
    ck_assert_str_ne(te_traceparent(pool, bad_traces[_i]), made);
}
END_TEST

TCase *event_tests(void)
{
    TCase *c = unit_case("event", 30);

    tcase_add_test(c,
                   the_envelope_has_the_attributes_of_the_contract_in_order);
    tcase_add_test(c, the_first_of_a_chain_names_itself_and_no_cause);
    tcase_add_test(c, attribute_names_are_those_that_cloudevents_allows);
    tcase_add_test(c, the_outgoing_event_says_where_it_goes);
    tcase_add_test(c, no_text_in_the_data_is_taken_for_the_hole);
    tcase_add_test(c, nasty_titles_leave_valid_json);
    tcase_add_test(c, what_we_write_we_read);
    tcase_add_test(c, a_foreign_event_needs_four_attributes);
    tcase_add_test(c, the_data_of_a_foreign_event_may_be_anything);
    tcase_add_loop_test(
        c, data_that_is_none_of_ours_is_no_fault_of_the_event, 0,
        sizeof faulty_data / sizeof faulty_data[0]);
    tcase_add_loop_test(c, what_is_no_event_is_refused_with_a_reason, 0,
                        sizeof refused / sizeof refused[0]);
    tcase_add_test(c, a_reason_never_holds_the_senders_text);
    tcase_add_test(c, bytes_need_no_nul_behind_them);
    tcase_add_test(c, the_identity_of_a_broken_event_is_what_is_sound);
    tcase_add_test(c, a_name_of_an_event_has_at_most_512_bytes);
    tcase_add_test(c, a_valid_trace_is_continued);
    tcase_add_loop_test(c, without_a_valid_one_a_new_trace_begins, 0,
                        sizeof bad_traces / sizeof bad_traces[0]);
    return c;
}
