#include "html.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

#define SPEC_MAX 16

void te_html_start(te_html_t *html, apr_pool_t *p, apr_size_t room)
{
    html->pool = p;
    te_json_out_start(&html->out, p, room);
}

/* --- escaping ---------------------------------------------------------- */

static const char *reference(ucs4_t c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Control and format characters (the bidirectional marks among them), private
 * and unassigned ones, separators of lines. */
static int can_be_seen(ucs4_t c)
{
    if (c == '\n' || c == '\t') {
        return 1;
    }
    return !uc_is_general_category_withtable(
        c, UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Zl | UC_CATEGORY_MASK_Zp);
}

const char *te_html_escape(apr_pool_t *p, const char *bytes, apr_size_t size)
{
    te_json_out_t out;
    apr_size_t i = 0, plain = 0;

    te_json_out_start(&out, p, size + size / 8 + 16);
    while (i < size) {
        const uint8_t *at = (const uint8_t *)bytes + i;
        const char *instead;
        ucs4_t c;
        int n = u8_mbtoucr(&c, at, size - i);

        if (n <= 0) {
            instead = apr_psprintf(p, "\\x%02x", *at);
            n = 1;
        }
        else {
            instead = reference(c);
            if (instead == NULL && !can_be_seen(c)) {
                instead = apr_psprintf(p, c < 0x10000 ? "\\u%04x" : "\\U%08x",
                                       (unsigned int)c);
            }
        }
        if (instead != NULL) {
            te_json_put(&out, apr_pstrmemdup(p, bytes + plain, i - plain));
            te_json_put(&out, instead);
            plain = i + (apr_size_t)n;
        }
        i += (apr_size_t)n;
    }
    te_json_put(&out, apr_pstrmemdup(p, bytes + plain, size - plain));
    return te_json_out_end(&out);
}

void te_html_text(te_html_t *html, const char *bytes, apr_size_t size)
{
    te_json_put(&html->out, te_html_escape(html->pool, bytes, size));
}

/* --- markup ------------------------------------------------------------ */

/* One conversion of the format: its value, as text.
 * @param spec  "%" up to and with its letter */
static const char *value_of(apr_pool_t *p, const char *spec, va_list *ap)
{
    const char *text;

    switch (spec[strlen(spec) - 1]) {
    case 's':
        text = va_arg(*ap, const char *);
        return text ? te_html_escape(p, text, strlen(text)) : "";
    case 'f':
        return apr_psprintf(p, spec, va_arg(*ap, double));
    case 'd':
        if (strchr(spec, 'l') != NULL) {
            return apr_psprintf(p, spec, va_arg(*ap, long));
        }
        return apr_psprintf(p, spec, va_arg(*ap, int));
    default:
        return "%";
    }
}

void te_html_put(te_html_t *html, const char *markup, ...)
{
    char spec[SPEC_MAX];
    va_list ap;

    va_start(ap, markup);
    while (*markup != '\0') {
        apr_size_t n = strcspn(markup, "%");

        if (n > 0) {
            te_json_put(&html->out,
                        apr_pstrmemdup(html->pool, markup, n));
            markup += n;
            continue;
        }
        n = 1 + strspn(markup + 1, "0123456789.l");
        n += markup[n] != '\0';         /* the letter */
        apr_cpystrn(spec, markup, n + 1 < SPEC_MAX ? n + 1 : SPEC_MAX);
        te_json_put(&html->out, value_of(html->pool, spec, &ap));
        markup += n;
    }
    va_end(ap);
}

const char *te_html_end(te_html_t *html)
{
    return te_json_out_end(&html->out);
}
