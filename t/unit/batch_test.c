/* Several events in one transaction, and what they leave behind. */
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/effects.h"
#include "../../mod_taskevents/core/event.h"
#include "cases.h"
#include "database.h"

static te_settings_t settings;
static te_db_pool_t *db_pool;
static te_db_t *db;
static const char *user, *other;

static void open_all(void)
{
    memset(&settings, 0, sizeof settings);
    settings.source = apr_pstrcat(pool, "/unit/", te_uuid_v4(pool), NULL);
    settings.topics[TE_TOPIC_TASKS] = "tasks";
    settings.keep_history = apr_time_from_sec(30 * 86400);
    db_pool = open_pool(17);
    db = borrow(db_pool);
    user = new_user();
    other = new_user();
}

static void close_all(void)
{
    te_db_release(db);
    close_pool(db_pool);
}

static te_task_t *task_of(const char *owner)
{
    te_task_t *task = apr_pcalloc(pool, sizeof *task);
    te_outgoing_t *event = apr_pcalloc(pool, sizeof *event);

    ck_assert_int_eq(te_db_next_task_id(db_pool, db, &task->id), TE_DB_OK);
    task->user_id = owner;
    task->title = "t";
    task->completed = 1;
    task->priority = TE_PRIORITY_LOW;
    task->tags = unit_texts(NULL);
    task->due_date = APR_INT64_C(1769850000000000);     /* 2026-01-31 09:00 */
    task->time_zone = "UTC";
    task->recurring_interval = "daily";
    task->series_id = te_uuid_v4(pool);
    task->occurrence = 1;
    task->version = 1;
    task->created_at = task->updated_at = apr_time_now();
    task->completed_at = task->created_at;
    event->id = te_uuid_v4(pool);
    event->user_id = owner;
    event->topic = "tasks";
    event->head = "{\"sequence\":\"";
    event->tail = "\"}";
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_OK);
    return task;
}

static const char *event_at(const te_task_t *task, const char *type,
                            apr_time_t time)
{
    te_event_t event;
    te_outgoing_t *out;

    memset(&event, 0, sizeof event);
    event.id = te_uuid_v4(pool);
    event.source = settings.source;
    event.type = type;
    event.topic = "tasks";
    event.user_id = task->user_id;
    event.task_id = task->id;
    event.time = time;
    event.origin = TE_ORIGIN_USER;
    event.traceparent = te_traceparent(pool, NULL);
    event.task = task;
    out = te_event_text(pool, &event);
    return apr_pstrcat(pool, out->head, "00000000000000000001", out->tail,
                       NULL);
}

static const char *event_of(const te_task_t *task, const char *type)
{
    return event_at(task, type, apr_time_now());
}

#define MOST 64

static te_delivery_t batch[MOST];
static int batch_size, followed;

static te_delivery_t *add(const char *text)
{
    te_delivery_t *delivery = &batch[batch_size++];

    delivery->bytes = text;
    delivery->size = strlen(text);
    delivery->full_size = (apr_off_t)delivery->size;
    delivery->topic = "tasks";
    return delivery;
}

static te_db_err_e handle_batch(void)
{
    return te_events_handle(&settings, db_pool, db, pool, batch, batch_size,
                            &followed);
}

static void handled(void)
{
    te_db_err_e err = handle_batch();
    int i;

    ck_assert_msg(err == TE_DB_OK, "%s %s", te_db_err_name(err),
                  te_db_error(db));
    for (i = 0; i < batch_size; ++i) {
        ck_assert_int_eq(batch[i].done, 1);
    }
}

static const char *history(const char *whose)
{
    return sql("SELECT string_agg(position || ' ' || type, ', '"
               " ORDER BY position) FROM taskevents.processed_events"
               " WHERE user_id = '%s'", whose);
}

static const char *counts(const char *whose)
{
    return sql("SELECT string_agg(quarter::timestamp || ' ' || type || ' '"
               " || n, ', ' ORDER BY quarter, type)"
               " FROM taskevents.event_counts WHERE user_id = '%s'", whose);
}

static const char *numbers(const char *whose)
{
    return sql("SELECT string_agg(occurrence::text, ',' ORDER BY occurrence)"
               " FROM taskevents.tasks WHERE user_id = '%s'", whose);
}

START_TEST(each_users_events_have_their_order)
{
    te_task_t *mine = task_of(user), *theirs = task_of(other);

    add(event_of(theirs, TE_TASK_CREATED));
    add(event_of(mine, TE_TASK_CREATED));
    add(event_of(mine, TE_TASK_UPDATED));
    add(event_of(theirs, TE_TASK_DELETED));
    add(event_of(mine, TE_TASK_DELETED));
    handled();
    ck_assert_str_eq(history(user), "1 task.created, 2 task.updated,"
                                    " 3 task.deleted");
    ck_assert_str_eq(history(other), "1 task.created, 2 task.deleted");
    ck_assert_int_eq(followed, 0);
    batch_size = 0;
    memset(batch, 0, sizeof batch);
    add(event_of(mine, TE_TASK_UPDATED));
    handled();
    ck_assert_str_eq(history(user), "1 task.created, 2 task.updated,"
                                    " 3 task.deleted, 4 task.updated");
}
END_TEST

START_TEST(completions_of_many_users_make_their_tasks_at_once)
{
    te_task_t *a = task_of(user), *b = task_of(user), *c = task_of(other);

    add(event_of(a, TE_TASK_COMPLETED));
    add(event_of(c, TE_TASK_COMPLETED));
    add(event_of(b, TE_TASK_COMPLETED));
    handled();
    ck_assert_int_eq(followed, 1);
    ck_assert_str_eq(numbers(user), "1,1,2,2");
    ck_assert_str_eq(numbers(other), "1,2");
    /* the follow-ups are numbered by stream, in the order of their causes */
    ck_assert_str_eq(sql("SELECT string_agg(o.sequence || ' ' || (t.series_id"
                         " = '%s'), ', ' ORDER BY o.sequence)"
                         " FROM taskevents.outbox o JOIN taskevents.tasks t"
                         " ON t.last_event_id = o.event_id"
                         " WHERE o.user_id = '%s' AND t.occurrence = 2",
                         a->series_id, user), "3 true, 4 false");
}
END_TEST

START_TEST(two_completions_of_one_task_in_a_batch_make_one)
{
    te_task_t *task = task_of(user);

    add(event_of(task, TE_TASK_COMPLETED));
    add(event_of(task, TE_TASK_UPDATED));
    add(event_of(task, TE_TASK_COMPLETED));
    handled();
    ck_assert_str_eq(numbers(user), "1,2");
    ck_assert_str_eq(history(user), "1 task.completed, 2 task.updated,"
                                    " 3 task.completed");
}
END_TEST

START_TEST(copies_in_a_batch_and_of_before_are_told)
{
    te_task_t *task = task_of(user);
    const char *first = event_of(task, TE_TASK_CREATED);
    const char *second = event_of(task, TE_TASK_COMPLETED);

    add(first);
    handled();
    batch_size = 0;
    memset(batch, 0, sizeof batch);
    add(second);
    add(first);
    add(second);
    handled();
    ck_assert_int_eq(batch[0].outcome, TE_EVENT_HANDLED);
    ck_assert_int_eq(batch[1].outcome, TE_EVENT_DUPLICATE);
    ck_assert_int_eq(batch[2].outcome, TE_EVENT_DUPLICATE);
    ck_assert_str_eq(history(user), "1 task.created, 2 task.completed");
    ck_assert_str_eq(numbers(user), "1,2");
}
END_TEST

/* The same characters, divided otherwise, are another event. */
START_TEST(source_and_id_together_tell_copies)
{
    te_task_t *task = task_of(user);
    const char *const names[][2] = {{"/a\\n", "b"}, {"/a", "\\nb"},
                                    {"/a1", "b"}, {"/a", "1b"}};
    int i;

    for (i = 0; i < 4; ++i) {
        add(apr_psprintf(pool, "{\"specversion\":\"1.0\",\"type\":"
                         "\"task.deleted\",\"source\":\"%s\",\"id\":"
                         "\"%s-%s\",\"data\":{\"user_id\":\"%s\","
                         "\"task_id\":%" APR_INT64_T_FMT "}}", names[i][0],
                         names[i][1], user, user, task->id));
    }
    handled();
    for (i = 0; i < 4; ++i) {
        ck_assert_int_eq(batch[i].outcome, TE_EVENT_HANDLED);
    }
}
END_TEST

START_TEST(what_cannot_be_handled_is_no_reason_for_the_others)
{
    te_task_t *task = task_of(user);

    add(apr_pstrcat(pool, "no event of ", user, NULL));
    add(event_of(task, TE_TASK_CREATED));
    add(event_of(task, "task.archived"));
    add("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/them\","
        "\"type\":\"com.example.thing\",\"data\":{\"user_id\":7}}");
    add(event_of(task, TE_TASK_UPDATED))->full_size = 300000;
    handled();
    ck_assert_int_eq(batch[0].outcome, TE_EVENT_KEPT);
    ck_assert_int_eq(batch[1].outcome, TE_EVENT_HANDLED);
    ck_assert_int_eq(batch[2].outcome, TE_EVENT_KEPT);
    ck_assert_int_eq(batch[3].outcome, TE_EVENT_IGNORED);
    ck_assert_int_eq(batch[4].outcome, TE_EVENT_KEPT);
    ck_assert_str_eq(history(user), "1 task.created");
}
END_TEST

START_TEST(a_batch_is_handled_as_a_whole_or_not_at_all)
{
    te_task_t *task = task_of(user);

    add(event_of(task, TE_TASK_CREATED));
    add(event_of(task, TE_TASK_COMPLETED));
    add(event_of(task_of(other), TE_TASK_CREATED));
    /* the next task runs into a constraint */
    sql("UPDATE taskevents.series SET last_occurrence = 1,"
        " time_zone = 'Nowhere/Land' WHERE user_id = '%s'", user);
    ck_assert_int_eq(handle_batch(), TE_DB_FAILED);
    ck_assert_int_eq(batch[0].done, 0);
    ck_assert_int_eq(batch[2].done, 0);
    ck_assert_int_eq(followed, 0);
    ck_assert_str_eq(history(user), "");
    ck_assert_str_eq(history(other), "");
    ck_assert_str_eq(counts(other), "");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.streams"
                         " WHERE name = 'history'"
                         " AND user_id IN ('%s', '%s')", user, other), "0");
    sql("UPDATE taskevents.series SET time_zone = 'UTC'"
        " WHERE user_id = '%s'", user);
    handled();
    ck_assert_str_eq(numbers(user), "1,2");
    ck_assert_str_eq(history(other), "1 task.created");
}
END_TEST

/* --- counts ------------------------------------------------------------ */

START_TEST(events_count_for_the_quarter_hour_in_which_they_happened)
{
    te_task_t *task = task_of(user);
    apr_time_t day = APR_INT64_C(1769850000000000), minute = 60000000;
    const char *twice = event_at(task, TE_TASK_UPDATED, day);

    settings.keep_history = 0;
    add(event_at(task, TE_TASK_CREATED, day - 1));
    add(twice);
    add(twice);
    add(event_at(task, TE_TASK_UPDATED, day + 14 * minute));
    add(event_at(task, TE_TASK_DELETED, day + 15 * minute));
    handled();
    ck_assert_str_eq(counts(user),
                     "2026-01-31 08:45:00 task.created 1,"
                     " 2026-01-31 09:00:00 task.updated 2,"
                     " 2026-01-31 09:15:00 task.deleted 1");
    handled();
    add(event_at(task, TE_TASK_UPDATED, day + minute));
    handled();
    ck_assert_str_eq(sql("SELECT sum(n) FROM taskevents.event_counts"
                         " WHERE user_id = '%s'", user), "5");
    ck_assert_str_eq(sql("SELECT n FROM taskevents.event_counts"
                         " WHERE user_id = '%s' AND type = 'task.updated'",
                         user), "3");
}
END_TEST

/* --- older than the memory --------------------------------------------- */

START_TEST(an_event_older_than_the_memory_is_kept_for_an_operator)
{
    te_task_t *task = task_of(user);
    apr_time_t then = apr_time_now() - settings.keep_history
                      - apr_time_from_sec(60);
    const char *text = event_at(task, TE_TASK_COMPLETED, then);
    te_delivery_t *delivery = add(text);
    te_redrive_t redrive = {0, "unit", NULL};

    handled();
    ck_assert_int_eq(delivery->outcome, TE_EVENT_KEPT);
    ck_assert_str_eq(history(user), "");
    ck_assert_str_eq(numbers(user), "1");
    ck_assert_str_eq(sql("SELECT stage || ' ' || state FROM"
                         " taskevents.dead_letters WHERE user_id = '%s'",
                         user), "handle open");
    /* who redrives it knows what he does */
    delivery->done = 0;
    redrive.letter = apr_atoi64(sql("SELECT id FROM taskevents.dead_letters"
                                    " WHERE user_id = '%s'", user));
    delivery->redrive = &redrive;
    handled();
    ck_assert_int_eq(delivery->outcome, TE_EVENT_HANDLED);
    ck_assert_str_eq(numbers(user), "1,2");
    ck_assert_str_eq(sql("SELECT state FROM taskevents.dead_letters"
                         " WHERE user_id = '%s'", user), "redriven");
    /* and now it is known */
    delivery->done = 0;
    delivery->redrive = NULL;
    handled();
    ck_assert_int_eq(delivery->outcome, TE_EVENT_DUPLICATE);
}
END_TEST

START_TEST(an_event_within_the_memory_is_handled_however_late)
{
    te_delivery_t *delivery =
        add(event_at(task_of(user), TE_TASK_COMPLETED,
                     apr_time_now() - settings.keep_history
                     + apr_time_from_sec(60)));

    handled();
    ck_assert_int_eq(delivery->outcome, TE_EVENT_HANDLED);
    ck_assert_str_eq(numbers(user), "1,2");
}
END_TEST

/* --- many batches at once ---------------------------------------------- */

typedef struct {
    const char *texts[MOST];
    const char *users[2];
    apr_int64_t tasks[8];
    int failed;
} crowd_t;

/* Even threads deliver all in an order of their own, in batches; odd ones
 * change the same tasks as requests do: task, then the user's stream. */
static void crowd(int number, void *context)
{
    crowd_t *c = context;
    te_db_t *mine = NULL;
    apr_pool_t *own;
    int i, round, busy = 0;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    te_db_acquire(db_pool, &mine, apr_time_from_sec(60));
    for (round = 0; mine != NULL && round < 8; ++round) {
        te_db_err_e err = TE_DB_OK;

        te_db_renew(mine, apr_time_from_sec(60));
        if (number % 2 == 0) {
            te_delivery_t some[16];
            int new_ones;

            memset(some, 0, sizeof some);
            for (i = 0; i < 16; ++i) {
                some[i].bytes = c->texts[(number * 7 + round * 16 + i * 5)
                                         % MOST];
                some[i].size = strlen(some[i].bytes);
                some[i].full_size = (apr_off_t)some[i].size;
                some[i].topic = "tasks";
            }
            err = te_events_handle(&settings, db_pool, mine, own, some, 16,
                                   &new_ones);
        }
        else {
            te_outgoing_t event = {te_uuid_v4(own), NULL, NULL, "tasks", "{",
                                   "}"};
            te_outgoing_t *events = &event;
            te_task_t *task;

            event.user_id = c->users[(number / 2 + round) % 2];
            err = te_tasks_lock(mine, own, 1, event.user_id,
                                c->tasks[(number / 2 + round) % 8], &task);
            if (err == TE_DB_OK && task != NULL) {
                ++task->version;
                err = te_tasks_update(mine, own, task, &events, 1, 1);
            }
            te_db_rollback(mine);
        }
        /* 2 s are all that a lock is waited for: a machine may stand still */
        if (err == TE_DB_BUSY && ++busy < 5) {
            --round;
        }
        else if (err != TE_DB_OK) {
            printf("thread %d: %s %s\n", number, te_db_err_name(err),
                   te_db_error(mine));
            __atomic_add_fetch(&c->failed, 1, __ATOMIC_RELAXED);
        }
    }
    te_db_release(mine);
    apr_pool_destroy(own);
}

#define DEADLOCKS "SELECT deadlocks FROM pg_stat_database" \
    " WHERE datname = current_database()"

START_TEST(batches_and_requests_never_wait_for_each_other_in_a_circle)
{
    const char *deadlocks = sql(DEADLOCKS);
    te_task_t *tasks[8];
    crowd_t c;
    int i;

    memset(&c, 0, sizeof c);
    c.users[0] = user;
    c.users[1] = other;
    for (i = 0; i < 8; ++i) {
        tasks[i] = task_of(c.users[i % 2]);
        c.tasks[i] = tasks[i]->id;
    }
    for (i = 0; i < MOST; ++i) {
        c.texts[i] = event_of(tasks[i % 8], i % 3 ? TE_TASK_COMPLETED
                                                  : TE_TASK_UPDATED);
    }
    run_threads(16, crowd, &c);
    ck_assert_int_eq(c.failed, 0);
    ck_assert_str_eq(sql("SELECT count(*) || ' ' || count(DISTINCT event_id)"
                         " FROM taskevents.processed_events"
                         " WHERE source = '%s'", settings.source), "64 64");
    ck_assert_str_eq(sql("SELECT string_agg(concat_ws(' ', n, least, most), '"
                         ", ') FROM (SELECT count(*) AS n, min(position) AS"
                         " least, max(position) AS most FROM"
                         " taskevents.processed_events WHERE source = '%s'"
                         " GROUP BY user_id) x", settings.source),
                     "32 1 32, 32 1 32");
    ck_assert_str_eq(sql("SELECT sum(n) FROM taskevents.event_counts"
                         " WHERE user_id IN ('%s', '%s')", user, other),
                     "64");
    ck_assert_str_eq(sql("SELECT string_agg(n::text, ',') FROM ("
                         "SELECT count(*) AS n FROM taskevents.tasks"
                         " WHERE user_id IN ('%s', '%s')"
                         " GROUP BY series_id) x", user, other),
                     "2,2,2,2,2,2,2,2");
    ck_assert_str_eq(sql("SELECT string_agg(o.n || ' ' || s.last, ',') FROM"
                         " (SELECT user_id, count(*) AS n FROM"
                         " taskevents.outbox GROUP BY 1) o JOIN"
                         " taskevents.streams s USING (user_id) WHERE s.name"
                         " = 'tasks' AND o.n <> s.last AND user_id IN"
                         " ('%s', '%s')", user, other), "");
    ck_assert_str_eq(sql(DEADLOCKS), deadlocks);
}
END_TEST

TCase *batch_tests(void)
{
    TCase *c = unit_case("batch", 60);

    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_test(c, each_users_events_have_their_order);
    tcase_add_test(c, completions_of_many_users_make_their_tasks_at_once);
    tcase_add_test(c, two_completions_of_one_task_in_a_batch_make_one);
    tcase_add_test(c, copies_in_a_batch_and_of_before_are_told);
    tcase_add_test(c, source_and_id_together_tell_copies);
    tcase_add_test(c, what_cannot_be_handled_is_no_reason_for_the_others);
    tcase_add_test(c, a_batch_is_handled_as_a_whole_or_not_at_all);
    tcase_add_test(c, events_count_for_the_quarter_hour_in_which_they_happened);
    tcase_add_test(c, an_event_older_than_the_memory_is_kept_for_an_operator);
    tcase_add_test(c, an_event_within_the_memory_is_handled_however_late);
    tcase_add_test(c, batches_and_requests_never_wait_for_each_other_in_a_circle);
    return c;
}
