/* One connection: statements, transactions, errors. */
#include <apr_strings.h>
#include <pthread.h>
#include <string.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/store/db_internal.h"
#include "../../mod_taskevents/store/locks.h"
#include "../../mod_taskevents/store/outbox.h"
#include "cases.h"
#include "database.h"

/* Places for SQL of the tests. */
#define A TE_TASK_GET
#define B TE_TASK_LOCK
#define C TE_TASK_LIST
#define D TE_SERIES_LOCK

static te_db_t *db;

static void open_one(void)
{
    db = te_db_standalone(pool, test_settings(1));
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(60)), TE_DB_OK);
}

static void close_one(void)
{
    te_db_close(db);
}

/* Run it without parameters; the first value as a number. */
static te_db_err_e run(te_statement_e which, int tx, apr_int64_t *value)
{
    PGresult *r = NULL;
    te_db_err_e err = te_db_run(db, which, tx, NULL, &r);

    if (err == TE_DB_OK && value != NULL) {
        *value = te_db_int64(r, 0, 0);
    }
    return err;
}

START_TEST(the_session_is_set_up)
{
    static const char *const want[][2] = {
        {"TimeZone", "UTC"}, {"client_encoding", "UTF8"},
        {"statement_timeout", "5s"}, {"lock_timeout", "2s"},
        {"default_transaction_isolation", "read committed"},
        {"standard_conforming_strings", "on"},
        {"application_name", "mod_taskevents"},
        /* of sessions by TCP, as the tests' own */
        {"tcp_keepalives_idle", "5"}, {"tcp_keepalives_interval", "5"},
        {"tcp_keepalives_count", "3"}, {"tcp_user_timeout", "15000"},
    };
    const char *params[1];
    PGresult *r;
    apr_size_t i;

    replace_statement(A, 1, "SELECT current_setting($1::text)");
    for (i = 0; i < sizeof want / sizeof want[0]; ++i) {
        params[0] = want[i][0];
        ck_assert_int_eq(te_db_run(db, A, TE_TX_NONE, params, &r), TE_DB_OK);
        ck_assert_str_eq(te_db_text(pool, r, 0, 0), want[i][1]);
    }
    ck_assert_int_eq(te_db_is_direct(db), 1);
}
END_TEST

START_TEST(every_statement_of_ours_is_prepared_by_postgresql)
{
    const te_statement_t *s = te_statement((te_statement_e)_i);
    PGconn *conn = PQconnectdb(test_dsn());
    PGresult *r = PQprepare(conn, s->name, s->sql, 0, NULL);

    ck_assert_msg(PQresultStatus(r) == PGRES_COMMAND_OK, "%s: %s", s->name,
                  PQerrorMessage(conn));
    PQclear(r);
    r = PQdescribePrepared(conn, s->name);
    ck_assert_int_eq(PQnparams(r), s->params);
    PQclear(r);
    PQfinish(conn);
}
END_TEST

START_TEST(a_statement_survives_deallocate_all)
{
    apr_int64_t value = 0;

    replace_statement(A, 0, "SELECT 7");
    replace_statement(B, 0, "DEALLOCATE ALL");
    replace_statement(C, 0, "SELECT 8");
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(run(C, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_AGAIN);
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(value, 7);
    ck_assert_int_eq(run(C, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(value, 8);
}
END_TEST

START_TEST(one_statement_that_was_deallocated_leaves_the_others)
{
    apr_int64_t value = 0;

    replace_statement(A, 0, "SELECT 7");
    replace_statement(B, 0, apr_psprintf(pool, "DEALLOCATE unit_%d", (int)A));
    replace_statement(C, 0, "SELECT 8");
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(run(C, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_AGAIN);
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_msg(run(C, TE_TX_NONE, &value) == TE_DB_OK, "%s",
                  te_db_error(db));
    ck_assert_int_eq(value, 8);
}
END_TEST

START_TEST(a_transaction_with_a_stale_statement_is_tried_again_whole)
{
    replace_statement(A, 0, "SELECT 7");
    replace_statement(B, 0, "DEALLOCATE ALL");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_BEGIN, NULL), TE_DB_OK);
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_AGAIN);
    /* rolled back: nothing is left open to commit */
    ck_assert_int_eq(te_db_commit(db), TE_DB_FAILED);
    ck_assert_int_eq(run(A, TE_TX_BEGIN, NULL), TE_DB_OK);
    ck_assert_int_eq(te_db_commit(db), TE_DB_OK);
}
END_TEST

/* 0A000: cached plan must not change result type */
START_TEST(a_statement_survives_a_migration_of_its_columns)
{
    replace_statement(A, 0, "CREATE TEMP TABLE probe AS SELECT 1 AS x");
    replace_statement(B, 0, "SELECT x FROM pg_temp.probe");
    replace_statement(C, 0, "ALTER TABLE pg_temp.probe ALTER x TYPE text");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(C, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_NONE, NULL), TE_DB_AGAIN);
    ck_assert_msg(run(B, TE_TX_NONE, NULL) == TE_DB_OK, "%s",
                  te_db_error(db));
}
END_TEST

START_TEST(a_statement_survives_a_reconnect)
{
    apr_int64_t value = 0;

    replace_statement(A, 0, "SELECT 7");
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_OK);
    te_db_close(db);
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_LOST);
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(60)), TE_DB_OK);
    ck_assert_int_eq(run(A, TE_TX_NONE, &value), TE_DB_OK);
    ck_assert_int_eq(value, 7);
}
END_TEST

START_TEST(a_statement_whose_first_run_failed_can_be_run_again)
{
    const char *params[1] = {"0"};
    PGresult *r;

    replace_statement(A, 1, "SELECT 1 / $1::int");
    ck_assert_int_eq(te_db_run(db, A, TE_TX_NONE, params, &r), TE_DB_FAILED);
    params[0] = "1";
    ck_assert_msg(te_db_run(db, A, TE_TX_NONE, params, &r) == TE_DB_OK, "%s",
                  te_db_error(db));
    te_db_close(db);
    open_one();
    params[0] = "0";
    ck_assert_int_eq(te_db_run(db, A, TE_TX_BEGIN, params, &r), TE_DB_FAILED);
    params[0] = "1";
    ck_assert_msg(te_db_run(db, A, TE_TX_BEGIN, params, &r) == TE_DB_OK, "%s",
                  te_db_error(db));
    ck_assert_int_eq(te_db_commit(db), TE_DB_OK);
}
END_TEST

START_TEST(sql_that_cannot_be_prepared_is_a_failure_not_a_hang)
{
    replace_statement(A, 0, "SELECT nonsense");
    replace_statement(B, 0, "SELECT 2");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_FAILED);
    ck_assert_int_eq(run(A, TE_TX_BEGIN | TE_TX_COMMIT, NULL), TE_DB_FAILED);
    ck_assert_ptr_nonnull(strstr(te_db_error(db), "42703"));
    ck_assert_int_eq(run(B, TE_TX_NONE, NULL), TE_DB_OK);
}
END_TEST

/* Whether that backend ends within a while. */
static int ends(const char *pid)
{
    int i;

    for (i = 0; i < 2000; ++i) {
        if (*sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid)
            == '\0') {
            return 1;
        }
        apr_sleep(apr_time_from_msec(10));
    }
    return 0;
}

START_TEST(a_statement_that_comes_twice_is_prepared_once)
{
    const char *first[] = {"one"}, *second[] = {"two"};
    te_db_call_t calls[] = {{A, first, NULL}, {A, second, NULL}};

    replace_statement(A, 1, "SELECT $1::text");
    ck_assert_msg(te_db_run_all(db, TE_TX_NONE, calls, 2) == TE_DB_OK, "%s",
                  te_db_error(db));
    ck_assert_str_eq(te_db_text(pool, calls[0].result, 0, 0), "one");
    ck_assert_str_eq(te_db_text(pool, calls[1].result, 0, 0), "two");
}
END_TEST

START_TEST(closing_ends_the_session_and_gives_its_locks_back)
{
    apr_int64_t pid = 0;

    replace_statement(A, 0, "SELECT pg_advisory_lock(77004)");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(TE_BACKEND_PID, TE_TX_NONE, &pid), TE_DB_OK);
    ck_assert_str_eq(sql("SELECT pg_try_advisory_lock(77004)"), "f");
    te_db_close(db);
    ck_assert(ends(te_db_from_int64(pool, pid)));
    ck_assert_str_eq(sql("SELECT pg_try_advisory_lock(77004)"), "t");
}
END_TEST

/* A session of before may end a little later than its connection. */
static void wait_for_free_shards(void)
{
    while (strcmp(sql("SELECT count(*) FROM pg_locks"
                      " WHERE locktype = 'advisory'"
                      " AND classid = 1952776754"), "0") != 0) {
        sql("SELECT pg_sleep(0.02)");
    }
}

START_TEST(all_shards_but_one_are_given_back)
{
    te_db_t *other = te_db_standalone(pool, test_settings(1));
    char ours[TE_OUTBOX_SHARDS], theirs[TE_OUTBOX_SHARDS];
    int i, n;

    wait_for_free_shards();
    ck_assert_int_eq(te_db_reopen(other, apr_time_from_sec(60)), TE_DB_OK);
    ck_assert_int_eq(te_locks_shards(db, ours, &n), TE_DB_OK);
    ck_assert_int_eq(n, TE_OUTBOX_SHARDS);
    ck_assert_int_eq(te_locks_shards(other, theirs, &n), TE_DB_OK);
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(te_locks_keep_shard(db, pool, ours, 5), TE_DB_OK);
    ck_assert_int_eq(te_locks_shards(other, theirs, &n), TE_DB_OK);
    ck_assert_int_eq(n, TE_OUTBOX_SHARDS - 1);
    for (i = 0; i < TE_OUTBOX_SHARDS; ++i) {
        ck_assert_int_eq(ours[i], i == 5);
        ck_assert_int_eq(theirs[i], i != 5);
    }
    te_db_close(other);
}
END_TEST

START_TEST(who_is_silent_loses_the_locks_and_who_speaks_does_not)
{
    te_db_t *other = te_db_standalone(pool, test_settings(1));
    char shards[TE_OUTBOX_SHARDS];
    int n, ended;

    wait_for_free_shards();
    ck_assert_int_eq(te_db_reopen(other, apr_time_from_sec(60)), TE_DB_OK);
    ck_assert_int_eq(te_locks_shards(db, shards, &n), TE_DB_OK);
    ck_assert_int_eq(n, TE_OUTBOX_SHARDS);
    ck_assert_int_eq(te_locks_shards(other, shards, &n), TE_DB_OK);
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(te_locks_end_frozen(other, pool, apr_time_from_sec(600),
                                         &ended), TE_DB_OK);
    ck_assert_int_eq(ended, 0);
    sql("SELECT pg_sleep(1.1)");
    ck_assert_int_eq(te_locks_end_frozen(other, pool, apr_time_from_sec(1),
                                         &ended), TE_DB_OK);
    ck_assert_int_eq(ended, 1);
    do {                        /* the session may end a little later */
        te_db_renew(other, apr_time_from_sec(60));
        ck_assert_int_eq(te_locks_shards(other, shards, &n), TE_DB_OK);
    } while (n == 0);
    ck_assert_int_ne(te_locks_release(db), TE_DB_OK);
    te_db_close(other);
}
END_TEST

START_TEST(a_call_that_was_given_up_leaves_no_session)
{
    apr_int64_t pid = 0;

    replace_statement(A, 0, "SELECT pg_sleep(1)");
    ck_assert_int_eq(run(TE_BACKEND_PID, TE_TX_NONE, &pid), TE_DB_OK);
    te_db_renew(db, apr_time_from_msec(100));
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_LOST);
    ck_assert(ends(te_db_from_int64(pool, pid)));
}
END_TEST

/* --- transactions ------------------------------------------------------ */

static const char *const make_table =
    "CREATE TEMP TABLE t (x int, CONSTRAINT once UNIQUE (x)"
    " DEFERRABLE INITIALLY DEFERRED)";

START_TEST(commit_of_a_failed_transaction_is_an_error)
{
    replace_statement(A, 0, "SELECT 1");
    replace_statement(B, 0, "SELECT 1 / 0");
    ck_assert_int_eq(run(A, TE_TX_BEGIN, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_NONE, NULL), TE_DB_FAILED);
    ck_assert_int_eq(te_db_commit(db), TE_DB_FAILED);
    ck_assert_int_eq(te_db_commit(db), TE_DB_FAILED);
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
}
END_TEST

START_TEST(a_statement_that_fails_is_not_committed)
{
    apr_int64_t n = -1;

    replace_statement(A, 0, make_table);
    replace_statement(B, 0, "INSERT INTO t VALUES (1)");
    replace_statement(C, 0, "SELECT 1 / 0");
    replace_statement(D, 0, "SELECT count(*) FROM t");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_BEGIN, NULL), TE_DB_OK);
    ck_assert_int_eq(run(C, TE_TX_COMMIT, NULL), TE_DB_FAILED);
    ck_assert_int_eq(run(D, TE_TX_NONE, &n), TE_DB_OK);
    ck_assert_int_eq(n, 0);
}
END_TEST

START_TEST(a_commit_that_fails_is_an_error)
{
    apr_int64_t n = -1;

    replace_statement(A, 0, make_table);
    replace_statement(B, 0, "INSERT INTO t VALUES (1)");
    replace_statement(D, 0, "SELECT count(*) FROM t");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_BEGIN | TE_TX_COMMIT, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_BEGIN | TE_TX_COMMIT, NULL), TE_DB_TAKEN);
    ck_assert_str_eq(te_db_constraint(db), "once");
    ck_assert_int_eq(run(B, TE_TX_BEGIN, NULL), TE_DB_OK);
    ck_assert_int_eq(te_db_commit(db), TE_DB_TAKEN);
    ck_assert_int_eq(run(D, TE_TX_NONE, &n), TE_DB_OK);
    ck_assert_int_eq(n, 1);
}
END_TEST

START_TEST(begin_and_commit_make_a_transaction)
{
    apr_int64_t n = -1;

    replace_statement(A, 0, make_table);
    replace_statement(B, 0, "INSERT INTO t VALUES (1)");
    replace_statement(C, 0, "INSERT INTO t VALUES (2)");
    replace_statement(D, 0, "SELECT count(*) FROM t");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_OK);
    ck_assert_int_eq(run(B, TE_TX_BEGIN, NULL), TE_DB_OK);
    te_db_rollback(db);
    te_db_rollback(db);
    ck_assert_int_eq(run(D, TE_TX_NONE, &n), TE_DB_OK);
    ck_assert_int_eq(n, 0);
    ck_assert_int_eq(run(B, TE_TX_BEGIN, NULL), TE_DB_OK);
    ck_assert_int_eq(run(C, TE_TX_COMMIT, NULL), TE_DB_OK);
    te_db_rollback(db);
    ck_assert_int_eq(run(D, TE_TX_NONE, &n), TE_DB_OK);
    ck_assert_int_eq(n, 2);
}
END_TEST

/* --- time, locks ------------------------------------------------------- */

START_TEST(no_call_outlives_its_budget)
{
    apr_time_t before = apr_time_now();

    replace_statement(A, 0, "SELECT pg_sleep(4)");
    te_db_renew(db, apr_time_from_msec(300));
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_LOST);
    ck_assert_int_lt(apr_time_now() - before, apr_time_from_msec(3500));
    ck_assert_int_eq(te_db_reopen(db, apr_time_from_sec(9)), TE_DB_OK);
    ck_assert_int_eq(te_db_is_direct(db), 1);
}
END_TEST

START_TEST(a_lock_that_takes_too_long_is_busy)
{
    sql("BEGIN");
    sql("SELECT pg_advisory_xact_lock(77001)");
    replace_statement(A, 0, "SELECT pg_advisory_xact_lock(77001)");
    ck_assert_int_eq(run(A, TE_TX_BEGIN, NULL), TE_DB_BUSY);
    sql("ROLLBACK");
    ck_assert_int_eq(run(A, TE_TX_BEGIN, NULL), TE_DB_OK);
}
END_TEST

START_TEST(a_statement_that_takes_too_long_is_busy)
{
    replace_statement(A, 0, "SELECT pg_sleep(20)");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_BUSY);
    ck_assert_int_eq(te_db_is_direct(db), 1);
}
END_TEST

typedef struct {
    te_db_t *db;
    te_db_err_e err;
    pthread_barrier_t *both;
} opponent_t;

/* Lock in opposite orders: the second when the other one has its first. */
static void lock_both(int number, void *context)
{
    opponent_t *o = &((opponent_t *)context)[number];
    PGresult *r;

    o->err = te_db_run(o->db, number ? B : A, TE_TX_BEGIN, NULL, &r);
    pthread_barrier_wait(o->both);
    if (o->err == TE_DB_OK) {
        o->err = te_db_run(o->db, number ? A : B, TE_TX_NONE, NULL, &r);
    }
    te_db_rollback(o->db);
}

START_TEST(a_deadlock_says_again_to_one_of_the_two)
{
    pthread_barrier_t both;
    opponent_t o[2];

    pthread_barrier_init(&both, NULL, 2);
    o[0].both = o[1].both = &both;
    /* a deadlock is looked for after 1 s: nobody may give up before */
    replace_statement(A, 0, "SELECT set_config('lock_timeout', '20s', true),"
                      " pg_advisory_xact_lock(77002)");
    replace_statement(B, 0, "SELECT set_config('lock_timeout', '20s', true),"
                      " pg_advisory_xact_lock(77003)");
    o[0].db = db;
    o[1].db = te_db_standalone(pool, test_settings(1));
    ck_assert_int_eq(te_db_reopen(o[1].db, apr_time_from_sec(60)), TE_DB_OK);
    run_threads(2, lock_both, o);
    pthread_barrier_destroy(&both);
    te_db_close(o[1].db);
    ck_assert_int_eq(o[0].err == TE_DB_AGAIN, o[1].err != TE_DB_AGAIN);
    ck_assert_int_eq(o[0].err == TE_DB_OK, o[1].err != TE_DB_OK);
}
END_TEST

/* --- values ------------------------------------------------------------ */

START_TEST(null_and_values_are_read_as_what_they_are)
{
    PGresult *r;
    apr_time_t t;

    replace_statement(A, 0,
                      "SELECT NULL::text, '', 'é', 9223372036854775807,"
                      " timestamptz '2026-01-31 10:00:00.5+01',"
                      " NULL::timestamptz,"
                      " timestamptz '0001-01-01 00:00:00+00'");
    ck_assert_int_eq(te_db_run(db, A, TE_TX_NONE, NULL, &r), TE_DB_OK);
    ck_assert_ptr_null(te_db_text(pool, r, 0, 0));
    ck_assert_str_eq(te_db_text(pool, r, 0, 1), "");
    ck_assert_str_eq(te_db_text(pool, r, 0, 2), "é");
    ck_assert_int_eq(te_db_int64(r, 0, 3), APR_INT64_MAX);
    ck_assert_str_eq(te_time_format(pool, te_db_time(r, 0, 4)),
                     "2026-01-31T09:00:00.500000Z");
    ck_assert_int_eq(te_db_time(r, 0, 5), TE_TIME_NONE);
    ck_assert_ptr_null(te_time_parse("0001-01-01T00:00:00Z", &t));
    ck_assert_int_eq(te_db_time(r, 0, 6), t);
}
END_TEST

START_TEST(nasty_arrays_come_back_from_postgresql)
{
    int i, n;

    unit_seed();
    replace_statement(A, 1, "SELECT $1::text[]");
    for (i = 0; i < 300; ++i) {
        apr_array_header_t *in = unit_texts("", NULL), *out;
        const char *params[1];
        PGresult *r;

        for (n = (int)unit_random(11); n > 0; --n) {
            APR_ARRAY_PUSH(in, const char *) = unit_nasty_text(50);
        }
        params[0] = te_db_from_array(pool, in);
        ck_assert_int_eq(te_db_run(db, A, TE_TX_NONE, params, &r), TE_DB_OK);
        out = te_db_to_array(pool, PQgetvalue(r, 0, 0));
        ck_assert_int_eq(out->nelts, in->nelts);
        for (n = 0; n < in->nelts; ++n) {
            ck_assert_str_eq(APR_ARRAY_IDX(out, n, const char *),
                             APR_ARRAY_IDX(in, n, const char *));
        }
    }
}
END_TEST

START_TEST(an_error_is_one_line_without_values)
{
    replace_statement(A, 0, "INSERT INTO taskevents.tasks (id, user_id)"
                      " VALUES (-1, 'SEKRET value')");
    ck_assert_int_eq(run(A, TE_TX_NONE, NULL), TE_DB_FAILED);
    ck_assert_ptr_null(strchr(te_db_error(db), '\n'));
    ck_assert_ptr_null(strstr(te_db_error(db), "SEKRET"));
    ck_assert_uint_gt(strlen(te_db_error(db)), 5);
}
END_TEST

TCase *db_tests(void)
{
    TCase *c = unit_case("db", 60);

    tcase_add_checked_fixture(c, open_one, close_one);
    tcase_add_test(c, the_session_is_set_up);
    tcase_add_loop_test(c, every_statement_of_ours_is_prepared_by_postgresql,
                        0, TE_STATEMENT_COUNT);
    tcase_add_test(c, a_statement_survives_deallocate_all);
    tcase_add_test(c, one_statement_that_was_deallocated_leaves_the_others);
    tcase_add_test(c,
                   a_transaction_with_a_stale_statement_is_tried_again_whole);
    tcase_add_test(c, a_statement_survives_a_migration_of_its_columns);
    tcase_add_test(c, a_statement_survives_a_reconnect);
    tcase_add_test(c, a_statement_whose_first_run_failed_can_be_run_again);
    tcase_add_test(c, sql_that_cannot_be_prepared_is_a_failure_not_a_hang);
    tcase_add_test(c, a_statement_that_comes_twice_is_prepared_once);
    tcase_add_test(c, closing_ends_the_session_and_gives_its_locks_back);
    tcase_add_test(c, all_shards_but_one_are_given_back);
    tcase_add_test(
        c, who_is_silent_loses_the_locks_and_who_speaks_does_not);
    tcase_add_test(c, a_call_that_was_given_up_leaves_no_session);
    tcase_add_test(c, commit_of_a_failed_transaction_is_an_error);
    tcase_add_test(c, a_statement_that_fails_is_not_committed);
    tcase_add_test(c, a_commit_that_fails_is_an_error);
    tcase_add_test(c, begin_and_commit_make_a_transaction);
    tcase_add_test(c, no_call_outlives_its_budget);
    tcase_add_test(c, a_lock_that_takes_too_long_is_busy);
    tcase_add_test(c, a_statement_that_takes_too_long_is_busy);
    tcase_add_test(c, a_deadlock_says_again_to_one_of_the_two);
    tcase_add_test(c, null_and_values_are_read_as_what_they_are);
    tcase_add_test(c, nasty_arrays_come_back_from_postgresql);
    tcase_add_test(c, an_error_is_one_line_without_values);
    return c;
}
