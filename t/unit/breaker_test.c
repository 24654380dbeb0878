#include "../../mod_taskevents/core/breaker.h"

#include "cases.h"

static te_breaker_t b;

static void fail_times(int n, apr_time_t now)
{
    for (; n > 0; --n) {
        te_breaker_failed(&b, now);
    }
}

START_TEST(a_new_one_lets_calls_through)
{
    te_breaker_init(&b, 3, 100);
    ck_assert(te_breaker_allows(&b, 0));
    ck_assert_int_eq(b.state, TE_BREAKER_CLOSED);
}
END_TEST

START_TEST(it_opens_with_the_nth_failure_in_a_row)
{
    te_breaker_init(&b, 3, 100);
    ck_assert_int_eq(te_breaker_failed(&b, 10), 0);
    ck_assert_int_eq(te_breaker_failed(&b, 11), 0);
    ck_assert(te_breaker_allows(&b, 11));
    ck_assert_int_eq(te_breaker_failed(&b, 12), 1);
    ck_assert_int_eq(b.state, TE_BREAKER_OPEN);
    ck_assert(!te_breaker_allows(&b, 12));
}
END_TEST

START_TEST(one_failure_opens_it_when_that_is_the_limit)
{
    te_breaker_init(&b, 1, 100);
    ck_assert_int_eq(te_breaker_failed(&b, 0), 1);
    ck_assert(!te_breaker_allows(&b, 0));
}
END_TEST

START_TEST(a_success_between_failures_starts_the_count_again)
{
    te_breaker_init(&b, 3, 100);
    fail_times(2, 0);
    ck_assert_int_eq(te_breaker_succeeded(&b), 0);
    fail_times(2, 0);
    ck_assert_int_eq(b.state, TE_BREAKER_CLOSED);
    fail_times(1, 0);
    ck_assert_int_eq(b.state, TE_BREAKER_OPEN);
}
END_TEST

START_TEST(it_doubts_from_the_first_failure_to_the_next_success)
{
    te_breaker_init(&b, 2, 100);
    ck_assert(!te_breaker_doubts(&b));
    fail_times(1, 0);
    ck_assert(te_breaker_doubts(&b));
    ck_assert_int_eq(b.state, TE_BREAKER_CLOSED);
    fail_times(1, 0);
    ck_assert(te_breaker_allows(&b, 100));
    ck_assert(te_breaker_doubts(&b));
    te_breaker_succeeded(&b);
    ck_assert(!te_breaker_doubts(&b));
}
END_TEST

START_TEST(after_the_cool_down_it_probes)
{
    te_breaker_init(&b, 1, 100);
    te_breaker_failed(&b, 1000);
    ck_assert(!te_breaker_allows(&b, 1099));
    ck_assert_int_eq(b.state, TE_BREAKER_OPEN);
    ck_assert(te_breaker_allows(&b, 1100));
    ck_assert_int_eq(b.state, TE_BREAKER_HALF_OPEN);
}
END_TEST

START_TEST(a_probe_that_works_closes_it)
{
    te_breaker_init(&b, 3, 100);
    fail_times(3, 0);
    ck_assert(te_breaker_allows(&b, 100));
    ck_assert_int_eq(te_breaker_succeeded(&b), 1);
    ck_assert_int_eq(b.state, TE_BREAKER_CLOSED);
    /* the whole count again, not what was left of it */
    fail_times(2, 200);
    ck_assert(te_breaker_allows(&b, 200));
}
END_TEST

START_TEST(a_probe_that_fails_opens_it_for_another_cool_down)
{
    te_breaker_init(&b, 3, 100);
    fail_times(3, 0);
    ck_assert(te_breaker_allows(&b, 150));
    ck_assert_int_eq(te_breaker_failed(&b, 160), 0);
    ck_assert_int_eq(b.state, TE_BREAKER_OPEN);
    ck_assert(!te_breaker_allows(&b, 259));
    ck_assert(te_breaker_allows(&b, 260));
}
END_TEST

TCase *breaker_tests(void)
{
    TCase *c = unit_case("breaker", 30);

    tcase_add_test(c, a_new_one_lets_calls_through);
    tcase_add_test(c, it_opens_with_the_nth_failure_in_a_row);
    tcase_add_test(c, one_failure_opens_it_when_that_is_the_limit);
    tcase_add_test(c, a_success_between_failures_starts_the_count_again);
    tcase_add_test(c, it_doubts_from_the_first_failure_to_the_next_success);
    tcase_add_test(c, after_the_cool_down_it_probes);
    tcase_add_test(c, a_probe_that_works_closes_it);
    tcase_add_test(c, a_probe_that_fails_opens_it_for_another_cool_down);
    return c;
}
