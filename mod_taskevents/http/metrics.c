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
#include "../store/reminders.h"
#include "request.h"
#include "shared.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define RETAINED "taskevents_metrics"
#define RETAINED_TREND "taskevents_trend"
#define BUDGET apr_time_from_sec(2)
#define SAMPLES_MAX 16

/* --- operations -------------------------------------------------------- */

enum {
    OP_GET,                             /* and HEAD */
    OP_POST,
    OP_PATCH,
    OP_DELETE,
    OP_OTHER,
    OPS
};

/* The values of the labels `method` and `route`: of each route the methods
 * that it has, and one for all others; the last one is of no route. */
static struct {
    const char **names;
    int n;
    const char *(*of_route)[OPS];
} operations;

static const char *new_operation(apr_pool_t *p, const char *method,
                                 const char *route)
{
    const char *name = apr_pstrcat(p, method, ",", route, NULL);

    operations.names[operations.n++] = name;
    return name;
}

static void list_operations(apr_pool_t *p)
{
    static const char *const methods[OPS] = {"GET", "POST", "PATCH", "DELETE",
                                             "other"};
    int i, op, n = te_router_count();

    operations.n = 0;
    operations.names = apr_palloc(p, sizeof *operations.names
                                         * (apr_size_t)(n * OPS + 1));
    operations.of_route = apr_palloc(p, sizeof *operations.of_route
                                            * (apr_size_t)n);
    for (i = 0; i < n; ++i) {
        const te_route_t *route = te_router_at(i);
        const int has[OPS] = {route->get != NULL, route->post != NULL,
                              route->patch != NULL, route->delete != NULL, 1};
        const char **of = operations.of_route[i];

        of[OP_OTHER] = new_operation(p, methods[OP_OTHER], route->name);
        for (op = 0; op < OP_OTHER; ++op) {
            of[op] = has[op] ? new_operation(p, methods[op], route->name)
                             : of[OP_OTHER];
        }
    }
    new_operation(p, "other", "other");
}

static const char *operation_of(const te_route_t *route, int method)
{
    const char *const *of;

    if (route == NULL) {
        return NULL;
    }
    of = operations.of_route[te_router_number(route)];
    switch (method) {
    case M_GET:
        return of[OP_GET];
    case M_POST:
        return of[OP_POST];
    case M_PATCH:
        return of[OP_PATCH];
    case M_DELETE:
        return of[OP_DELETE];
    default:
        return of[OP_OTHER];
    }
}

/* --- the memory -------------------------------------------------------- */

apr_status_t te_metrics_share(apr_pool_t *pconf, server_rec *main_server)
{
    const char *layout;
    apr_status_t rv;
    void *memory;
    int slots;

    rv = ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &slots);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    list_operations(pconf);
    te_metrics_routes(operations.names, operations.n);
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
    s->decimals = metric == TE_METRIC_OUTBOX_OLDEST
                          || metric == TE_METRIC_REMINDERS_DUE_OLDEST ? 3 : 0;
}

/* What PostgreSQL does not tell in time is left out: no number is better
 * than an old one. */
static void ask_database(te_app_t *app, samples_t *to)
{
    te_dead_letter_counts_t letters;
    te_outbox_size_t outbox;
    apr_int64_t reminders = 0;
    double latest = 0;
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
        err = te_reminders_overdue(db, &reminders, &latest);
    }
    if (err == TE_DB_OK) {
        sample(to, TE_METRIC_OUTBOX_EVENTS, NULL, (double)outbox.events);
        sample(to, TE_METRIC_OUTBOX_OLDEST, NULL, outbox.oldest_seconds);
        sample(to, TE_METRIC_REMINDERS_DUE, NULL, (double)reminders);
        sample(to, TE_METRIC_REMINDERS_DUE_OLDEST, NULL, latest);
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
    const char *operation, *status;

    if (route == NULL) {
        route = te_router_match(r->pool, te_server_conf(r->server)->prefix,
                                r->uri).route;
    }
    operation = operation_of(route, r->method_number);
    status = apr_itoa(r->pool, r->status);
    te_metric_add(TE_METRIC_HTTP_REQUESTS, operation, status);
    te_metric_observe(TE_METRIC_HTTP_DURATION, operation, status,
                      apr_time_now() - r->request_time);
}
