/* Due reminders: triggered once and never early, whoever does it. */
#include <apr_atomic.h>
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/reminder.h"
#include "cases.h"
#include "reminding.h"

/* --- triggering -------------------------------------------------------- */

START_TEST(it_is_never_triggered_early)
{
    const char *id;

    task_with_reminder();
    id = only_reminder();
    sql("UPDATE taskevents.reminders SET remind_at = clock_timestamp()"
        " + interval '3 s' WHERE id = '%s'", id);
    sweep();
    ck_assert_int_eq(fire(id), TE_FIRED_EARLY);
    ck_assert_str_eq(told(), "scheduled");
    sql("SELECT pg_sleep(0.05 + greatest(0, extract(epoch FROM remind_at"
        " - clock_timestamp()))) FROM taskevents.reminders WHERE id = '%s'",
        id);
    ck_assert_int_eq(fire(id), TE_FIRED_DONE);
    ck_assert_str_eq(told(), "scheduled triggered");
    ck_assert_str_eq(sql("SELECT ended_at >= remind_at FROM"
                         " taskevents.reminders WHERE id = '%s'", id), "t");
}
END_TEST

START_TEST(those_that_are_late_are_counted)
{
    apr_int64_t n = -1;
    double oldest = -1;

    sweep();
    task_with_reminder();
    ck_assert_int_eq(te_reminders_overdue(db, &n, &oldest), TE_DB_OK);
    ck_assert_int_eq(n, 0);
    ck_assert(oldest == 0);
    sql("UPDATE taskevents.reminders SET remind_at = clock_timestamp()"
        " - interval '90 s' WHERE id = '%s'", only_reminder());
    ck_assert_int_eq(te_reminders_overdue(db, &n, &oldest), TE_DB_OK);
    ck_assert_int_eq(n, 1);
    ck_assert(oldest >= 90 && oldest < 3600);
    sweep();
    ck_assert_int_eq(te_reminders_overdue(db, &n, &oldest), TE_DB_OK);
    ck_assert_int_eq(n, 0);
}
END_TEST

START_TEST(what_is_no_reminder_is_done_with)
{
    ck_assert_int_eq(fire(te_uuid_v4(pool)), TE_FIRED_DONE);
    handled(edit_task(task_with_reminder(), 0, 1, NULL, apr_time_now()));
    ck_assert_int_eq(fire(only_reminder()), TE_FIRED_DONE);
    ck_assert_str_eq(told(), "scheduled cancelled");
}
END_TEST

START_TEST(a_triggered_one_tells_what_it_is_about)
{
    te_task_t *task = task_with_reminder();
    const char *event, *reason;
    te_incoming_t *said, *scheduled;

    make_due();
    sweep();
    event = told_event(1);
    scheduled = te_event_parse(pool, event, strlen(event), &reason);
    event = told_event(2);
    said = te_event_parse(pool, event, strlen(event), &reason);
    ck_assert_str_eq(said->type, TE_REMINDER_TRIGGERED);
    ck_assert_str_eq(said->correlation_id, scheduled->correlation_id);
    ck_assert_ptr_nonnull(strstr(event, apr_pstrcat(pool, "\"causationid\":\"",
                                                    scheduled->id, "\"",
                                                    NULL)));
    ck_assert_str_eq(te_json_get_string(said->data, "title"), task->title);
    ck_assert_str_eq(te_json_get_string(said->data, "due_date"),
                     te_time_format(pool, task->due_date));
}
END_TEST

START_TEST(a_task_that_changed_unheard_cancels_at_the_last_moment)
{
    te_task_t *task = task_with_reminder();

    edit_task(task, 0, 1, NULL, apr_time_now());
    make_due();
    sweep();
    ck_assert_str_eq(reminders(), "cancelled 90000 completed");
    user = new_user();
    task = task_with_reminder();
    edit_task(task, task->due_date + 1, -1, NULL, apr_time_now());
    make_due();
    ck_assert_int_eq(fire(only_reminder()), TE_FIRED_DONE);
    ck_assert_str_eq(reminders(), "cancelled 90000 due_date_moved");
    user = new_user();
    delete_task(task_with_reminder());
    make_due();
    sweep();
    ck_assert_str_eq(reminders(), "cancelled 90000 deleted");
    ck_assert_str_eq(told(), "scheduled cancelled");
    ck_assert_str_eq(stream_is_gapless(), "t");
}
END_TEST

START_TEST(a_task_that_somebody_holds_is_left_for_later)
{
    te_task_t *task = task_with_reminder();
    te_db_t *other = borrow(db_pool);
    apr_time_t started;
    te_task_t *held;

    make_due();
    ck_assert_int_eq(te_tasks_lock(other, pool, 1, user, task->id, &held),
                     TE_DB_OK);
    started = apr_time_now();
    ck_assert_int_eq(fire(only_reminder()), TE_FIRED_HELD);
    sweep();
    ck_assert(apr_time_now() - started < apr_time_from_sec(2));
    ck_assert_str_eq(told(), "scheduled");
    te_db_rollback(other);
    te_db_release(other);
    sweep();
    ck_assert_str_eq(told(), "scheduled triggered");
}
END_TEST

/* --- at once ----------------------------------------------------------- */

typedef struct {
    const char *id;
    te_task_t *task;
    int what;
    volatile apr_uint32_t wrote, failed;
} race_t;

/* Many that connect at once may have to try again; that is not at stake. */
static te_db_err_e connected(te_db_t **mine)
{
    te_db_err_e err = TE_DB_AWAY;
    int tries;

    for (tries = 0; tries < 30 && err == TE_DB_AWAY; ++tries) {
        err = te_db_acquire(db_pool, mine, apr_time_from_sec(20));
    }
    return err;
}

static void one_of_many(int number, void *context)
{
    race_t *race = context;
    te_fired_e fired;
    te_db_err_e err;
    apr_pool_t *own;
    te_db_t *mine;
    int wrote = 0;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    err = connected(&mine);
    if (err == TE_DB_OK && number % 2) {
        err = te_sweep_one(&settings, mine, own, race->id, &fired, &wrote);
    }
    else if (err == TE_DB_OK) {
        err = sweep_on(mine, own);
    }
    if (wrote) {
        apr_atomic_inc32(&race->wrote);
    }
    if (err != TE_DB_OK) {
        apr_atomic_inc32(&race->failed);
    }
    te_db_release(mine);
    apr_pool_destroy(own);
}

START_TEST(jobs_and_sweeps_64_at_once_trigger_it_once)
{
    race_t race;

    memset(&race, 0, sizeof race);
    task_with_reminder();
    race.id = only_reminder();
    make_due();
    run_threads(64, one_of_many, &race);
    ck_assert_int_eq(race.failed, 0);
    ck_assert_int_le(race.wrote, 1);
    ck_assert_str_eq(told(), "scheduled triggered");
    ck_assert_str_eq(reminders(),
                     sql("SELECT 'triggered ' || extract(epoch FROM due_date"
                         " - remind_at)::int FROM taskevents.reminders"
                         " WHERE id = '%s'", race.id));
}
END_TEST

/* Threads 0 to 3 trigger, the last one changes the task. */
static void against_a_change(int number, void *context)
{
    race_t *race = context;
    edit_t edit = {0, -1, NULL, apr_time_now()};
    const char *event = NULL;
    te_db_err_e err;
    apr_pool_t *own;
    te_db_t *mine;
    te_task_t *held;

    if (number < 4) {
        apr_sleep((apr_interval_time_t)number * 1000);
        one_of_many(number, context);
        return;
    }
    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    err = connected(&mine);
    edit.completed = race->what == 0 ? 1 : -1;
    edit.due = race->what == 1 ? race->task->due_date + HOUR : 0;
    if (err == TE_DB_OK && race->what < 2) {
        err = write_edit(mine, own, race->task->id, &edit, &event);
    }
    else if (err == TE_DB_OK) {
        err = te_tasks_lock(mine, own, 1, user, race->task->id, &held);
        if (err == TE_DB_OK) {
            err = te_tasks_delete(mine, own, held,
                                  event_of(held, TE_TASK_DELETED, NULL,
                                           edit.at));
        }
    }
    if (err != TE_DB_OK) {
        apr_atomic_inc32(&race->failed);
    }
    te_db_release(mine);
    apr_pool_destroy(own);
}

/* Whatever came first: it ends once, and only a task that was as the reminder
 * knew it is told of. */
START_TEST(a_change_at_the_moment_of_triggering_comes_before_or_after)
{
    race_t race;
    int round;

    for (round = 0; round < 8; ++round) {
        const char *end;

        memset(&race, 0, sizeof race);
        user = new_user();
        race.task = task_with_reminder();
        race.id = only_reminder();
        race.what = _i;
        make_due();
        run_threads(5, against_a_change, &race);
        ck_assert_int_eq(race.failed, 0);
        sweep();
        end = told_event(2);
        ck_assert_str_eq(stream_is_gapless(), "t");
        if (strcmp(told(), "scheduled triggered") == 0) {
            handled(end);
            ck_assert_str_eq(notifications(), "0");
            ck_assert_str_eq(told(), "scheduled triggered cancelled");
        }
        else {
            ck_assert_str_eq(told(), "scheduled cancelled");
        }
    }
}
END_TEST

#define MANY 600
#define USERS 12
#define BATCH 100               /* that is triggered in one go */

/* MANY tasks with a reminder whose time has come, that of the last one `since`
 * seconds ago and of each other one a second before. */
static void many_due(const char *users, int n_users, int since)
{
    sql("WITH t AS (INSERT INTO taskevents.tasks (id, user_id, title,"
        "  due_date, last_event_id, created_at, updated_at, due_since)"
        " SELECT nextval('taskevents.task_ids'), (ARRAY[%s])[1 + i %% %d],"
        "  't' || i, now() - i * interval '1 s' + interval '24 hours',"
        "  gen_random_uuid(), now(), now(), now() - interval '2 days'"
        "  FROM generate_series(%d, %d) AS i"
        "  RETURNING id, user_id, due_date, due_since)"
        " INSERT INTO taskevents.reminders (id, task_id, user_id, due_date,"
        "  due_since, remind_at, event_id, correlation_id, traceparent)"
        " SELECT gen_random_uuid(), id, user_id, due_date, due_since,"
        "  due_date - interval '24 hours', gen_random_uuid(), 'c', '' FROM t",
        users, n_users, since, since + MANY - 1);
}

/* --- the pace ---------------------------------------------------------- */

/* @return until when it wants to leave the others alone, from its end */
static apr_interval_time_t pause_after_a_batch(apr_interval_time_t *took)
{
    te_chore_env_t env;
    apr_time_t began = apr_time_now(), ended;

    memset(&env, 0, sizeof env);
    env.settings = &settings;
    env.db = db;
    env.pool = pool;
    ck_assert_int_eq(te_sweep(&env, NULL), TE_DB_OK);
    ended = apr_time_now();
    *took = ended - began;
    ck_assert(env.wrote);
    ck_assert(env.again_at != 0);
    return env.again_at - ended;
}

START_TEST(a_backlog_is_worked_off_oldest_first_and_leaves_others_their_time)
{
    apr_interval_time_t took, pause;
    int i;

    sql("DELETE FROM taskevents.reminders");        /* of other tests */
    many_due(apr_pstrcat(pool, "'", user, "'", NULL), 1, 3000);
    many_due(apr_pstrcat(pool, "'", new_user(), "'", NULL), 1, 3);
    for (i = 1; i <= MANY / BATCH; ++i) {
        pause = pause_after_a_batch(&took);
        ck_assert_msg(pause > 2 * took || pause > apr_time_from_msec(400),
                      "%d after %d", (int)pause, (int)took);
        ck_assert_str_eq(
            sql("SELECT min(remind_at) FILTER (WHERE state = 'scheduled')"
                "  > max(remind_at) FILTER (WHERE state = 'triggered')"
                " FROM taskevents.reminders"), "t");
        ck_assert_str_eq(
            sql("SELECT count(*) FROM taskevents.reminders"
                " WHERE user_id = '%s' AND state = 'triggered'", user),
            apr_itoa(pool, i * BATCH));
    }
    ck_assert_str_eq(stream_is_gapless(), "t");
}
END_TEST

START_TEST(what_is_a_little_late_is_not_made_to_wait)
{
    apr_interval_time_t took;

    sql("DELETE FROM taskevents.reminders");        /* of other tests */
    many_due(apr_pstrcat(pool, "'", user, "'", NULL), 1, 0);
    sql("UPDATE taskevents.reminders SET remind_at = clock_timestamp()"
        " - interval '5 s'");
    ck_assert(pause_after_a_batch(&took) <= 0);
}
END_TEST

typedef struct {
    const char *users[USERS];
    volatile apr_uint32_t busy, failed;
} crowd_t;

/* 2 s are all that a lock is waited for: a machine may stand still, and who gave
 * up comes again. */
static te_db_err_e unless_busy(te_db_err_e err)
{
    static apr_uint32_t busy;

    return err == TE_DB_BUSY && apr_atomic_inc32(&busy) < 10 ? TE_DB_OK : err;
}

/* Threads 0 to 3 sweep, the others write to the same streams the other way
 * around. */
static void in_the_crowd(int number, void *context)
{
    crowd_t *crowd = context;
    apr_array_header_t *events;
    te_db_err_e err;
    apr_pool_t *own;
    te_db_t *mine;
    int i, j;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    err = connected(&mine);
    for (i = 0; err == TE_DB_OK && i < 12; ++i) {
        if (number < 4) {
            err = unless_busy(sweep_on(mine, own));
            continue;
        }
        events = apr_array_make(own, USERS, sizeof(te_outgoing_t *));
        for (j = USERS - 1; j >= 0; --j) {
            te_outgoing_t *event = apr_pcalloc(own, sizeof *event);

            event->id = te_uuid_v4(own);
            event->user_id = crowd->users[j];
            event->topic = "reminders";
            event->head = "{\"type\":\"a.b\",\"sequence\":\"";
            event->tail = "\"}";
            APR_ARRAY_PUSH(events, te_outgoing_t *) = event;
        }
        err = unless_busy(te_outbox_finish(mine, own, events, NULL));
    }
    if (err != TE_DB_OK) {
        apr_atomic_inc32(&crowd->failed);
    }
    te_db_release(mine);
    apr_pool_destroy(own);
}

START_TEST(many_of_many_users_are_triggered_without_a_deadlock)
{
    const char *list = "", *deadlocks =
        sql("SELECT deadlocks FROM pg_stat_database WHERE datname ="
            " current_database()");
    crowd_t crowd;
    int i;

    memset(&crowd, 0, sizeof crowd);
    for (i = 0; i < USERS; ++i) {
        crowd.users[i] = new_user();
        list = apr_pstrcat(pool, list, i ? ",'" : "'", crowd.users[i], "'",
                           NULL);
    }
    many_due(list, USERS, 0);
    run_threads(8, in_the_crowd, &crowd);
    ck_assert_int_eq(crowd.failed, 0);
    sweep();
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.reminders"
                         " WHERE user_id IN (%s) AND state = 'triggered'",
                         list), apr_itoa(pool, MANY));
    ck_assert_str_eq(sql("SELECT count(*) || ' ' || count(DISTINCT event::json"
                         "->'data'->>'reminder_id') FROM taskevents.outbox"
                         " WHERE user_id IN (%s) AND event::json->>'type' ="
                         " 'reminder.triggered'", list),
                     apr_psprintf(pool, "%d %d", MANY, MANY));
    for (i = 0; i < USERS; ++i) {
        user = crowd.users[i];
        ck_assert_str_eq(stream_is_gapless(), "t");
    }
    ck_assert_str_eq(deadlocks, sql("SELECT deadlocks FROM pg_stat_database"
                                    " WHERE datname = current_database()"));
}
END_TEST

TCase *sweep_tests(void)
{
    TCase *c = unit_case("sweep", 60);

    tcase_add_checked_fixture(c, reminding_open, reminding_close);
    tcase_add_test(c, it_is_never_triggered_early);
    tcase_add_test(c, those_that_are_late_are_counted);
    tcase_add_test(c, what_is_no_reminder_is_done_with);
    tcase_add_test(c, a_triggered_one_tells_what_it_is_about);
    tcase_add_test(c, a_task_that_changed_unheard_cancels_at_the_last_moment);
    tcase_add_test(c, a_task_that_somebody_holds_is_left_for_later);
    tcase_add_test(c, jobs_and_sweeps_64_at_once_trigger_it_once);
    tcase_add_loop_test(
        c, a_change_at_the_moment_of_triggering_comes_before_or_after, 0, 3);
    tcase_add_test(
        c, a_backlog_is_worked_off_oldest_first_and_leaves_others_their_time);
    tcase_add_test(c, what_is_a_little_late_is_not_made_to_wait);
    tcase_add_test(c, many_of_many_users_are_triggered_without_a_deadlock);
    return c;
}
