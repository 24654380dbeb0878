/* base/html: whatever is put in, the markup is ours alone. */
#include <string.h>

#include "../../mod_taskevents/base/html.h"
#include "cases.h"

static const struct {
    const char *bytes, *shown;
} texts[] = {
    {"", ""},
    {"Water the plants", "Water the plants"},
    {"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
    {"\" onload='x' &amp;", "&quot; onload=&#39;x&#39; &amp;amp;"},
    {"ä 日本 😀", "ä 日本 😀"},
    {"a\nb\tc", "a\nb\tc"},
    {"bell\a esc\x1b[31m cr\r", "bell\\u0007 esc\\u001b[31m cr\\u000d"},
    {"\x7f\xc2\x85", "\\u007f\\u0085"},
    /* no UTF-8: cut short, overlong, a surrogate, a lone byte */
    {"a\xc3", "a\\xc3"},
    {"\xc0\xbc", "\\xc0\\xbc"},
    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
    {"\xff<", "\\xff&lt;"},
    /* marks that turn text around, a separator, a private character */
    {"abc\xe2\x80\xae""fed", "abc\\u202efed"},
    {"\xe2\x81\xa6x\xe2\x80\xa8", "\\u2066x\\u2028"},
    {"\xee\x80\x80\xf3\xb0\x80\x80", "\\ue000\\U000f0000"},
};

START_TEST(text_is_shown_as_it_is_and_never_as_markup)
{
    ck_assert_str_eq(te_html_escape(pool, texts[_i].bytes,
                                    strlen(texts[_i].bytes)),
                     texts[_i].shown);
}
END_TEST

START_TEST(bytes_may_have_zeros)
{
    te_html_t html;

    te_html_start(&html, pool, 0);
    te_html_text(&html, "a\0<b", 4);
    ck_assert_str_eq(te_html_end(&html), "a\\u0000&lt;b");
}
END_TEST

START_TEST(values_in_markup_are_escaped)
{
    const char *volatile nothing = NULL;
    te_html_t html;

    te_html_start(&html, pool, 16);
    te_html_put(&html, "<p title=\"%s\">%s %d of %ld, %.2f %%%s</p>", "\">",
                "<b>", -3, 5000000000L, 0.75, nothing);
    ck_assert_str_eq(te_html_end(&html),
                     "<p title=\"&quot;&gt;\">&lt;b&gt; -3 of 5000000000, "
                     "0.75 %</p>");
}
END_TEST

START_TEST(no_text_gets_out_of_its_element)
{
    int i;

    unit_seed();
    for (i = 0; i < 500; ++i) {
        const char *text = unit_nasty_text(60);

        ck_assert_ptr_null(strpbrk(te_html_escape(pool, text, strlen(text)),
                                   "<>\"'\r\x1b"));
    }
}
END_TEST

TCase *html_tests(void)
{
    TCase *tc = unit_case("html", 10);

    tcase_add_loop_test(tc, text_is_shown_as_it_is_and_never_as_markup, 0,
                        (int)(sizeof texts / sizeof texts[0]));
    tcase_add_test(tc, bytes_may_have_zeros);
    tcase_add_test(tc, values_in_markup_are_escaped);
    tcase_add_test(tc, no_text_gets_out_of_its_element);
    return tc;
}
