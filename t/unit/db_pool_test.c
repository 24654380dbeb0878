/* The pool: waiting, coming back, connections that broke. */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/children.h"
#include "../../mod_taskevents/base/metrics.h"
#include "../../mod_taskevents/store/db_internal.h"
#include "cases.h"
#include "database.h"
#include "server.h"

static te_db_pool_t *db_pool;

static const char *pid_of(te_db_t *db)
{
    PGresult *r;

    ck_assert_int_eq(te_db_run(db, TE_BACKEND_PID, TE_TX_NONE, NULL, &r),
                     TE_DB_OK);
    return te_db_text(pool, r, 0, 0);
}

/* End a backend and wait until it is gone. */
static void terminate(const char *pid)
{
    int i;

    ck_assert_str_eq(sql("SELECT pg_terminate_backend(%s)", pid), "t");
    for (i = 0; i < 2000; ++i) {
        if (*sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid)
            == '\0') {
            /* its last words travel */
            apr_sleep(apr_time_from_msec(50));
            return;
        }
        apr_sleep(apr_time_from_msec(10));
    }
    ck_abort_msg("backend %s lives on", pid);
}

START_TEST(a_connection_works_and_comes_back)
{
    te_db_t *db;
    const char *pid;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    pid = pid_of(db);
    te_db_release(db);
    db = borrow(db_pool);
    ck_assert_str_eq(pid_of(db), pid);
    te_db_release(db);
    close_pool(db_pool);
}
END_TEST

START_TEST(a_pool_that_is_empty_answers_busy_in_time)
{
    te_db_settings_t *settings = test_settings(2);
    te_db_t *a, *b, *c = (te_db_t *)settings;
    apr_time_t before;
    apr_interval_time_t took;

    settings->wait = apr_time_from_msec(300);
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    a = borrow(db_pool);
    b = borrow(db_pool);
    before = apr_time_now();
    ck_assert_int_eq(te_db_acquire(db_pool, &c, apr_time_from_sec(9)),
                     TE_DB_BUSY);
    took = apr_time_now() - before;
    ck_assert_ptr_null(c);
    ck_assert_int_ge(took, apr_time_from_msec(280));
    /* the caller has 9 s */
    ck_assert_int_lt(took, apr_time_from_sec(5));
    te_db_release(a);
    c = borrow(db_pool);
    te_db_release(b);
    te_db_release(c);
    close_pool(db_pool);
}
END_TEST

START_TEST(a_pool_with_a_connection_out_does_not_close)
{
    te_db_t *db;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    ck_assert(!te_db_pool_close(db_pool, apr_time_from_msec(50)));
    te_db_release(db);
    close_pool(db_pool);
}
END_TEST

START_TEST(a_connection_that_broke_while_idle_is_replaced)
{
    te_db_t *db;
    const char *pid;
    int i;

    db_pool = open_pool(1);
    for (i = 0; i < 3; ++i) {
        db = borrow(db_pool);
        pid = pid_of(db);
        te_db_release(db);
        terminate(pid);
        db = borrow(db_pool);
        ck_assert_str_ne(pid_of(db), pid);
        te_db_release(db);
    }
    close_pool(db_pool);
}
END_TEST

static void check_told(int used, int idle)
{
    apr_array_header_t *children = te_children(pool);
    const te_child_t *me = &APR_ARRAY_IDX(children, 0, te_child_t);

    ck_assert_int_eq(me->connections_used, used);
    ck_assert_int_eq(me->connections_idle, idle);
    ck_assert_int_eq(me->waiting, 0);
}

START_TEST(a_pool_tells_what_is_used_and_idle_and_who_waits)
{
    te_db_settings_t *settings = test_settings(2);
    te_db_t *a, *b, *c;
    te_histogram_t waits;
    const char *pid;

    te_metrics_use(apr_pcalloc(pool, te_metrics_size(1)), 1);
    te_metrics_enter();
    settings->wait = apr_time_from_msec(50);
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    check_told(0, 0);
    a = borrow(db_pool);
    b = borrow(db_pool);
    check_told(2, 0);
    ck_assert_int_eq(te_db_acquire(db_pool, &c, apr_time_from_sec(9)),
                     TE_DB_BUSY);
    te_db_release(a);
    check_told(1, 1);
    pid = pid_of(b);
    te_db_release(b);
    check_told(0, 2);
    terminate(pid);
    a = borrow(db_pool);
    b = borrow(db_pool);
    check_told(2, 0);
    terminate(pid_of(b));
    ck_assert_int_ne(te_db_schema_version(b, &(int){0}), TE_DB_OK);
    te_db_release(b);
    te_db_release(a);
    check_told(0, 1);
    ck_assert_uint_eq(te_metric_total(TE_METRIC_POOL_TIMEOUTS, NULL, NULL),
                      1);
    te_metric_histogram(TE_METRIC_POOL_WAIT, NULL, NULL, &waits);
    ck_assert_uint_eq(te_histogram_count(&waits), 5);
    ck_assert_uint_ge(waits.micros, 45000);
    close_pool(db_pool);
    check_told(0, 0);
    te_metrics_use(NULL, 0);
}
END_TEST

START_TEST(a_connection_that_breaks_in_use_is_lost_then_replaced)
{
    te_db_t *db;
    PGresult *r;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    terminate(pid_of(db));
    ck_assert_int_eq(te_db_run(db, TE_BACKEND_PID, TE_TX_NONE, NULL, &r),
                     TE_DB_LOST);
    ck_assert_int_eq(te_db_run(db, TE_BACKEND_PID, TE_TX_NONE, NULL, &r),
                     TE_DB_LOST);
    te_db_release(db);
    db = borrow(db_pool);
    pid_of(db);
    te_db_release(db);
    close_pool(db_pool);
}
END_TEST

START_TEST(a_connection_that_breaks_in_a_transaction_is_lost)
{
    te_db_t *db;
    PGresult *r;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    ck_assert_int_eq(te_db_run(db, TE_SCHEMA_VERSION, TE_TX_BEGIN, NULL, &r),
                     TE_DB_OK);
    terminate(pid_of(db));
    ck_assert_int_eq(te_db_commit(db), TE_DB_LOST);
    te_db_rollback(db);
    te_db_release(db);
    close_pool(db_pool);
}
END_TEST

START_TEST(a_transaction_is_never_handed_on_half_open)
{
    const char *user = new_user(), *params[8];
    const char *pid;
    te_db_t *db;
    PGresult *r;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    pid = pid_of(db);
    params[0] = "{unit}";
    params[1] = params[2] = apr_pstrcat(pool, "{", user, "}", NULL);
    params[3] = "{task.created}";
    params[4] = "{1}";
    params[5] = "{an event}";
    params[6] = "{2026-01-31T09:00:00Z}";
    params[7] = "handled";
    ck_assert_int_eq(te_db_run(db, TE_EVENTS_SEEN, TE_TX_BEGIN, params, &r),
                     TE_DB_OK);
    te_db_release(db);
    /* nor does it keep its locks while nobody borrows it */
    ck_assert_str_eq(sql("SELECT state FROM pg_stat_activity WHERE pid = %s",
                         pid), "idle");
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.processed_events"
                         " WHERE user_id = '%s'", user), "0");
    db = borrow(db_pool);
    ck_assert_int_eq(te_db_commit(db), TE_DB_FAILED);
    te_db_release(db);
    ck_assert_str_eq(sql("SELECT count(*) FROM taskevents.processed_events"
                         " WHERE user_id = '%s'", user), "0");
    close_pool(db_pool);
}
END_TEST

START_TEST(a_pool_that_closed_leaves_no_session)
{
    te_db_settings_t *settings = test_settings(3);
    const char *name = apr_psprintf(pool, "unit %s", new_user());
    te_db_t *dbs[3];
    int i;

    settings->conninfo = apr_psprintf(pool, "%s application_name='%s'",
                                      test_dsn(), name);
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    for (i = 0; i < 3; ++i) {
        dbs[i] = borrow(db_pool);
    }
    ck_assert_str_eq(sql("SELECT count(*) FROM pg_stat_activity"
                         " WHERE application_name = '%s'", name), "3");
    for (i = 0; i < 3; ++i) {
        te_db_release(dbs[i]);
    }
    close_pool(db_pool);
    for (i = 0; i < 2000; ++i) {
        if (strcmp(sql("SELECT count(*) FROM pg_stat_activity"
                       " WHERE application_name = '%s'", name), "0") == 0) {
            return;
        }
        apr_sleep(apr_time_from_msec(10));
    }
    ck_abort_msg("sessions live on");
}
END_TEST

START_TEST(a_server_that_is_not_there_is_told_at_once)
{
    te_db_settings_t *settings = test_settings(4);
    te_db_t *db;
    int i;

    settings->conninfo = apr_psprintf(pool, "host=127.0.0.1 port=%d",
                                      closed_port());
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    for (i = 0; i < 10; ++i) {
        apr_time_t before = apr_time_now();

        ck_assert_int_eq(te_db_acquire(db_pool, &db, apr_time_from_sec(9)),
                         TE_DB_AWAY);
        ck_assert_ptr_null(db);
        ck_assert_int_lt(apr_time_now() - before, apr_time_from_sec(2));
    }
    close_pool(db_pool);
}
END_TEST

START_TEST(a_schema_that_is_too_old_is_not_worked_with)
{
    te_db_settings_t *settings = test_settings(2);
    te_db_t *db, *alone;
    int version;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    ck_assert_int_eq(te_db_schema_version(db, &version), TE_DB_OK);
    te_db_release(db);
    close_pool(db_pool);
    ck_assert_int_eq(te_db_schema_found(), version);

    settings->schema_needed = version + 1;
    ck_assert_int_eq(te_db_pool_create(&db_pool, settings, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(te_db_acquire(db_pool, &db, apr_time_from_sec(9)),
                     TE_DB_OLD);
    ck_assert_ptr_null(db);
    alone = te_db_standalone(pool, settings);
    ck_assert_int_eq(te_db_reopen(alone, apr_time_from_sec(9)), TE_DB_OLD);
    ck_assert_int_eq(te_db_backend(alone), 0);

    settings->schema_needed = version;
    ck_assert_int_eq(te_db_reopen(alone, apr_time_from_sec(9)), TE_DB_OK);
    te_db_close(alone);
    close_pool(db_pool);
}
END_TEST

START_TEST(whoever_misses_something_makes_all_connections_look_again)
{
    te_db_t *first, *second;
    PGresult *r;
    int backend;

    db_pool = open_pool(2);
    first = borrow(db_pool);
    second = borrow(db_pool);
    backend = te_db_backend(second);
    ck_assert_int_eq(te_db_run_text(first, "SELECT * FROM taskevents.gone",
                                    0, NULL, &r), TE_DB_FAILED);
    te_db_release(second);
    second = borrow(db_pool);
    ck_assert_int_ne(te_db_backend(second), backend);
    te_db_release(second);
    te_db_release(first);
    close_pool(db_pool);
}
END_TEST

static void borrow_and_ask(int number, void *context)
{
    int i;

    (void)number;
    for (i = 0; i < 20; ++i) {
        te_db_t *db;
        PGresult *r;
        int *failed = context;

        if (te_db_acquire(db_pool, &db, apr_time_from_sec(60)) != TE_DB_OK) {
            __atomic_add_fetch(failed, 1, __ATOMIC_RELAXED);
            continue;
        }
        if (te_db_run(db, TE_BACKEND_PID, TE_TX_NONE, NULL, &r) != TE_DB_OK) {
            __atomic_add_fetch(failed, 1, __ATOMIC_RELAXED);
        }
        te_db_release(db);
    }
}

START_TEST(more_threads_than_connections_all_get_their_turn)
{
    int failed = 0;

    db_pool = open_pool(3);
    run_threads(12, borrow_and_ask, &failed);
    ck_assert_int_eq(failed, 0);
    close_pool(db_pool);
}
END_TEST

/* --- what a process remembers ------------------------------------------ */

static apr_int64_t taken_ids[8][150];

static void take_ids(int number, void *context)
{
    apr_pool_t *own;
    te_db_t *db;
    int i;

    (void)context;
    apr_pool_create(&own, NULL);
    if (te_db_acquire(db_pool, &db, apr_time_from_sec(60)) == TE_DB_OK) {
        for (i = 0; i < 150; ++i) {
            te_db_next_task_id(db_pool, db, &taken_ids[number][i]);
        }
        te_db_release(db);
    }
    apr_pool_destroy(own);
}

static int by_value(const void *a, const void *b)
{
    apr_int64_t x = *(const apr_int64_t *)a, y = *(const apr_int64_t *)b;

    return (x > y) - (x < y);
}

START_TEST(no_two_threads_get_the_same_task_id)
{
    apr_int64_t *ids = &taken_ids[0][0];
    int i, n = 8 * 150;

    db_pool = open_pool(8);
    run_threads(8, take_ids, NULL);
    qsort(ids, (size_t)n, sizeof *ids, by_value);
    ck_assert_int_gt(ids[0], 0);
    for (i = 1; i < n; ++i) {
        ck_assert_int_gt(ids[i], ids[i - 1]);
    }
    close_pool(db_pool);
}
END_TEST

START_TEST(zones_are_those_of_iana)
{
    static const struct {
        const char *name;
        int known;
    } zones[] = {
        {"Europe/Berlin", 1}, {"America/Argentina/Buenos_Aires", 1},
        {"Asia/Kolkata", 1}, {"FOO+3", 0}, {"europe/berlin", 0},
        {"posix/Europe/Berlin", 0}, {"localtime", 0}, {"", 0}, {"+02:00", 0},
        {"' OR 1=1 --", 0},
    };
    te_db_t *db;
    apr_size_t i;

    db_pool = open_pool(1);
    db = borrow(db_pool);
    for (i = 0; i < sizeof zones / sizeof zones[0]; ++i) {
        int known = -1;

        ck_assert_int_eq(te_db_zone_known(db_pool, db, zones[i].name, &known),
                         TE_DB_OK);
        ck_assert_msg(known == zones[i].known, "%s", zones[i].name);
    }
    te_db_release(db);
    close_pool(db_pool);
}
END_TEST

static void ask_zone(int number, void *context)
{
    te_db_t *db;
    int known = 0, *right = context;

    (void)number;
    if (te_db_acquire(db_pool, &db, apr_time_from_sec(60)) == TE_DB_OK) {
        te_db_zone_known(db_pool, db, "Europe/Berlin", &known);
        te_db_release(db);
    }
    __atomic_add_fetch(right, known, __ATOMIC_RELAXED);
}

START_TEST(threads_may_ask_for_zones_at_the_same_time)
{
    int right = 0;

    db_pool = open_pool(8);
    run_threads(8, ask_zone, &right);
    ck_assert_int_eq(right, 8);
    close_pool(db_pool);
}
END_TEST

TCase *db_pool_tests(void)
{
    TCase *c = unit_case("db_pool", 60);

    tcase_add_test(c, a_connection_works_and_comes_back);
    tcase_add_test(c, a_pool_that_is_empty_answers_busy_in_time);
    tcase_add_test(c, a_pool_with_a_connection_out_does_not_close);
    tcase_add_test(c, a_connection_that_broke_while_idle_is_replaced);
    tcase_add_test(c, a_pool_tells_what_is_used_and_idle_and_who_waits);
    tcase_add_test(c, a_connection_that_breaks_in_use_is_lost_then_replaced);
    tcase_add_test(c, a_connection_that_breaks_in_a_transaction_is_lost);
    tcase_add_test(c, a_transaction_is_never_handed_on_half_open);
    tcase_add_test(c, a_pool_that_closed_leaves_no_session);
    tcase_add_test(c, a_server_that_is_not_there_is_told_at_once);
    tcase_add_test(c, a_schema_that_is_too_old_is_not_worked_with);
    tcase_add_test(c, whoever_misses_something_makes_all_connections_look_again);
    tcase_add_test(c, more_threads_than_connections_all_get_their_turn);
    tcase_add_test(c, no_two_threads_get_the_same_task_id);
    tcase_add_test(c, zones_are_those_of_iana);
    tcase_add_test(c, threads_may_ask_for_zones_at_the_same_time);
    return c;
}
