/* Handling an event: what it changes, and that it does so once. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/effects.h"
#include "../../mod_taskevents/core/event.h"
#include "../../mod_taskevents/core/task.h"
#include "cases.h"
#include "database.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static te_settings_t settings;
static te_db_pool_t *db_pool;
static te_db_t *db;
static const char *user;

static void open_all(void)
{
    memset(&settings, 0, sizeof settings);
    settings.source = apr_pstrcat(pool, "/unit/", te_uuid_v4(pool), NULL);
    settings.topics[TE_TOPIC_TASKS] = "tasks";
    settings.topics[TE_TOPIC_REMINDERS] = "reminders";
    settings.topics[TE_TOPIC_DEAD_LETTERS] = "tasks-dlq";
    db_pool = open_pool(17);
    db = borrow(db_pool);
    user = new_user();
}

static void close_all(void)
{
    te_db_release(db);
    close_pool(db_pool);
}

static te_db_err_e handle_on(te_db_t *on, apr_pool_t *p, const char *bytes,
                             apr_size_t size, te_event_outcome_e *outcome,
                             int *followed)
{
    te_delivery_t delivery;

    memset(&delivery, 0, sizeof delivery);
    delivery.bytes = bytes;
    delivery.size = size;
    delivery.full_size = (apr_off_t)size;
    delivery.topic = "tasks";
    return te_event_handle(&settings, db_pool, on, p, &delivery, outcome,
                           followed);
}

/* Handle a text, which must work out. */
static te_event_outcome_e handled(const char *text)
{
    te_event_outcome_e outcome = TE_EVENT_IGNORED;
    int followed;
    te_db_err_e err = handle_on(db, pool, text, strlen(text), &outcome,
                                &followed);

    ck_assert_msg(err == TE_DB_OK, "%s %s", te_db_err_name(err),
                  te_db_error(db));
    return outcome;
}

/* A completed task of a series of its own. */
static te_task_t *completed_task_due(apr_time_t due)
{
    te_task_t *task = apr_pcalloc(pool, sizeof *task);
    te_outgoing_t *event = apr_pcalloc(pool, sizeof *event);

    ck_assert_int_eq(te_db_next_task_id(db_pool, db, &task->id), TE_DB_OK);
    task->user_id = user;
    task->title = "Pay \"rent\"";
    task->description = "d";
    task->completed = 1;
    task->priority = TE_PRIORITY_HIGH;
    task->tags = unit_texts("a", "b,\"", NULL);
    task->due_date = due;
    task->time_zone = "Europe/Berlin";
    task->recurring_interval = "monthly";
    task->series_id = te_uuid_v4(pool);
    task->occurrence = 1;
    task->version = 1;
    task->created_at = task->updated_at = apr_time_now();
    task->completed_at = task->created_at;
    event->id = te_uuid_v4(pool);
    event->user_id = user;
    event->topic = "tasks";
    event->head = "{\"sequence\":\"";
    event->tail = "\"}";
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_OK);
    return task;
}

/* Due on 31 January. */
static te_task_t *completed_task(void)
{
    return completed_task_due(APR_INT64_C(1769850000000000));
}

/* An event about a task; its id is new. */
static const char *event_about(const te_task_t *task, const char *type,
                               const char *origin)
{
    te_event_t event;
    te_outgoing_t *out;

    memset(&event, 0, sizeof event);
    event.id = te_uuid_v4(pool);
    event.source = settings.source;
    event.type = type;
    event.topic = "tasks";
    event.user_id = user;
    event.task_id = task->id;
    event.time = apr_time_now();
    event.origin = origin;
    event.traceparent = TRACE;
    event.task = task;
    out = te_event_text(pool, &event);
    return apr_pstrcat(pool, out->head, "00000000000000000001", out->tail,
                       NULL);
}

static const char *occurrences(void)
{
    return sql("SELECT string_agg(occurrence || ' ' || due_date, ', '"
               " ORDER BY occurrence) FROM taskevents.tasks"
               " WHERE user_id = '%s'", user);
}

static const char *history(void)
{
    return sql("SELECT concat_ws(' ', count(*), coalesce(min(position), 0),"
               " coalesce(max(position), 0), count(DISTINCT position))"
               " FROM taskevents.processed_events WHERE user_id = '%s'",
               user);
}

#define FIRST_ONE "1 2026-01-31 09:00:00+00"
#define TWO FIRST_ONE ", 2 2026-02-28 09:00:00+00"

START_TEST(a_completion_makes_the_next_occurrence)
{
    te_task_t *task = completed_task();
    const char *text = event_about(task, TE_TASK_COMPLETED, TE_ORIGIN_USER);
    const char *reason, *made;
    te_incoming_t *cause = te_event_parse(pool, text, strlen(text), &reason);
    te_incoming_t *event;

    ck_assert_int_eq(handled(text), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), TWO);
    ck_assert_str_eq(history(), "1 1 1 1");
    ck_assert_str_eq(sql("SELECT concat_ws('|', title, description, priority,"
                         " tags, completed, time_zone, recurring_interval,"
                         " series_id, version) FROM taskevents.tasks"
                         " WHERE user_id = '%s' AND occurrence = 2", user),
                     apr_pstrcat(pool, "Pay \"rent\"|d|3|{a,\"b,\\\"\"}|f|"
                                 "Europe/Berlin|monthly|", task->series_id,
                                 "|1", NULL));
    made = sql("SELECT event FROM taskevents.outbox WHERE user_id = '%s'"
               " AND sequence = 2", user);
    event = te_event_parse(pool, made, strlen(made), &reason);
    ck_assert_ptr_nonnull(event);
    ck_assert_str_eq(event->type, TE_TASK_CREATED);
    ck_assert_str_eq(event->origin, TE_ORIGIN_RECURRENCE);
    ck_assert_str_eq(event->correlation_id, cause->id);
    ck_assert_str_eq(event->traceparent, TRACE);
    ck_assert_ptr_nonnull(strstr(made, apr_pstrcat(pool, "\"causationid\":\"",
                                                   cause->id, "\"", NULL)));
    ck_assert_ptr_nonnull(strstr(made,
                                 "\"sequence\":\"00000000000000000002\""));
}
END_TEST

START_TEST(a_copy_changes_nothing)
{
    const char *text = event_about(completed_task(), TE_TASK_COMPLETED,
                                   TE_ORIGIN_USER);
    int i;

    ck_assert_int_eq(handled(text), TE_EVENT_HANDLED);
    for (i = 0; i < 3; ++i) {
        ck_assert_int_eq(handled(text), TE_EVENT_DUPLICATE);
    }
    ck_assert_str_eq(occurrences(), TWO);
    ck_assert_str_eq(history(), "1 1 1 1");
}
END_TEST

START_TEST(another_event_of_the_same_completion_makes_no_second)
{
    te_task_t *task = completed_task();

    handled(event_about(task, TE_TASK_COMPLETED, TE_ORIGIN_USER));
    handled(event_about(task, TE_TASK_COMPLETED, TE_ORIGIN_USER));
    ck_assert_str_eq(occurrences(), TWO);
    ck_assert_str_eq(history(), "2 1 2 2");
}
END_TEST

START_TEST(only_events_of_users_make_tasks)
{
    te_task_t *task = completed_task();

    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_RECURRENCE)),
                     TE_EVENT_HANDLED);
    handled(event_about(task, TE_TASK_COMPLETED, "reminder"));
    handled(event_about(task, TE_TASK_CREATED, TE_ORIGIN_USER));
    handled(event_about(task, TE_TASK_UPDATED, TE_ORIGIN_USER));
    ck_assert_str_eq(occurrences(), FIRST_ONE);
    ck_assert_str_eq(history(), "4 1 4 4");
}
END_TEST

START_TEST(a_task_reopened_since_makes_none)
{
    te_task_t *task = completed_task();

    sql("UPDATE taskevents.tasks SET completed = false, completed_at = NULL"
        " WHERE user_id = '%s'", user);
    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), FIRST_ONE);
}
END_TEST

START_TEST(a_task_deleted_since_still_makes_the_next)
{
    te_task_t *task = completed_task();

    sql("DELETE FROM taskevents.tasks WHERE user_id = '%s'", user);
    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), "2 2026-02-28 09:00:00+00");
}
END_TEST

START_TEST(a_series_that_has_ended_makes_none)
{
    te_task_t *task = completed_task();

    sql("UPDATE taskevents.series SET ended_at = now() WHERE user_id = '%s'",
        user);
    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), FIRST_ONE);
}
END_TEST

START_TEST(a_series_of_another_user_is_not_touched)
{
    te_task_t *task = completed_task();

    sql("UPDATE taskevents.series SET user_id = 'unit-somebody-else'"
        " WHERE user_id = '%s'", user);
    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), FIRST_ONE);
}
END_TEST

START_TEST(a_deleted_task_that_does_not_say_when_was_completed_then)
{
    te_task_t *task = completed_task();

    sql("DELETE FROM taskevents.tasks WHERE user_id = '%s'", user);
    task->completed_at = TE_TIME_NONE;
    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), "2 2026-02-28 09:00:00+00");
}
END_TEST

START_TEST(a_task_and_series_that_are_not_there_make_none)
{
    te_task_t *task = completed_task();

    sql("DELETE FROM taskevents.tasks WHERE user_id = '%s';"
        " DELETE FROM taskevents.series WHERE user_id = '%s'", user, user);
    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), "");
}
END_TEST

START_TEST(a_series_ends_with_the_year_9999)
{
    te_task_t *task = completed_task_due(APR_INT64_C(253402246800000000));

    ck_assert_int_eq(handled(event_about(task, TE_TASK_COMPLETED,
                                         TE_ORIGIN_USER)), TE_EVENT_HANDLED);
    ck_assert_str_eq(occurrences(), "1 9999-12-31 09:00:00+00");
}
END_TEST

/* --- what cannot be handled -------------------------------------------- */

static const char *dead_letters(const char *stage)
{
    return sql("SELECT count(*) FROM taskevents.dead_letters"
               " WHERE stage = '%s' AND position('%s'::bytea in body) > 0",
               stage, user);
}

/* %s: something that only this test says, in the place of a user id */
static const char *const malformed[] = {
    "%s",
    "{\"x\":\"%s\"",
    "[\"%s\"]",
    "{\"specversion\":\"0.3\",\"id\":\"%s\",\"source\":\"s\",\"type\":\"t\"}",
    "{\"specversion\":\"1.0\",\"source\":\"%s\",\"type\":\"task.created\"}",
    "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"s\","
    "\"type\":\"task.created\"}",
    "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"s\","
    "\"type\":\"task.created\",\"data\":{\"user_id\":\"u\"}}",
    "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"s\","
    "\"type\":\"task.created\",\"data\":{\"user_id\":\"u\",\"task_id\":1}}",
    "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"s\","
    "\"type\":\"task.created\",\"data\":{\"user_id\":\"u\",\"task_id\":1,"
    "\"task\":{\"id\":1}}}",
    "\xff\xfe%s",
};

START_TEST(what_is_malformed_is_kept_as_it_came)
{
    const char *text = apr_psprintf(pool, malformed[_i], user);

    ck_assert_int_eq(handled(text), TE_EVENT_KEPT);
    ck_assert_str_eq(dead_letters("malformed"), "1");
    /* again: one and the same dead letter */
    ck_assert_int_eq(handled(text), TE_EVENT_KEPT);
    ck_assert_str_eq(dead_letters("malformed"), "1");
    ck_assert_str_eq(sql("SELECT attempts FROM taskevents.dead_letters"
                         " WHERE position('%s'::bytea in body) > 0", user),
                     "2");
}
END_TEST

/* A field of data.task with a value that would break its column. */
static const char *const broken_tasks[][2] = {
    {"series_id", "\"no uuid\""}, {"occurrence", "4294967297"},
    {"title", "\"\""}, {"tags", "[\"\"]"}, {"priority", "\"urgent\""},
};

START_TEST(data_that_postgresql_would_refuse_is_malformed_not_retried)
{
    te_task_t *task = completed_task();
    const char *text = event_about(task, TE_TASK_COMPLETED, TE_ORIGIN_USER);
    json_t *json = json_loads(text, 0, NULL);

    te_json_keep(pool, json);
    sql("DELETE FROM taskevents.tasks WHERE user_id = '%s'", user);
    json_object_set_new(json_object_get(json_object_get(json, "data"),
                                        "task"),
                        broken_tasks[_i][0],
                        json_loads(broken_tasks[_i][1], JSON_DECODE_ANY,
                                   NULL));
    ck_assert_int_eq(handled(te_json_text(pool, json)), TE_EVENT_KEPT);
    ck_assert_str_eq(dead_letters("malformed"), "1");
}
END_TEST

START_TEST(an_id_of_any_length_is_answered)
{
    const char *text = event_about(completed_task(), TE_TASK_CREATED,
                                   TE_ORIGIN_USER);
    json_t *json = te_json_keep(pool, json_loads(text, 0, NULL));
    char *id = apr_palloc(pool, 20001);
    int i;

    unit_seed();
    for (i = 0; i < 20000; ++i) {
        id[i] = (char)('A' + unit_random(58) % 26 + 32 * unit_random(2));
    }
    id[i] = '\0';
    json_object_set_new(json, "id", json_string(id));
    handled(te_json_text(pool, json));
    json_object_set_new(json, "type", json_string("task.of-tomorrow"));
    handled(te_json_text(pool, json));
}
END_TEST

START_TEST(a_message_that_was_cut_is_kept)
{
    te_event_outcome_e outcome = TE_EVENT_HANDLED;
    te_delivery_t delivery;
    int followed;

    memset(&delivery, 0, sizeof delivery);
    delivery.bytes = user;
    delivery.size = strlen(user);
    delivery.full_size = 5000000;
    delivery.topic = "tasks";
    ck_assert_int_eq(te_event_handle(&settings, db_pool, db, pool, &delivery,
                                     &outcome, &followed), TE_DB_OK);
    ck_assert_int_eq(outcome, TE_EVENT_KEPT);
    ck_assert_str_eq(sql("SELECT body_size FROM taskevents.dead_letters"
                         " WHERE body = '%s'::bytea", user), "5000000");
}
END_TEST

START_TEST(a_type_of_a_newer_version_of_ours_is_kept)
{
    te_task_t *task = completed_task();

    ck_assert_int_eq(handled(event_about(task, "task.archived",
                                         TE_ORIGIN_USER)), TE_EVENT_KEPT);
    ck_assert_str_eq(dead_letters("handle"), "1");
    ck_assert_str_eq(history(), "0 0 0 0");
}
END_TEST

START_TEST(an_unknown_type_of_somebody_else_is_ignored)
{
    const char *text = event_about(completed_task(), "task.archived",
                                   TE_ORIGIN_USER);

    settings.source = "/another";
    ck_assert_int_eq(handled(text), TE_EVENT_IGNORED);
    ck_assert_str_eq(dead_letters("handle"), "0");
    ck_assert_str_eq(history(), "0 0 0 0");
}
END_TEST

/* From the outbox itself, as the local transport hands it over. */
static te_event_outcome_e handled_row(const char *text)
{
    te_outbox_row_t row = {.user_id = user, .topic = "tasks", .sequence = 9};
    te_event_outcome_e outcome = TE_EVENT_HANDLED;
    te_delivery_t delivery;
    int followed;

    row.event_id = te_uuid_v4(pool);
    sql("INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id,"
        " event) VALUES ('%s', 'tasks', 9, '%s', '{}')", user, row.event_id);
    memset(&delivery, 0, sizeof delivery);
    delivery.bytes = text;
    delivery.size = strlen(text);
    delivery.full_size = (apr_off_t)delivery.size;
    delivery.topic = "tasks";
    delivery.row = &row;
    ck_assert_int_eq(te_event_handle(&settings, db_pool, db, pool, &delivery,
                                     &outcome, &followed), TE_DB_OK);
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.outbox WHERE"
                         " user_id = '%s' AND sequence = 9", user), "0");
    return outcome;
}

START_TEST(a_row_of_the_outbox_goes_whatever_comes_of_it)
{
    ck_assert_int_eq(handled_row("{\"specversion\":\"1.0\",\"id\":\"x\","
                                 "\"source\":\"/else\",\"type\":\"a.b\"}"),
                     TE_EVENT_IGNORED);
    ck_assert_int_eq(handled_row("no JSON"), TE_EVENT_KEPT);
    ck_assert_str_eq(sql("SELECT stage FROM taskevents.dead_letters WHERE"
                         " user_id = '%s'", user), "malformed");
}
END_TEST

/* --- many at once ------------------------------------------------------ */

typedef struct {
    const char *texts[64];
    int each;                   /* how many a thread takes, from its own */
    int results[4];             /* by outcome */
    int failed;
} crowd_t;

static void deliver(int number, void *context)
{
    crowd_t *crowd = context;
    apr_pool_t *own;
    te_db_t *mine = NULL;
    int i, busy = 0;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    if (te_db_acquire(db_pool, &mine, apr_time_from_sec(60)) != TE_DB_OK) {
        __atomic_add_fetch(&crowd->failed, 1, __ATOMIC_RELAXED);
    }
    for (i = 0; mine != NULL && i < crowd->each; ++i) {
        const char *text = crowd->texts[number * crowd->each + i];
        te_event_outcome_e outcome;
        te_db_err_e err;
        int followed;

        err = handle_on(mine, own, text, strlen(text), &outcome, &followed);
        if (err == TE_DB_OK) {
            __atomic_add_fetch(&crowd->results[outcome], 1,
                               __ATOMIC_RELAXED);
        }
        /* 2 s are all that a lock is waited for: a machine may stand still */
        else if (err == TE_DB_BUSY && ++busy < 5) {
            --i;
        }
        else {
            __atomic_add_fetch(&crowd->failed, 1, __ATOMIC_RELAXED);
        }
    }
    te_db_release(mine);
    apr_pool_destroy(own);
}

START_TEST(sixteen_copies_at_once_have_one_effect)
{
    const char *text = event_about(completed_task(), TE_TASK_COMPLETED,
                                   TE_ORIGIN_USER);
    crowd_t crowd;
    int i;

    memset(&crowd, 0, sizeof crowd);
    crowd.each = 1;
    for (i = 0; i < 16; ++i) {
        crowd.texts[i] = text;
    }
    run_threads(16, deliver, &crowd);
    ck_assert_int_eq(crowd.failed, 0);
    ck_assert_int_eq(crowd.results[TE_EVENT_HANDLED], 1);
    ck_assert_int_eq(crowd.results[TE_EVENT_DUPLICATE], 15);
    ck_assert_str_eq(occurrences(), TWO);
    ck_assert_str_eq(history(), "1 1 1 1");
    ck_assert_str_eq(sql("SELECT last FROM taskevents.streams"
                         " WHERE user_id = '%s' AND name = 'history'", user),
                     "1");
}
END_TEST

START_TEST(different_events_at_once_leave_a_history_without_a_gap)
{
    te_task_t *task = completed_task();
    crowd_t crowd;
    int i;

    memset(&crowd, 0, sizeof crowd);
    crowd.each = 4;
    for (i = 0; i < 64; i += 2) {
        /* the second half repeats the first, in other threads */
        crowd.texts[i] = i < 32 ? event_about(task, TE_TASK_COMPLETED,
                                              TE_ORIGIN_USER)
                                : crowd.texts[i - 32];
        crowd.texts[i + 1] = event_about(task, TE_TASK_UPDATED,
                                         TE_ORIGIN_USER);
    }
    run_threads(16, deliver, &crowd);
    ck_assert_int_eq(crowd.failed, 0);
    ck_assert_int_eq(crowd.results[TE_EVENT_HANDLED], 48);
    ck_assert_int_eq(crowd.results[TE_EVENT_DUPLICATE], 16);
    ck_assert_str_eq(occurrences(), TWO);
    ck_assert_str_eq(history(), "48 1 48 48");
}
END_TEST

TCase *handling_tests(void)
{
    TCase *c = unit_case("handling", 60);

    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_test(c, a_completion_makes_the_next_occurrence);
    tcase_add_test(c, a_copy_changes_nothing);
    tcase_add_test(c, another_event_of_the_same_completion_makes_no_second);
    tcase_add_test(c, only_events_of_users_make_tasks);
    tcase_add_test(c, a_task_reopened_since_makes_none);
    tcase_add_test(c, a_task_deleted_since_still_makes_the_next);
    tcase_add_test(
        c, a_deleted_task_that_does_not_say_when_was_completed_then);
    tcase_add_test(c, a_task_and_series_that_are_not_there_make_none);
    tcase_add_test(c, a_series_ends_with_the_year_9999);
    tcase_add_test(c, a_series_that_has_ended_makes_none);
    tcase_add_test(c, a_series_of_another_user_is_not_touched);
    tcase_add_loop_test(c, what_is_malformed_is_kept_as_it_came, 0,
                        sizeof malformed / sizeof malformed[0]);
    tcase_add_loop_test(
        c, data_that_postgresql_would_refuse_is_malformed_not_retried, 0,
        sizeof broken_tasks / sizeof broken_tasks[0]);
    tcase_add_test(c, an_id_of_any_length_is_answered);
    tcase_add_test(c, a_message_that_was_cut_is_kept);
    tcase_add_test(c, a_type_of_a_newer_version_of_ours_is_kept);
    tcase_add_test(c, an_unknown_type_of_somebody_else_is_ignored);
    tcase_add_test(c, a_row_of_the_outbox_goes_whatever_comes_of_it);
    tcase_add_test(c, sixteen_copies_at_once_have_one_effect);
    tcase_add_test(c, different_events_at_once_leave_a_history_without_a_gap);
    return c;
}
