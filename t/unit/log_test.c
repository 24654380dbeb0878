#include "../../mod_taskevents/base/log.h"
#include "../../mod_taskevents/base/flood.h"

#include <apr_strings.h>
#include <string.h>

#include "cases.h"

static int calls, held_calls;
static te_log_level_e last_level;
static apr_status_t last_rv;
static char last_line[4096];

static void catch_line(te_log_level_e level, apr_status_t rv,
                       const char *line, int held)
{
    ++calls;
    held_calls += held;
    last_level = level;
    last_rv = rv;
    apr_cpystrn(last_line, line, sizeof last_line);
}

START_TEST(a_line_begins_with_its_code)
{
    te_log_to(catch_line, NULL);
    te_log(TE_LOG_WARNING, APR_ENOENT, "TE0000", "%d of %s", 7, "x");
    te_log_to(NULL, NULL);
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(last_level, TE_LOG_WARNING);
    ck_assert_int_eq(last_rv, APR_ENOENT);
    ck_assert_str_eq(last_line, "TE0000: 7 of x");
}
END_TEST

START_TEST(a_line_too_long_is_cut)
{
    char text[8000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    te_log_to(catch_line, NULL);
    te_log(TE_LOG_ERR, 0, "TE0000", "%s", text);
    te_log_to(NULL, NULL);
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_gt(strlen(last_line), 1000);
    ck_assert_uint_lt(strlen(last_line), sizeof last_line - 1);
}
END_TEST

START_TEST(without_a_callback_there_is_silence)
{
    te_log_to(NULL, NULL);
    te_log(TE_LOG_ALERT, 0, "TE0000", "nobody hears this");
    ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(a_line_is_one_line_of_plain_text_whatever_it_repeats)
{
    te_log_to(catch_line, NULL);
    te_log(TE_LOG_ERR, 0, "TE0000", "%s", "a \"b\" c\\d\r\ne\tf\x1b[1m \xc3\xa4 "
           "\x7f\x9b end");
    ck_assert_str_eq(last_line,
                     "TE0000: a 'b' c/d? e f?[1m ?? ?? end");
}
END_TEST

static int wants_errors(te_log_level_e level)
{
    return level <= TE_LOG_ERR;
}

START_TEST(what_is_not_wanted_is_not_said)
{
    te_log_to(catch_line, wants_errors);
    te_log(TE_LOG_WARNING, 0, "TE0000", "x");
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(te_log_wants(TE_LOG_WARNING), 0);
    ck_assert_int_eq(te_log_wants(TE_LOG_ERR), 1);
    te_log(TE_LOG_ERR, 0, "TE0000", "x");
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(a_flood_is_held_back_and_told_with_its_count)
{
    int i;

    te_log_to(catch_line, NULL);
    ck_assert_int_eq(te_log_control_floods(pool), APR_SUCCESS);
    for (i = 0; i < 1000; ++i) {
        te_log(TE_LOG_WARNING, 0, "TE0000", "event %d failed", i);
    }
    ck_assert_int_eq(calls, TE_FLOOD_FIRST);
    te_log_tell_held(0, apr_time_now() + TE_FLOOD_INTERVAL);
    ck_assert_int_eq(calls, TE_FLOOD_FIRST + 1);
    ck_assert_int_eq(held_calls, 1);
    ck_assert_ptr_nonnull(strstr(last_line, "TE0000: event 999 failed (said "
                                 "990 times in the last 60 s, this one "));
}
END_TEST

START_TEST(of_alerts_a_thousand_are_said_before_any_is_held_back)
{
    int i;

    te_log_to(catch_line, NULL);
    te_log_control_floods(pool);
    for (i = 0; i < 5000; ++i) {
        te_log_record(TE_LOG_ALERT, "TE0000", "dead letter %d", i);
    }
    ck_assert_int_eq(calls, TE_FLOOD_RECORDS);
}
END_TEST

START_TEST(records_and_what_was_asked_for_are_never_held_back)
{
    int i;

    te_log_to(catch_line, NULL);
    te_log_control_floods(pool);
    for (i = 0; i < 1000; ++i) {
        te_log_record(TE_LOG_NOTICE, "TE0000", "done by %d", i);
        te_log(TE_LOG_INFO, 0, "TE0000", "%d", i);
        te_log(TE_LOG_DEBUG, 0, "TE0000", "%d", i);
    }
    ck_assert_int_eq(calls, 3000);
}
END_TEST

START_TEST(a_state_is_said_at_once_and_then_with_its_count)
{
    te_log_to(catch_line, NULL);
    te_log_control_floods(pool);
    te_log(TE_LOG_ERR, 0, "TE0000", "it is away");
    te_log_goes_on(TE_LOG_ERR, "TE0000", "it is away, still");
    te_log_goes_on(TE_LOG_ERR, "TE0000", "it is away, still");
    ck_assert_int_eq(calls, 1);
    te_log_tell_held(1, apr_time_now());
    ck_assert_int_eq(calls, 2);
    te_log_goes_on(TE_LOG_ERR, "TE0000", "it is away, still");
    te_log_ended("TE0000");
    te_log_tell_held(1, apr_time_now());
    ck_assert_int_eq(calls, 2);
}
END_TEST

TCase *log_tests(void)
{
    TCase *c = unit_case("log", 30);

    tcase_add_test(c, a_line_begins_with_its_code);
    tcase_add_test(c, a_line_too_long_is_cut);
    tcase_add_test(c, without_a_callback_there_is_silence);
    tcase_add_test(c, a_line_is_one_line_of_plain_text_whatever_it_repeats);
    tcase_add_test(c, what_is_not_wanted_is_not_said);
    tcase_add_test(c, a_flood_is_held_back_and_told_with_its_count);
    tcase_add_test(c, of_alerts_a_thousand_are_said_before_any_is_held_back);
    tcase_add_test(c, records_and_what_was_asked_for_are_never_held_back);
    tcase_add_test(c, a_state_is_said_at_once_and_then_with_its_count);
    return c;
}
