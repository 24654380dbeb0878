/* base/trend: what the last hour was like. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../mod_taskevents/base/trend.h"
#include "cases.h"

#define START (TE_TREND_STEP * 100000)

static void *counters, *memory;
static te_trend_point_t points[TE_TREND_STEPS];

static void share(void)
{
    static const char *const routes[] = {"other"};

    te_metrics_routes(routes, 1);
    counters = calloc(1, te_metrics_size(1));
    memory = calloc(1, te_trend_size());
    te_metrics_use(counters, 1);
    te_metrics_enter();
    te_trend_use(memory);
}

static void unshare(void)
{
    te_metrics_leave();
    te_metrics_use(NULL, 0);
    te_trend_use(NULL);
    free(counters);
    free(memory);
}

static void sample(int step, apr_int64_t waiting)
{
    te_trend_seen_t seen = {waiting, 2.5};
    apr_time_t now = START + step * TE_TREND_STEP;

    ck_assert(te_trend_claim(now));
    te_trend_take(now, &seen);
    apr_sleep(2000);                    /* rates go by the clock */
}

static int read_at(int step)
{
    return te_trend_read(points, START + step * TE_TREND_STEP);
}

START_TEST(nothing_is_known_at_first)
{
    int i;

    ck_assert_int_eq(read_at(0), TE_TREND_STEPS);
    for (i = 0; i < TE_TREND_STEPS; ++i) {
        ck_assert(isnan(points[i].published) && isnan(points[i].lag_half)
                  && isnan(points[i].outbox_events));
    }
    te_trend_use(NULL);
    ck_assert_int_eq(read_at(0), TE_TREND_STEPS);
    ck_assert(!te_trend_claim(START));
}
END_TEST

START_TEST(a_sample_is_taken_once_whoever_asks)
{
    ck_assert(te_trend_claim(START));
    ck_assert(!te_trend_claim(START));
    ck_assert(!te_trend_claim(START + TE_TREND_STEP - 1));
    ck_assert(te_trend_claim(START + TE_TREND_STEP));
    /* a clock that was set back does not end the samples */
    ck_assert(te_trend_claim(START - 100 * TE_TREND_STEP));
}
END_TEST

START_TEST(counts_become_rates_and_times)
{
    te_trend_point_t *last = &points[TE_TREND_STEPS - 1];
    int i;

    sample(0, 7);
    for (i = 0; i < 30; ++i) {
        te_metric_add(TE_METRIC_PUBLISHED, "task.created", NULL);
        te_metric_observe(TE_METRIC_PUBLISH_LAG, NULL, NULL, 3000);
        te_metric_add(TE_METRIC_DELIVERIES, "task.created", "handled");
        te_metric_add(TE_METRIC_DELIVERIES, "task.created", "duplicate");
    }
    te_metric_add(TE_METRIC_PUBLISH_FAILURES, "event", NULL);
    sample(1, 5);
    ck_assert_int_eq(read_at(1), TE_TREND_STEPS - 2);
    ck_assert(last->published > 0);
    ck_assert_double_eq_tol(last->published, last->handled, 0.001);
    ck_assert_double_eq_tol(last->published, last->failures * 30,
                            last->published / 1000);
    ck_assert(last->lag_half > 0.0025 && last->lag_half < last->lag_most);
    ck_assert(last->lag_most <= 0.005);
    ck_assert_double_eq_tol(last->outbox_events, 5, 0.001);
    ck_assert_double_eq_tol(last->outbox_oldest, 2.5, 0.001);
    ck_assert_double_eq_tol(last[-1].outbox_events, 7, 0.001);
    ck_assert(isnan(last[-1].published));
}
END_TEST

START_TEST(a_gap_is_a_gap)
{
    te_trend_point_t *last = &points[TE_TREND_STEPS - 1];

    sample(0, 1);
    sample(2, -1);
    sample(9, 3);
    ck_assert_int_eq(read_at(9), TE_TREND_STEPS - 10);
    ck_assert(isnan(last->published));          /* too long ago */
    ck_assert_double_eq_tol(last->outbox_events, 3, 0.001);
    ck_assert(!isnan(last[-7].published));      /* over a short one */
    ck_assert(isnan(last[-7].outbox_events));   /* PostgreSQL was away */
    ck_assert(isnan(last[-8].published));
}
END_TEST

START_TEST(what_is_older_than_an_hour_is_not_told)
{
    int i;

    for (i = 0; i < TE_TREND_STEPS + 20; ++i) {
        te_trend_seen_t seen = {i, 0};

        ck_assert(te_trend_claim(START + i * TE_TREND_STEP));
        te_trend_take(START + i * TE_TREND_STEP, &seen);
    }
    ck_assert_int_eq(read_at(i - 1), 0);
    ck_assert_double_eq_tol(points[0].outbox_events, 20, 0.001);
    ck_assert_int_eq(read_at(i - 1 + TE_TREND_STEPS / 2), 0);
    ck_assert(isnan(points[TE_TREND_STEPS - 1].outbox_events));
    ck_assert_double_eq_tol(points[0].outbox_events,
                            20 + TE_TREND_STEPS / 2, 0.001);
    ck_assert_int_eq(read_at(i + 2 * TE_TREND_STEPS), TE_TREND_STEPS);
}
END_TEST

/* The child that took the earlier step was frozen until after the next one. */
START_TEST(samples_in_the_wrong_order_make_no_rate)
{
    te_trend_point_t *last = &points[TE_TREND_STEPS - 1];

    sample(1, 4);
    te_metric_add(TE_METRIC_PUBLISHED, "task.created", NULL);
    sample(0, 3);
    ck_assert_int_eq(read_at(1), TE_TREND_STEPS - 2);
    ck_assert(isnan(last->published) && isnan(last->handled));
    ck_assert_double_eq_tol(last->outbox_events, 4, 0.001);
    ck_assert_double_eq_tol(last[-1].outbox_events, 3, 0.001);
}
END_TEST

TCase *trend_tests(void)
{
    TCase *tc = unit_case("trend", 10);

    tcase_add_checked_fixture(tc, share, unshare);
    tcase_add_test(tc, nothing_is_known_at_first);
    tcase_add_test(tc, a_sample_is_taken_once_whoever_asks);
    tcase_add_test(tc, counts_become_rates_and_times);
    tcase_add_test(tc, a_gap_is_a_gap);
    tcase_add_test(tc, what_is_older_than_an_hour_is_not_told);
    tcase_add_test(tc, samples_in_the_wrong_order_make_no_rate);
    return tc;
}
