#include "../../mod_taskevents/core/fault.h"

#include "cases.h"

START_TEST(a_plain_member_is_itself)
{
    ck_assert_str_eq(te_fault_pointer(pool, "title"), "#/title");
    ck_assert_str_eq(te_fault_pointer(pool, "due_date"), "#/due_date");
    ck_assert_str_eq(te_fault_pointer(pool, ""), "#/");
}
END_TEST

START_TEST(what_a_pointer_means_is_escaped)
{
    ck_assert_str_eq(te_fault_pointer(pool, "a/b"), "#/a~1b");
    ck_assert_str_eq(te_fault_pointer(pool, "m~n"), "#/m~0n");
    ck_assert_str_eq(te_fault_pointer(pool, "~1"), "#/~01");
}
END_TEST

/* RFC 6901, section 6 */
START_TEST(what_a_fragment_may_not_hold_is_escaped)
{
    ck_assert_str_eq(te_fault_pointer(pool, "c%d"), "#/c%25d");
    ck_assert_str_eq(te_fault_pointer(pool, "e^f"), "#/e%5Ef");
    ck_assert_str_eq(te_fault_pointer(pool, "g|h"), "#/g%7Ch");
    ck_assert_str_eq(te_fault_pointer(pool, "i\\j"), "#/i%5Cj");
    ck_assert_str_eq(te_fault_pointer(pool, "k\"l"), "#/k%22l");
    ck_assert_str_eq(te_fault_pointer(pool, " "), "#/%20");
    ck_assert_str_eq(te_fault_pointer(pool, "#<>\n\x7f"),
                     "#/%23%3C%3E%0A%7F");
    ck_assert_str_eq(te_fault_pointer(pool, "é"), "#/%C3%A9");
    ck_assert_str_eq(te_fault_pointer(pool, "😀"), "#/%F0%9F%98%80");
}
END_TEST

TCase *fault_tests(void)
{
    TCase *c = unit_case("fault", 30);

    tcase_add_test(c, a_plain_member_is_itself);
    tcase_add_test(c, what_a_pointer_means_is_escaped);
    tcase_add_test(c, what_a_fragment_may_not_hold_is_escaped);
    return c;
}
