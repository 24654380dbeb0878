/* Changes of a task by merge patch, and what differs afterwards. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/core/task.h"
#include "cases.h"

static te_task_t before;

static void full_task(void)
{
    memset(&before, 0, sizeof before);
    before.id = 42;
    before.user_id = "alice";
    before.title = "Pay";
    before.description = "d";
    before.completed_at = TE_TIME_NONE;
    before.priority = TE_PRIORITY_HIGH;
    before.tags = unit_texts("a", "b", NULL);
    before.due_date = APR_INT64_C(1769850000000000);
    before.time_zone = "Europe/Berlin";
    before.recurring_interval = "monthly";
    before.series_id = "0a300ee9-f9e4-5697-a51a-efc7fafaba67";
    before.occurrence = 3;
    before.version = 7;
    before.created_at = before.updated_at = 1;
}

static json_t *parsed(const char *body)
{
    const char *detail = "";
    json_t *json = te_json_parse(pool, body, strlen(body), &detail);

    ck_assert_msg(json != NULL, "%s: %s", body, detail);
    return json;
}

static te_task_t *patched(const char *body)
{
    apr_array_header_t *faults;
    te_task_t *after = NULL;

    te_task_patch(pool, parsed(body), 1, &before, &after, &faults);
    ck_assert_msg(faults->nelts == 0, "%s", body);
    ck_assert_ptr_nonnull(after);
    return after;
}

/* What a patch changes, as JSON. */
static const char *changes(const char *body)
{
    return te_json_text(pool, te_json_keep(pool,
                                           te_task_changes(pool, &before,
                                                           patched(body))));
}

static const char *pointers(const char *body)
{
    apr_array_header_t *faults;
    const char *all = "";
    te_task_t *after;
    int i;

    te_task_patch(pool, parsed(body), 0, &before, &after, &faults);
    for (i = 0; i < faults->nelts; ++i) {
        all = apr_pstrcat(pool, all, i ? " " : "",
                          APR_ARRAY_IDX(faults, i, te_fault_t).pointer, NULL);
    }
    return all;
}

START_TEST(an_empty_patch_changes_nothing)
{
    ck_assert_str_eq(changes("{}"), "{}");
}
END_TEST

START_TEST(the_same_values_change_nothing)
{
    ck_assert_str_eq(changes("{\"title\":\" Pay \",\"description\":\"d\","
                             "\"completed\":false,\"priority\":\"high\","
                             "\"tags\":[\"a\",\"b\"],"
                             "\"due_date\":\"2026-01-31T10:00:00+01:00\","
                             "\"time_zone\":\"Europe/Berlin\","
                             "\"is_recurring\":true,"
                             "\"recurring_interval\":\"monthly\"}"), "{}");
}
END_TEST

START_TEST(a_change_tells_old_and_new_of_its_fields_only)
{
    ck_assert_str_eq(changes("{\"title\":\"Go\",\"priority\":\"low\"}"),
                     "{\"title\":{\"old\":\"Pay\",\"new\":\"Go\"},"
                     "\"priority\":{\"old\":\"high\",\"new\":\"low\"}}");
    ck_assert_str_eq(changes("{\"tags\":[\"b\",\"a\"]}"),
                     "{\"tags\":{\"old\":[\"a\",\"b\"],"
                     "\"new\":[\"b\",\"a\"]}}");
    ck_assert_str_eq(changes("{\"due_date\":\"2026-02-01T00:00:00Z\"}"),
                     "{\"due_date\":{\"old\":\"2026-01-31T09:00:00Z\","
                     "\"new\":\"2026-02-01T00:00:00Z\"}}");
}
END_TEST

START_TEST(version_and_update_time_are_no_changes)
{
    te_task_t after = before;

    after.version = 8;
    after.updated_at = 2;
    ck_assert_str_eq(te_json_text(pool, te_json_keep(
        pool, te_task_changes(pool, &before, &after))), "{}");
}
END_TEST

START_TEST(null_clears_or_restores_the_default)
{
    te_task_t *after = patched("{\"description\":null,\"completed\":null,"
                               "\"priority\":null,\"tags\":null,"
                               "\"due_date\":null,\"time_zone\":null,"
                               "\"is_recurring\":null,"
                               "\"recurring_interval\":null}");

    ck_assert_ptr_null(after->description);
    ck_assert_int_eq(after->completed, 0);
    ck_assert_int_eq(after->priority, TE_PRIORITY_MEDIUM);
    ck_assert_int_eq(after->tags->nelts, 0);
    ck_assert_int_eq(after->due_date, TE_TIME_NONE);
    ck_assert_str_eq(after->time_zone, "UTC");
    ck_assert_ptr_null(after->recurring_interval);
}
END_TEST

START_TEST(what_a_patch_does_not_name_stays)
{
    te_task_t *after = patched("{\"completed\":true}");

    ck_assert_int_eq(after->completed, 1);
    ck_assert_str_eq(changes("{\"completed\":true}"),
                     "{\"completed\":{\"old\":false,\"new\":true}}");
    ck_assert_int_eq(after->id, 42);
    ck_assert_int_eq(after->version, 7);
    ck_assert_str_eq(after->series_id, before.series_id);
}
END_TEST

START_TEST(a_patch_never_touches_the_task_before)
{
    te_task_t *after = patched("{\"title\":\"x\",\"tags\":[\"z\"],"
                               "\"description\":null}");

    ck_assert_str_eq(before.title, "Pay");
    ck_assert_str_eq(before.description, "d");
    ck_assert_int_eq(before.tags->nelts, 2);
    ck_assert_str_eq(APR_ARRAY_IDX(before.tags, 0, const char *), "a");
    ck_assert_int_eq(after->tags->nelts, 1);
}
END_TEST

START_TEST(no_longer_recurring_takes_the_interval_along)
{
    ck_assert_str_eq(changes("{\"is_recurring\":false}"),
                     "{\"is_recurring\":{\"old\":true,\"new\":false},"
                     "\"recurring_interval\":{\"old\":\"monthly\","
                     "\"new\":null}}");
    ck_assert_str_eq(changes("{\"recurring_interval\":\"daily\"}"),
                     "{\"recurring_interval\":{\"old\":\"monthly\","
                     "\"new\":\"daily\"}}");
}
END_TEST

START_TEST(a_task_may_begin_to_recur)
{
    before.recurring_interval = NULL;
    ck_assert_str_eq(patched("{\"is_recurring\":true,"
                             "\"recurring_interval\":\"daily\"}")
                         ->recurring_interval, "daily");
    ck_assert_str_eq(pointers("{\"is_recurring\":true}"),
                     "#/recurring_interval");
    ck_assert_str_eq(pointers("{\"recurring_interval\":\"daily\"}"),
                     "#/recurring_interval");
}
END_TEST

/* A patch and the pointers of its faults. */
static const char *const faulty[][2] = {
    {"{\"title\":null}", "#/title"},
    {"{\"title\":\" \"}", "#/title"},
    {"{\"description\":1}", "#/description"},
    {"{\"completed\":1}", "#/completed"},
    {"{\"priority\":\"x\"}", "#/priority"},
    {"{\"tags\":[\"A\",\"a\"]}", "#/tags/1"},
    {"{\"due_date\":\"2026-01-31\"}", "#/due_date"},
    {"{\"time_zone\":\"Mars/Base\"}", "#/time_zone"},
    {"{\"recurring_interval\":null}", "#/recurring_interval"},
    {"{\"recurring_interval\":\"yearly\"}", "#/recurring_interval"},
    {"{\"is_recurring\":false,\"recurring_interval\":\"daily\"}",
     "#/recurring_interval"},
    {"{\"id\":null}", "#/id"},
    {"{\"version\":7}", "#/version"},
    {"{\"a/b\":null}", "#/a~1b"},
    {"{\"title\":1,\"tags\":1,\"x\":1}", "#/title #/tags #/x"},
};

START_TEST(a_faulty_patch_is_told_where)
{
    ck_assert_str_eq(pointers(faulty[_i][0]), faulty[_i][1]);
}
END_TEST

TCase *task_patch_tests(void)
{
    TCase *c = unit_case("task_patch", 30);

    tcase_add_checked_fixture(c, full_task, NULL);
    tcase_add_test(c, an_empty_patch_changes_nothing);
    tcase_add_test(c, the_same_values_change_nothing);
    tcase_add_test(c, a_change_tells_old_and_new_of_its_fields_only);
    tcase_add_test(c, version_and_update_time_are_no_changes);
    tcase_add_test(c, null_clears_or_restores_the_default);
    tcase_add_test(c, what_a_patch_does_not_name_stays);
    tcase_add_test(c, a_patch_never_touches_the_task_before);
    tcase_add_test(c, no_longer_recurring_takes_the_interval_along);
    tcase_add_test(c, a_task_may_begin_to_recur);
    tcase_add_loop_test(c, a_faulty_patch_is_told_where, 0,
                        sizeof faulty / sizeof faulty[0]);
    return c;
}
