#include "../../mod_taskevents/base/json.h"

#include <apr_strings.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"

static json_t *accepted_bytes(const char *bytes, apr_size_t size)
{
    const char *detail = "";
    json_t *value = te_json_parse(pool, bytes, size, &detail);

    ck_assert_msg(value != NULL, "%s", detail);
    return value;
}

static json_t *accepted(const char *text)
{
    return accepted_bytes(text, strlen(text));
}

/* Why it was refused. */
static const char *refused_bytes(const char *bytes, apr_size_t size)
{
    const char *detail = NULL;
    json_t *value = te_json_parse(pool, bytes, size, &detail);

    ck_assert_msg(value == NULL, "accepted");
    ck_assert_ptr_nonnull(detail);
    return detail;
}

static void refused(const char *text, const char *because)
{
    const char *detail = refused_bytes(text, strlen(text));

    ck_assert_msg(strstr(detail, because) != NULL, "%s: %s", text, detail);
}

/* n arrays inside each other */
static const char *nested(int n, const char *open, const char *close)
{
    const char *text = "";
    int i;

    for (i = 0; i < n; ++i) {
        text = apr_pstrcat(pool, text, open, NULL);
    }
    for (i = 0; i < n; ++i) {
        text = apr_pstrcat(pool, text, close, NULL);
    }
    return text;
}

START_TEST(any_value_is_accepted_at_the_top)
{
    ck_assert(json_is_object(accepted("{}")));
    ck_assert(json_is_array(accepted(" [1, 2] ")));
    ck_assert(json_is_string(accepted("\"x\"")));
    ck_assert(json_is_integer(accepted("-7")));
    ck_assert(json_is_null(accepted("null")));
}
END_TEST

START_TEST(a_member_named_twice_is_refused)
{
    refused("{\"a\":1,\"a\":1}", "twice");
    refused("{\"a\":1,\"\\u0061\":2}", "twice");
    refused("{\"o\":{\"b\":1,\"c\":2,\"b\":3}}", "twice");
    accepted("{\"a\":{\"a\":1},\"A\":1}");
}
END_TEST

START_TEST(the_character_nul_is_refused)
{
    refused("\"\\u0000\"", "\\u0000");
    refused("{\"a\":\"x\\u0000y\"}", "\\u0000");
    refused("{\"a\\u0000\":1}", "\\u0000");
    refused_bytes("\"a\0b\"", 5);
    refused_bytes("{}\0", 3);
    refused_bytes("[1\0]", 4);
    refused_bytes("{\"a\":1.5\0}", 10);
    refused_bytes("[true\0]", 7);
    accepted("\"\\\\u0000\"");
}
END_TEST

static const char *const broken_utf8[] = {
    "\"\x80\"", "\"\xc3\"", "\"\xc0\xaf\"", "\"\xe0\x80\xaf\"",
    "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xff\"", "\"a\xe2\x82\"",
    "\xfe", "{\"\xc3\x28\":1}",
};

START_TEST(invalid_utf8_is_refused)
{
    refused(broken_utf8[_i], "UTF-8");
}
END_TEST

START_TEST(half_a_surrogate_pair_is_refused)
{
    refused_bytes("\"\\ud800\"", 8);
    refused_bytes("\"\\udc00\"", 8);
    refused_bytes("\"\\ud800\\u0041\"", 14);
    ck_assert_str_eq(json_string_value(accepted("\"\\ud83d\\ude00\"")), "😀");
}
END_TEST

START_TEST(nesting_of_32_is_read_and_33_is_not)
{
    accepted(nested(32, "[", "]"));
    refused(nested(33, "[", "]"), "32");
    refused(apr_pstrcat(pool, nested(16, "{\"a\":[", ""), "[]",
                        nested(16, "]}", ""), NULL), "32");
    refused(apr_pstrcat(pool, "{\"a\":", nested(32, "[", "]"), "}", NULL),
            "32");
    accepted(apr_pstrcat(pool, "{\"a\":", nested(31, "[", "]"), "}", NULL));
    /* side by side is not deeper */
    accepted(apr_pstrcat(pool, "[", nested(31, "[", "]"), ",",
                         nested(31, "[", "]"), "]", NULL));
}
END_TEST

START_TEST(brackets_in_strings_are_no_nesting)
{
    accepted(apr_pstrcat(pool, "[\"", nested(100, "[{", ""), "\"]", NULL));
    accepted(apr_pstrcat(pool, "[\"\\\"", nested(100, "[{", ""), "\"]",
                         NULL));
    refused(apr_pstrcat(pool, "[\"\\\\\",", nested(32, "[", "]"), "]", NULL),
            "32");
}
END_TEST

START_TEST(a_hundred_thousand_brackets_are_refused_at_once)
{
    char *deep = apr_palloc(pool, 100001);

    memset(deep, '[', 100000);
    deep[100000] = '\0';
    refused(deep, "32");
}
END_TEST

START_TEST(text_behind_the_value_is_refused)
{
    refused("{} x", "after the JSON value");
    refused("1 2", "after the JSON value");
    refused("{}{}", "after the JSON value");
    refused("[],", "after the JSON value");
    accepted("{} \r\n\t");
}
END_TEST

START_TEST(an_empty_text_is_told_so)
{
    ck_assert_ptr_nonnull(strstr(refused_bytes("", 0), "empty"));
    refused(" ", "Not JSON");
}
END_TEST

static const char *const not_json[] = {
    "{", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "\"x", "\"\t\"", "nul",
    "True", "NaN", "Infinity", "01", "+1", ".5", "1.", "0x1", "[1 2]",
    "// c\n1", "\"\\x\"", "\"\\u12\"", "\xef\xbb\xbf{}", "]", "\\", "\"\\",
};

START_TEST(what_is_no_json_is_refused)
{
    ck_assert_str_eq(apr_pstrmemdup(pool, refused_bytes(not_json[_i],
                                                        strlen(not_json[_i])),
                                    4), "Not ");
}
END_TEST

START_TEST(a_number_too_large_is_refused)
{
    refused("99999999999999999999", "too large");
    refused("1e999", "too large");
    ck_assert_int_eq(json_integer_value(accepted("9223372036854775807")),
                     APR_INT64_MAX);
}
END_TEST

START_TEST(a_refusal_never_quotes_the_text)
{
    static const char *const secret[] = {
        "{\"password\": SEKRET}", "SEKRET", "[\"SEKRET", "{} SEKRET",
        "{\"SEKRET\":1,\"SEKRET\":2}", "\"SEKRET\xff\"", "\"\\u0000SEKRET\"",
        "{\"a\":\"SEKRET\\q\"}", "[\"x\" \"SEKRET\"]", "[\"near ' SEKRET\x01\"]",
    };
    apr_size_t i;

    for (i = 0; i < sizeof secret / sizeof secret[0]; ++i) {
        const char *detail = refused_bytes(secret[i], strlen(secret[i]));

        ck_assert_msg(strstr(detail, "SEKRET") == NULL, "%s", detail);
    }
}
END_TEST

START_TEST(text_is_compact_and_keeps_the_order)
{
    ck_assert_str_eq(te_json_text(pool, accepted("{ \"z\" : [ 1, true ],"
                                                 " \"a\" : null }")),
                     "{\"z\":[1,true],\"a\":null}");
    ck_assert_str_eq(te_json_text(pool, accepted("\"é\\n\"")), "\"é\\n\"");
}
END_TEST

START_TEST(nasty_strings_come_back)
{
    int i;

    unit_seed();
    for (i = 0; i < 2000; ++i) {
        const char *text = unit_nasty_text(80);
        json_t *value = te_json_keep(pool, json_string(text));

        ck_assert_ptr_nonnull(value);
        ck_assert_str_eq(json_string_value(accepted(te_json_text(pool,
                                                                 value))),
                         text);
    }
}
END_TEST

START_TEST(our_writer_says_what_jansson_reads)
{
    te_json_out_t out;
    int i;

    unit_seed();
    for (i = 0; i < 2000; ++i) {
        const char *text = unit_nasty_text(80);
        apr_int64_t number = (apr_int64_t)unit_random(APR_UINT64_MAX);
        json_t *array;

        te_json_out_start(&out, pool, 1 + unit_random(100));
        te_json_put(&out, "[");
        te_json_put_string(&out, text);
        te_json_put(&out, ",");
        te_json_put_int(&out, number);
        te_json_put(&out, ",");
        te_json_put_string(&out, NULL);
        te_json_put(&out, "]");
        array = accepted(te_json_out_end(&out));
        ck_assert_str_eq(json_string_value(json_array_get(array, 0)), text);
        ck_assert_int_eq(json_integer_value(json_array_get(array, 1)),
                         number);
        ck_assert(json_is_null(json_array_get(array, 2)));
    }
}
END_TEST

START_TEST(our_writer_escapes_every_control_character)
{
    char text[2] = "";
    te_json_out_t out;

    for (text[0] = 1; text[0] < 0x20; ++text[0]) {
        te_json_out_start(&out, pool, 1);
        te_json_put_string(&out, text);
        ck_assert_str_eq(json_string_value(accepted(te_json_out_end(&out))),
                         text);
    }
    te_json_out_start(&out, pool, 1);
    te_json_put_string(&out, "\b\f\n\r\t\v");
    ck_assert_str_eq(te_json_out_end(&out),
                     "\"\\b\\f\\n\\r\\t\\u000B\"");
}
END_TEST

START_TEST(members_that_are_no_strings_have_no_text)
{
    json_t *o = accepted("{\"s\":\"x\",\"n\":1,\"z\":null}");

    ck_assert_str_eq(te_json_get_string(o, "s"), "x");
    ck_assert_ptr_null(te_json_get_string(o, "n"));
    ck_assert_ptr_null(te_json_get_string(o, "z"));
    ck_assert_ptr_null(te_json_get_string(o, "none"));
    ck_assert_ptr_null(te_json_get_string(NULL, "s"));
}
END_TEST

START_TEST(nothing_is_kept_as_nothing)
{
    ck_assert_ptr_null(te_json_keep(pool, NULL));
}
END_TEST

START_TEST(a_value_is_never_less_than_was_said_for_want_of_memory)
{
    volatile size_t more_than_there_is = SIZE_MAX / 4;
    int status = 0;
    pid_t child;

    te_json_global_init();
    child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) != NULL) {
            json_stringn_nocheck("x", more_than_there_is);
        }
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 0,
                  "it went on without");
}
END_TEST

TCase *json_tests(void)
{
    TCase *c = unit_case("json", 30);

    tcase_add_test(c, any_value_is_accepted_at_the_top);
    tcase_add_test(c, a_member_named_twice_is_refused);
    tcase_add_test(c, the_character_nul_is_refused);
    tcase_add_loop_test(c, invalid_utf8_is_refused, 0,
                        sizeof broken_utf8 / sizeof broken_utf8[0]);
    tcase_add_test(c, half_a_surrogate_pair_is_refused);
    tcase_add_test(c, nesting_of_32_is_read_and_33_is_not);
    tcase_add_test(c, brackets_in_strings_are_no_nesting);
    tcase_add_test(c, a_hundred_thousand_brackets_are_refused_at_once);
    tcase_add_test(c, text_behind_the_value_is_refused);
    tcase_add_test(c, an_empty_text_is_told_so);
    tcase_add_loop_test(c, what_is_no_json_is_refused, 0,
                        sizeof not_json / sizeof not_json[0]);
    tcase_add_test(c, a_number_too_large_is_refused);
    tcase_add_test(c, a_refusal_never_quotes_the_text);
    tcase_add_test(c, text_is_compact_and_keeps_the_order);
    tcase_add_test(c, nasty_strings_come_back);
    tcase_add_test(c, our_writer_says_what_jansson_reads);
    tcase_add_test(c, our_writer_escapes_every_control_character);
    tcase_add_test(c, members_that_are_no_strings_have_no_text);
    tcase_add_test(c, nothing_is_kept_as_nothing);
    tcase_add_test(c,
                   a_value_is_never_less_than_was_said_for_want_of_memory);
    return c;
}
