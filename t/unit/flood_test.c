#include "../../mod_taskevents/base/flood.h"

#include <apr_strings.h>
#include <string.h>

#include "cases.h"
#include "unit.h"

#define START apr_time_from_sec(1000000)
#define WARNING 4
#define ERROR 3

static te_flood_t *flood;
static te_flood_told_t told;

static void make(void)
{
    ck_assert_int_eq(te_flood_create(&flood, pool), APR_SUCCESS);
}

static apr_time_t at(int seconds)
{
    return START + apr_time_from_sec(seconds);
}

/* n lines of a code at that second. @return how many are said */
static int lines(const char *code, int n, int seconds)
{
    int i, said = 0;

    for (i = 0; i < n; ++i) {
        said += te_flood_admits(flood, code, WARNING, TE_FLOOD_FIRST,
                                apr_psprintf(pool, "%s %d", code, i),
                                at(seconds));
    }
    return said;
}

START_TEST(the_first_lines_are_said_and_the_rest_is_held)
{
    make();
    ck_assert_int_eq(lines("TE0504", TE_FLOOD_FIRST, 0), TE_FLOOD_FIRST);
    ck_assert_int_eq(lines("TE0504", 812, 3), 0);
}
END_TEST

START_TEST(what_was_held_is_told_once_an_interval_with_its_count)
{
    make();
    lines("TE0504", TE_FLOOD_FIRST + 812, 3);
    ck_assert_int_eq(te_flood_due(flood, 0, at(62), &told), 0);
    ck_assert_int_eq(te_flood_due(flood, 0, at(64), &told), 1);
    ck_assert_int_eq(told.held, 812);
    ck_assert_int_eq(told.level, WARNING);
    ck_assert_int_eq(apr_time_sec(told.over), 61);
    ck_assert_int_eq(apr_time_sec(told.ago), 61);
    ck_assert_str_eq(told.line, "TE0504 821");
    ck_assert_int_eq(te_flood_due(flood, 0, at(64), &told), 0);
}
END_TEST

START_TEST(a_flood_that_goes_on_is_one_line_an_interval)
{
    int second, said = 0, summaries = 0, counted = 0;

    make();
    for (second = 0; second < 600; ++second) {
        said += lines("TE0504", 50, second);
        while (te_flood_due(flood, 0, at(second), &told)) {
            ++summaries;
            counted += (int)told.held;
        }
    }
    ck_assert_int_eq(said, TE_FLOOD_FIRST);
    ck_assert_int_eq(summaries, 9);
    while (te_flood_due(flood, 1, at(600), &told)) {
        counted += (int)told.held;
    }
    ck_assert_int_eq(said + counted, 600 * 50);
}
END_TEST

START_TEST(after_a_quiet_interval_lines_are_said_again)
{
    make();
    lines("TE0504", TE_FLOOD_FIRST + 1, 0);
    ck_assert_int_eq(te_flood_due(flood, 0, at(60), &told), 1);
    ck_assert_int_eq(lines("TE0504", 1, 119), 0);
    ck_assert_int_eq(te_flood_due(flood, 0, at(120), &told), 1);
    ck_assert_int_eq(told.held, 1);
    ck_assert_int_eq(lines("TE0504", 3, 181), 3);
}
END_TEST

START_TEST(lines_that_come_seldom_are_all_said)
{
    int i;

    make();
    for (i = 0; i < 100; ++i) {
        ck_assert_int_eq(lines("TE0504", 1, i * 7), 1);
    }
    ck_assert_int_eq(te_flood_due(flood, 1, at(700), &told), 0);
}
END_TEST

START_TEST(each_code_and_level_has_its_own_share)
{
    make();
    lines("TE0504", 1000, 0);
    ck_assert_int_eq(lines("TE0403", 1, 0), 1);
    ck_assert_int_eq(te_flood_admits(flood, "TE0504", ERROR, TE_FLOOD_FIRST, "worse",
                                     at(0)), 1);
}
END_TEST

START_TEST(a_state_that_goes_on_is_only_counted)
{
    make();
    ck_assert_int_eq(lines("TE0507", 1, 0), 1);
    ck_assert_int_eq(te_flood_admits(flood, "TE0507", WARNING, 0, "still",
                                     at(1)), 0);
    ck_assert_int_eq(te_flood_due(flood, 0, at(60), &told), 1);
    ck_assert_str_eq(told.line, "still");
}
END_TEST

START_TEST(of_a_state_that_is_over_nothing_is_told)
{
    make();
    lines("TE0507", TE_FLOOD_FIRST + 5, 0);
    te_flood_forget(flood, "TE0507");
    ck_assert_int_eq(te_flood_due(flood, 1, at(60), &told), 0);
}
END_TEST

START_TEST(a_clock_that_is_set_back_holds_nothing_for_longer)
{
    make();
    lines("TE0504", TE_FLOOD_FIRST + 1, 0);
    ck_assert_int_eq(te_flood_due(flood, 0, at(-86400), &told), 0);
    ck_assert_int_eq(te_flood_due(flood, 0, at(-86400 + 60), &told), 1);
    ck_assert_int_eq(told.ago, 0);
}
END_TEST

START_TEST(a_line_too_long_is_kept_as_far_as_there_is_room)
{
    char text[4000];

    make();
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    lines("TE0504", TE_FLOOD_FIRST, 0);
    te_flood_admits(flood, "TE0504", WARNING, TE_FLOOD_FIRST, text, at(1));
    ck_assert_int_eq(te_flood_due(flood, 1, at(2), &told), 1);
    ck_assert_uint_eq(strlen(told.line), TE_FLOOD_LINE - 1);
}
END_TEST

START_TEST(more_kinds_than_there_is_room_for_are_said)
{
    int i, said = 0;

    make();
    for (i = 0; i < 200; ++i) {
        said += lines(apr_psprintf(pool, "X%04d", i), 1, 0);
    }
    ck_assert_int_eq(said, 200);
    ck_assert_int_eq(lines("X0199", 1000, 0), 1000);
}
END_TEST

TCase *flood_tests(void)
{
    TCase *c = unit_case("flood", 30);

    tcase_add_test(c, the_first_lines_are_said_and_the_rest_is_held);
    tcase_add_test(c, what_was_held_is_told_once_an_interval_with_its_count);
    tcase_add_test(c, a_flood_that_goes_on_is_one_line_an_interval);
    tcase_add_test(c, after_a_quiet_interval_lines_are_said_again);
    tcase_add_test(c, lines_that_come_seldom_are_all_said);
    tcase_add_test(c, each_code_and_level_has_its_own_share);
    tcase_add_test(c, a_state_that_goes_on_is_only_counted);
    tcase_add_test(c, of_a_state_that_is_over_nothing_is_told);
    tcase_add_test(c, a_clock_that_is_set_back_holds_nothing_for_longer);
    tcase_add_test(c, a_line_too_long_is_kept_as_far_as_there_is_room);
    tcase_add_test(c, more_kinds_than_there_is_room_for_are_said);
    return c;
}
