#include "access.h"

#include <httpd.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_auth.h>
#include <string.h>
#include <util_filter.h>

#include "../base/text.h"
#include "reply.h"
#include "status.h"

extern module AP_MODULE_DECLARE_DATA taskevents_module;

APLOG_USE_MODULE(taskevents);

#define PROBLEM_FILTER "TASKEVENTS_PROBLEM"

static te_match_t match_of(request_rec *r)
{
    return te_router_match(r->pool, te_server_conf(r->server)->prefix,
                           r->uri);
}

/* --- loopback ---------------------------------------------------------- */

static int is_loopback(const apr_sockaddr_t *addr)
{
    const unsigned char *b = addr->ipaddr_ptr;
    static const unsigned char v6[16] = {0, 0, 0, 0, 0, 0, 0, 0,
                                         0, 0, 0, 0, 0, 0, 0, 1};
    static const unsigned char mapped[13] = {0, 0, 0, 0,    0,    0,  0,
                                             0, 0, 0, 0xff, 0xff, 127};

    if (addr->family == APR_INET) {
        return b[0] == 127;
    }
    return memcmp(b, v6, sizeof v6) == 0
           || memcmp(b, mapped, sizeof mapped) == 0;
}

static int is_named(const server_rec *s, const char *name)
{
    int i;

    if (s->server_hostname != NULL
        && ap_cstr_casecmp(name, s->server_hostname) == 0) {
        return 1;
    }
    for (i = 0; s->names != NULL && i < s->names->nelts; ++i) {
        const char *alias = APR_ARRAY_IDX(s->names, i, const char *);

        if (alias != NULL && ap_cstr_casecmp(name, alias) == 0) {
            return 1;
        }
    }
    for (i = 0; s->wild_names != NULL && i < s->wild_names->nelts; ++i) {
        const char *alias = APR_ARRAY_IDX(s->wild_names, i, const char *);

        if (alias != NULL && ap_strcasecmp_match(name, alias) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether the name that the client asked for is one of ours: of any server
 * here, an address, or localhost. A page of somebody else's in a browser on this machine
 * can have its own name point here, and would then read what is open to the
 * machine (DNS rebinding); the name gives it away. No name: no browser. */
static int is_our_name(const request_rec *r)
{
    const char *name = r->hostname;
    const server_rec *s;

    if (name == NULL || ap_cstr_casecmp(name, "localhost") == 0
        || strspn(name, "0123456789.") == strlen(name)
        || strchr(name, ':') != NULL) {
        return 1;
    }
    for (s = ap_server_conf; s != NULL; s = s->next) {
        if (is_named(s, name)) {
            return 1;
        }
    }
    return 0;
}

/* A process of this machine talking to us directly: by the connection's own
 * addresses, which no header can change, without a proxy's headers, and not
 * a page in a browser by a name of its own. */
static int is_direct_loopback(const request_rec *r)
{
    const apr_table_t *in = r->headers_in;

    return is_our_name(r)
           && is_loopback(r->connection->client_addr)
           && is_loopback(r->connection->local_addr)
           && apr_table_get(in, "Forwarded") == NULL
           && apr_table_get(in, "X-Forwarded-For") == NULL
           && apr_table_get(in, "X-Real-IP") == NULL
           && apr_table_get(in, "Via") == NULL;
}

/* --- Require taskevents-owner ------------------------------------------ */

static authz_status grant_owner(request_rec *r, const char *owner)
{
    te_notes_t *notes = te_notes(r);

    notes->owner_granted = 1;
    notes->owner = owner;
    notes->denied = 0;
    return AUTHZ_GRANTED;
}

static authz_status owner_check(request_rec *r, const char *line,
                                const void *parsed)
{
    te_match_t match = match_of(r);

    (void)line;
    (void)parsed;
    if (r->method_number == M_OPTIONS
        || (te_server_conf(r->server)->open && is_direct_loopback(r))) {
        return grant_owner(r, match.user_id);
    }
    if (r->user == NULL && ap_auth_type(r) == NULL) {
        te_notes(r)->denied = HTTP_FORBIDDEN;   /* nobody can become known */
        return AUTHZ_DENIED;
    }
    if (r->user == NULL) {
        return AUTHZ_DENIED_NO_USER;
    }
    if (match.route != NULL && match.route->area == TE_AREA_TASKS
        && strcmp(match.user_id, r->user) != 0) {
        te_notes(r)->denied = HTTP_FORBIDDEN;
        return AUTHZ_DENIED;
    }
    return grant_owner(r, match.user_id);
}

/* --- Require taskevents-sidecar ---------------------------------------- */

static int has_token(const te_process_conf_t *process, const char *given)
{
    int i, same = 0;

    for (i = 0; i < 2; ++i) {
        if (process->app_tokens[i] != NULL) {
            same |= te_text_same_secret(process->app_tokens[i], given);
        }
    }
    return same;
}

static authz_status sidecar_check(request_rec *r, const char *line,
                                  const void *parsed)
{
    const te_server_conf_t *conf = te_server_conf(r->server);
    const char *given = apr_table_get(r->headers_in, "dapr-api-token");
    te_notes_t *notes = te_notes(r);

    (void)line;
    (void)parsed;
    if (!conf->sidecar_token ? is_direct_loopback(r)
                             : given && has_token(conf->process, given)) {
        notes->sidecar_granted = 1;
        notes->denied = 0;
        return AUTHZ_GRANTED;
    }
    notes->denied = given == NULL && conf->sidecar_token
                            && conf->process->app_tokens[0] != NULL
                        ? HTTP_UNAUTHORIZED : HTTP_FORBIDDEN;
    return AUTHZ_DENIED;
}

/* The providers take no arguments: one that is given is a mistake. */
static const char *no_arguments(cmd_parms *cmd, const char *line,
                                const void **parsed)
{
    *parsed = NULL;
    return *line == '\0' ? NULL
                         : apr_psprintf(cmd->pool, "Require taskevents-owner "
                                        "and taskevents-sidecar take no "
                                        "arguments, but '%s' was given",
                                        line);
}

static const authz_provider owner_provider = {owner_check, no_arguments};
static const authz_provider sidecar_provider = {sidecar_check, no_arguments};

/* --- before the handler ------------------------------------------------ */

/* Once for each kind of route of a server and child, not for each request. */
static void warn_unguarded(te_req_t *req, const char *provider)
{
    const server_rec *s = req->r->server;

    if (te_app_tell_once(req->app, apr_psprintf(req->pool, "%pp/%d", s,
                                                req->match.route->area))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, req->r, "TE0301: %s is shut: "
                      "it was not admitted by 'Require %s'; set it for this "
                      "location and remove what admits without it",
                      req->match.route->name, provider);
    }
}

static int refuse(te_req_t *req, const char *provider)
{
    warn_unguarded(req, provider);
    return te_reply_problem(req, HTTP_FORBIDDEN,
                            te_problem_detail(HTTP_FORBIDDEN));
}

/* Any Require will do, also one of an outer section; none at all is no
 * decision of anybody's. */
static int refuse_open(te_req_t *req)
{
    if (te_app_tell_once(req->app, apr_psprintf(req->pool, "%pp/status",
                                                req->r->server))) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, req->r, "TE0302: %s is shut: "
                      "there is no Require for it; say who may use it, such "
                      "as 'Require local'", TE_STATUS_HANDLER);
    }
    return te_reply_problem(req, HTTP_FORBIDDEN,
                            te_problem_detail(HTTP_FORBIDDEN));
}

int te_access_check(te_req_t *req)
{
    const te_notes_t *notes = te_notes(req->r);
    const te_match_t *match = &req->match;

    switch (match->route->area) {
    case TE_AREA_OPEN:
        return OK;
    case TE_AREA_SIDECAR:
        if (notes->sidecar_granted) {
            return OK;
        }
        if (notes->owner_granted) {     /* the task routes' listener */
            return te_reply_problem(req, HTTP_NOT_FOUND,
                                    te_problem_detail(HTTP_NOT_FOUND));
        }
        return refuse(req, "taskevents-sidecar");
    case TE_AREA_TASKS:
        if ((notes->owner_granted && notes->owner != NULL
             && strcmp(notes->owner, match->user_id) == 0)
            || (req->conf->open && is_direct_loopback(req->r))) {
            return OK;
        }
        return refuse(req, "taskevents-owner");
    case TE_AREA_STATUS:
        if (!ap_some_auth_required(req->r)) {
            return refuse_open(req);
        }
        /* where the address alone lets in, so is every page in a browser
         * there; one with a user's name was sent his credentials */
        return req->r->user != NULL || is_our_name(req->r)
                   ? OK
                   : te_reply_problem(req, HTTP_MISDIRECTED_REQUEST,
                                      "This server does not go by that name: "
                                      "ask for it by its ServerName, its "
                                      "address or localhost.");
    case TE_AREA_NONE:
        break;
    }
    return refuse(req, "taskevents-owner");
}

/* --- httpd's own errors as problem+json -------------------------------- */

static int is_ours(request_rec *r)
{
    const te_server_conf_t *conf = te_server_conf(r->server);
    const te_notes_t *notes = ap_get_module_config(r->request_config,
                                                   &taskevents_module);

    return conf->engine == 1
           && ((r->uri != NULL && te_router_is_ours(conf->prefix, r->uri))
               || (notes != NULL && notes->is_no_file));
}

void te_access_claim_errors(request_rec *r)
{
    static const int statuses[] = {
        HTTP_BAD_REQUEST, HTTP_UNAUTHORIZED, HTTP_FORBIDDEN, HTTP_NOT_FOUND,
        HTTP_METHOD_NOT_ALLOWED, HTTP_REQUEST_TIME_OUT,
        HTTP_REQUEST_ENTITY_TOO_LARGE, HTTP_REQUEST_URI_TOO_LARGE,
        HTTP_EXPECTATION_FAILED, HTTP_INTERNAL_SERVER_ERROR,
        HTTP_SERVICE_UNAVAILABLE};
    apr_size_t i;

    for (i = 0; i < sizeof statuses / sizeof statuses[0]; ++i) {
        ap_custom_response(r, statuses[i], "refused");
    }
}

/* Those of our paths; who is ours by its <Location> is known later. */
static int claim_errors(request_rec *r)
{
    if (is_ours(r)) {
        te_access_claim_errors(r);
    }
    return DECLINED;
}

/* httpd would answer TRACE before it asks who is there, with the request and
 * its token as the body. On our paths it is a method like any other. */
static int take_trace(request_rec *r)
{
    return r->method_number == M_TRACE && is_ours(r) ? OK : DECLINED;
}

/* httpd turns a denied authorization into 401 or 403 by its own lights; ours
 * says which one it is. */
static void correct_denial(request_rec *r)
{
    int denied = te_notes(r)->denied;

    if (denied == 0 || denied == r->status
        || (r->status != HTTP_UNAUTHORIZED && r->status != HTTP_FORBIDDEN)) {
        return;
    }
    r->status = denied;
    r->status_line = NULL;
    if (denied == HTTP_FORBIDDEN) {
        apr_table_unset(r->headers_out, "WWW-Authenticate");
    }
    else {
        apr_table_setn(r->headers_out, "WWW-Authenticate",
                       "dapr-api-token realm=\"taskevents\"");
    }
}

/* The first brigade's data becomes the problem; all other data is dropped. */
static apr_status_t problem_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    apr_bucket *b, *next;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (!APR_BUCKET_IS_METADATA(b)) {
            apr_bucket_delete(b);
        }
    }
    if (f->ctx == NULL) {
        const char *text;

        f->ctx = f;
        correct_denial(r);
        text = te_problem_text(r, r->status, te_problem_detail(r->status),
                               NULL);
        ap_set_content_type(r, "application/problem+json");
        ap_set_content_length(r, (apr_off_t)strlen(text));
        b = apr_bucket_pool_create(text, strlen(text), r->pool,
                                   f->c->bucket_alloc);
        APR_BRIGADE_INSERT_HEAD(bb, b);
    }
    return ap_pass_brigade(f->next, bb);
}

static void insert_problem_filter(request_rec *r)
{
    if (is_ours(r)) {
        ap_add_output_filter(PROBLEM_FILTER, NULL, r, r->connection);
    }
}

void te_access_register(apr_pool_t *p)
{
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "taskevents-owner",
                              AUTHZ_PROVIDER_VERSION, &owner_provider,
                              AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "taskevents-sidecar",
                              AUTHZ_PROVIDER_VERSION, &sidecar_provider,
                              AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_post_read_request(claim_errors, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(take_trace, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_insert_error_filter(insert_problem_filter, NULL, NULL,
                                APR_HOOK_LAST);
    ap_register_output_filter(PROBLEM_FILTER, problem_filter, NULL,
                              AP_FTYPE_CONTENT_SET);
}
