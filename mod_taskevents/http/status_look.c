/* What there is to tell of the service, from wherever it is known. */
#include "status.h"

#include <ap_release.h>
#include <apr_strings.h>
#include <apr_version.h>
#include <apu_version.h>
#include <jansson.h>
#include <string.h>

#include "../base/httpclient.h"
#include "../base/metrics.h"
#include "../base/version.h"

static te_db_err_e look(te_db_t *db, te_req_t *req, void *data, int again)
{
    te_status_t *status = data;

    (void)again;
    return te_glance_read(db, req->pool, TE_SCHEMA_NEEDED, &status->glance);
}

static const char *httpd_version(apr_pool_t *p)
{
    ap_version_t v;

    ap_get_server_revision(&v);
    return apr_psprintf(p, "%d.%d.%d%s", v.major, v.minor, v.patch,
                        v.add_string);
}

static const te_version_t *versions_of(te_req_t *req,
                                       const te_status_t *status)
{
    const te_version_t all[] = {
        {"mod_taskevents", te_version()},
        {"httpd", httpd_version(req->pool)},
        {"apr", apr_version_string()},
        {"apr-util", apu_version_string()},
        {"libcurl", te_http_library_version()},
        {"jansson", jansson_version_str()},
        {"postgresql", status->glance.server},
        {NULL, NULL},
    };

    return apr_pmemdup(req->pool, all, sizeof all);
}

te_pools_t te_status_pools(const te_status_t *status)
{
    te_histogram_t waits;
    te_pools_t pools;
    int i;

    memset(&pools, 0, sizeof pools);
    for (i = 0; i < status->children->nelts; ++i) {
        const te_child_t *child = &APR_ARRAY_IDX(status->children, i,
                                                 te_child_t);

        pools.used += child->connections_used;
        pools.idle += child->connections_idle;
        pools.max += child->connections_max;
        pools.waiting += child->waiting;
    }
    pools.timeouts = te_metric_total(TE_METRIC_POOL_TIMEOUTS, NULL, NULL);
    te_metric_histogram(TE_METRIC_POOL_WAIT, NULL, NULL, &waits);
    pools.wait_most = (double)te_histogram_quantile(&waits, 0.99)
                      / APR_USEC_PER_SEC;
    return pools;
}

double te_status_silence(const te_status_t *status, const te_child_t *child,
                         te_thread_e thread)
{
    apr_time_t beat = child->beats[thread];

    return te_thread_is_late(beat, status->now)
               ? (double)(status->now - beat) / APR_USEC_PER_SEC : 0;
}

/* Read from memory that others write: a number that is none is no state. */
static void read_children(te_req_t *req, te_status_t *status)
{
    int i;

    status->children = te_children(req->pool);
    for (i = 0; i < status->children->nelts; ++i) {
        te_child_t *child = &APR_ARRAY_IDX(status->children, i, te_child_t);

        if (child->breaker < 0 || child->breaker > 2) {
            child->breaker = 0;
        }
        if (child->breaker > status->breaker) {
            status->breaker = child->breaker;
        }
    }
}

const te_status_t *te_status_look(te_req_t *req)
{
    te_status_t *status = apr_pcalloc(req->pool, sizeof *status);
    te_db_err_e err = te_request_try(req, look, status);

    status->now = apr_time_now();
    status->database = err == TE_DB_OK ? NULL : te_db_err_name(err);
    read_children(req, status);
    status->first = te_trend_read(status->points, status->now);
    status->versions = versions_of(req, status);
    return status;
}
