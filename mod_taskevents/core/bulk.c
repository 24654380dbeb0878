#include "bulk.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"

static const char bulk_type[] = "com.dapr.event.sent.bulk";

/* --- taking the envelope apart ----------------------------------------- */

/* It is cut, not parsed: one event that is no good JSON (too deep, a NUL) must
 * not make the others unreadable, and each is parsed strictly later. */
typedef struct {
    const char *at, *end;
} span_t;

static void skip_blanks(span_t *s)
{
    while (s->at < s->end && strchr(" \t\r\n", *s->at) != NULL) {
        ++s->at;
    }
}

static int skip_string(span_t *s)
{
    for (++s->at; s->at < s->end; ++s->at) {
        if (*s->at == '\\') {
            ++s->at;
        }
        else if (*s->at == '"') {
            ++s->at;
            return 1;
        }
    }
    return 0;
}

/* Past a value, whatever is in it. @return 0: it does not end */
static int skip_value(span_t *s)
{
    int depth = 0;

    while (s->at < s->end) {
        char c = *s->at;

        if (depth == 0 && strchr(",]}", c) != NULL) {
            return 1;                   /* behind a number or a word */
        }
        if (c == '"') {
            if (!skip_string(s)) {
                return 0;
            }
        }
        else {
            depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
            ++s->at;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']')) {
            return 1;
        }
    }
    return 0;
}

/* The next item of an object or array: its name (of an object's) and value.
 * @return 0: there is none */
static int next_item(span_t *s, span_t *name, span_t *value)
{
    skip_blanks(s);
    if (s->at < s->end && *s->at == ',') {
        ++s->at;
        skip_blanks(s);
    }
    if (name != NULL) {
        name->at = s->at;
        if (s->at == s->end || *s->at != '"' || !skip_string(s)) {
            return 0;
        }
        name->end = s->at;
        skip_blanks(s);
        if (s->at == s->end || *s->at != ':') {
            return 0;
        }
        ++s->at;
        skip_blanks(s);
    }
    value->at = s->at;
    if (!skip_value(s) || s->at == value->at) {
        return 0;
    }
    value->end = s->at;
    return 1;
}

/* Into an object or array. */
static int enter(span_t *s, char bracket)
{
    skip_blanks(s);
    return s->at < s->end && *s->at++ == bracket;
}

static int is_text(const span_t *s, const char *text)
{
    apr_size_t n = strlen(text);

    return (apr_size_t)(s->end - s->at) == n + 2 && s->at[0] == '"'
           && strncmp(s->at + 1, text, n) == 0 && s->end[-1] == '"';
}

static const char *text_of(apr_pool_t *p, const span_t *s)
{
    const char *detail;
    const json_t *json = te_json_parse(p, s->at,
                                       (apr_size_t)(s->end - s->at), &detail);

    return json_is_string(json) ? json_string_value(json) : NULL;
}

/* --- entries ----------------------------------------------------------- */

static void read_entry(apr_pool_t *p, span_t json, te_bulk_entry_t *entry)
{
    span_t name, value;

    entry->event = "";
    if (!enter(&json, '{')) {
        return;
    }
    while (next_item(&json, &name, &value)) {
        if (is_text(&name, "entryId")) {
            entry->id = text_of(p, &value);
        }
        else if (is_text(&name, "event")) {
            entry->event = value.at;
            entry->size = (apr_size_t)(value.end - value.at);
        }
    }
}

static apr_array_header_t *read_entries(apr_pool_t *p, span_t json)
{
    apr_array_header_t *entries = apr_array_make(p, 100,
                                                 sizeof(te_bulk_entry_t));
    span_t value;

    if (enter(&json, '[')) {
        while (next_item(&json, NULL, &value)) {
            read_entry(p, value, apr_array_push(entries));
        }
    }
    return entries;
}

apr_array_header_t *te_bulk_parse(apr_pool_t *p, const char *bytes,
                                  apr_size_t size)
{
    span_t json = {bytes, bytes + size}, name, value, entries = {"", ""};
    int is_bulk = 0, is_event = 0;

    /* nearly all others are told apart by this alone */
    if (memmem(bytes, size, bulk_type, sizeof bulk_type - 1) == NULL
        || !enter(&json, '{')) {
        return NULL;
    }
    while (next_item(&json, &name, &value)) {
        if (is_text(&name, "type")) {
            is_bulk = is_text(&value, bulk_type);
        }
        else if (is_text(&name, "entries")) {
            entries = value;
        }
        else if (is_text(&name, "specversion")) {
            is_event = 1;
        }
    }
    return is_bulk && !is_event ? read_entries(p, entries) : NULL;
}

const char *te_bulk_answer(apr_pool_t *p, const apr_array_header_t *entries,
                           const char *done)
{
    te_json_out_t out;
    const char *comma = "";
    int i;

    te_json_out_start(&out, p, 64 * (apr_size_t)(entries->nelts + 1));
    te_json_put(&out, "{\"statuses\":[");
    for (i = 0; i < entries->nelts; ++i) {
        const te_bulk_entry_t *entry =
            &APR_ARRAY_IDX(entries, i, te_bulk_entry_t);

        if (entry->id != NULL) {
            te_json_put(&out, comma);
            te_json_put(&out, "{\"entryId\":");
            te_json_put_string(&out, entry->id);
            te_json_put(&out, done[i] ? ",\"status\":\"SUCCESS\"}"
                                      : ",\"status\":\"RETRY\"}");
            comma = ",";
        }
    }
    te_json_put(&out, "]}");
    return te_json_out_end(&out);
}
