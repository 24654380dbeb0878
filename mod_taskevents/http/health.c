/* What the service tells about itself: /healthz (alive), /readyz (able to
 * serve), /api/openapi.json (how to talk to it). */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "openapi_document.h"
#include "reply.h"
#include "resources.h"

int te_healthz(te_req_t *req)
{
    return te_reply_json(req, HTTP_OK, json_pack("{s:s}", "status", "alive"));
}

static te_db_err_e read_version(te_db_t *db, te_req_t *req, void *data,
                                int again)
{
    (void)req;
    (void)again;
    return te_db_schema_version(db, data);
}

/* The transport does not decide: a task is accepted without it. */
int te_readyz(te_req_t *req)
{
    int version = 0;
    te_db_err_e err = te_request_try(req, read_version, &version);
    const char *detail = NULL;

    if (err == TE_DB_OLD) {
        version = te_db_schema_found();
    }
    if (err != TE_DB_OK && err != TE_DB_OLD) {
        detail = "the database is away or busy";
    }
    else if (version < TE_SCHEMA_NEEDED) {
        detail = apr_psprintf(req->pool, "the schema has version %d, this "
                              "build needs %d: run the migrations", version,
                              TE_SCHEMA_NEEDED);
    }
    if (detail != NULL) {
        apr_table_setn(req->r->headers_out, "Retry-After", "1");
    }
    return te_reply_json(
        req, detail == NULL ? HTTP_OK : HTTP_SERVICE_UNAVAILABLE,
        json_pack("{s:s,s:s,s:i,s:i,s:s,s:s*}", "status",
                  detail == NULL ? "ready" : "not ready", "database",
                  err == TE_DB_OK || err == TE_DB_OLD ? "up" : "away",
                  "schema_version", version, "schema_needed",
                  TE_SCHEMA_NEEDED, "transport",
                  req->settings->transport == TE_TRANSPORT_LOCAL ? "local"
                                                                 : "dapr",
                  "detail", detail));
}

/* The document names the server's prefix once; another one is put there. */
int te_openapi(te_req_t *req)
{
    static const char server[] = "\"url\":\"/api\"";
    const char *document = te_openapi_document;
    const char *at = strstr(document, server);
    te_stored_answer_t answer = {HTTP_OK, NULL, NULL, document};
    int status = te_request_no_query(req);

    if (status != OK) {
        return status;
    }
    if (at != NULL && strcmp(req->conf->prefix, "/api") != 0) {
        answer.body = apr_pstrcat(
            req->pool,
            apr_pstrmemdup(req->pool, document, (apr_size_t)(at - document)),
            "\"url\":\"", req->conf->prefix, "\"",
            at + sizeof server - 1, NULL);
    }
    return te_reply_answer(req, &answer);
}
