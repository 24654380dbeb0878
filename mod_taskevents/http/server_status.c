#include "server_status.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "../base/children.h"
#include "../base/metrics.h"
#include "../base/version.h"
#include "app.h"

/* --- numbers of all children ------------------------------------------- */

typedef struct {
    const char *key;                    /* in the form for programs */
    const char *words;                  /* and for people */
    te_metric_e metric;
    const char *value1, *value2;        /* of its labels; NULL: all */
} number_t;

static const number_t numbers[] = {
    {"Requests", "requests", TE_METRIC_HTTP_REQUESTS, NULL, NULL},
    {"Published", "events published", TE_METRIC_PUBLISHED, NULL, NULL},
    {"PublishFailures", "failures to publish one", TE_METRIC_PUBLISH_FAILURES,
     NULL, NULL},
    {"Handled", "events handled", TE_METRIC_DELIVERIES, NULL, "handled"},
    {"Duplicates", "duplicates", TE_METRIC_DELIVERIES, NULL, "duplicate"},
    {"DeliveriesFailed", "deliveries that failed", TE_METRIC_DELIVERIES, NULL,
     "failed"},
    {"DeadLetters", "dead letters made", TE_METRIC_DEAD_LETTERS_MADE, NULL,
     NULL},
    {"RemindersTriggered", "reminders triggered", TE_METRIC_REMINDERS,
     "triggered", NULL},
    {"PoolTimeouts", "times that no connection was free in time",
     TE_METRIC_POOL_TIMEOUTS, NULL, NULL},
};
#define NUMBERS (sizeof numbers / sizeof numbers[0])

static apr_uint64_t total(const number_t *number)
{
    return te_metric_total(number->metric, number->value1, number->value2);
}

static const char *transport(const te_app_t *app)
{
    return app->settings->transport == TE_TRANSPORT_LOCAL ? "local" : "dapr";
}

/* --- children ---------------------------------------------------------- */

static int count_late(const te_child_t *child, apr_time_t now)
{
    int i, n = 0;

    for (i = 0; i < TE_THREAD_COUNT; ++i) {
        n += te_thread_is_late(child->beats[i], now);
    }
    return n;
}

/* --- ?auto ------------------------------------------------------------- */

static void tell_programs(request_rec *r, const te_app_t *app,
                          const apr_array_header_t *children)
{
    apr_time_t now = apr_time_now();
    int i, breaks = 0, late = 0, shards = 0, used = 0, idle = 0, max = 0,
        waiting = 0;
    apr_size_t k;

    for (i = 0; i < children->nelts; ++i) {
        const te_child_t *child = &APR_ARRAY_IDX(children, i, te_child_t);

        breaks += child->breaker != 0;
        late += count_late(child, now);
        shards += child->shards;
        used += child->connections_used;
        idle += child->connections_idle;
        max += child->connections_max;
        waiting += child->waiting;
    }
    ap_rprintf(r, "TaskEventsVersion: %s\n", te_version());
    ap_rprintf(r, "TaskEventsTransport: %s\n", transport(app));
    for (k = 0; k < NUMBERS; ++k) {
        ap_rprintf(r, "TaskEvents%s: %" APR_UINT64_T_FMT "\n",
                   numbers[k].key, total(&numbers[k]));
    }
    ap_rprintf(r, "TaskEventsChildren: %d\nTaskEventsBreakersOpen: %d\n"
               "TaskEventsShardsHeld: %d\nTaskEventsThreadsLate: %d\n"
               "TaskEventsPoolUsed: %d\nTaskEventsPoolIdle: %d\n"
               "TaskEventsPoolMax: %d\nTaskEventsPoolWaiting: %d\n",
               children->nelts, breaks, shards, late, used, idle, max,
               waiting);
}

/* --- for people -------------------------------------------------------- */

/* "1 s ago", or that it may be stuck; a child that ends has no more of it. */
static const char *since(apr_pool_t *p, apr_time_t beat, apr_time_t now)
{
    int seconds = beat < now ? (int)apr_time_sec(now - beat) : 0;

    if (beat == 0) {
        return "not running";
    }
    return apr_psprintf(p, "%d s ago%s", seconds,
                        te_thread_is_late(beat, now) ? " (stuck?)" : "");
}

static const char *pool_of(apr_pool_t *p, const te_child_t *child)
{
    return apr_psprintf(p, "%d used, %d idle, %d at most, %d waiting",
                        child->connections_used, child->connections_idle,
                        child->connections_max, child->waiting);
}

static void tell_as_list(request_rec *r, const te_child_t *child)
{
    apr_time_t now = apr_time_now();
    int i;

    ap_rprintf(r, "<dt>Child %d, pid %" APR_PID_T_FMT ": breaker %s, %d shards"
               " held, connections: %s", child->number, child->pid,
               te_child_breaker(child->breaker), child->shards,
               pool_of(r->pool, child));
    for (i = 0; i < TE_THREAD_COUNT; ++i) {
        ap_rprintf(r, "; %s: %s", te_thread_name((te_thread_e)i),
                   since(r->pool, child->beats[i], now));
    }
    ap_rputs("</dt>\n", r);
}

static void tell_as_row(request_rec *r, const te_child_t *child)
{
    apr_time_t now = apr_time_now();
    int i;

    ap_rprintf(r, "<tr><td>%d</td><td>%" APR_PID_T_FMT "</td><td>%s</td>"
               "<td>%d</td>", child->number, child->pid,
               te_child_breaker(child->breaker), child->shards);
    for (i = 0; i < TE_THREAD_COUNT; ++i) {
        ap_rprintf(r, "<td>%s</td>", since(r->pool, child->beats[i], now));
    }
    ap_rprintf(r, "<td>%s</td></tr>\n", pool_of(r->pool, child));
}

static void tell_people(request_rec *r, const te_app_t *app,
                        const apr_array_header_t *children, int tables)
{
    apr_size_t k;
    int i;

    ap_rprintf(r, "<hr />\n<h1>mod_taskevents</h1>\n<dl><dt>Version %s, "
               "transport %s</dt>\n", te_version(), transport(app));
    for (k = 0; k < NUMBERS; ++k) {
        ap_rprintf(r, "%s%" APR_UINT64_T_FMT " %s", k % 5 ? ", " : "<dt>",
                   total(&numbers[k]), numbers[k].words);
        ap_rputs(k % 5 == 4 || k == NUMBERS - 1 ? "</dt>\n" : "", r);
    }
    if (!tables) {
        for (i = 0; i < children->nelts; ++i) {
            tell_as_list(r, &APR_ARRAY_IDX(children, i, te_child_t));
        }
        ap_rputs("</dl>\n", r);
        return;
    }
    ap_rputs("</dl>\n<table border=\"0\"><tr><th>Child</th><th>PID</th>"
             "<th>Breaker</th><th>Shards held</th>", r);
    for (i = 0; i < TE_THREAD_COUNT; ++i) {
        ap_rprintf(r, "<th>%s</th>", te_thread_name((te_thread_e)i));
    }
    ap_rputs("<th>Connections</th></tr>\n", r);
    for (i = 0; i < children->nelts; ++i) {
        tell_as_row(r, &APR_ARRAY_IDX(children, i, te_child_t));
    }
    ap_rputs("</table>\n", r);
}

/* --- the hook ---------------------------------------------------------- */

/* A child that could not start has no section; the others have. */
static int tell(request_rec *r, int flags)
{
    const te_app_t *app = te_app();
    apr_array_header_t *children;

    if (app == NULL) {
        return DECLINED;
    }
    children = te_children(r->pool);
    if (flags & AP_STATUS_SHORT) {
        tell_programs(r, app, children);
    }
    else {
        tell_people(r, app, children, !(flags & AP_STATUS_NOTABLE));
    }
    return OK;
}

void te_server_status_register(apr_pool_t *p)
{
    (void)p;
    APR_OPTIONAL_HOOK(ap, status_hook, tell, NULL, NULL, APR_HOOK_MIDDLE);
}
