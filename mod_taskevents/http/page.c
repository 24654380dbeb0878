#include "page.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <stdlib.h>
#include <string.h>

#include "../base/nonce.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/version.h"
#include "query.h"
#include "reply.h"
#include "status.h"
#include "status_assets.h"

APLOG_USE_MODULE(taskevents);

#define FORM_TYPE "application/x-www-form-urlencoded"
#define RETAINED "taskevents_forms"
#define ROOM 32768

/* --- which kind of answer ---------------------------------------------- */

/* How much an Accept header likes this media type, in thousandths; only what
 * is named counts, for whoever says "anything" is no browser. */
static int liking(apr_pool_t *p, const char *accept, const char *type)
{
    char *last, *item;
    apr_size_t n = strlen(type);

    for (item = apr_strtok(apr_pstrdup(p, accept), ",", &last); item != NULL;
         item = apr_strtok(NULL, ",", &last)) {
        const char *q = strstr(item, ";q=");

        item += strspn(item, " \t");
        if (ap_cstr_casecmpn(item, type, n) == 0
            && (item[n] == '\0' || item[n] == ';' || apr_isspace(item[n]))) {
            return q == NULL ? 1000 : (int)(strtod(q + 3, NULL) * 1000);
        }
    }
    return 0;
}

static int is_asked_for(const char *args, const char *param)
{
    const char *at = args ? strstr(args, param) : NULL;
    apr_size_t n = strlen(param);

    return at != NULL && (at == args || at[-1] == '&')
           && (at[n] == '\0' || at[n] == '&');
}

int te_page_wanted(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    if (r->method_number == M_POST) {
        return type != NULL
               && ap_cstr_casecmpn(type, FORM_TYPE, sizeof FORM_TYPE - 1) == 0;
    }
    if (is_asked_for(r->args, "format=json")) {
        return 0;
    }
    if (is_asked_for(r->args, "format=html")) {
        return 1;
    }
    return accept != NULL
           && liking(r->pool, accept, "text/html")
                  > liking(r->pool, accept, "application/json");
}

/* The policy of the referrer leaves the Origin header to forms of our own. */
void te_page_guard(request_rec *r, int is_page)
{
    apr_table_t *out = r->err_headers_out;

    apr_table_setn(out, "Cache-Control", "no-store");
    apr_table_setn(out, "Content-Security-Policy",
                   is_page ? te_status_policy
                           : "default-src 'none'; frame-ancestors 'none'");
    apr_table_setn(out, "X-Frame-Options", "DENY");
    apr_table_setn(out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(out, "Referrer-Policy", "same-origin");
    apr_table_setn(out, "Cross-Origin-Resource-Policy", "same-origin");
    apr_table_setn(out, "Cross-Origin-Opener-Policy", "same-origin");
    apr_table_mergen(out, "Vary", "Accept");
}

/* --- forms ------------------------------------------------------------- */

static const unsigned char *secret;

apr_status_t te_page_secret(void)
{
    unsigned char *kept = ap_retained_data_get(RETAINED);
    apr_status_t rv = APR_SUCCESS;

    if (kept == NULL) {
        kept = ap_retained_data_create(RETAINED, TE_NONCE_SECRET_SIZE);
        rv = apr_generate_random_bytes(kept, TE_NONCE_SECRET_SIZE);
    }
    secret = kept;
    return rv;
}

void te_page_operator(const te_req_t *req, const char **name,
                      const char **peer)
{
    const request_rec *r = req->r;

    *name = r->user ? r->user : r->useragent_ip;
    *peer = r->user ? r->useragent_ip : NULL;
}

/* A user and an address of the same name are not the same. */
static const char *whom(te_req_t *req)
{
    const char *name, *peer;

    te_page_operator(req, &name, &peer);
    return apr_pstrcat(req->pool, peer ? "user " : "peer ", name, NULL);
}

void te_page_tell_refused(te_req_t *req, const char *why)
{
    const char *name, *peer;

    te_page_operator(req, &name, &peer);
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, req->r, "TE0303: %s by %s%s%s "
                  "was refused: %s", req->match.route->name,
                  te_text_printable(req->pool, name), peer ? " from " : "",
                  peer ? peer : "", why);
}

void te_page_form(te_req_t *req, te_html_t *html, const char *path)
{
    te_html_put(html, "<form method=\"post\" action=\"%s\">"
                "<input type=\"hidden\" name=\"nonce\" value=\"%s\">", path,
                te_nonce_make(req->pool, secret, whom(req),
                              apr_time_now()));
}

int te_page_read_form(te_req_t *req, json_t **fields)
{
    const char *bytes, *nonce;
    apr_size_t size;
    int status = te_request_body(req, req->conf->max_body, &bytes, &size);

    if (status != OK) {
        return status;
    }
    *fields = strlen(bytes) == size ? te_query_object(req, bytes) : NULL;
    if (*fields == NULL) {
        return te_reply_problem(req, HTTP_BAD_REQUEST, "The form cannot be "
                                "read.");
    }
    nonce = json_string_value(json_object_get(*fields, "nonce"));
    if (nonce == NULL || !te_nonce_holds(req->pool, secret, nonce, whom(req),
                                         apr_time_now())) {
        te_page_tell_refused(req, "its form is none of ours, too old, or was "
                             "made for somebody else");
        return te_reply_problem(req, HTTP_FORBIDDEN, "Nothing was done: the "
                                "form is too old or was made for somebody "
                                "else. Open the page again and repeat it.");
    }
    json_object_del(*fields, "nonce");
    return OK;
}

/* --- the frame --------------------------------------------------------- */

static void put_link(te_html_t *html, const char *path, int is_here,
                     const char *text)
{
    te_html_put(html, is_here ? "<a href=\"%s\" aria-current=\"page\">%s</a>"
                              : "<a href=\"%s\">%s</a>", path, text);
}

void te_page_start(te_req_t *req, te_html_t *html, te_page_e which,
                   const char *title, int refresh)
{
    const char *at = te_status_location(req->r);
    apr_time_t now = apr_time_from_sec(apr_time_sec(apr_time_now()));

    te_html_start(html, req->pool, ROOM);
    te_html_put(html, "<!DOCTYPE html>\n<html lang=\"en\"><head>"
                "<meta charset=\"utf-8\"><title>%s · Task events</title>"
                "<meta name=\"viewport\" content=\"width=device-width, "
                "initial-scale=1\"><meta name=\"color-scheme\" "
                "content=\"light dark\"><meta name=\"robots\" "
                "content=\"noindex\"><link rel=\"icon\" href=\"data:,\">",
                title);
    if (refresh > 0) {
        te_html_put(html, "<noscript><meta http-equiv=\"refresh\" "
                    "content=\"%d\"></noscript>", refresh);
    }
    /* constants whose digests are in the policy: as they are */
    te_json_put(&html->out, "<style>");
    te_json_put(&html->out, te_status_style);
    te_json_put(&html->out, "</style></head>\n<body><header><div>");
    te_html_put(html, "<a class=\"brand\" href=\"%s\">Task events</a>"
                "<span class=\"host\">%s</span><nav>", at,
                ap_get_server_name(req->r));
    put_link(html, at, which == TE_PAGE_OVERVIEW, "Overview");
    put_link(html, apr_pstrcat(req->pool, at, "/dead-letters?state=open",
                               NULL),
             which == TE_PAGE_LETTERS, "Dead letters");
    te_html_put(html, "</nav><p id=\"live\" data-refresh=\"%d\">"
                "<time datetime=\"%s\">", refresh,
                te_time_format(req->pool, now));
    te_html_put(html, "%s UTC</time></p></div></header>\n<main id=\"main\">",
                apr_pstrmemdup(req->pool, te_time_format(req->pool, now) + 11,
                               8));
}

int te_page_send(te_req_t *req, te_html_t *html, int status)
{
    request_rec *r = req->r;
    const char *text;

    te_html_put(html, "</main>\n<footer>mod_taskevents %s</footer>",
                te_version());
    te_json_put(&html->out, "<script>");
    te_json_put(&html->out, te_status_script);
    te_json_put(&html->out, "</script></body></html>\n");
    text = te_html_end(html);
    r->status = status;
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ap_rputs(text, r);
    return DONE;
}

int te_page_problem(te_req_t *req, int status, const char *detail,
                    const apr_array_header_t *faults)
{
    const char *title = ap_get_status_line(status) + 4;
    te_html_t html;
    int i;

    te_page_start(req, &html, TE_PAGE_OTHER, title, 0);
    te_html_put(&html, "<section class=\"verdict bad\"><h1>%s</h1><ul>"
                "<li>%s</li>", title, detail);
    for (i = 0; faults != NULL && i < faults->nelts; ++i) {
        const te_fault_t *f = &APR_ARRAY_IDX(faults, i, te_fault_t);

        te_html_put(&html, "<li><code>%s</code> %s</li>", f->pointer,
                    f->detail);
    }
    te_html_put(&html, "</ul></section><p><a href=\"%s\">Overview</a></p>",
                te_status_location(req->r));
    return te_page_send(req, &html, status);
}

int te_page_see(te_req_t *req, const char *path)
{
    apr_table_setn(req->r->headers_out, "Location", path);
    return te_reply_empty(req, HTTP_SEE_OTHER);
}

/* --- numbers ----------------------------------------------------------- */

const char *te_page_count(apr_pool_t *p, apr_int64_t n)
{
    const char *digits = apr_psprintf(p, "%" APR_INT64_T_FMT, n);
    apr_size_t left = strlen(digits), size = left + left / 3 + 1;
    char *out = apr_palloc(p, size + 1), *to = out;

    while (left > 0) {
        *to++ = *digits++;
        --left;
        if (left > 0 && left % 3 == 0 && to[-1] != '-') {
            *to++ = ',';
        }
    }
    *to = '\0';
    return out;
}

const char *te_page_duration(apr_pool_t *p, double seconds)
{
    long whole = (long)seconds;

    if (seconds < 0.0995) {
        return apr_psprintf(p, seconds < 0.00995 && seconds > 0 ? "%.1f ms"
                                                                : "%.0f ms",
                            seconds * 1000);
    }
    if (seconds < 1) {
        return apr_psprintf(p, "%.0f ms", seconds * 1000);
    }
    if (seconds < 10) {
        return apr_psprintf(p, "%.1f s", seconds);
    }
    if (seconds < 120) {
        return apr_psprintf(p, "%ld s", whole);
    }
    if (seconds < 7200) {
        return apr_psprintf(p, "%ld min", whole / 60);
    }
    return seconds < 2 * 86400
               ? apr_psprintf(p, "%ld h %ld min", whole / 3600,
                              whole / 60 % 60)
               : apr_psprintf(p, "%ld d", whole / 86400);
}

void te_page_time(te_html_t *html, apr_time_t t, apr_time_t now)
{
    const char *text = te_time_format(html->pool, t);
    double seconds = (double)(now - t) / APR_USEC_PER_SEC;

    te_html_put(html, "<time datetime=\"%s\" title=\"%s\">", text, text);
    if (seconds > -1 && seconds < 1) {
        te_html_put(html, "now</time>");
    }
    else if (seconds < 0) {
        te_html_put(html, "in %s</time>",
                    te_page_duration(html->pool, -seconds));
    }
    else {
        te_html_put(html, "%s ago</time>",
                    te_page_duration(html->pool, seconds));
    }
}
