/* Dead letters as pages: found, read, handled again or discarded. */
#include <httpd.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/timefmt.h"
#include "page.h"
#include "status.h"

#define REFRESH 30

static const char *letters_path(te_req_t *req)
{
    return apr_pstrcat(req->pool, te_status_location(req->r),
                       "/dead-letters", NULL);
}

static const char *letter_path(te_req_t *req, const te_letter_t *letter)
{
    return apr_psprintf(req->pool, "%s/%" APR_INT64_T_FMT, letters_path(req),
                        letter->id);
}

/* --- the filter -------------------------------------------------------- */

static void put_select(te_html_t *html, const char *name, const char *label,
                       const char *const *values, const char *now)
{
    te_html_put(html, "<label>%s<select name=\"%s\"><option value=\"\">any"
                "</option>", label, name);
    for (; *values != NULL; ++values) {
        te_html_put(html, now != NULL && strcmp(now, *values) == 0
                              ? "<option selected>%s</option>"
                              : "<option>%s</option>", *values);
    }
    te_html_put(html, "</select></label>");
}

static void put_input(te_html_t *html, const char *name, const char *label,
                      const char *now)
{
    te_html_put(html, "<label>%s<input name=\"%s\" value=\"%s\"></label>",
                label, name, now);
}

static void put_filter(te_req_t *req, te_html_t *html,
                       const te_letter_filter_t *filter)
{
    static const char *const states[] = {
        TE_LETTER_OPEN, TE_LETTER_REDRIVEN, TE_LETTER_DISCARDED, NULL};
    static const char *const stages[] = {"publish", "handle", "malformed",
                                         "deadletter", NULL};

    te_html_put(html, "<section class=\"card\"><form class=\"filter\" "
                "action=\"%s\">", letters_path(req));
    put_select(html, "state", "State", states, filter->state);
    put_select(html, "stage", "Stage", stages, filter->stage);
    put_input(html, "user", "User", filter->user_id);
    put_input(html, "type", "Type", filter->type);
    put_input(html, "event", "Event", filter->event_id);
    put_input(html, "reason", "Reason, all of it", filter->reason);
    te_html_put(html, "<button class=\"do\">Find</button></form></section>\n");
}

/* --- the list ---------------------------------------------------------- */

static void put_row(te_req_t *req, te_html_t *html, const te_letter_t *letter,
                    apr_time_t now)
{
    te_html_put(html, "<tr><td data-label=\"Letter\"><a href=\"%s\">%ld</a>"
                "</td><td data-label=\"Failed\">", letter_path(req, letter),
                (long)letter->id);
    te_page_time(html, letter->last_failed_at, now);
    te_html_put(html, "</td><td data-label=\"State\"><span class=\"tag %s\">"
                "%s</span></td><td class=\"word\" data-label=\"Stage\">"
                "%s</td><td data-label=\"Type\">%s</td>"
                "<td data-label=\"User\">%s"
                "</td><td data-label=\"Reason\">%s</td>"
                "<td class=\"n\" data-label=\"Tries\">%ld</td></tr>",
                letter->state, letter->state, letter->stage,
                letter->type ? letter->type : "–",
                letter->user_id ? letter->user_id : "–", letter->reason,
                (long)letter->attempts);
}

static void put_hidden(te_html_t *html, const char *name, const char *value)
{
    if (value != NULL) {
        te_html_put(html, "<input type=\"hidden\" name=\"%s\" value=\"%s\">",
                    name, value);
    }
}

/* A form for all open ones of the filter, with what it does in words. */
static void put_many_form(te_req_t *req, te_html_t *html,
                          const te_letter_filter_t *filter, const char *what,
                          apr_int64_t after)
{
    te_page_form(req, html, apr_pstrcat(req->pool, letters_path(req), "/",
                                        what, NULL));
    put_hidden(html, "stage", filter->stage);
    put_hidden(html, "reason", filter->reason);
    put_hidden(html, "user", filter->user_id);
    put_hidden(html, "type", filter->type);
    put_hidden(html, "event", filter->event_id);
    if (after > 0) {
        put_hidden(html, "after", apr_psprintf(req->pool,
                                               "%" APR_INT64_T_FMT, after));
    }
}

static int is_filtered(const te_letter_filter_t *filter)
{
    return filter->stage != NULL || filter->reason != NULL
           || filter->user_id != NULL || filter->type != NULL
           || filter->event_id != NULL;
}

static void put_many_acts(te_req_t *req, te_html_t *html,
                          const te_letter_filter_t *filter)
{
    if (!is_filtered(filter) || filter->state == NULL
        || strcmp(filter->state, TE_LETTER_OPEN) != 0) {
        te_html_put(html, "<p>To redrive or discard many at once, find the "
                    "open ones of a stage, reason, user or type first.</p>");
        return;
    }
    te_html_put(html, "<div class=\"acts\"><p>With all open letters that this "
                "filter finds, on every page of the list:</p>");
    put_many_form(req, html, filter, "redrive", 0);
    te_html_put(html, "<button class=\"do\">Redrive all</button></form>"
                "<details><summary>Discard all …</summary>");
    put_many_form(req, html, filter, "discard", 0);
    te_html_put(html, "<button class=\"end\">Discard all, unhandled</button>"
                "</form></details></div>");
}

int te_letters_page(te_req_t *req, const te_letter_filter_t *filter,
                    const apr_array_header_t *letters, int limit)
{
    apr_time_t now = apr_time_now();
    int i, n = letters->nelts > limit ? limit : letters->nelts;
    const char *next = apr_table_get(req->r->headers_out, "Link");
    te_html_t html;

    te_page_start(req, &html, TE_PAGE_LETTERS, "Dead letters", REFRESH);
    put_filter(req, &html, filter);
    te_html_put(&html, "<section class=\"card\"><header><h1>Dead letters</h1>"
                "<small>the newest first</small></header>");
    if (n == 0) {
        te_html_put(&html, "<p>There are none that this filter finds.</p>"
                    "</section>");
        return te_page_send(req, &html, HTTP_OK);
    }
    te_html_put(&html, "<table class=\"rows\"><thead><tr><th>Letter</th>"
                "<th>Failed</th><th>State</th><th>Stage</th>"
                "<th class=\"text\">Type</th><th class=\"text\">User</th>"
                "<th class=\"wide\">Reason</th>"
                "<th class=\"n\">Tries</th></tr></thead><tbody>");
    for (i = 0; i < n; ++i) {
        put_row(req, &html, APR_ARRAY_IDX(letters, i, const te_letter_t *),
                now);
    }
    te_html_put(&html, "</tbody></table>");
    put_many_acts(req, &html, filter);
    te_html_put(&html, "</section>");
    if (next != NULL && next[0] == '<') {
        te_html_put(&html, "<p><a class=\"more\" rel=\"next\" href=\"%s\">"
                    "Older ones</a></p>",
                    apr_pstrmemdup(req->pool, next + 1,
                                   strcspn(next + 1, ">")));
    }
    return te_page_send(req, &html, HTTP_OK);
}

/* --- one --------------------------------------------------------------- */

static void put_fact(te_html_t *html, const char *name, const char *value)
{
    if (value != NULL) {
        te_html_put(html, "<dt>%s</dt><dd>%s</dd>", name, value);
    }
}

static void put_when(te_html_t *html, const char *name, apr_time_t t,
                     apr_time_t now)
{
    if (t != TE_TIME_NONE) {
        te_html_put(html, "<dt>%s</dt><dd>", name);
        te_page_time(html, t, now);
        te_html_put(html, " <small>%s</small></dd>",
                    te_time_format(html->pool, t));
    }
}

static void put_facts(te_req_t *req, te_html_t *html,
                      const te_letter_t *letter)
{
    apr_time_t now = apr_time_now();

    te_html_put(html, "<dl class=\"facts\">");
    put_fact(html, "Reason", letter->reason);
    put_fact(html, "Stage", letter->stage);
    put_fact(html, "Type", letter->type);
    put_fact(html, "Event", letter->event_id);
    put_fact(html, "Source", *letter->source ? letter->source : NULL);
    put_fact(html, "User", letter->user_id);
    put_fact(html, "Topic", letter->topic);
    put_fact(html, "Partition", letter->partition);
    put_fact(html, "Offset", letter->offset);
    put_fact(html, "Tries", te_page_count(req->pool, letter->attempts));
    put_when(html, "First failed", letter->first_failed_at, now);
    put_when(html, "Last failed", letter->last_failed_at, now);
    put_when(html, "Closed", letter->closed_at, now);
    put_fact(html, "Closed by", letter->closed_by);
    put_fact(html, "Note", letter->note);
    put_fact(html, "Alert", letter->alert);
    te_html_put(html, "</dl>");
}

/* JSON with a line for each member, else the bytes. */
static void put_body(te_req_t *req, te_html_t *html,
                     const te_letter_t *letter)
{
    const char *detail;
    json_t *body = te_json_parse(req->pool, letter->body, letter->body_size,
                                 &detail);

    te_html_put(html, "<section class=\"card\"><header><h2>The message as it "
                "came</h2><small>%s, %s bytes", body ? "JSON" : "not JSON",
                te_page_count(req->pool, letter->full_size));
    if ((apr_int64_t)letter->body_size < letter->full_size) {
        te_html_put(html, ", the first %s kept",
                    te_page_count(req->pool, (apr_int64_t)letter->body_size));
    }
    te_html_put(html, "</small></header><pre id=\"payload\">");
    if (body != NULL) {
        const char *text = te_json_pretty(req->pool, body);

        te_html_text(html, text, strlen(text));
    }
    else {
        te_html_text(html, letter->body, letter->body_size);
    }
    te_html_put(html, "</pre></section>");
}

static void put_acts(te_req_t *req, te_html_t *html,
                     const te_letter_t *letter)
{
    const char *at = letter_path(req, letter);

    te_html_put(html, "<div class=\"acts\"><p>Redrive it when the cause is "
                "gone: it is handled as if it came now, once whoever asks and "
                "how often. Discard what is not wanted.</p>");
    te_page_form(req, html, apr_pstrcat(req->pool, at, "/redrive", NULL));
    te_html_put(html, "<button class=\"do\" id=\"redrive\">Redrive</button>"
                "</form><details id=\"discard\"><summary>Discard …</summary>");
    te_page_form(req, html, apr_pstrcat(req->pool, at, "/discard", NULL));
    te_html_put(html, "<button class=\"end\">Discard, unhandled</button>"
                "</form></details></div>");
}

/* What is said of a command is read from the letter, not from the link. */
static void put_outcome(te_html_t *html, const te_letter_t *letter,
                        const char *did)
{
    int is_open = strcmp(letter->state, TE_LETTER_OPEN) == 0;

    if (*did == '\0') {
        return;
    }
    if (is_open && letter->note != NULL) {
        te_html_put(html, "<section class=\"verdict bad\"><h1>It failed again"
                    "</h1><p>%s</p></section>", letter->reason);
    }
    else if (!is_open) {
        te_html_put(html, "<section class=\"verdict good\"><h1>The letter is "
                    "%s</h1><p>%s, by %s</p></section>", letter->state,
                    letter->note, letter->closed_by);
    }
}

int te_letter_page(te_req_t *req, const te_letter_t *letter, const char *did)
{
    te_html_t html;

    te_page_start(req, &html, TE_PAGE_LETTERS,
                  apr_psprintf(req->pool, "Dead letter %" APR_INT64_T_FMT,
                               letter->id), 0);
    put_outcome(&html, letter, did);
    te_html_put(&html, "<div class=\"pair\"><section class=\"card\">"
                "<header><h1>Dead letter %ld</h1>"
                "<span class=\"tag %s\">%s</span>"
                "<a href=\"%s?state=open\">All open ones</a></header>",
                (long)letter->id, letter->state, letter->state,
                letters_path(req));
    put_facts(req, &html, letter);
    if (strcmp(letter->state, TE_LETTER_OPEN) == 0) {
        put_acts(req, &html, letter);
    }
    te_html_put(&html, "</section>\n");
    put_body(req, &html, letter);
    te_html_put(&html, "</div>");
    return te_page_send(req, &html, HTTP_OK);
}

/* --- many -------------------------------------------------------------- */

int te_many_page(te_req_t *req, const te_many_t *many)
{
    apr_pool_t *p = req->pool;
    te_html_t html;

    te_page_start(req, &html, TE_PAGE_LETTERS, "Done", 0);
    te_html_put(&html, "<section class=\"verdict %s\"><h1>%s %s</h1>",
                many->failed > 0 ? "warn" : "good",
                te_page_count(p, many->done),
                many->is_discard ? "discarded" : "redriven");
    if (many->failed > 0) {
        te_html_put(&html, "<p>%s failed again and stay open, with the new "
                    "reason.</p>", te_page_count(p, many->failed));
    }
    te_html_put(&html, "</section>");
    if (many->more) {
        te_html_put(&html, "<section class=\"card\"><header><h2>There are "
                    "more</h2></header><div class=\"acts\">");
        put_many_form(req, &html, many->filter,
                      many->is_discard ? "discard" : "redrive", many->after);
        te_html_put(&html, "<button class=\"do\">Go on</button></form></div>"
                    "</section>");
    }
    te_html_put(&html, "<p><a href=\"%s?state=open\">Dead letters</a></p>",
                letters_path(req));
    return te_page_send(req, &html, HTTP_OK);
}
