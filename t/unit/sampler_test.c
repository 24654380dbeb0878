/* core/sampler: the outbox is a part of each sample, if that is cheap. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/trend.h"
#include "../../mod_taskevents/core/sampler.h"
#include "../../mod_taskevents/store/outbox.h"
#include "cases.h"
#include "database.h"

static te_db_pool_t *db_pool;
static te_chore_env_t env;
static void *memory;

static void open_all(void)
{
    db_pool = open_pool(1);
    memset(&env, 0, sizeof env);
    env.db = borrow(db_pool);
    env.kept = pool;
    /* what other tests left there is no event */
    sql("DELETE FROM taskevents.outbox WHERE strpos(event, '\"time\"') = 0");
    memory = calloc(1, te_trend_size());
    te_trend_use(memory);
}

static void close_all(void)
{
    te_trend_use(NULL);
    free(memory);
    te_db_release(env.db);
    close_pool(db_pool);
}

/* What the sample that is taken now says of the outbox; -1: nothing. */
static double sampled(void *state)
{
    te_trend_point_t points[TE_TREND_STEPS];
    int first;

    memset(memory, 0, te_trend_size());
    ck_assert_int_eq(te_sample(&env, state), TE_DB_OK);
    first = te_trend_read(points, apr_time_now());
    ck_assert_int_lt(first, TE_TREND_STEPS);
    return isnan(points[first].outbox_events) ? -1
                                              : points[first].outbox_events;
}

START_TEST(what_waits_is_a_part_of_the_sample)
{
    te_outbox_size_t size;

    ck_assert_int_eq(te_outbox_measure(env.db, &size), TE_DB_OK);
    ck_assert_double_eq_tol(sampled(te_sample_create(&env)),
                            (double)size.events, 0.1);
}
END_TEST

START_TEST(measuring_takes_a_small_part_of_the_time)
{
    void *state = te_sample_create(&env);

    replace_statement(TE_OUTBOX_SIZE, 0,
                      "SELECT 7, 0 FROM pg_sleep(0.1)");
    ck_assert_double_eq_tol(sampled(state), 7, 0.1);
    ck_assert_double_eq_tol(sampled(state), -1, 0.1);
    ck_assert_double_eq_tol(sampled(te_sample_create(&env)), 7, 0.1);
}
END_TEST

START_TEST(a_sample_is_taken_whatever_becomes_of_postgresql)
{
    replace_statement(TE_OUTBOX_SIZE, 0, "SELECT 1 / 0");
    ck_assert_double_eq_tol(sampled(te_sample_create(&env)), -1, 0.1);
    env.away = 1;
    ck_assert_double_eq_tol(sampled(te_sample_create(&env)), -1, 0.1);
}
END_TEST

TCase *sampler_tests(void)
{
    TCase *tc = unit_case("sampler", 20);

    tcase_add_checked_fixture(tc, open_all, close_all);
    tcase_add_test(tc, what_waits_is_a_part_of_the_sample);
    tcase_add_test(tc, measuring_takes_a_small_part_of_the_time);
    tcase_add_test(tc, a_sample_is_taken_whatever_becomes_of_postgresql);
    return tc;
}
