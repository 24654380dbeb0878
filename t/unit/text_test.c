#include "../../mod_taskevents/base/text.h"

#include <apr_strings.h>
#include <string.h>

#include "cases.h"

START_TEST(length_counts_characters_not_bytes)
{
    ck_assert_uint_eq(te_text_length(""), 0);
    ck_assert_uint_eq(te_text_length("abc"), 3);
    ck_assert_uint_eq(te_text_length("äöü"), 3);
    ck_assert_uint_eq(te_text_length("日本語"), 3);
    ck_assert_uint_eq(te_text_length("😀😀"), 2);
    /* e and a combining acute accent are two code points */
    ck_assert_uint_eq(te_text_length("e\xcc\x81"), 2);
}
END_TEST

START_TEST(trim_takes_unicode_white_space_at_both_ends_only)
{
    static const char *const spaces[] = {
        " ", "\t", "\n", "\v", "\f", "\r", "\xc2\x85", "\xc2\xa0",
        "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x8a", "\xe2\x80\xa8",
        "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
    };
    apr_size_t i;

    for (i = 0; i < sizeof spaces / sizeof spaces[0]; ++i) {
        const char *s = spaces[i];

        ck_assert_str_eq(te_text_trim(pool, apr_pstrcat(pool, s, s, "ä b", s,
                                                        NULL)), "ä b");
        ck_assert_str_eq(te_text_trim(pool, s), "");
    }
    ck_assert_str_eq(te_text_trim(pool, "a \t b"), "a \t b");
    ck_assert_str_eq(te_text_trim(pool, ""), "");
    ck_assert_str_eq(te_text_trim(pool, " \n\t "), "");
    /* no white space in Unicode's sense: zero width space, word joiner */
    ck_assert_str_eq(te_text_trim(pool, "\xe2\x80\x8b"), "\xe2\x80\x8b");
    ck_assert_str_eq(te_text_trim(pool, "\xe2\x81\xa0x"), "\xe2\x81\xa0x");
}
END_TEST

START_TEST(a_text_for_the_log_is_short_and_harmless)
{
    char text[100];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ck_assert_uint_eq(strlen(te_text_printable(pool, text)), 64);
    ck_assert_str_eq(te_text_printable(pool, "a-Z.9~"), "a-Z.9~");
    ck_assert_str_eq(te_text_printable(pool, "a\nb\x1b[m\x7f é"),
                     "a?b?[m????");
    ck_assert_str_eq(te_text_printable(pool, ""), "");
}
END_TEST

START_TEST(case_is_ignored_beyond_ascii)
{
    static const char *const same[][2] = {
        {"", ""},           {"Home", "hOME"},   {"ÄÖÜ", "äöü"},
        {"straße", "STRASSE"}, {"ſ", "s"},      {"ΣΑΣ", "σας"},
        {"МОСКВА", "москва"}, {"ﬁn", "FIN"},
        /* composed and decomposed are one text */
        {"\xc3\xa9", "E\xcc\x81"},
        /* I with dot above folds to i and a combining dot */
        {"İ", "i\xcc\x87"},
    };
    apr_size_t i;

    for (i = 0; i < sizeof same / sizeof same[0]; ++i) {
        ck_assert_msg(te_text_same_ignoring_case(same[i][0], same[i][1]),
                      "%s %s", same[i][0], same[i][1]);
        ck_assert(te_text_same_ignoring_case(same[i][1], same[i][0]));
    }
}
END_TEST

START_TEST(different_words_stay_different)
{
    ck_assert(!te_text_same_ignoring_case("a", "b"));
    ck_assert(!te_text_same_ignoring_case("a", ""));
    ck_assert(!te_text_same_ignoring_case("", "a"));
    ck_assert(!te_text_same_ignoring_case("a", "a "));
    ck_assert(!te_text_same_ignoring_case("u", "ü"));
    ck_assert(!te_text_same_ignoring_case("İ", "i"));
    ck_assert(!te_text_same_ignoring_case("ı", "I"));
    ck_assert(!te_text_same_ignoring_case("１", "1"));
}
END_TEST

START_TEST(a_secret_is_the_same_bytes)
{
    ck_assert(te_text_same_secret("s3cret", "s3cret"));
    ck_assert(!te_text_same_secret("s3cret", "s3creT"));
    ck_assert(!te_text_same_secret("s3cret", "S3cret"));
    ck_assert(!te_text_same_secret("s3cret", "s3cre"));
    ck_assert(!te_text_same_secret("s3cret", "s3crets"));
    ck_assert(!te_text_same_secret("s3cret", ""));
    ck_assert(!te_text_same_secret("", "s3cret"));
    /* the period of the comparison is no way in */
    ck_assert(!te_text_same_secret("ab", "abab"));
    ck_assert(!te_text_same_secret("aa", "a"));
    ck_assert(!te_text_same_secret("ab", ""));
}
END_TEST

/* The least time of several, in us. */
static apr_interval_time_t time_to_compare(const char *secret,
                                           const char *given)
{
    apr_interval_time_t least = 0;
    int i;

    for (i = 0; i < 30; ++i) {
        apr_time_t began = apr_time_now();

        ck_assert(!te_text_same_secret(secret, given));
        began = apr_time_now() - began;
        least = i == 0 || began < least ? began : least;
    }
    return least;
}

/* Long ones, so that a difference cannot be missed: who stops at the first
 * wrong byte is a thousand times quicker when that is the first one. */
START_TEST(the_time_of_a_comparison_does_not_tell_how_much_is_right)
{
    apr_size_t n = 1024 * 1024;
    char *secret = apr_palloc(pool, n + 1);
    char *first = apr_palloc(pool, n + 1), *last = apr_palloc(pool, n + 1);
    apr_interval_time_t early, late;

    memset(secret, 'x', n);
    secret[n] = '\0';
    memcpy(first, secret, n + 1);
    memcpy(last, secret, n + 1);
    first[0] = last[n - 1] = 'y';
    early = time_to_compare(secret, first);
    late = time_to_compare(secret, last);
    ck_assert_int_gt(early, late / 4);
    ck_assert_int_gt(late, early / 4);
}
END_TEST

START_TEST(base64url_is_that_of_the_rfc)
{
    ck_assert_str_eq(te_text_base64url(pool, ""), "");
    ck_assert_str_eq(te_text_base64url(pool, "f"), "Zg");
    ck_assert_str_eq(te_text_base64url(pool, "fo"), "Zm8");
    ck_assert_str_eq(te_text_base64url(pool, "foo"), "Zm9v");
    ck_assert_str_eq(te_text_base64url(pool, "foobar"), "Zm9vYmFy");
    ck_assert_str_eq(te_text_base64url(pool, "\xfb\xff\xfe"), "-__-");
}
END_TEST

START_TEST(base64url_comes_back)
{
    int i;

    unit_seed();
    for (i = 0; i < 3000; ++i) {
        const char *text = unit_nasty_text(60);
        const char *back = te_text_unbase64url(pool,
                                               te_text_base64url(pool, text));

        ck_assert_ptr_nonnull(back);
        ck_assert_str_eq(back, text);
    }
}
END_TEST

static const char *const not_base64url[] = {
    "A", "AAAAA", "Zm9v!", "Zm 9v", "Zm9v\n", "Zm=v", "é", "Z*8",
    /* padding, and the other alphabet */
    "Zg==", "Zm8=", "+_-A", "-/-A",
    /* a NUL byte inside */
    "AA", "Zm9vAGZv",
};

START_TEST(what_is_no_base64url_is_refused)
{
    ck_assert_ptr_null(te_text_unbase64url(pool, not_base64url[_i]));
}
END_TEST

START_TEST(an_id_is_a_plain_positive_number)
{
    apr_int64_t id = 0;

    ck_assert(te_text_to_id("1", &id) && id == 1);
    ck_assert(te_text_to_id("42", &id) && id == 42);
    ck_assert(te_text_to_id("9223372036854775807", &id)
              && id == APR_INT64_MAX);
}
END_TEST

static const char *const not_ids[] = {
    "", "0", "00", "01", "-1", "+1", " 1", "1 ", "1x", "x1", "1.0", "1e3",
    "0x10", "9223372036854775808", "9223372036854775810",
    "18446744073709551617", "99999999999999999999999999", "１",
};

START_TEST(what_is_no_id_is_refused)
{
    apr_int64_t id;

    ck_assert_msg(!te_text_to_id(not_ids[_i], &id), "%s", not_ids[_i]);
}
END_TEST

TCase *text_tests(void)
{
    TCase *c = unit_case("text", 30);

    tcase_add_test(c, length_counts_characters_not_bytes);
    tcase_add_test(c, trim_takes_unicode_white_space_at_both_ends_only);
    tcase_add_test(c, a_text_for_the_log_is_short_and_harmless);
    tcase_add_test(c, case_is_ignored_beyond_ascii);
    tcase_add_test(c, different_words_stay_different);
    tcase_add_test(c, a_secret_is_the_same_bytes);
    tcase_add_test(c,
                   the_time_of_a_comparison_does_not_tell_how_much_is_right);
    tcase_add_test(c, base64url_is_that_of_the_rfc);
    tcase_add_test(c, base64url_comes_back);
    tcase_add_loop_test(c, what_is_no_base64url_is_refused, 0,
                        sizeof not_base64url / sizeof not_base64url[0]);
    tcase_add_test(c, an_id_is_a_plain_positive_number);
    tcase_add_loop_test(c, what_is_no_id_is_refused, 0,
                        sizeof not_ids / sizeof not_ids[0]);
    return c;
}
