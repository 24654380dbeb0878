/* The service at a glance, as a page. */
#include "status.h"

#include <apr_strings.h>
#include <stddef.h>

#include "../base/metrics.h"
#include "../base/timefmt.h"
#include "chart.h"
#include "page.h"

#define REFRESH 10
/* Beyond these somebody should look. */
#define OUTBOX_OLD 60.0
#define REMINDER_LATE 10.0

typedef struct {
    te_req_t *req;
    te_html_t *html;
    const te_status_t *status;
    const te_glance_t *glance;
    const char *at;                     /* the location, for links */
} view_t;

static double seconds_since(const view_t *v, apr_time_t t)
{
    return (double)(v->status->now - t) / APR_USEC_PER_SEC;
}

static int is_local(const view_t *v)
{
    return v->req->settings->transport == TE_TRANSPORT_LOCAL;
}

/* --- what there is to say first ---------------------------------------- */

typedef enum { WELL, LOOK, BAD } verdict_e;

typedef struct {
    verdict_e worst;
    apr_array_header_t *sentences;      /* const char * */
} findings_t;

static void found(findings_t *f, verdict_e how, const char *sentence)
{
    f->worst = how > f->worst ? how : f->worst;
    APR_ARRAY_PUSH(f->sentences, const char *) = sentence;
}

static const char *many(apr_pool_t *p, apr_int64_t n, const char *one,
                        const char *more)
{
    return apr_pstrcat(p, te_page_count(p, n), " ", n == 1 ? one : more,
                       NULL);
}

static void judge_database(const view_t *v, findings_t *f)
{
    apr_pool_t *p = v->req->pool;
    const te_glance_t *g = v->glance;

    if (v->status->database != NULL) {
        found(f, BAD, apr_psprintf(p, "PostgreSQL does not answer (%s): "
                                   "requests are answered 503 and nothing is "
                                   "published or handled.",
                                   v->status->database));
    }
    else if (!g->known) {
        found(f, BAD, apr_psprintf(p, "The schema has version %d, this build "
                                   "needs %d: run the migrations.",
                                   g->schema_version, TE_SCHEMA_NEEDED));
    }
}

static void judge_transport(const view_t *v, findings_t *f)
{
    if (v->status->breaker == 2) {
        found(f, BAD, "The transport does not take events: they wait in the "
              "outbox, and it is tried again and again.");
    }
    else if (v->status->breaker == 1) {
        found(f, LOOK, "The transport is being tried again.");
    }
}

static void judge_threads(const view_t *v, findings_t *f)
{
    apr_pool_t *p = v->req->pool;
    int i, j;

    for (i = 0; i < v->status->children->nelts; ++i) {
        const te_child_t *child = &APR_ARRAY_IDX(v->status->children, i,
                                                 te_child_t);

        for (j = 0; j < TE_THREAD_COUNT; ++j) {
            double silent = te_status_silence(v->status, child, j);

            if (silent > 0) {
                found(f, BAD, apr_psprintf(p, "The thread %s of process %ld "
                                           "gave no sign of life for %s.",
                                           te_thread_name(j),
                                           (long)child->pid,
                                           te_page_duration(p, silent)));
            }
        }
    }
    if (te_status_pools(v->status).waiting > 0) {
        found(f, LOOK, "Requests wait for a connection to PostgreSQL.");
    }
}

static void judge_work(const view_t *v, findings_t *f)
{
    apr_pool_t *p = v->req->pool;
    const te_glance_t *g = v->glance;
    double late;

    if (!g->known) {
        return;
    }
    if (g->outbox.oldest_seconds > OUTBOX_OLD) {
        found(f, BAD, apr_psprintf(p, "The oldest event has waited to be "
                                   "published for %s.",
                                   te_page_duration(p, g->outbox
                                                           .oldest_seconds)));
    }
    if (g->retrying > 0) {
        found(f, LOOK, apr_psprintf(p, "%s not taken and %s tried again; "
                                    "what follows in their streams waits.",
                                    many(p, g->retrying, "event was",
                                         "events were"),
                                    g->retrying == 1 ? "is" : "are"));
    }
    late = g->reminders_due > 0 ? seconds_since(v, g->reminder_oldest) : 0;
    if (late > REMINDER_LATE) {
        found(f, LOOK, apr_psprintf(p, "%s late, the longest by %s.",
                                    many(p, g->reminders_due, "reminder is",
                                         "reminders are"),
                                    te_page_duration(p, late)));
    }
    if (g->letters.open > 0) {
        found(f, LOOK, apr_psprintf(p, "%s for somebody to decide.",
                                    many(p, g->letters.open,
                                         "dead letter waits",
                                         "dead letters wait")));
    }
}

static void put_verdict(const view_t *v)
{
    static const char *const classes[] = {"good", "warn", "bad"};
    static const char *const titles[] = {"All is well", "Worth a look",
                                         "Something is wrong"};
    findings_t f = {WELL, apr_array_make(v->req->pool, 8,
                                         sizeof(const char *))};
    int i;

    judge_database(v, &f);
    judge_transport(v, &f);
    judge_threads(v, &f);
    judge_work(v, &f);
    te_html_put(v->html, "<section class=\"verdict %s\"><h1>%s</h1>",
                classes[f.worst], titles[f.worst]);
    if (f.sentences->nelts > 0) {
        te_html_put(v->html, "<ul>");
        for (i = 0; i < f.sentences->nelts; ++i) {
            te_html_put(v->html, "<li>%s</li>",
                        APR_ARRAY_IDX(f.sentences, i, const char *));
        }
        te_html_put(v->html, "</ul>");
    }
    te_html_put(v->html, "</section>\n");
}

/* --- numbers ----------------------------------------------------------- */

static void tile(const view_t *v, const char *name, const char *how,
                 const char *value, const char *more)
{
    te_html_put(v->html, "<div><dt>%s</dt><dd class=\"%s\">%s</dd>"
                "<dd>%s</dd></div>", name, how, value, more);
}

static const char *count_or_dash(const view_t *v, apr_int64_t n)
{
    return v->glance->known ? te_page_count(v->req->pool, n) : "–";
}

static const char *reminders_more(const view_t *v)
{
    apr_pool_t *p = v->req->pool;
    const te_glance_t *g = v->glance;

    if (!g->known) {
        return "";
    }
    return apr_psprintf(p, "%s scheduled, %s within the hour%s",
                        te_page_count(p, g->reminders),
                        te_page_count(p, g->reminders_soon),
                        g->reminder_next == TE_TIME_NONE ? ""
                            : apr_psprintf(p, ", next in %s",
                                           te_page_duration(p, -seconds_since(
                                               v, g->reminder_next))));
}

static const char *letters_more(const view_t *v)
{
    apr_pool_t *p = v->req->pool;
    const te_dead_letter_counts_t *n = &v->glance->letters;

    return !v->glance->known ? ""
           : apr_psprintf(p, "open; %s redriven, %s discarded",
                          te_page_count(p, n->redriven),
                          te_page_count(p, n->discarded));
}

static void put_tiles(const view_t *v)
{
    static const char *const hows[] = {"", "warn", "bad"};
    apr_pool_t *p = v->req->pool;
    const te_glance_t *g = v->glance;
    te_pools_t pools = te_status_pools(v->status);
    int old = g->known && g->outbox.oldest_seconds > OUTBOX_OLD;

    te_html_put(v->html, "<section><dl class=\"tiles\">");
    tile(v, "Transport", hows[v->status->breaker],
         is_local(v) ? "local" : "dapr",
         apr_pstrcat(p, "breaker ", te_child_breaker(v->status->breaker),
                     NULL));
    tile(v, "Outbox", old ? "bad" : "", count_or_dash(v, g->outbox.events),
         !g->known ? "" : g->outbox.events == 0 ? "nothing waits"
             : apr_pstrcat(p, "oldest ", te_page_duration(
                                             p, g->outbox.oldest_seconds),
                           NULL));
    tile(v, "Tried again", g->retrying > 0 ? "warn" : "",
         count_or_dash(v, g->retrying), "events that failed");
    te_html_put(v->html, "<div><dt>Dead letters</dt><dd class=\"%s\">"
                "<a id=\"open\" href=\"%s/dead-letters?state=open\">%s</a>"
                "</dd><dd>%s</dd></div>", g->letters.open > 0 ? "warn" : "",
                v->at, count_or_dash(v, g->letters.open), letters_more(v));
    tile(v, "Reminders due", "", count_or_dash(v, g->reminders_due),
         reminders_more(v));
    tile(v, "PostgreSQL", v->status->database ? "bad" : "",
         v->status->database ? "away" : "up",
         g->schema_version == 0 ? ""
             : apr_psprintf(p, "schema %d (needs %d)", g->schema_version,
                            TE_SCHEMA_NEEDED));
    tile(v, "Pool", pools.waiting > 0 ? "warn" : "",
         apr_psprintf(p, "%d / %d", pools.used, pools.max),
         apr_psprintf(p, "connections used; %d idle, %s waiting", pools.idle,
                      pools.waiting > 0 ? te_page_count(p, pools.waiting)
                                        : "nobody"));
    te_html_put(v->html, "</dl></section>\n");
}

/* --- charts ------------------------------------------------------------ */

#define LINE(name, member) {name, offsetof(te_trend_point_t, member)}

static void put_charts(const view_t *v)
{
    static const te_chart_t charts[] = {
        {"Published", TE_CHART_RATE, {LINE(NULL, published),
                                      LINE("failed", failures)}, 2},
        {"Until published", TE_CHART_TIME, {LINE("p50", lag_half),
                                            LINE("p99", lag_most)}, 2},
        {"In the outbox", TE_CHART_COUNT, {LINE(NULL, outbox_events)}, 1},
        {"Handled", TE_CHART_RATE, {LINE(NULL, handled)}, 1},
        {"Handling takes", TE_CHART_TIME, {LINE("p50", handling_half),
                                           LINE("p99", handling_most)}, 2},
        {"Oldest in the outbox", TE_CHART_TIME, {LINE(NULL, outbox_oldest)},
         1},
    };
    apr_size_t i;

    te_html_put(v->html, "<section class=\"charts\">");
    for (i = 0; i < sizeof charts / sizeof charts[0]; ++i) {
        te_chart_put(v->html, &charts[i], v->status->points);
    }
    te_html_put(v->html, "</section>\n");
}

/* --- tables ------------------------------------------------------------ */

/* The list of dead letters of a stage and reason. */
static const char *group_path(const view_t *v, const te_letter_group_t *g)
{
    apr_pool_t *p = v->req->pool;

    return apr_pstrcat(p, v->at, "/dead-letters?state=open&stage=", g->stage,
                       "&reason=", ap_escape_urlencoded(p, g->reason), NULL);
}

static void put_groups(const view_t *v)
{
    int i;

    te_html_put(v->html, "<section class=\"card\"><header><h2>Open dead "
                "letters by reason</h2><a href=\"%s/dead-letters?state=open\">"
                "All of them</a></header><table class=\"rows\"><thead><tr>"
                "<th class=\"n\">Letters</th><th>Stage</th>"
                "<th class=\"wide\">Reason</th><th>Last</th></tr></thead>"
                "<tbody>", v->at);
    for (i = 0; i < v->glance->groups->nelts; ++i) {
        const te_letter_group_t *g =
            APR_ARRAY_IDX(v->glance->groups, i, const te_letter_group_t *);

        te_html_put(v->html, "<tr><td class=\"n\" data-label=\"Letters\">%s"
                    "</td><td class=\"word\" data-label=\"Stage\">%s</td>"
                    "<td data-label=\"Reason\"><a href=\"%s\">%s</a></td>"
                    "<td data-label=\"Last\">",
                    te_page_count(v->req->pool, g->letters), g->stage,
                    group_path(v, g), g->reason);
        te_page_time(v->html, g->last_failed_at, v->status->now);
        te_html_put(v->html, "</td></tr>");
    }
    te_html_put(v->html, "</tbody></table></section>\n");
}

static void put_retries(const view_t *v)
{
    int i;

    te_html_put(v->html, "<section class=\"card\"><header><h2>Events tried "
                "again</h2><small>those with most tries</small></header>"
                "<table class=\"rows\"><thead><tr><th>User</th><th>Topic</th>"
                "<th class=\"n\">Number</th><th class=\"n\">Tries</th>"
                "<th>Next</th><th class=\"wide\">Reason</th></tr></thead>"
                "<tbody>");
    for (i = 0; i < v->glance->retries->nelts; ++i) {
        const te_retry_t *r = APR_ARRAY_IDX(v->glance->retries, i,
                                            const te_retry_t *);

        te_html_put(v->html, "<tr><td data-label=\"User\">%s</td>"
                    "<td data-label=\"Topic\">%s</td>"
                    "<td class=\"n\" data-label=\"Number\">%ld</td>"
                    "<td class=\"n\" data-label=\"Tries\">%ld</td>"
                    "<td data-label=\"Next\">", r->user_id, r->topic,
                    (long)r->sequence, (long)r->attempts);
        te_page_time(v->html, r->next_at, v->status->now);
        te_html_put(v->html, "</td><td data-label=\"Reason\">%s</td></tr>",
                    r->error);
    }
    te_html_put(v->html, "</tbody></table></section>\n");
}

static void put_beat(const view_t *v, const te_child_t *child,
                     te_thread_e thread, const char *label)
{
    apr_time_t beat = child->beats[thread];
    int is_silent = te_status_silence(v->status, child, thread) > 0;

    te_html_put(v->html, "<td data-label=\"%s\"><span class=\"tag %s\">",
                label, beat == 0 ? "" : is_silent ? "bad" : "good");
    if (beat == 0) {
        te_html_put(v->html, "none");
    }
    else if (is_silent) {
        te_page_time(v->html, beat, v->status->now);
    }
    else {
        te_html_put(v->html, "alive");
    }
    te_html_put(v->html, "</span></td>");
}

static void put_child(const view_t *v, const te_child_t *child)
{
    static const char *const hows[] = {"good", "warn", "bad"};

    te_html_put(v->html, "<tr><td data-label=\"Process\">%ld</td>"
                "<td data-label=\"Since\">", (long)child->pid);
    te_page_time(v->html, child->since, v->status->now);
    te_html_put(v->html, "</td>");
    put_beat(v, child, TE_THREAD_PUBLISHER, "Publisher");
    te_html_put(v->html, "<td data-label=\"Breaker\"><span class=\"tag %s\">"
                "%s</span></td><td class=\"n\" data-label=\"Shards held\">"
                "%d</td>", hows[child->breaker],
                te_child_breaker(child->breaker), child->shards);
    put_beat(v, child, TE_THREAD_CHORES, "Chores");
    put_beat(v, child, TE_THREAD_OUTSIDE, "Outside");
    te_html_put(v->html, "<td class=\"n\" data-label=\"Connections\">%d / %d"
                "</td><td class=\"n\" data-label=\"Waiting\">%d</td></tr>",
                child->connections_used, child->connections_max,
                child->waiting);
}

static void put_children(const view_t *v)
{
    int i;

    te_html_put(v->html, "<section class=\"card\"><header><h2>Processes of "
                "this httpd</h2><small>their threads and connections</small>"
                "</header><table class=\"rows\"><thead><tr><th>Process</th>"
                "<th>Since</th><th>Publisher</th><th>Breaker</th>"
                "<th class=\"n\">Shards held</th><th>Chores</th>"
                "<th>Outside</th><th class=\"n\">Connections</th>"
                "<th class=\"n\">Waiting</th></tr></thead><tbody>");
    for (i = 0; i < v->status->children->nelts; ++i) {
        put_child(v, &APR_ARRAY_IDX(v->status->children, i, te_child_t));
    }
    te_html_put(v->html, "</tbody></table></section>\n");
}

static void fact(const view_t *v, const char *name, apr_uint64_t n)
{
    te_html_put(v->html, "<dt>%s</dt><dd>%s</dd>", name,
                te_page_count(v->req->pool, (apr_int64_t)n));
}

/* Counted since httpd was started. */
static void put_counts(const view_t *v)
{
    te_html_put(v->html, "<section class=\"card\"><header><h2>Counted</h2>"
                "<small>since this httpd was started</small></header>"
                "<dl class=\"facts\">");
    fact(v, "Published", te_metric_total(TE_METRIC_PUBLISHED, NULL, NULL));
    fact(v, "Tries that failed",
         te_metric_total(TE_METRIC_PUBLISH_FAILURES, NULL, NULL));
    fact(v, "Handled", te_metric_total(TE_METRIC_DELIVERIES, NULL,
                                       "handled"));
    fact(v, "Delivered twice", te_metric_total(TE_METRIC_DELIVERIES, NULL,
                                               "duplicate"));
    fact(v, "Handling failed", te_metric_total(TE_METRIC_DELIVERIES, NULL,
                                               "failed"));
    fact(v, "Ignored", te_metric_total(TE_METRIC_DELIVERIES, NULL,
                                       "ignored"));
    fact(v, "Dead letters made",
         te_metric_total(TE_METRIC_DEAD_LETTERS_MADE, NULL, NULL));
    fact(v, "Reminders triggered",
         te_metric_total(TE_METRIC_REMINDERS, "triggered", NULL));
    te_html_put(v->html, "</dl></section>\n");
}

static void put_versions(const view_t *v)
{
    const te_version_t *one;

    te_html_put(v->html, "<section class=\"card\"><header><h2>Versions</h2>"
                "</header><dl class=\"facts\">");
    for (one = v->status->versions; one->name != NULL; ++one) {
        te_html_put(v->html, "<dt>%s</dt><dd>%s</dd>", one->name,
                    one->version ? one->version : "–");
    }
    te_html_put(v->html, "<dt>schema</dt><dd>%d</dd></dl></section>\n",
                v->glance->schema_version);
}

int te_status_page(te_req_t *req, const te_status_t *status)
{
    te_html_t html;
    view_t v = {req, &html, status, &status->glance,
                te_status_location(req->r)};

    te_page_start(req, &html, TE_PAGE_OVERVIEW, "Overview", REFRESH);
    put_verdict(&v);
    put_tiles(&v);
    put_charts(&v);
    if (v.glance->known && v.glance->groups->nelts > 0) {
        put_groups(&v);
    }
    if (v.glance->known && v.glance->retries->nelts > 0) {
        put_retries(&v);
    }
    put_children(&v);
    te_html_put(&html, "<div class=\"two\">");
    put_counts(&v);
    put_versions(&v);
    te_html_put(&html, "</div>");
    return te_page_send(req, &html, HTTP_OK);
}
