#include "../../mod_taskevents/base/uuid.h"

#include <string.h>

#include "cases.h"

#define DNS "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define URL "6ba7b811-9dad-11d1-80b4-00c04fd430c8"

START_TEST(version_5_agrees_with_published_vectors)
{
    /* RFC 9562, A.4; Python's uuid module */
    ck_assert_str_eq(te_uuid_v5(pool, DNS, "www.example.com"),
                     "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    ck_assert_str_eq(te_uuid_v5(pool, DNS, "python.org"),
                     "886313e1-3b8a-5372-9b90-0c9aee199e5d");
    ck_assert_str_eq(te_uuid_v5(pool, URL, "http://example.com/"),
                     "0a300ee9-f9e4-5697-a51a-efc7fafaba67");
}
END_TEST

START_TEST(the_case_of_a_namespace_does_not_matter)
{
    ck_assert_str_eq(te_uuid_v5(pool, "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
                                "python.org"),
                     te_uuid_v5(pool, DNS, "python.org"));
}
END_TEST

START_TEST(a_namespace_that_is_no_uuid_has_stable_names)
{
    const char *id = te_uuid_v5(pool, "event-17", "task.created series/x/2");

    ck_assert(te_uuid_valid(id));
    ck_assert_int_eq(id[14], '5');
    /* stored in databases and topics: it may never change */
    ck_assert_str_eq(id, "94eb5e0b-d25e-592f-96b7-442058cb2f5f");
    ck_assert_str_ne(id, te_uuid_v5(pool, "event-18",
                                    "task.created series/x/2"));
    ck_assert_str_ne(id, te_uuid_v5(pool, "event-17",
                                    "task.created series/x/3"));
    ck_assert_str_ne(te_uuid_v5(pool, "", "a"), te_uuid_v5(pool, "a", ""));
}
END_TEST

START_TEST(bytes_always_have_the_same_one)
{
    const char *id = te_uuid_of_bytes(pool, "a\0b", 3);

    ck_assert_str_eq(id, te_uuid_of_bytes(pool, "a\0b", 3));
    ck_assert_str_ne(id, te_uuid_of_bytes(pool, "a\0c", 3));
    ck_assert_str_ne(id, te_uuid_of_bytes(pool, "a", 1));
    ck_assert(te_uuid_valid(te_uuid_of_bytes(pool, "", 0)));
}
END_TEST

START_TEST(random_ones_differ_and_say_version_4)
{
    const char *ids[200];
    int i, j;

    for (i = 0; i < 200; ++i) {
        ids[i] = te_uuid_v4(pool);
        ck_assert_uint_eq(strlen(ids[i]), 36);
        ck_assert_int_eq(ids[i][14], '4');
        ck_assert_ptr_nonnull(strchr("89ab", ids[i][19]));
        ck_assert_uint_eq(strspn(ids[i], "0123456789abcdef-"), 36);
        for (j = 0; j < i; ++j) {
            ck_assert_str_ne(ids[i], ids[j]);
        }
    }
}
END_TEST

START_TEST(only_the_usual_form_is_valid)
{
    ck_assert(te_uuid_valid(DNS));
    ck_assert(te_uuid_valid("00000000-0000-0000-0000-000000000000"));
    ck_assert(!te_uuid_valid(""));
    ck_assert(!te_uuid_valid("6ba7b8109dad11d180b400c04fd430c8"));
    ck_assert(!te_uuid_valid("{" DNS "}"));
    ck_assert(!te_uuid_valid(DNS " "));
    ck_assert(!te_uuid_valid("6ba7b810-9dad-11d1-80b4-00c04fd430cg"));
    ck_assert(!te_uuid_valid("6ba7b810-9dad-11d1-80b4-00c04fd430c"));
}
END_TEST

TCase *uuid_tests(void)
{
    TCase *c = unit_case("uuid", 30);

    tcase_add_test(c, version_5_agrees_with_published_vectors);
    tcase_add_test(c, the_case_of_a_namespace_does_not_matter);
    tcase_add_test(c, a_namespace_that_is_no_uuid_has_stable_names);
    tcase_add_test(c, bytes_always_have_the_same_one);
    tcase_add_test(c, random_ones_differ_and_say_version_4);
    tcase_add_test(c, only_the_usual_form_is_valid);
    return c;
}
