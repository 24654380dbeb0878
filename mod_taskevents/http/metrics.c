#include "metrics.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

#include "../base/metrics.h"
#include "../base/trend.h"
#include "../base/version.h"
#include "../store/inbox.h"
#include "../store/outbox.h"
#include "request.h"
#include "shared.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define RETAINED "taskevents_metrics"
#define RETAINED_TREND "taskevents_trend"
#define BUDGET apr_time_from_sec(2)
#define SAMPLES_MAX 8

/* --- the memory -------------------------------------------------------- */

apr_status_t te_metrics_share(apr_pool_t *pconf, server_rec *main_server)
{
    const char *const *routes;
    const char *layout;
    apr_status_t rv;
    void *memory;
    int slots, n;

    rv = ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &slots);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    routes = te_router_names(pconf, &n);
    te_metrics_routes(routes, n);
    layout = apr_psprintf(pconf, "%d %s", slots, te_metrics_layout(pconf));
    rv = te_shared_keep(main_server->process, RETAINED, layout,
                        te_metrics_size(slots), &memory);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    te_metrics_use(memory, slots);
    rv = te_shared_keep(main_server->process, RETAINED_TREND,
                        te_trend_layout(pconf), te_trend_size(), &memory);
    if (rv == APR_SUCCESS) {
        te_trend_use(memory);
    }
    return rv;
}

/* --- what only the database knows -------------------------------------- */

typedef struct {
    te_sample_t samples[SAMPLES_MAX];
    int n;
} samples_t;

static void sample(samples_t *to, te_metric_e metric, const char *value,
                   double number)
{
    te_sample_t *s = &to->samples[to->n++];

    s->metric = metric;
    s->value1 = value;
    s->number = number;
    s->decimals = metric == TE_METRIC_OUTBOX_OLDEST ? 3 : 0;
}

/* What PostgreSQL does not tell in time is left out: no number is better
 * than an old one. */
static void ask_database(te_app_t *app, samples_t *to)
{
    te_dead_letter_counts_t letters;
    te_outbox_size_t outbox;
    te_db_t *db = NULL;
    te_db_err_e err = app == NULL ? TE_DB_AWAY
                                  : te_db_acquire(app->db, &db, BUDGET);

    if (err == TE_DB_OK) {
        err = te_inbox_dead_letter_counts(db, &letters);
    }
    if (err == TE_DB_OK) {
        sample(to, TE_METRIC_DEAD_LETTERS, "open", (double)letters.open);
        sample(to, TE_METRIC_DEAD_LETTERS, "redriven",
               (double)letters.redriven);
        sample(to, TE_METRIC_DEAD_LETTERS, "discarded",
               (double)letters.discarded);
        err = te_outbox_measure(db, &outbox);
    }
    if (err == TE_DB_OK) {
        sample(to, TE_METRIC_OUTBOX_EVENTS, NULL, (double)outbox.events);
        sample(to, TE_METRIC_OUTBOX_OLDEST, NULL, outbox.oldest_seconds);
    }
    te_db_release(db);
    sample(to, TE_METRIC_DATABASE_UP, NULL,
           err != TE_DB_AWAY && err != TE_DB_LOST);
}

/* --- the handler ------------------------------------------------------- */

int te_metrics_handler(request_rec *r)
{
    samples_t samples = {.n = 0};
    const char *text;

    if (r->method_number != M_GET) {    /* HEAD too */
        ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET, -1);
        return HTTP_METHOD_NOT_ALLOWED;
    }
    sample(&samples, TE_METRIC_BUILD_INFO, te_version(), 1);
    ask_database(te_app(), &samples);
    text = te_metrics_text(r->pool, samples.samples, samples.n);
    ap_set_content_type(r, CONTENT_TYPE);
    ap_set_content_length(r, (apr_off_t)strlen(text));
    ap_rputs(text, r);
    return OK;
}

/* --- requests ---------------------------------------------------------- */

/* One that was refused before it came to the handler has no route yet. */
void te_metrics_count_request(request_rec *r)
{
    const te_notes_t *notes = te_notes(r);
    const te_route_t *route = notes->route;

    if (route == NULL) {
        route = te_router_match(r->pool, te_server_conf(r->server)->prefix,
                                r->uri).route;
    }
    te_metric_add(TE_METRIC_HTTP_REQUESTS, route ? route->name : NULL,
                  apr_itoa(r->pool, r->status));
}
