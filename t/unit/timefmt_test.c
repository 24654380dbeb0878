#include "../../mod_taskevents/base/timefmt.h"

#include <apr_strings.h>
#include <string.h>
#include <time.h>

#include "cases.h"

#define SECONDS(n) ((n) * APR_INT64_C(1000000))

static apr_time_t parsed(const char *text)
{
    apr_time_t t = 0;
    const char *wrong = te_time_parse(text, &t);

    ck_assert_msg(wrong == NULL, "%s: %s", text, wrong);
    return t;
}

static const char *refusal(const char *text)
{
    apr_time_t t = 0;
    const char *wrong = te_time_parse(text, &t);

    ck_assert_msg(wrong != NULL, "accepted: %s", text);
    return wrong;
}

static int leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

START_TEST(known_instants_are_right)
{
    ck_assert_int_eq(parsed("1970-01-01T00:00:00Z"), 0);
    ck_assert_int_eq(parsed("2026-01-31T09:00:00Z"), SECONDS(1769850000));
    ck_assert_int_eq(parsed("2000-02-29T23:59:59.999999Z"),
                     SECONDS(951868799) + 999999);
    ck_assert_int_eq(parsed("0001-01-01T00:00:00Z"),
                     SECONDS(APR_INT64_C(-62135596800)));
    ck_assert_int_eq(parsed("9999-12-31T23:59:59.999999Z"),
                     SECONDS(APR_INT64_C(253402300799)) + 999999);
}
END_TEST

START_TEST(the_first_and_last_day_of_every_year_come_back)
{
    int year;

    for (year = 1; year <= 9999; ++year) {
        static const char *const days[] = {"01-01T00:00:00Z",
                                           "02-28T12:34:56Z",
                                           "03-01T00:00:00Z",
                                           "12-31T23:59:59Z"};
        apr_size_t i;

        for (i = 0; i < sizeof days / sizeof days[0]; ++i) {
            const char *text = apr_psprintf(pool, "%04d-%s", year, days[i]);

            ck_assert_str_eq(te_time_format(pool, parsed(text)), text);
        }
        if (year % 100 == 0) {
            apr_pool_clear(pool);
        }
    }
}
END_TEST

START_TEST(a_leap_day_is_there_in_leap_years_only)
{
    int year;

    for (year = 1; year <= 9999; ++year) {
        const char *text = apr_psprintf(pool, "%04d-02-29T00:00:00Z", year);
        apr_time_t t;

        if (leap(year)) {
            ck_assert_str_eq(te_time_format(pool, parsed(text)), text);
        }
        else {
            ck_assert_ptr_nonnull(te_time_parse(text, &t));
        }
        apr_pool_clear(pool);
    }
}
END_TEST

START_TEST(random_instants_agree_with_the_c_library)
{
    const apr_int64_t first = APR_INT64_C(-62135596800);
    const apr_int64_t last = APR_INT64_C(253402300799);
    int i;

    unit_seed();
    for (i = 0; i < 20000; ++i) {
        apr_int64_t seconds =
            first + (apr_int64_t)unit_random((apr_uint64_t)(last - first + 1));
        int micros = (int)unit_random(1000000);
        apr_time_t t = SECONDS(seconds) + micros;
        time_t clock = (time_t)seconds;
        const char *want;
        struct tm tm;

        gmtime_r(&clock, &tm);
        ck_assert_int_eq(timegm(&tm), clock);
        want = apr_psprintf(pool, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
                            tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                            tm.tm_hour, tm.tm_min, tm.tm_sec, micros);
        ck_assert_str_eq(te_time_format_us(pool, t), want);
        ck_assert_int_eq(parsed(want), t);
        apr_pool_clear(pool);
    }
}
END_TEST

START_TEST(an_offset_moves_the_instant)
{
    ck_assert_int_eq(parsed("2026-01-31T11:00:00+02:00"),
                     parsed("2026-01-31T09:00:00Z"));
    ck_assert_int_eq(parsed("2026-01-31T03:30:00-05:30"),
                     parsed("2026-01-31T09:00:00Z"));
    ck_assert_int_eq(parsed("2026-01-01T00:30:00+01:00"),
                     parsed("2025-12-31T23:30:00Z"));
    ck_assert_int_eq(parsed("2026-01-31T09:00:00-00:00"),
                     parsed("2026-01-31T09:00:00Z"));
    ck_assert_int_eq(parsed("2026-01-31T09:00:00+23:59"),
                     parsed("2026-01-30T09:01:00Z"));
}
END_TEST

START_TEST(lower_case_letters_and_a_space_are_rfc_3339_too)
{
    ck_assert_int_eq(parsed("2026-01-31t09:00:00z"),
                     parsed("2026-01-31T09:00:00Z"));
    ck_assert_int_eq(parsed("2026-01-31 09:00:00Z"),
                     parsed("2026-01-31T09:00:00Z"));
}
END_TEST

START_TEST(a_fraction_has_microseconds_and_the_rest_is_cut)
{
    apr_time_t whole = parsed("2026-01-31T09:00:00Z");

    ck_assert_int_eq(parsed("2026-01-31T09:00:00.5Z"), whole + 500000);
    ck_assert_int_eq(parsed("2026-01-31T09:00:00.000001Z"), whole + 1);
    ck_assert_int_eq(parsed("2026-01-31T09:00:00.1234567Z"), whole + 123456);
    ck_assert_int_eq(parsed("2026-01-31T09:00:00.9999999999999999Z"),
                     whole + 999999);
}
END_TEST

START_TEST(a_leap_second_is_the_next_minute)
{
    ck_assert_int_eq(parsed("2016-12-31T23:59:60Z"),
                     parsed("2017-01-01T00:00:00Z"));
}
END_TEST

START_TEST(a_time_without_an_offset_is_told_so)
{
    ck_assert_ptr_nonnull(strstr(refusal("2026-01-31T09:00:00"), "offset"));
    ck_assert_ptr_nonnull(strstr(refusal("2026-01-31T09:00:00.25"),
                                 "offset"));
}
END_TEST

static const char *const not_times[] = {
    "", "x", "2026", "2026-01-31", "2026-01-31T", "2026-01-31T09:00Z",
    "2026-1-31T09:00:00Z", "26-01-31T09:00:00Z", "02026-01-31T09:00:00Z",
    "2026-00-10T00:00:00Z", "2026-13-10T00:00:00Z", "2026-01-00T00:00:00Z",
    "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2026-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T09:60:00Z",
    "2026-01-31T09:00:61Z", "2026-01-31T09:00:00.Z", "2026-01-31T09:00:00,5Z",
    "2026-01-31T09:00:00ZZ", "2026-01-31T09:00:00Z ", " 2026-01-31T09:00:00Z",
    "2026-01-31T09:00:00+2:00", "2026-01-31T09:00:00+0200",
    "2026-01-31T09:00:00+02", "2026-01-31T09:00:00+24:00",
    "2026-01-31T09:00:00+02:60", "2026-01-31T09:00:00+02:00x",
    "2026-01-31T09:00:00 UTC", "2026/01/31T09:00:00Z", "+026-01-31T09:00:00Z",
    "-001-01-31T09:00:00Z", "2026-01-31X09:00:00Z", "2026-01-31T09-00-00Z",
    "0000-12-31T00:00:00Z",
    /* within the years where they are written, not in UTC */
    "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60Z",
    /* digits, though not ASCII's */
    "２０２６-01-31T09:00:00Z",
};

START_TEST(what_is_no_time_is_refused)
{
    refusal(not_times[_i]);
}
END_TEST

START_TEST(the_edges_of_the_years_are_those_of_utc)
{
    ck_assert_str_eq(te_time_format(pool,
                                    parsed("0001-01-01T01:00:00+01:00")),
                     "0001-01-01T00:00:00Z");
    ck_assert_str_eq(te_time_format(pool,
                                    parsed("9999-12-31T22:59:59-01:00")),
                     "9999-12-31T23:59:59Z");
}
END_TEST

START_TEST(a_time_is_written_with_six_digits_or_none)
{
    ck_assert_str_eq(te_time_format(pool, 0), "1970-01-01T00:00:00Z");
    ck_assert_str_eq(te_time_format(pool, 1), "1970-01-01T00:00:00.000001Z");
    ck_assert_str_eq(te_time_format(pool, 500000),
                     "1970-01-01T00:00:00.500000Z");
    ck_assert_str_eq(te_time_format_us(pool, 0),
                     "1970-01-01T00:00:00.000000Z");
}
END_TEST

START_TEST(instants_before_1970_are_written_right)
{
    ck_assert_str_eq(te_time_format(pool, -1), "1969-12-31T23:59:59.999999Z");
    ck_assert_str_eq(te_time_format(pool, -1000000), "1969-12-31T23:59:59Z");
    ck_assert_str_eq(te_time_format(pool, SECONDS(-86400)),
                     "1969-12-31T00:00:00Z");
    ck_assert_str_eq(te_time_format(pool, SECONDS(-86401) - 1),
                     "1969-12-30T23:59:58.999999Z");
}
END_TEST

START_TEST(no_time_has_no_text)
{
    ck_assert_ptr_null(te_time_format(pool, TE_TIME_NONE));
    ck_assert_ptr_null(te_time_format_us(pool, TE_TIME_NONE));
}
END_TEST

START_TEST(the_output_of_postgresql_is_read)
{
    apr_time_t t;

    ck_assert(te_time_from_pg("2026-01-31 09:00:00+00", &t));
    ck_assert_int_eq(t, parsed("2026-01-31T09:00:00Z"));
    ck_assert(te_time_from_pg("2026-01-31 09:00:00.5+00", &t));
    ck_assert_int_eq(t, parsed("2026-01-31T09:00:00.5Z"));
    ck_assert(te_time_from_pg("0001-01-01 00:00:00.000001+00", &t));
    ck_assert_int_eq(t, parsed("0001-01-01T00:00:00.000001Z"));
    ck_assert(te_time_from_pg("9999-12-31 23:59:59+00", &t));
    ck_assert_int_eq(t, parsed("9999-12-31T23:59:59Z"));
}
END_TEST

static const char *const not_pg[] = {
    "", "infinity", "-infinity", "2026-01-31 09:00:00", "2026-01-31",
    "2026-01-31 09:00:00+01", "2026-01-31 09:00:00+00 BC",
    "10000-01-01 00:00:00+00", "31.01.2026 09:00:00 UTC",
};

START_TEST(what_postgresql_would_not_write_in_utc_is_refused)
{
    apr_time_t t;

    ck_assert(!te_time_from_pg(not_pg[_i], &t));
}
END_TEST

TCase *timefmt_tests(void)
{
    TCase *c = unit_case("timefmt", 60);

    tcase_add_test(c, known_instants_are_right);
    tcase_add_test(c, the_first_and_last_day_of_every_year_come_back);
    tcase_add_test(c, a_leap_day_is_there_in_leap_years_only);
    tcase_add_test(c, random_instants_agree_with_the_c_library);
    tcase_add_test(c, an_offset_moves_the_instant);
    tcase_add_test(c, lower_case_letters_and_a_space_are_rfc_3339_too);
    tcase_add_test(c, a_fraction_has_microseconds_and_the_rest_is_cut);
    tcase_add_test(c, a_leap_second_is_the_next_minute);
    tcase_add_test(c, a_time_without_an_offset_is_told_so);
    tcase_add_loop_test(c, what_is_no_time_is_refused, 0,
                        sizeof not_times / sizeof not_times[0]);
    tcase_add_test(c, the_edges_of_the_years_are_those_of_utc);
    tcase_add_test(c, a_time_is_written_with_six_digits_or_none);
    tcase_add_test(c, instants_before_1970_are_written_right);
    tcase_add_test(c, no_time_has_no_text);
    tcase_add_test(c, the_output_of_postgresql_is_read);
    tcase_add_loop_test(c, what_postgresql_would_not_write_in_utc_is_refused,
                        0, sizeof not_pg / sizeof not_pg[0]);
    return c;
}
