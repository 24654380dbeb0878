/* Every rule of a task's fields, on the way in. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/core/task.h"
#include "cases.h"

/* What the store would say. */
static int zone_known(const json_t *body)
{
    const char *name = te_task_zone_named(body);

    return name == NULL || strcmp(name, "Europe/Berlin") == 0;
}

static json_t *parsed(const char *body)
{
    const char *detail = "";
    json_t *json = te_json_parse(pool, body, strlen(body), &detail);

    ck_assert_msg(json != NULL, "%s: %s", body, detail);
    return json;
}

static te_task_t *read_text(const char *body, apr_array_header_t **faults)
{
    json_t *json = parsed(body);
    te_task_t *task = NULL;

    te_task_read(pool, json, zone_known(json), &task, faults);
    ck_assert((*faults)->nelts > 0 || task != NULL);
    return task;
}

static te_task_t *accepted(const char *body)
{
    apr_array_header_t *faults;
    te_task_t *task = read_text(body, &faults);

    ck_assert_msg(faults->nelts == 0, "%s: %s %s", body,
                  APR_ARRAY_IDX(faults, 0, te_fault_t).pointer,
                  APR_ARRAY_IDX(faults, 0, te_fault_t).detail);
    return task;
}

/* The pointers of all faults, in order, with spaces between them. */
static const char *pointers_of(const apr_array_header_t *faults)
{
    const char *all = "";
    int i;

    for (i = 0; i < faults->nelts; ++i) {
        te_fault_t *f = &APR_ARRAY_IDX(faults, i, te_fault_t);

        ck_assert(f->detail != NULL && *f->detail);
        all = apr_pstrcat(pool, all, i ? " " : "", f->pointer, NULL);
    }
    return all;
}

static const char *pointers(const char *body)
{
    apr_array_header_t *faults;

    read_text(body, &faults);
    return pointers_of(faults);
}

/* A task with a title and this member. */
static const char *with(const char *member)
{
    return apr_pstrcat(pool, "{\"title\":\"t\",", member, "}", NULL);
}

static const char *repeat(const char *s, int n)
{
    char *out = apr_palloc(pool, strlen(s) * (apr_size_t)n + 1), *o = out;

    for (; n > 0; --n) {
        o = apr_cpystrn(o, s, strlen(s) + 1);
    }
    *o = '\0';
    return out;
}

static const char *titled(const char *title)
{
    return apr_pstrcat(pool, "{\"title\":\"", title, "\"}", NULL);
}

/* --- user ids ---------------------------------------------------------- */

START_TEST(a_user_id_has_1_to_128_of_its_characters)
{
    ck_assert(te_user_id_valid("a"));
    ck_assert(te_user_id_valid("AZaz09._@:+|=~-"));
    ck_assert(te_user_id_valid("auth0|5f7c8ec7c33c6c004bbafe82"));
    ck_assert(te_user_id_valid("Events"));
    ck_assert(te_user_id_valid("..."));
    ck_assert(te_user_id_valid(repeat("u", 128)));
    ck_assert(!te_user_id_valid(repeat("u", 129)));
    ck_assert(!te_user_id_valid(""));
}
END_TEST

START_TEST(no_other_character_makes_a_user_id)
{
    const char *allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                          "0123456789._@:+|=~-";
    char text[4] = "a?b";
    int c;

    for (c = 1; c < 256; ++c) {
        text[1] = (char)c;
        ck_assert_int_eq(te_user_id_valid(text), strchr(allowed, c) != NULL);
    }
}
END_TEST

START_TEST(names_that_paths_need_are_no_user_ids)
{
    ck_assert(!te_user_id_valid("events"));
    ck_assert(!te_user_id_valid("."));
    ck_assert(!te_user_id_valid(".."));
}
END_TEST

/* --- defaults ---------------------------------------------------------- */

START_TEST(a_title_is_enough)
{
    te_task_t *task = accepted("{\"title\":\"Buy milk\"}");

    ck_assert_str_eq(task->title, "Buy milk");
    ck_assert_ptr_null(task->description);
    ck_assert_int_eq(task->completed, 0);
    ck_assert_int_eq(task->completed_at, TE_TIME_NONE);
    ck_assert_int_eq(task->priority, TE_PRIORITY_MEDIUM);
    ck_assert_int_eq(task->tags->nelts, 0);
    ck_assert_int_eq(task->due_date, TE_TIME_NONE);
    ck_assert_str_eq(task->time_zone, "UTC");
    ck_assert_ptr_null(task->recurring_interval);
    ck_assert_int_eq(task->version, 1);
    ck_assert_int_eq(task->occurrence, 0);
}
END_TEST

START_TEST(every_field_a_client_may_set_arrives)
{
    te_task_t *task = accepted(
        "{\"title\":\" Pay \",\"description\":\" as it is \","
        "\"completed\":true,\"priority\":\"high\",\"tags\":[\" a \",\"B\"],"
        "\"due_date\":\"2026-01-31T10:00:00+01:00\","
        "\"time_zone\":\"Europe/Berlin\",\"is_recurring\":true,"
        "\"recurring_interval\":\"monthly\"}");

    ck_assert_str_eq(task->title, "Pay");
    ck_assert_str_eq(task->description, " as it is ");
    ck_assert_int_eq(task->completed, 1);
    ck_assert_int_eq(task->priority, TE_PRIORITY_HIGH);
    ck_assert_int_eq(task->tags->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(task->tags, 0, const char *), "a");
    ck_assert_str_eq(APR_ARRAY_IDX(task->tags, 1, const char *), "B");
    ck_assert_str_eq(te_time_format(pool, task->due_date),
                     "2026-01-31T09:00:00Z");
    ck_assert_str_eq(task->time_zone, "Europe/Berlin");
    ck_assert_str_eq(task->recurring_interval, "monthly");
}
END_TEST

START_TEST(what_is_read_outlives_the_body)
{
    const char *body = "{\"title\":\"t\",\"description\":\"d\",\"tags\":[\"x\"],"
                       "\"time_zone\":\"Europe/Berlin\",\"is_recurring\":true,"
                       "\"recurring_interval\":\"daily\"}";
    json_t *json = json_loads(body, 0, NULL);
    apr_array_header_t *faults;
    te_task_t *task = NULL;

    te_task_read(pool, json, 1, &task, &faults);
    json_decref(json);
    ck_assert_ptr_nonnull(task);
    ck_assert_str_eq(task->title, "t");
    ck_assert_str_eq(task->description, "d");
    ck_assert_str_eq(APR_ARRAY_IDX(task->tags, 0, const char *), "x");
    ck_assert_str_eq(task->time_zone, "Europe/Berlin");
    ck_assert_str_eq(task->recurring_interval, "daily");
}
END_TEST

START_TEST(null_is_the_same_as_left_out_where_it_may_be)
{
    te_task_t *task = accepted(with("\"description\":null,\"due_date\":null,"
                                    "\"recurring_interval\":null"));

    ck_assert_ptr_null(task->description);
    ck_assert_int_eq(task->due_date, TE_TIME_NONE);
    ck_assert_ptr_null(task->recurring_interval);
}
END_TEST

/* --- rules ------------------------------------------------------------- */

START_TEST(a_title_is_trimmed_and_has_1_to_200_characters)
{
    accepted(titled("x"));
    accepted(titled(repeat("x", 200)));
    accepted(titled(repeat("😀", 200)));
    ck_assert_str_eq(accepted(titled("\xe3\x80\x80 x \xc2\xa0"))->title, "x");
    accepted(titled(apr_pstrcat(pool, "   ", repeat("é", 200), "   ", NULL)));
    ck_assert_str_eq(pointers(titled(repeat("x", 201))), "#/title");
    ck_assert_str_eq(pointers(titled(repeat("é", 201))), "#/title");
    ck_assert_str_eq(pointers(titled("")), "#/title");
    ck_assert_str_eq(pointers(titled(" \\t\xe2\x80\x83")), "#/title");
}
END_TEST

START_TEST(a_description_has_at_most_1000_characters_untrimmed)
{
    static const char format[] = "\"description\":\"%s\"";

    accepted(with(apr_psprintf(pool, format, "")));
    accepted(with(apr_psprintf(pool, format, repeat("é", 1000))));
    ck_assert_str_eq(pointers(with(apr_psprintf(pool, format,
                                                repeat("é", 1001)))),
                     "#/description");
    ck_assert_str_eq(pointers(with(apr_psprintf(pool, format,
                                                repeat(" ", 1001)))),
                     "#/description");
}
END_TEST

START_TEST(there_are_at_most_10_tags)
{
    ck_assert_int_eq(accepted(with("\"tags\":[]"))->tags->nelts, 0);
    ck_assert_int_eq(accepted(with("\"tags\":[\"a\",\"b\",\"c\",\"d\",\"e\","
                                   "\"f\",\"g\",\"h\",\"i\",\"j\"]"))
                         ->tags->nelts, 10);
    ck_assert_str_eq(pointers(with("\"tags\":[\"a\",\"b\",\"c\",\"d\",\"e\","
                                   "\"f\",\"g\",\"h\",\"i\",\"j\",\"k\"]")),
                     "#/tags");
}
END_TEST

START_TEST(a_tag_is_trimmed_and_has_1_to_50_characters)
{
    static const char format[] = "\"tags\":[\"ok\",\"%s\"]";
    static const char *at = "#/tags/1";

    accepted(with(apr_psprintf(pool, format, repeat("é", 50))));
    accepted(with(apr_psprintf(pool, format,
                               apr_pstrcat(pool, " ", repeat("é", 50), " ",
                                           NULL))));
    ck_assert_str_eq(pointers(with(apr_psprintf(pool, format,
                                                repeat("é", 51)))), at);
    ck_assert_str_eq(pointers(with(apr_psprintf(pool, format, ""))), at);
    ck_assert_str_eq(pointers(with(apr_psprintf(pool, format, " \xc2\xa0"))),
                     at);
}
END_TEST

START_TEST(a_tag_repeated_in_another_case_is_refused)
{
    ck_assert_str_eq(pointers(with("\"tags\":[\"a\",\"b\",\"A\"]")),
                     "#/tags/2");
    ck_assert_str_eq(pointers(with("\"tags\":[\"Ärger\",\"äRGER\"]")),
                     "#/tags/1");
    ck_assert_str_eq(pointers(with("\"tags\":[\"x\",\" x \"]")), "#/tags/1");
    ck_assert_str_eq(pointers(with("\"tags\":[\"Straße\",\"STRASSE\"]")),
                     "#/tags/1");
    accepted(with("\"tags\":[\"u\",\"ü\"]"));
}
END_TEST

START_TEST(every_faulty_tag_is_named)
{
    ck_assert_str_eq(pointers(with("\"tags\":[1,\"a\",null,\"A\",\"\",[]]")),
                     "#/tags/0 #/tags/2 #/tags/3 #/tags/4 #/tags/5");
}
END_TEST

START_TEST(a_due_date_is_a_time_with_an_offset)
{
    accepted(with("\"due_date\":\"2026-01-31T09:00:00Z\""));
    accepted(with("\"due_date\":\"0001-01-01T00:00:00Z\""));
    accepted(with("\"due_date\":\"9999-12-31T23:59:59.999999Z\""));
    ck_assert_str_eq(pointers(with("\"due_date\":\"2026-01-31\"")),
                     "#/due_date");
    ck_assert_str_eq(pointers(with("\"due_date\":\"2026-01-31T09:00:00\"")),
                     "#/due_date");
    ck_assert_str_eq(pointers(with("\"due_date\":\"\"")), "#/due_date");
    ck_assert_str_eq(pointers(with("\"due_date\":1769850000")), "#/due_date");
}
END_TEST

START_TEST(a_time_zone_is_one_that_is_known)
{
    accepted(with("\"time_zone\":\"Europe/Berlin\""));
    ck_assert_str_eq(pointers(with("\"time_zone\":\"Mars/Base\"")),
                     "#/time_zone");
    ck_assert_str_eq(pointers(with("\"time_zone\":\"\"")), "#/time_zone");
    ck_assert_str_eq(pointers(with("\"time_zone\":\"utc\"")), "#/time_zone");
}
END_TEST

START_TEST(only_a_zone_that_somebody_has_to_know_is_asked_for)
{
    ck_assert_ptr_null(te_task_zone_named(parsed("{}")));
    ck_assert_ptr_null(te_task_zone_named(parsed("{\"time_zone\":null}")));
    ck_assert_ptr_null(te_task_zone_named(parsed("{\"time_zone\":1}")));
    ck_assert_ptr_null(te_task_zone_named(parsed("{\"time_zone\":\"UTC\"}")));
    ck_assert_str_eq(te_task_zone_named(parsed("{\"time_zone\":\"utc\"}")),
                     "utc");
}
END_TEST

START_TEST(an_interval_is_there_if_and_only_if_it_recurs)
{
    static const char *const intervals[] = {"daily", "weekly", "monthly"};
    int i;

    for (i = 0; i < 3; ++i) {
        ck_assert_str_eq(
            accepted(with(apr_psprintf(pool, "\"is_recurring\":true,"
                                       "\"recurring_interval\":\"%s\"",
                                       intervals[i])))->recurring_interval,
            intervals[i]);
    }
    accepted(with("\"is_recurring\":false"));
    accepted(with("\"is_recurring\":false,\"recurring_interval\":null"));
    ck_assert_str_eq(pointers(with("\"is_recurring\":true")),
                     "#/recurring_interval");
    ck_assert_str_eq(pointers(with("\"is_recurring\":true,"
                                   "\"recurring_interval\":null")),
                     "#/recurring_interval");
    ck_assert_str_eq(pointers(with("\"recurring_interval\":\"daily\"")),
                     "#/recurring_interval");
    ck_assert_str_eq(pointers(with("\"is_recurring\":false,"
                                   "\"recurring_interval\":\"daily\"")),
                     "#/recurring_interval");
    ck_assert_str_eq(pointers(with("\"is_recurring\":true,"
                                   "\"recurring_interval\":\"yearly\"")),
                     "#/recurring_interval");
}
END_TEST

START_TEST(a_priority_is_low_medium_or_high)
{
    ck_assert_int_eq(accepted(with("\"priority\":\"low\""))->priority,
                     TE_PRIORITY_LOW);
    ck_assert_int_eq(accepted(with("\"priority\":\"medium\""))->priority,
                     TE_PRIORITY_MEDIUM);
    ck_assert_str_eq(pointers(with("\"priority\":\"High\"")), "#/priority");
    ck_assert_str_eq(pointers(with("\"priority\":\"\"")), "#/priority");
    ck_assert_str_eq(pointers(with("\"priority\":3")), "#/priority");
    ck_assert_str_eq(pointers(with("\"priority\":null")), "#/priority");
}
END_TEST

/* A member and values of the wrong type for it. */
static const struct {
    const char *member, *values[7];
} wrong_types[] = {
    {"description", {"1", "true", "[]", "{}"}},
    {"completed", {"null", "0", "\"true\"", "[]", "{}"}},
    {"priority", {"null", "1", "true", "[]", "{}"}},
    {"tags", {"null", "1", "\"a,b\"", "true", "{}"}},
    {"due_date", {"1", "true", "[]", "{}"}},
    {"time_zone", {"null", "1", "true", "[]", "{}"}},
    {"is_recurring", {"null", "1", "\"true\"", "[]", "{}"}},
};

START_TEST(a_value_of_the_wrong_type_is_one_fault)
{
    const char *member = wrong_types[_i].member;
    const char *const *value;

    for (value = wrong_types[_i].values; *value != NULL; ++value) {
        ck_assert_str_eq(pointers(with(apr_psprintf(pool, "\"%s\":%s", member,
                                                    *value))),
                         te_fault_pointer(pool, member));
    }
}
END_TEST

START_TEST(a_title_of_the_wrong_type_is_one_fault)
{
    ck_assert_str_eq(pointers("{\"title\":null}"), "#/title");
    ck_assert_str_eq(pointers("{\"title\":1}"), "#/title");
    ck_assert_str_eq(pointers("{\"title\":[\"x\"]}"), "#/title");
}
END_TEST

START_TEST(a_title_is_required)
{
    ck_assert_str_eq(pointers("{}"), "#/title");
    ck_assert_str_eq(pointers("{\"description\":\"x\"}"), "#/title");
}
END_TEST

START_TEST(several_faults_are_told_at_once)
{
    ck_assert_str_eq(pointers("{\"description\":1,\"priority\":\"urgent\","
                              "\"tags\":[\"\"],\"due_date\":\"soon\","
                              "\"time_zone\":\"x\",\"completed\":\"no\","
                              "\"colour\":1,\"id\":1,\"is_recurring\":true}"),
                     "#/description #/priority #/tags/0 #/due_date"
                     " #/time_zone #/completed #/colour #/id"
                     " #/recurring_interval #/title");
}
END_TEST

START_TEST(an_unknown_member_is_named)
{
    ck_assert_str_eq(pointers(with("\"colour\":\"red\"")), "#/colour");
    ck_assert_str_eq(pointers(with("\"Title\":\"x\"")), "#/Title");
    ck_assert_str_eq(pointers(with("\"a/b~c d\":1")), "#/a~1b~0c%20d");
    ck_assert_str_eq(pointers(with("\"\":1")), "#/");
    ck_assert_str_eq(pointers(with("\"é\":null")), "#/%C3%A9");
}
END_TEST

static const char *const server_members[] = {
    "id", "user_id", "completed_at", "series_id", "occurrence", "version",
    "created_at", "updated_at",
};

START_TEST(a_member_of_the_server_is_refused_whatever_its_value)
{
    const char *name = server_members[_i];

    ck_assert_str_eq(pointers(with(apr_psprintf(pool, "\"%s\":1", name))),
                     te_fault_pointer(pool, name));
    ck_assert_str_eq(pointers(with(apr_psprintf(pool, "\"%s\":null", name))),
                     te_fault_pointer(pool, name));
}
END_TEST

TCase *task_read_tests(void)
{
    TCase *c = unit_case("task_read", 30);

    tcase_add_test(c, a_user_id_has_1_to_128_of_its_characters);
    tcase_add_test(c, no_other_character_makes_a_user_id);
    tcase_add_test(c, names_that_paths_need_are_no_user_ids);
    tcase_add_test(c, a_title_is_enough);
    tcase_add_test(c, every_field_a_client_may_set_arrives);
    tcase_add_test(c, what_is_read_outlives_the_body);
    tcase_add_test(c, null_is_the_same_as_left_out_where_it_may_be);
    tcase_add_test(c, a_title_is_trimmed_and_has_1_to_200_characters);
    tcase_add_test(c, a_description_has_at_most_1000_characters_untrimmed);
    tcase_add_test(c, there_are_at_most_10_tags);
    tcase_add_test(c, a_tag_is_trimmed_and_has_1_to_50_characters);
    tcase_add_test(c, a_tag_repeated_in_another_case_is_refused);
    tcase_add_test(c, every_faulty_tag_is_named);
    tcase_add_test(c, a_due_date_is_a_time_with_an_offset);
    tcase_add_test(c, a_time_zone_is_one_that_is_known);
    tcase_add_test(c, only_a_zone_that_somebody_has_to_know_is_asked_for);
    tcase_add_test(c, an_interval_is_there_if_and_only_if_it_recurs);
    tcase_add_test(c, a_priority_is_low_medium_or_high);
    tcase_add_loop_test(c, a_value_of_the_wrong_type_is_one_fault, 0,
                        sizeof wrong_types / sizeof wrong_types[0]);
    tcase_add_test(c, a_title_of_the_wrong_type_is_one_fault);
    tcase_add_test(c, a_title_is_required);
    tcase_add_test(c, several_faults_are_told_at_once);
    tcase_add_test(c, an_unknown_member_is_named);
    tcase_add_loop_test(c,
                        a_member_of_the_server_is_refused_whatever_its_value,
                        0, sizeof server_members / sizeof server_members[0]);
    return c;
}
