#include "../../mod_taskevents/base/log.h"

#include <apr_strings.h>
#include <string.h>

#include "cases.h"

static int calls;
static te_log_level_e last_level;
static apr_status_t last_rv;
static char last_line[4096];

static void catch_line(te_log_level_e level, apr_status_t rv,
                       const char *line)
{
    ++calls;
    last_level = level;
    last_rv = rv;
    apr_cpystrn(last_line, line, sizeof last_line);
}

START_TEST(a_line_begins_with_its_code)
{
    te_log_to(catch_line);
    te_log(TE_LOG_WARNING, APR_ENOENT, "TE0000", "%d of %s", 7, "x");
    te_log_to(NULL);
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
    te_log_to(catch_line);
    te_log(TE_LOG_ERR, 0, "TE0000", "%s", text);
    te_log_to(NULL);
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_gt(strlen(last_line), 1000);
    ck_assert_uint_lt(strlen(last_line), sizeof last_line - 1);
}
END_TEST

START_TEST(without_a_callback_there_is_silence)
{
    te_log_to(NULL);
    te_log(TE_LOG_ALERT, 0, "TE0000", "nobody hears this");
    ck_assert_int_eq(calls, 0);
}
END_TEST

TCase *log_tests(void)
{
    TCase *c = unit_case("log", 30);

    tcase_add_test(c, a_line_begins_with_its_code);
    tcase_add_test(c, a_line_too_long_is_cut);
    tcase_add_test(c, without_a_callback_there_is_silence);
    return c;
}
