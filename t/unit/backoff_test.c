#include "../../mod_taskevents/core/backoff.h"

#include <limits.h>

#include "cases.h"

/* The longest wait, which the largest chance gives. */
static apr_interval_time_t longest(int attempts)
{
    return te_backoff(attempts, 0xffff);
}

START_TEST(it_doubles_from_half_a_second_to_thirty)
{
    ck_assert_int_eq(longest(1), apr_time_from_msec(500));
    ck_assert_int_eq(longest(2), apr_time_from_msec(1000));
    ck_assert_int_eq(longest(3), apr_time_from_msec(2000));
    ck_assert_int_eq(longest(6), apr_time_from_msec(16000));
    ck_assert_int_eq(longest(7), apr_time_from_sec(30));
    ck_assert_int_eq(longest(8), apr_time_from_sec(30));
}
END_TEST

START_TEST(no_number_of_failures_breaks_it)
{
    ck_assert_int_eq(longest(1000), apr_time_from_sec(30));
    ck_assert_int_eq(longest(INT_MAX), apr_time_from_sec(30));
    ck_assert_int_eq(longest(0), apr_time_from_msec(500));
    ck_assert_int_eq(longest(-5), apr_time_from_msec(500));
}
END_TEST

START_TEST(chance_spreads_it_between_half_and_all)
{
    int attempts;

    unit_seed();
    for (attempts = 1; attempts < 20; ++attempts) {
        int i;

        ck_assert_int_eq(te_backoff(attempts, 0), longest(attempts) / 2);
        for (i = 0; i < 200; ++i) {
            apr_interval_time_t wait =
                te_backoff(attempts, (unsigned int)unit_random(0x10000));

            ck_assert_int_ge(wait, longest(attempts) / 2);
            ck_assert_int_le(wait, longest(attempts));
        }
    }
    ck_assert_int_lt(te_backoff(9, 1000), te_backoff(9, 60000));
}
END_TEST

TCase *backoff_tests(void)
{
    TCase *c = unit_case("backoff", 30);

    tcase_add_test(c, it_doubles_from_half_a_second_to_thirty);
    tcase_add_test(c, no_number_of_failures_breaks_it);
    tcase_add_test(c, chance_spreads_it_between_half_and_all);
    return c;
}
