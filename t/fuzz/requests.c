/* A request: its path, its query, its headers, and all of it at once. */
#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/text.h"
#include "../../mod_taskevents/core/task.h"
#include "../../mod_taskevents/http/request.h"
#include "server.h"

/* --- all of it --------------------------------------------------------- */

/* "POST /api/alice/tasks?x=y", lines "Name: value", an empty one, the body */
void fuzz_request(const char *bytes, apr_size_t size)
{
    const char *end = memmem(bytes, size, "\n\n", 2), *method;
    apr_table_t *headers = apr_table_make(pool, 4);
    char *head, *last, *line, *target, *args;

    if (end == NULL) {
        return;
    }
    head = apr_pstrmemdup(pool, bytes, (apr_size_t)(end - bytes));
    method = line = apr_strtok(head, "\n", &last);
    target = line ? strchr(line, ' ') : NULL;
    if (target == NULL) {
        return;
    }
    *target++ = '\0';
    args = strchr(target, '?');
    if (args != NULL) {
        *args++ = '\0';
    }
    /* httpd answers these */
    if (*target != '/' || !unescape(target, "/")) {
        return;
    }
    while ((line = apr_strtok(NULL, "\n", &last)) != NULL) {
        char *colon = strchr(line, ':');

        if (colon != NULL) {
            *colon++ = '\0';
            apr_table_set(headers, line, colon + strspn(colon, " \t"));
        }
    }
    serve(method, target, args, headers, end + 2,
          size - (apr_size_t)(end + 2 - bytes));
}

/* --- path -------------------------------------------------------------- */

/* The path that a route's pattern stands for. */
static const char *path_of(const char *prefix, const te_match_t *match)
{
    const char *pattern = match->route->pattern, *path = "";
    const struct {
        const char *name, *text;
    } parts[] = {{"{prefix}", prefix}, {"{user}", match->user_id},
                 {"{id}", match->id}};
    apr_size_t i;

    while (*pattern != '\0') {
        const char *text = apr_pstrmemdup(pool, pattern, 1);
        apr_size_t taken = 1;

        for (i = 0; i < sizeof parts / sizeof parts[0]; ++i) {
            apr_size_t n = strlen(parts[i].name);

            if (strncmp(pattern, parts[i].name, n) == 0) {
                PROMISE(parts[i].text != NULL);
                text = parts[i].text;
                taken = n;
            }
        }
        path = apr_pstrcat(pool, path, text, NULL);
        pattern += taken;
    }
    return path;
}

void fuzz_path(const char *bytes, apr_size_t size)
{
    static const char status[] = "/taskevents-status";
    const char *path = fuzz_text(bytes, size);
    te_match_t match = te_router_match(pool, "/api", path);

    if (match.route != NULL) {
        PROMISE(match.user_id == NULL || te_user_id_valid(match.user_id));
        PROMISE(strcmp(path_of("/api", &match), path) == 0);
        PROMISE(te_router_is_ours("/api", path));
    }
    match = te_router_match_status(pool, status, path);
    if (match.route != NULL) {
        const char *same = path_of(status, &match);

        PROMISE(strcmp(same, path) == 0
                || strcmp(apr_pstrcat(pool, same, "/", NULL), path) == 0);
    }
}

/* --- query ------------------------------------------------------------- */

static const char *const listings[] = {
    "/api/alice/tasks", "/api/alice/tasks", "/api/alice/tasks",
    "/api/alice/tasks/42/occurrences", "/api/alice/notifications",
    "/api/alice/events", "/api/alice/stats", "/api/alice/tasks/42",
    "/taskevents-status/dead-letters",
};

/* The query of a Link to the next page; NULL: there is none. */
static const char *next_query(const answer_t *answer)
{
    const char *link = apr_table_get(answer->headers, "Link");
    const char *from = link ? strchr(link, '?') : NULL;
    const char *to = from ? strchr(from, '>') : NULL;

    PROMISE(link == NULL || to != NULL);
    return link ? apr_pstrmemdup(pool, from + 1, (apr_size_t)(to - from - 1))
                : NULL;
}

/* The first byte says which list. */
void fuzz_query(const char *bytes, apr_size_t size)
{
    const apr_size_t n = sizeof listings / sizeof listings[0];
    const answer_t *answer;
    te_task_filter_t first;
    const char *path, *next;

    if (size == 0) {
        return;
    }
    path = listings[(unsigned char)bytes[0] % n];
    answer = serve("GET", path, fuzz_text(bytes + 1, size - 1), NULL, "", 0);
    PROMISE(answer->status == HTTP_BAD_REQUEST || answer->asked);
    next = next_query(answer);
    if (next == NULL) {
        return;
    }
    first = *answer->filter;
    answer = serve("GET", path, next, NULL, "", 0);
    PROMISE(answer->status == HTTP_OK && answer->filter->has_cursor);
    PROMISE(answer->filter->sort == first.sort
            && answer->filter->descending == first.descending
            && answer->filter->limit == first.limit
            && answer->filter->priority == first.priority
            && answer->filter->completed == first.completed
            && answer->filter->due_before == first.due_before
            && answer->filter->due_after == first.due_after);
    PROMISE((answer->filter->tags == NULL) == (first.tags == NULL)
            && (answer->filter->words == NULL) == (first.words == NULL));
}

/* The first byte says which order, the others are the cursor. */
void fuzz_cursor(const char *bytes, apr_size_t size)
{
    static const char *const orders[] = {
        "created_asc", "created_desc", "updated_asc", "updated_desc",
        "due_date_asc", "due_date_desc", "priority_asc", "priority_desc"};
    const char *cursor, *query, *next;
    const answer_t *answer;

    if (size == 0) {
        return;
    }
    cursor = fuzz_text(bytes + 1, size - 1);
    query = apr_psprintf(pool, "sort_by=%s&limit=1&after=",
                         orders[(unsigned char)bytes[0] % 8]);
    answer = serve("GET", "/api/alice/tasks",
                   apr_pstrcat(pool, query,
                               apr_pescape_urlencoded(pool, cursor), NULL),
                   NULL, "", 0);
    PROMISE(answer->status == HTTP_BAD_REQUEST
            || answer->filter->has_cursor);
    if (answer->status == HTTP_OK) {
        /* all tasks of this server are at the place that was asked for */
        te_task_filter_t first = *answer->filter;

        next = next_query(answer);
        PROMISE(next != NULL && strncmp(next, query, strlen(query)) == 0);
        answer = serve("GET", "/api/alice/tasks", next, NULL, "", 0);
        PROMISE(answer->status == HTTP_OK
                && answer->filter->cursor_key == first.cursor_key
                && answer->filter->cursor_id == first.cursor_id);
    }
    cursor = apr_pescape_urlencoded(pool, cursor);
    serve("GET", "/api/alice/notifications",
          apr_pstrcat(pool, "after=", cursor, NULL), NULL, "", 0);
    serve("GET", "/api/alice/events",
          apr_pstrcat(pool, "after=", cursor, NULL), NULL, "", 0);
    serve("GET", "/taskevents-status/dead-letters",
          apr_pstrcat(pool, "after=", cursor, NULL), NULL, "", 0);
}

/* --- headers ----------------------------------------------------------- */

void fuzz_key(const char *bytes, apr_size_t size)
{
    static const char body[] = "{\"title\":\"Water the plants\"}";
    const char *key = fuzz_text(bytes, size), *c;
    apr_table_t *headers = apr_table_make(pool, 2);
    const answer_t *answer;

    for (c = key; *c >= ' ' && *c <= '~'; ++c) {
    }
    apr_table_setn(headers, "Content-Type", "application/json");
    apr_table_setn(headers, "Idempotency-Key", key);
    answer = serve("POST", "/api/alice/tasks", NULL, headers, body,
                   sizeof body - 1);
    if (*c != '\0' || c == key || c - key > 255) {
        PROMISE(answer->status == HTTP_BAD_REQUEST && !answer->asked);
        return;
    }
    PROMISE(answer->status == HTTP_CONFLICT);
    PROMISE(strcmp(answer->key->key, key) == 0
            && strcmp(answer->key->user_id, "alice") == 0
            && strcmp(answer->key->scope, "POST /api/alice/tasks") == 0);
}

/* RFC 9110, 13.1.1 and 8.8.3, of a task of version 3 */
void fuzz_if_match(const char *bytes, apr_size_t size)
{
    const char *list = fuzz_text(bytes, size);
    int strong = te_etag_listed(pool, list, "\"3\"", 1);
    int weak = te_etag_listed(pool, list, "\"3\"", 0);

    PROMISE(!strong || weak);
    PROMISE(!weak || strchr(list, '3') != NULL || strchr(list, '*') != NULL);
    PROMISE(!te_etag_listed(pool, list, "\"3\"", 1)
            || te_etag_listed(pool, apr_pstrcat(pool, "\"1\" , ", list, NULL),
                              "\"3\"", 1));
    PROMISE(te_etag_listed(pool, apr_pstrcat(pool, list, ",\"3\"", NULL),
                           "\"3\"", 1));
    PROMISE(te_etag_listed(pool, apr_pstrcat(pool, list, ",W/\"3-gzip\"",
                                             NULL), "\"3\"", 0));
}
