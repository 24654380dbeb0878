/* Chores: when they run, who runs them, and what ends them. */
#include <apr_atomic.h>
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/core/chores.h"
#include "../../mod_taskevents/store/db_internal.h"
#include "cases.h"
#include "database.h"

#define LOCK 60                 /* of no real chore */

static te_settings_t settings;
static volatile apr_uint32_t runs, running, most_running, fail_first;

static te_db_err_e count(te_chore_env_t *env, void *state)
{
    PGresult *r;
    te_db_err_e err = te_db_run(env->db, TE_BACKEND_PID, TE_TX_NONE, NULL, &r);
    apr_uint32_t now = apr_atomic_inc32(&running) + 1;

    (void)state;
    if (now > apr_atomic_read32(&most_running)) {
        apr_atomic_set32(&most_running, now);
    }
    apr_sleep(apr_time_from_msec(20));
    apr_atomic_dec32(&running);
    apr_atomic_inc32(&runs);
    if (apr_atomic_read32(&fail_first)) {
        apr_atomic_set32(&fail_first, 0);
        return TE_DB_FAILED;
    }
    return err;
}

static te_db_err_e never_done(te_chore_env_t *env, void *state)
{
    (void)state;
    apr_atomic_inc32(&runs);
    env->again_at = 1;
    return TE_DB_OK;
}

static te_db_err_e without(te_chore_env_t *env, void *state)
{
    (void)state;
    ck_assert(env->away);
    apr_atomic_inc32(&runs);
    return TE_DB_OK;
}

static te_chores_t *start(const te_chore_t *chore)
{
    te_chores_t *chores;

    if (settings.db.conninfo == NULL) { /* others may be reading them */
        settings.db = *test_settings(1);
    }
    ck_assert_int_eq(te_http_global_init(), APR_SUCCESS);
    ck_assert_int_eq(te_chores_start(&chores, chore, 1, TE_THREAD_CHORES,
                                     &settings, NULL, NULL, pool), APR_SUCCESS);
    return chores;
}

static void stop(te_chores_t *chores)
{
    te_chores_stop(chores);
    te_chores_join(chores);
}

static void wait_for_runs(apr_uint32_t n)
{
    int i;

    for (i = 0; i < 1000 && apr_atomic_read32(&runs) < n; ++i) {
        apr_sleep(apr_time_from_msec(10));
    }
    ck_assert_uint_ge(apr_atomic_read32(&runs), n);
}

START_TEST(a_chore_is_done_at_its_time_and_when_the_bell_rings)
{
    static const te_chore_t often = {"often", 10000, 0, count, NULL, 0};
    static const te_chore_t seldom = {"seldom", apr_time_from_sec(3600), 0,
                                      count, NULL, 0};
    te_chores_t *chores = start(&often);

    wait_for_runs(3);
    stop(chores);
    chores = start(&seldom);
    apr_atomic_set32(&runs, 0);
    te_chores_ring(chores);
    wait_for_runs(1);
    stop(chores);
    ck_assert_uint_eq(apr_atomic_read32(&runs), 1);
}
END_TEST

START_TEST(a_chore_with_a_lock_is_done_by_one_at_a_time)
{
    static const te_chore_t alone = {"alone", 1000, LOCK, count, NULL, 0};
    te_chores_t *all[4];
    int i;

    apr_atomic_set32(&runs, 0);
    apr_atomic_set32(&most_running, 0);
    for (i = 0; i < 4; ++i) {
        all[i] = start(&alone);
    }
    wait_for_runs(20);
    for (i = 0; i < 4; ++i) {
        stop(all[i]);
    }
    ck_assert_uint_eq(apr_atomic_read32(&most_running), 1);
    ck_assert_str_eq(sql("SELECT count(*) FROM pg_locks WHERE locktype ="
                         " 'advisory' AND objid = %d", LOCK), "0");
}
END_TEST

START_TEST(a_chore_that_failed_is_done_again_on_a_new_connection)
{
    static const te_chore_t alone = {"alone", 1000, LOCK, count, NULL, 0};
    te_chores_t *chores;

    apr_atomic_set32(&runs, 0);
    apr_atomic_set32(&fail_first, 1);
    chores = start(&alone);
    wait_for_runs(2);
    stop(chores);
}
END_TEST

START_TEST(a_chore_that_has_more_to_do_ends_when_it_is_asked_to)
{
    static const te_chore_t busy = {"busy", 1000, 0, never_done, NULL, 0};
    te_chores_t *chores;
    apr_time_t began;

    apr_atomic_set32(&runs, 0);
    chores = start(&busy);
    wait_for_runs(100);
    began = apr_time_now();
    stop(chores);
    ck_assert_int_lt(apr_time_now() - began, apr_time_from_sec(2));
}
END_TEST

START_TEST(only_what_always_runs_does_so_while_postgresql_is_away)
{
    static const te_chore_t always[] = {
        {"always", 1000, 0, without, NULL, 1},
        {"needs it", 1000, 0, count, NULL, 0}};
    te_chores_t *chores;

    apr_atomic_set32(&runs, 0);
    apr_atomic_set32(&most_running, 0);
    settings.db = *test_settings(1);
    settings.db.conninfo = "host=127.0.0.1 port=1 user=x dbname=x";
    ck_assert_int_eq(te_http_global_init(), APR_SUCCESS);
    ck_assert_int_eq(te_chores_start(&chores, always, 2, TE_THREAD_CHORES,
                                     &settings, NULL, NULL, pool), APR_SUCCESS);
    wait_for_runs(3);
    stop(chores);
    ck_assert_int_eq(apr_atomic_read32(&most_running), 0);
}
END_TEST

static void watch(void)
{
    apr_atomic_inc32(&runs);
}

/* The thread runs already, and the database is away. */
START_TEST(what_is_to_be_watched_is_from_then_on)
{
    te_chores_t *chores;

    apr_atomic_set32(&runs, 0);
    settings.db = *test_settings(1);
    settings.db.conninfo = "host=127.0.0.1 port=1 user=x dbname=x";
    ck_assert_int_eq(te_http_global_init(), APR_SUCCESS);
    ck_assert_int_eq(te_chores_start(&chores, NULL, 0, TE_THREAD_CHORES,
                                     &settings, NULL, NULL, pool), APR_SUCCESS);
    apr_sleep(apr_time_from_msec(50));
    te_chores_watch(chores, watch);
    te_chores_ring(chores);
    wait_for_runs(1);
    stop(chores);
}
END_TEST

TCase *chores_tests(void)
{
    TCase *tc = unit_case("chores", 30);

    tcase_add_test(tc, a_chore_is_done_at_its_time_and_when_the_bell_rings);
    tcase_add_test(tc, a_chore_with_a_lock_is_done_by_one_at_a_time);
    tcase_add_test(tc,
                   a_chore_that_failed_is_done_again_on_a_new_connection);
    tcase_add_test(tc, a_chore_that_has_more_to_do_ends_when_it_is_asked_to);
    tcase_add_test(tc,
                   only_what_always_runs_does_so_while_postgresql_is_away);
    tcase_add_test(tc, what_is_to_be_watched_is_from_then_on);
    return tc;
}
