#include "text.h"

#include <apr_encode.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <unicase.h>
#include <uniconv.h>
#include <unictype.h>
#include <unistr.h>

apr_size_t te_text_length(const char *text)
{
    return u8_mbsnlen((const uint8_t *)text, strlen(text));
}

static int is_white_space(ucs4_t c)
{
    return uc_is_property_white_space(c);
}

const char *te_text_trim(apr_pool_t *p, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    const uint8_t *end = s + strlen(text);
    const uint8_t *next;
    ucs4_t c;

    while ((next = u8_next(&c, s)) != NULL && is_white_space(c)) {
        s = next;
    }
    while ((next = u8_prev(&c, end, s)) != NULL && is_white_space(c)) {
        end = next;
    }
    return apr_pstrmemdup(p, (const char *)s, (apr_size_t)(end - s));
}

const char *te_text_printable(apr_pool_t *p, const char *text)
{
    char *out = apr_pstrndup(p, text, 64), *c;

    for (c = out; *c; ++c) {
        if (!apr_isascii(*c) || !apr_isgraph(*c)) {
            *c = '?';
        }
    }
    return out;
}

int te_text_same_ignoring_case(const char *a, const char *b)
{
    int order = 1;

    if (u8_casecmp((const uint8_t *)a, strlen(a), (const uint8_t *)b,
                   strlen(b), NULL, UNINORM_NFC, &order) != 0) {
        return strcmp(a, b) == 0;
    }
    return order == 0;
}

int te_text_same_secret(const char *secret, const char *given)
{
    apr_size_t n = strlen(secret), m = strlen(given), i;
    unsigned char differs = n != m;

    for (i = 0; i < m; ++i) {
        differs |= (unsigned char)given[i]
                   ^ (unsigned char)secret[n > 0 ? i % n : 0];
    }
    return !differs;
}

const char *te_text_base64url(apr_pool_t *p, const char *text)
{
    return apr_pencode_base64(p, text, APR_ENCODE_STRING,
                              APR_ENCODE_URL | APR_ENCODE_NOPADDING, NULL);
}

const char *te_text_unbase64url(apr_pool_t *p, const char *text)
{
    apr_size_t size;
    const char *out = apr_pdecode_base64(p, text, APR_ENCODE_STRING,
                                         APR_ENCODE_URL, &size);

    /* apr also reads padding and the other alphabet: one spelling is ours */
    return out != NULL && strlen(out) == size
                   && strcmp(te_text_base64url(p, out), text) == 0
               ? out : NULL;
}

int te_text_to_id(const char *text, apr_int64_t *out)
{
    apr_int64_t value = 0;
    const char *s;

    if (*text < '1' || *text > '9') {
        return 0;
    }
    for (s = text; apr_isdigit(*s); ++s) {
        int digit = *s - '0';

        if (value > (APR_INT64_MAX - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return *s == '\0';
}
