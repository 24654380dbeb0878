/* GET of the location of SetHandler taskevents-status: the service at a
 * glance, for an operator and for scripts. */
#include "status.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/version.h"
#include "../store/inbox.h"
#include "../store/outbox.h"
#include "reply.h"
#include "resources.h"
#include "sections.h"

#define LETTERS "/dead-letters"

/* The path of the innermost <Location>, or as much of ours as comes before
 * the dead letters when it is a pattern. */
static const char *location_of(request_rec *r)
{
    const core_dir_config *dir = ap_get_core_module_config(r->per_dir_config);
    const char *at = strstr(r->uri, LETTERS), *path = dir->d;
    apr_size_t n = path ? strlen(path) : 0;

    while (n > 0 && path[n - 1] == '/') {
        --n;
    }
    if (path == NULL || *path != '/' || strncmp(path, r->uri, n) != 0
        || (r->uri[n] != '/' && r->uri[n] != '\0')
        || strstr(path, LETTERS) != NULL) {
        path = r->uri;
        n = at != NULL ? (apr_size_t)(at - r->uri) : strlen(r->uri);
    }
    return apr_pstrmemdup(r->pool, path, n);
}

te_match_t te_status_match(request_rec *r)
{
    return te_router_match_status(r->pool, location_of(r), r->uri);
}

const char *te_status_unguarded(apr_pool_t *p, const ap_directive_t *tree)
{
    return te_sections_open(p, tree, TE_STATUS_HANDLER);
}

typedef struct {
    int schema_version;
    te_dead_letter_counts_t letters;
    te_outbox_size_t outbox;
} glance_t;

static te_db_err_e look(te_db_t *db, te_req_t *req, void *data, int again)
{
    glance_t *glance = data;
    te_db_err_e err = te_db_schema_version(db, &glance->schema_version);

    (void)req;
    (void)again;
    if (err == TE_DB_OK) {
        err = te_inbox_dead_letter_counts(db, &glance->letters);
    }
    return err == TE_DB_OK ? te_outbox_measure(db, &glance->outbox) : err;
}

int te_status(te_req_t *req)
{
    glance_t glance;
    int status = te_request_no_query(req);

    if (status != OK) {
        return status;
    }
    memset(&glance, 0, sizeof glance);
    if (!te_request_work(req, look, &glance)) {
        return DONE;
    }
    return te_reply_json(req, HTTP_OK, json_pack(
        "{s:s,s:i,s:i,s:s,s:{s:I,s:f},s:{s:I,s:I,s:I}}",
        "version", te_version(),
        "schema_version", glance.schema_version,
        "schema_needed", TE_SCHEMA_NEEDED,
        "transport", req->settings->transport == TE_TRANSPORT_LOCAL
                         ? "local" : "dapr",
        "outbox", "depth", (json_int_t)glance.outbox.events,
        "oldest_seconds", glance.outbox.oldest_seconds,
        "dead_letters", "open", (json_int_t)glance.letters.open,
        "redriven", (json_int_t)glance.letters.redriven,
        "discarded", (json_int_t)glance.letters.discarded));
}
