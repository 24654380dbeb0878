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

const te_status_t *te_status_look(te_req_t *req)
{
    te_status_t *status = apr_pcalloc(req->pool, sizeof *status);
    te_db_err_e err = te_request_try(req, look, status);

    status->now = apr_time_now();
    status->database = err == TE_DB_OK ? NULL : te_db_err_name(err);
    status->known = te_trend_read(status->points, status->now);
    status->versions = versions_of(req, status);
    return status;
}
