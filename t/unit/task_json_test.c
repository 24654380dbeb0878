/* A task on the way out, and back out of an event. */
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/core/task.h"
#include "cases.h"

#define SERIES "0a300ee9-f9e4-5697-a51a-efc7fafaba67"

static te_task_t *bare_task(void)
{
    te_task_t *task = apr_pcalloc(pool, sizeof *task);

    task->id = 42;
    task->user_id = "alice";
    task->title = "Pay";
    task->completed_at = TE_TIME_NONE;
    task->priority = TE_PRIORITY_LOW;
    task->tags = unit_texts(NULL);
    task->due_date = TE_TIME_NONE;
    task->time_zone = "UTC";
    task->version = 1;
    task->created_at = task->updated_at = 1;
    return task;
}

static te_task_t *full_task(void)
{
    te_task_t *task = bare_task();

    task->description = "a \"quoted\" \\ word\n";
    task->completed = 1;
    task->completed_at = APR_INT64_C(1769850000000001);
    task->priority = TE_PRIORITY_HIGH;
    task->tags = unit_texts("Ä", "b,\"{}", NULL);
    task->due_date = APR_INT64_C(1769850000000000);
    task->time_zone = "Europe/Berlin";
    task->recurring_interval = "monthly";
    task->series_id = SERIES;
    task->occurrence = 3;
    task->version = 7;
    return task;
}

/* The text as written, read by somebody else; room for little, so that it
 * has to grow. */
static json_t *read_again(const te_task_t *task)
{
    te_json_out_t out;
    json_t *json;

    te_json_out_start(&out, pool, 1);
    te_task_write(&out, task);
    json = json_loads(te_json_out_end(&out), 0, NULL);
    ck_assert_ptr_nonnull(json);
    return json;
}

static json_t *json_of(const te_task_t *task)
{
    return te_json_keep(pool, read_again(task));
}

static te_task_t *back(const json_t *json)
{
    const char *detail = "";
    te_task_t *task = te_task_from_event(pool, json, &detail);

    ck_assert_msg(task != NULL, "%s", detail);
    return task;
}

START_TEST(a_full_task_has_the_shape_that_clients_see)
{
    ck_assert_str_eq(te_json_text(pool, json_of(full_task())),
        "{\"id\":42,\"user_id\":\"alice\",\"title\":\"Pay\","
        "\"description\":\"a \\\"quoted\\\" \\\\ word\\n\","
        "\"completed\":true,\"completed_at\":\"2026-01-31T09:00:00.000001Z\","
        "\"priority\":\"high\",\"tags\":[\"Ä\",\"b,\\\"{}\"],"
        "\"due_date\":\"2026-01-31T09:00:00Z\","
        "\"time_zone\":\"Europe/Berlin\",\"is_recurring\":true,"
        "\"recurring_interval\":\"monthly\",\"series_id\":\"" SERIES "\","
        "\"occurrence\":3,\"version\":7,"
        "\"created_at\":\"1970-01-01T00:00:00.000001Z\","
        "\"updated_at\":\"1970-01-01T00:00:00.000001Z\"}");
}
END_TEST

START_TEST(a_bare_task_has_every_member_too)
{
    ck_assert_str_eq(te_json_text(pool, json_of(bare_task())),
        "{\"id\":42,\"user_id\":\"alice\",\"title\":\"Pay\","
        "\"description\":null,\"completed\":false,\"completed_at\":null,"
        "\"priority\":\"low\",\"tags\":[],\"due_date\":null,"
        "\"time_zone\":\"UTC\",\"is_recurring\":false,"
        "\"recurring_interval\":null,\"series_id\":null,\"occurrence\":null,"
        "\"version\":1,"
        "\"created_at\":\"1970-01-01T00:00:00.000001Z\","
        "\"updated_at\":\"1970-01-01T00:00:00.000001Z\"}");
}
END_TEST

START_TEST(a_task_comes_back_out_of_an_event)
{
    te_task_t *in = full_task(), *out = back(json_of(in));
    int i;

    ck_assert_int_eq(out->id, in->id);
    ck_assert_str_eq(out->user_id, in->user_id);
    ck_assert_str_eq(out->title, in->title);
    ck_assert_str_eq(out->description, in->description);
    ck_assert_int_eq(out->completed, in->completed);
    ck_assert_int_eq(out->completed_at, in->completed_at);
    ck_assert_int_eq(out->priority, in->priority);
    ck_assert_int_eq(out->tags->nelts, in->tags->nelts);
    for (i = 0; i < in->tags->nelts; ++i) {
        ck_assert_str_eq(APR_ARRAY_IDX(out->tags, i, const char *),
                         APR_ARRAY_IDX(in->tags, i, const char *));
    }
    ck_assert_int_eq(out->due_date, in->due_date);
    ck_assert_str_eq(out->time_zone, in->time_zone);
    ck_assert_str_eq(out->recurring_interval, in->recurring_interval);
    ck_assert_str_eq(out->series_id, in->series_id);
    ck_assert_int_eq(out->occurrence, in->occurrence);
    ck_assert_int_eq(out->version, in->version);
}
END_TEST

START_TEST(a_bare_task_comes_back_bare)
{
    te_task_t *out = back(json_of(bare_task()));

    ck_assert_ptr_null(out->description);
    ck_assert_int_eq(out->completed, 0);
    ck_assert_int_eq(out->completed_at, TE_TIME_NONE);
    ck_assert_int_eq(out->tags->nelts, 0);
    ck_assert_int_eq(out->due_date, TE_TIME_NONE);
    ck_assert_ptr_null(out->recurring_interval);
    ck_assert_ptr_null(out->series_id);
    ck_assert_int_eq(out->occurrence, 0);
}
END_TEST

START_TEST(what_comes_out_of_an_event_outlives_it)
{
    json_t *json = read_again(full_task());
    te_task_t *task = back(json);

    json_decref(json);
    ck_assert_str_eq(task->title, "Pay");
    ck_assert_str_eq(task->series_id, SERIES);
    ck_assert_str_eq(APR_ARRAY_IDX(task->tags, 0, const char *), "Ä");
}
END_TEST

/* A member of an event's task and a value that we never write. */
static const char *const faults[][2] = {
    {"id", "0"}, {"id", "-1"}, {"id", "\"42\""}, {"id", "null"},
    {"title", "null"}, {"title", "1"},
    {"due_date", "\"soon\""}, {"due_date", "1"},
    {"completed_at", "\"x\""}, {"completed_at", "true"},
};

START_TEST(a_task_with_a_broken_field_is_no_task)
{
    json_t *json = json_of(full_task());
    const char *detail = NULL;

    json_object_set_new(json, faults[_i][0],
                        json_loads(faults[_i][1], JSON_DECODE_ANY, NULL));
    ck_assert_ptr_null(te_task_from_event(pool, json, &detail));
    ck_assert(detail != NULL && *detail);
}
END_TEST

TCase *task_json_tests(void)
{
    TCase *c = unit_case("task_json", 30);

    tcase_add_test(c, a_full_task_has_the_shape_that_clients_see);
    tcase_add_test(c, a_bare_task_has_every_member_too);
    tcase_add_test(c, a_task_comes_back_out_of_an_event);
    tcase_add_test(c, a_bare_task_comes_back_bare);
    tcase_add_test(c, what_comes_out_of_an_event_outlives_it);
    tcase_add_loop_test(c, a_task_with_a_broken_field_is_no_task, 0,
                        sizeof faults / sizeof faults[0]);
    return c;
}
