/* Tasks in PostgreSQL, each with its event. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/text.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/store/tasks.h"
#include "cases.h"
#include "database.h"

#define EACH 25

static te_db_pool_t *db_pool;
static te_db_t *db;
static const char *user;

static void open_all(void)
{
    db_pool = open_pool(10);
    db = borrow(db_pool);
    user = new_user();
}

static void close_all(void)
{
    te_db_release(db);
    close_pool(db_pool);
}

/* A task and an event of this user, ids new; p: of the calling thread. */
static te_task_t *new_task(apr_pool_t *p, te_db_t *on, te_outgoing_t **event)
{
    te_task_t *task = apr_pcalloc(p, sizeof *task);

    ck_assert_int_eq(te_db_next_task_id(db_pool, on, &task->id), TE_DB_OK);
    task->user_id = user;
    task->title = "t";
    task->completed_at = TE_TIME_NONE;
    task->priority = TE_PRIORITY_MEDIUM;
    task->tags = apr_array_make(p, 1, sizeof(const char *));
    task->due_date = TE_TIME_NONE;
    task->time_zone = "UTC";
    task->version = 1;
    task->created_at = task->updated_at = apr_time_now();
    *event = apr_pcalloc(p, sizeof **event);
    (*event)->id = te_uuid_v4(p);
    (*event)->user_id = user;
    (*event)->topic = "tasks";
    (*event)->head = "<";
    (*event)->tail = ">";
    return task;
}

static te_task_t *created(void)
{
    te_outgoing_t *event;
    te_task_t *task = new_task(pool, db, &event);

    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_OK);
    task->last_event_id = event->id;
    return task;
}

static te_task_t *stored(apr_int64_t id)
{
    te_task_t *task = NULL;

    ck_assert_int_eq(te_tasks_get(db, pool, user, id, &task), TE_DB_OK);
    return task;
}

static int events(void)
{
    return atoi(sql("SELECT count(*) FROM taskevents.outbox"
                    " WHERE user_id = '%s'", user));
}

START_TEST(a_task_comes_back_as_it_was_stored)
{
    int i, n;

    unit_seed();
    for (i = 0; i < 60; ++i) {
        te_outgoing_t *event;
        te_task_t *in = new_task(pool, db, &event), *out;

        in->title = apr_pstrcat(pool, "x", unit_nasty_text(60), "x", NULL);
        in->description = unit_nasty_text(200);
        in->priority = (te_priority_e)(1 + unit_random(3));
        for (n = 0; n < 5; ++n) {
            APR_ARRAY_PUSH(in->tags, const char *) =
                apr_psprintf(pool, "%d%s.", n, unit_nasty_text(20));
        }
        in->due_date = APR_INT64_C(1769850000000001);
        in->time_zone = "Europe/Berlin";
        in->completed = i % 2;
        ck_assert_int_eq(te_tasks_create(db, pool, in, event, 0), TE_DB_OK);
        out = stored(in->id);
        ck_assert_str_eq(out->title, in->title);
        ck_assert_str_eq(out->description, in->description);
        ck_assert_int_eq(out->priority, in->priority);
        ck_assert_int_eq(out->tags->nelts, 5);
        for (n = 0; n < 5; ++n) {
            ck_assert_str_eq(APR_ARRAY_IDX(out->tags, n, const char *),
                             APR_ARRAY_IDX(in->tags, n, const char *));
        }
        ck_assert_int_eq(out->due_date, in->due_date);
        ck_assert_str_eq(out->time_zone, in->time_zone);
        ck_assert_int_eq(out->completed, in->completed);
        ck_assert_int_eq(out->completed_at, in->completed ? in->created_at
                                                          : TE_TIME_NONE);
        ck_assert_int_eq(out->created_at, in->created_at);
        ck_assert_int_eq(out->updated_at, in->created_at);
        ck_assert_int_eq(out->version, 1);
        ck_assert_int_eq(out->occurrence, 0);
        ck_assert_ptr_null(out->series_id);
        ck_assert_str_eq(out->last_event_id, event->id);
    }
}
END_TEST

START_TEST(the_event_is_spliced_around_its_sequence)
{
    created();
    created();
    ck_assert_str_eq(sql("SELECT string_agg(event, '' ORDER BY sequence)"
                         " FROM taskevents.outbox WHERE user_id = '%s'",
                         user),
                     "<00000000000000000001><00000000000000000002>");
}
END_TEST

START_TEST(a_recurring_task_begins_its_series)
{
    te_outgoing_t *event;
    te_task_t *task = new_task(pool, db, &event), *out;

    task->due_date = APR_INT64_C(1769850000000000);
    task->recurring_interval = "weekly";
    task->time_zone = "Europe/Berlin";
    task->series_id = te_uuid_v4(pool);
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_OK);
    out = stored(task->id);
    ck_assert_str_eq(out->series_id, task->series_id);
    ck_assert_int_eq(out->occurrence, 1);
    ck_assert_str_eq(sql("SELECT concat_ws(' ', user_id, last_occurrence,"
                         " anchor_due, time_zone, recurring_interval,"
                         " ended_at) FROM taskevents.series"
                         " WHERE series_id = '%s'", task->series_id),
                     apr_pstrcat(pool, user, " 1 2026-01-31 09:00:00+00"
                                 " Europe/Berlin weekly", NULL));
}
END_TEST

START_TEST(a_create_tried_again_makes_no_second)
{
    te_outgoing_t *event;
    te_task_t *task = new_task(pool, db, &event);

    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 1), TE_DB_OK);
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 1), TE_DB_OK);
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_TAKEN);
    ck_assert_int_eq(events(), 1);
    created();
    ck_assert_str_eq(sql("SELECT max(sequence) FROM taskevents.outbox"
                         " WHERE user_id = '%s'", user), "2");
}
END_TEST

START_TEST(a_recurring_create_tried_again_makes_no_second)
{
    te_outgoing_t *event;
    te_task_t *task = new_task(pool, db, &event);

    task->recurring_interval = "daily";
    task->series_id = te_uuid_v4(pool);
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_OK);
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 1), TE_DB_OK);
    ck_assert_int_eq(events(), 1);
}
END_TEST

/* The connection's first statement fails, then it is needed again. */
START_TEST(a_create_that_fails_does_not_break_the_next)
{
    te_outgoing_t *event;
    te_task_t *task = new_task(pool, db, &event);
    te_db_err_e err;

    task->title = "";
    ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_FAILED);
    task->title = "t";
    err = te_tasks_create(db, pool, task, event, 0);
    ck_assert_msg(err == TE_DB_OK, "%s", te_db_error(db));
    ck_assert_int_eq(events(), 1);
}
END_TEST

START_TEST(another_user_has_no_such_task)
{
    te_task_t *task = created(), *found = task;

    ck_assert_int_eq(te_tasks_get(db, pool, new_user(), task->id, &found),
                     TE_DB_OK);
    ck_assert_ptr_null(found);
}
END_TEST

START_TEST(completing_is_a_version_and_an_event)
{
    te_task_t *task = created(), *locked;
    te_outgoing_t *event;

    new_task(pool, db, &event);
    ck_assert_int_eq(te_tasks_lock(db, pool, 1, user, task->id, &locked),
                     TE_DB_OK);
    locked->completed = 1;
    locked->completed_at = locked->updated_at = task->created_at + 5;
    locked->version = 2;
    locked->last_event_id = event->id;
    ck_assert_int_eq(te_tasks_update(db, pool, locked, &event, 1, 1),
                     TE_DB_OK);
    locked = stored(task->id);
    ck_assert_int_eq(locked->completed, 1);
    ck_assert_int_eq(locked->completed_at, task->created_at + 5);
    ck_assert_int_eq(locked->updated_at, task->created_at + 5);
    ck_assert_int_eq(locked->version, 2);
    ck_assert_str_eq(locked->last_event_id, event->id);
    ck_assert_int_eq(events(), 2);
}
END_TEST

START_TEST(a_lock_given_up_changes_nothing)
{
    te_task_t *task = created(), *locked;

    ck_assert_int_eq(te_tasks_lock(db, pool, 1, user, task->id, &locked),
                     TE_DB_OK);
    te_db_rollback(db);
    ck_assert_int_eq(stored(task->id)->version, 1);
    ck_assert_int_eq(te_tasks_lock(db, pool, 1, user, 1, &locked), TE_DB_OK);
    ck_assert_ptr_null(locked);
    ck_assert_int_eq(te_db_commit(db), TE_DB_OK);
}
END_TEST

START_TEST(two_events_of_a_change_are_in_their_order)
{
    te_task_t *task = created(), *locked;
    te_outgoing_t *events_of[2];

    new_task(pool, db, &events_of[0]);
    new_task(pool, db, &events_of[1]);
    events_of[0]->head = "<first ";
    events_of[1]->head = "<second ";
    ck_assert_int_eq(te_tasks_lock(db, pool, 1, user, task->id, &locked),
                     TE_DB_OK);
    locked->title = "u";
    locked->updated_at = task->created_at + 1;
    locked->version = 2;
    ck_assert_int_eq(te_tasks_update(db, pool, locked, events_of, 2, 1),
                     TE_DB_OK);
    ck_assert_str_eq(sql("SELECT string_agg(event, '' ORDER BY sequence)"
                         " FROM taskevents.outbox WHERE user_id = '%s'",
                         user),
                     "<00000000000000000001><first 00000000000000000002>"
                     "<second 00000000000000000003>");
}
END_TEST

START_TEST(deleting_is_an_event_and_no_task)
{
    te_task_t *task = created(), *locked;
    te_outgoing_t *event;

    new_task(pool, db, &event);
    ck_assert_int_eq(te_tasks_lock(db, pool, 1, user, task->id, &locked),
                     TE_DB_OK);
    ck_assert_int_eq(te_tasks_delete(db, pool, locked, event), TE_DB_OK);
    ck_assert_ptr_null(stored(task->id));
    ck_assert_int_eq(events(), 2);
}
END_TEST

/* --- lists ------------------------------------------------------------- */

#define LISTED 24

static te_task_filter_t everything(void)
{
    te_task_filter_t filter;

    memset(&filter, 0, sizeof filter);
    filter.user_id = user;
    filter.completed = -1;
    filter.due_before = filter.due_after = TE_TIME_NONE;
    filter.limit = 5;
    filter.descending = 1;
    return filter;
}

/* Tasks that are equal in most sort keys. */
static void fill_list(void)
{
    int i;

    unit_seed();
    for (i = 0; i < LISTED; ++i) {
        te_outgoing_t *event;
        te_task_t *task = new_task(pool, db, &event);

        task->created_at = APR_INT64_C(1769850000000000) + i / 2;
        task->due_date = i % 3 ? task->created_at + (i % 4) * 1000000
                               : TE_TIME_NONE;
        task->priority = (te_priority_e)(1 + i % 3);
        ck_assert_int_eq(te_tasks_create(db, pool, task, event, 0), TE_DB_OK);
    }
}

/* Whether b may follow a in this order. */
static int in_order(const te_task_filter_t *f, const te_task_t *a,
                    const te_task_t *b)
{
    apr_int64_t x = te_task_sort_key(a, f->sort);
    apr_int64_t y = te_task_sort_key(b, f->sort);

    if (x == y) {
        return f->descending ? a->id > b->id : a->id < b->id;
    }
    if (x == TE_TIME_NONE || y == TE_TIME_NONE) {
        return y == TE_TIME_NONE;
    }
    return f->descending ? x > y : x < y;
}

START_TEST(pages_of_every_order_have_each_task_once)
{
    te_task_filter_t filter = everything();
    te_task_t *last = NULL;
    apr_array_header_t *page;
    int i, seen = 0;

    fill_list();
    filter.sort = (te_sort_e)(_i / 2);
    filter.descending = _i % 2;
    do {
        ck_assert_int_eq(te_tasks_list(db, pool, &filter, &page), TE_DB_OK);
        for (i = 0; i < page->nelts; ++i) {
            te_task_t *task = APR_ARRAY_IDX(page, i, te_task_t *);

            ck_assert(last == NULL || in_order(&filter, last, task));
            last = task;
            ++seen;
        }
        if (last != NULL) {
            filter.has_cursor = 1;
            filter.cursor_key = te_task_sort_key(last, filter.sort);
            filter.cursor_id = last->id;
        }
        ck_assert_int_le(seen, LISTED);
    } while (page->nelts > 0);
    ck_assert_int_eq(seen, LISTED);
}
END_TEST

/* --- many at once ------------------------------------------------------ */

static void create_many(int number, void *context)
{
    int i, busy = 0, *failed = context;
    apr_pool_t *own;
    te_db_t *mine;

    (void)number;
    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    for (i = 0; i < EACH; ++i) {
        te_outgoing_t *event;
        te_task_t *task;
        te_db_err_e err;

        if (te_db_acquire(db_pool, &mine, apr_time_from_sec(60))
            != TE_DB_OK) {
            __atomic_add_fetch(failed, 1, __ATOMIC_RELAXED);
            continue;
        }
        task = new_task(own, mine, &event);
        err = te_tasks_create(mine, own, task, event, 0);
        /* 2 s are all that a lock is waited for: a machine may stand still */
        if (err == TE_DB_BUSY && ++busy < 5) {
            --i;
        }
        else if (err != TE_DB_OK) {
            __atomic_add_fetch(failed, 1, __ATOMIC_RELAXED);
        }
        te_db_release(mine);
    }
    apr_pool_destroy(own);
}

START_TEST(eight_threads_leave_a_sequence_without_a_gap)
{
    int failed = 0;

    run_threads(8, create_many, &failed);
    ck_assert_int_eq(failed, 0);
    ck_assert_str_eq(sql("SELECT concat_ws(' ', count(*), min(sequence),"
                         " max(sequence), count(DISTINCT sequence))"
                         " FROM taskevents.outbox WHERE user_id = '%s'",
                         user), "200 1 200 200");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.outbox"
                         " WHERE user_id = '%s' AND event <>"
                         " '<' || lpad(sequence::text, 20, '0') || '>'",
                         user), "0");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.tasks"
                         " WHERE user_id = '%s'", user), "200");
}
END_TEST

/* Every third write of each thread breaks a rule. */
static void create_some(int number, void *context)
{
    apr_pool_t *own;
    te_db_t *mine;
    int i;

    (void)number;
    (void)context;
    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    if (te_db_acquire(db_pool, &mine, apr_time_from_sec(60)) == TE_DB_OK) {
        for (i = 0; i < 12; ++i) {
            te_outgoing_t *event;
            te_task_t *task = new_task(own, mine, &event);

            task->title = i % 3 == 2 ? "" : "t";
            te_tasks_create(mine, own, task, event, 0);
        }
        te_db_release(mine);
    }
    apr_pool_destroy(own);
}

START_TEST(writes_that_fail_leave_no_gap_either)
{
    run_threads(8, create_some, NULL);
    ck_assert_str_eq(sql("SELECT concat_ws(' ', count(*), min(sequence),"
                         " max(sequence)) FROM taskevents.outbox"
                         " WHERE user_id = '%s'", user), "64 1 64");
}
END_TEST

TCase *tasks_tests(void)
{
    TCase *c = unit_case("tasks", 60);

    tcase_add_checked_fixture(c, open_all, close_all);
    tcase_add_test(c, a_task_comes_back_as_it_was_stored);
    tcase_add_test(c, the_event_is_spliced_around_its_sequence);
    tcase_add_test(c, a_recurring_task_begins_its_series);
    tcase_add_test(c, a_create_tried_again_makes_no_second);
    tcase_add_test(c, a_recurring_create_tried_again_makes_no_second);
    tcase_add_test(c, a_create_that_fails_does_not_break_the_next);
    tcase_add_test(c, another_user_has_no_such_task);
    tcase_add_test(c, completing_is_a_version_and_an_event);
    tcase_add_test(c, a_lock_given_up_changes_nothing);
    tcase_add_test(c, two_events_of_a_change_are_in_their_order);
    tcase_add_test(c, deleting_is_an_event_and_no_task);
    tcase_add_loop_test(c, pages_of_every_order_have_each_task_once, 0, 8);
    tcase_add_test(c, eight_threads_leave_a_sequence_without_a_gap);
    tcase_add_test(c, writes_that_fail_leave_no_gap_either);
    return c;
}
