#include "json.h"

#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *allocate(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL) {
        (void)fputs("[crit] no memory for JSON: the process ends\n", stderr);
        abort();
    }
    return memory;
}

void te_json_global_init(void)
{
    json_set_alloc_funcs(allocate, free);
}

static apr_status_t release_value(void *value)
{
    json_decref(value);
    return APR_SUCCESS;
}

json_t *te_json_keep(apr_pool_t *p, json_t *value)
{
    if (value != NULL) {
        apr_pool_cleanup_register(p, value, release_value,
                                  apr_pool_cleanup_null);
    }
    return value;
}

/* Nesting is counted before parsing, so that a deep text costs no memory. */
static int too_deep(const char *bytes, apr_size_t size)
{
    int depth = 0, in_string = 0;
    apr_size_t i;

    for (i = 0; i < size; ++i) {
        char c = bytes[i];

        if (in_string) {
            if (c == '\\') {
                ++i;
            }
            else if (c == '"') {
                in_string = 0;
            }
        }
        else if (c == '"') {
            in_string = 1;
        }
        else if (c == '{' || c == '[') {
            if (++depth > TE_JSON_MAX_DEPTH) {
                return 1;
            }
        }
        else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return 0;
}

/* jansson quotes the input in its messages ("near 'abc'"): that part may hold
 * user text and broken bytes, so only what stands before it is told. */
static const char *describe(apr_pool_t *p, const json_error_t *e)
{
    const char *text = e->text;
    const char *near = strstr(text, " near '");
    const char *what;

    switch (json_error_code(e)) {
    case json_error_invalid_utf8:
        what = "the text is not valid UTF-8";
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        what = "the character \\u0000 is not allowed";
        break;
    case json_error_duplicate_key:
        what = "an object names a member twice";
        break;
    case json_error_numeric_overflow:
        what = "a number is too large";
        break;
    case json_error_premature_end_of_input:
        what = "the text ends too early";
        break;
    case json_error_end_of_input_expected:
        what = "there is text after the JSON value";
        break;
    default:
        what = near ? apr_pstrmemdup(p, text, (apr_size_t)(near - text))
                    : "the text cannot be read as JSON";
        break;
    }
    return apr_psprintf(p, "Not JSON: %s (line %d, column %d).", what, e->line,
                        e->column);
}

json_t *te_json_parse(apr_pool_t *p, const char *bytes, apr_size_t size,
                      const char **detail)
{
    json_error_t e;
    json_t *value;

    if (too_deep(bytes, size)) {
        *detail = apr_psprintf(p, "Not accepted: nested deeper than %d levels.",
                               TE_JSON_MAX_DEPTH);
        return NULL;
    }
    /* Jansson's reader passes over one behind a number */
    if (size > 0 && memchr(bytes, '\0', size) != NULL) {
        *detail = "Not JSON: the character \\u0000 is not allowed.";
        return NULL;
    }
    value = json_loadb(bytes, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                       &e);
    if (value == NULL) {
        *detail = size == 0 ? "Not JSON: the body is empty." : describe(p, &e);
    }
    return te_json_keep(p, value);
}

static const char *dump(apr_pool_t *p, const json_t *value, size_t flags)
{
    size_t size = json_dumpb(value, NULL, 0, flags);
    char *text = apr_palloc(p, size + 1);

    json_dumpb(value, text, size, flags);
    text[size] = '\0';
    return text;
}

const char *te_json_text(apr_pool_t *p, const json_t *value)
{
    return dump(p, value, JSON_COMPACT | JSON_ENCODE_ANY);
}

const char *te_json_brief(apr_pool_t *p, const json_t *value)
{
    return dump(p, value,
                JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
}

const char *te_json_pretty(apr_pool_t *p, const json_t *value)
{
    return dump(p, value, JSON_INDENT(2) | JSON_ENCODE_ANY);
}

/* --- writing ----------------------------------------------------------- */

void te_json_out_start(te_json_out_t *out, apr_pool_t *p, apr_size_t room)
{
    out->pool = p;
    out->size = 0;
    out->room = room;
    out->text = apr_palloc(p, room);
}

/* Room for n bytes and the zero byte behind them. */
static char *reserve(te_json_out_t *out, apr_size_t n)
{
    if (out->size + n + 1 > out->room) {
        char *larger;

        out->room = (out->size + n + 1) * 2;
        larger = apr_palloc(out->pool, out->room);
        memcpy(larger, out->text, out->size);
        out->text = larger;
    }
    return out->text + out->size;
}

void te_json_put_bytes(te_json_out_t *out, const char *bytes, apr_size_t n)
{
    memcpy(reserve(out, n), bytes, n);
    out->size += n;
}

void te_json_put(te_json_out_t *out, const char *text)
{
    te_json_put_bytes(out, text, strlen(text));
}

/* The letter behind the backslash; 0: it is written as \u00XX. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static void put_escape(te_json_out_t *out, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    char escape[] = {'\\', short_escape(c), '0', '0', digits[c >> 4],
                     digits[c & 15]};

    if (escape[1] != 0) {
        te_json_put_bytes(out, escape, 2);
        return;
    }
    escape[1] = 'u';
    te_json_put_bytes(out, escape, sizeof escape);
}

void te_json_put_string(te_json_out_t *out, const char *text)
{
    const char *plain = text, *s;

    if (text == NULL) {
        te_json_put_bytes(out, "null", 4);
        return;
    }
    te_json_put_bytes(out, "\"", 1);
    for (s = text; *s != '\0'; ++s) {
        unsigned char c = (unsigned char)*s;

        if (c < 0x20 || c == '"' || c == '\\') {
            te_json_put_bytes(out, plain, (apr_size_t)(s - plain));
            put_escape(out, c);
            plain = s + 1;
        }
    }
    te_json_put_bytes(out, plain, (apr_size_t)(s - plain));
    te_json_put_bytes(out, "\"", 1);
}

void te_json_put_int(te_json_out_t *out, apr_int64_t value)
{
    char digits[24];
    int n = apr_snprintf(digits, sizeof digits, "%" APR_INT64_T_FMT, value);

    te_json_put_bytes(out, digits, (apr_size_t)n);
}

const char *te_json_out_end(te_json_out_t *out)
{
    *reserve(out, 0) = '\0';
    return out->text;
}

/* --- values ------------------------------------------------------------ */

const char *te_json_get_string(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}
