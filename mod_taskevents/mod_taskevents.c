/* mod_taskevents: a task API whose every change becomes a CloudEvent.
 *
 * The life of the module, in the order it happens:
 *  1. directives are read (http/directives.c), twice at start
 *  2. check_config, post_config: what is needed is checked; a mistake ends
 *     the start, and most of them `httpd -t`
 *  3. child_init: pool of database connections, publisher, chores
 *  4. requests: guard (http/access.c) -> router -> one function of http/
 *  5. log_transaction, after the response: the publisher's bell
 *  6. child_stopping: publisher and chores are asked to end (no waiting)
 *  7. pre-cleanup of the child's pool: they are joined, connections closed
 */
#include <httpd.h>
#include <ap_expr.h>
#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <string.h>

#include "base/httpclient.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "core/alert.h"
#include "core/forget.h"
#include "core/jobs.h"
#include "core/sampler.h"
#include "core/schema.h"
#include "core/sweep.h"
#include "http/access.h"
#include "http/app.h"
#include "http/directives.h"
#include "http/metrics.h"
#include "http/page.h"
#include "http/parent.h"
#include "http/reply.h"
#include "http/router.h"
#include "http/sections.h"
#include "http/server_status.h"
#include "http/status.h"

#define CLOSE_WAIT apr_time_from_sec(3)

extern module AP_MODULE_DECLARE_DATA taskevents_module;

APLOG_USE_MODULE(taskevents);

static te_app_t *app;                   /* the child's */
static server_rec *log_server;
static __thread request_rec *serving;   /* by this thread; NULL: none */

te_app_t *te_app(void)
{
    return app;
}

/* What is said while a request is served has its id and client with it. */
static void log_to_httpd(te_log_level_e level, apr_status_t rv,
                         const char *line, int held)
{
    if (serving != NULL && !held) {
        ap_log_rerror(APLOG_MARK, (int)level, rv, serving, "%s", line);
    }
    else {
        ap_log_error(APLOG_MARK, (int)level, rv, log_server, "%s", line);
    }
}

static int httpd_wants(te_log_level_e level)
{
    return serving != NULL ? APLOG_R_IS_LEVEL(serving, (int)level)
                           : APLOG_IS_LEVEL(log_server, (int)level);
}

/* --- 2. check_config, post_config -------------------------------------- */

static int any_engine(const server_rec *s)
{
    for (; s != NULL; s = s->next) {
        if (te_server_conf(s)->engine) {
            return 1;
        }
    }
    return 0;
}

/* The first of the sidecar's paths that no <Location> gives to us, under the
 * prefix of this server; NULL: none. */
static const char *unmapped_path(apr_pool_t *p, const server_rec *s)
{
    const char *paths[] = {
        "/dapr/subscribe", "/job/x",
        apr_pstrcat(p, te_server_conf(s)->prefix, "/events/tasks", NULL)};
    apr_size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; ++i) {
        if (!te_sections_map(p, ap_conftree, paths[i])) {
            return paths[i];
        }
    }
    return NULL;
}

/* An unmapped path of the sidecar loses events in silence: to Dapr a 404 is
 * "handled", and /dapr/subscribe is asked only once. One server that has all
 * of them will do. */
static int check_mapping(apr_pool_t *p, server_rec *main_server)
{
    const char *missing = NULL;
    server_rec *s;

    for (s = main_server; s != NULL; s = s->next) {
        if (te_server_conf(s)->engine) {
            missing = unmapped_path(p, s);
            if (missing == NULL) {
                return OK;
            }
        }
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server, "TE0005: with "
                 "TaskEventsTransport dapr the path %s must be mapped by a "
                 "<Location> with 'SetHandler %s' and 'Require "
                 "taskevents-sidecar'", missing, TE_HANDLER);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int check_topics(server_rec *s, const te_settings_t *settings)
{
    int i, j;

    for (i = 0; i < TE_TOPIC_COUNT; ++i) {
        for (j = 0; j < i; ++j) {
            if (strcmp(settings->topics[i], settings->topics[j]) == 0) {
                ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "TE0004: "
                             "TaskEventsTopic names '%s' twice; tasks, "
                             "reminders and dead letters need a topic each",
                             settings->topics[i]);
                return HTTP_INTERNAL_SERVER_ERROR;
            }
        }
    }
    return OK;
}

/* Without any Require, nobody said who may use it: it stays shut. */
static void warn_of_open_status(apr_pool_t *p, server_rec *main_server)
{
    const char *path = te_status_unguarded(p, ap_conftree);

    if (path != NULL) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server, "TE0014: "
                     "<Location \"%s\"> sets the handler %s without any "
                     "Require: it refuses to serve (403) until there is one",
                     path, TE_STATUS_HANDLER);
    }
}

static void warn_of_choices(apr_pool_t *p, server_rec *main_server)
{
    const te_process_conf_t *process = te_server_conf(main_server)->process;
    server_rec *s;
    int guarded = 0, open = 0;

    for (s = main_server; s != NULL; s = s->next) {
        const te_server_conf_t *conf = te_server_conf(s);

        if (conf->engine && conf->open) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "TE0006: "
                         "TaskEventsOpen On: every process of this machine "
                         "may read and change every user's tasks");
        }
        guarded |= conf->engine && conf->sidecar_token;
        open |= conf->engine && conf->open;
    }
    if (!open
        && te_sections_unguarded(p, ap_conftree,
                                 apr_pstrcat(p, te_server_conf(main_server)
                                                    ->prefix,
                                             "/user/tasks", NULL),
                                 "taskevents-owner")) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server, "TE0009: a "
                     "<Location> gives the task routes to this module "
                     "without 'Require taskevents-owner': they refuse to "
                     "serve (403) until it is there");
    }
    if (process->settings.transport == TE_TRANSPORT_DAPR
        && te_sections_unguarded(p, ap_conftree, "/dapr/subscribe",
                                 "taskevents-sidecar")) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server, "TE0012: a "
                     "<Location> gives the sidecar's routes to this module "
                     "without 'Require taskevents-sidecar': they refuse to "
                     "serve (403), and the sidecar asks for its "
                     "subscriptions only once");
    }
    if (process->settings.transport == TE_TRANSPORT_DAPR && guarded
        && process->app_tokens[0] == NULL) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server, "TE0007: "
                     "no app token: set APP_API_TOKEN or "
                     "TaskEventsAppTokenFile; until then the sidecar's "
                     "calls are answered 403");
    }
}

/* Once: httpd reads its configuration twice at the start. */
static void warn_of_secrets(const te_process_conf_t *process, server_rec *s)
{
    const apr_array_header_t *loose = process->loose_files;
    int i;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
        && ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST) {
        return;
    }
    for (i = 0; i < loose->nelts; ++i) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "TE0017: %s: give a "
                     "file with a secret to root or the account that starts "
                     "httpd, with mode 0600, or 0640 for a group of readers",
                     APR_ARRAY_IDX(loose, i, const char *));
    }
    if (process->password_shown) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "TE0018: "
                     "TaskEventsDatabase has the password itself; who may "
                     "read the configuration has it too: name a passfile "
                     "there instead");
    }
}

static int check_process(apr_pool_t *pconf, server_rec *s)
{
    const te_process_conf_t *process = te_server_conf(s)->process;

    if (strcmp(ap_show_mpm(), "event") != 0) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "TE0001: mod_taskevents "
                     "needs the event MPM for its publisher thread, but this "
                     "httpd runs %s: load mpm_event_module instead",
                     ap_show_mpm());
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (process->settings.db.conninfo == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "TE0002: TaskEventsEngine "
                     "is On, but there is no TaskEventsDatabase; it takes a "
                     "libpq connection string");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (process->settings.dapr_url == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "TE0011: "
                     "DAPR_HTTP_ENDPOINT or DAPR_HTTP_PORT of the "
                     "environment makes no http or https URL; correct it, "
                     "or set TaskEventsDaprURL");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (process->settings.alert_url != NULL
        && process->settings.alert_secrets[0].bytes == NULL) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "TE0015: "
                     "TaskEventsAlertURL needs a TaskEventsAlertSecretFile: "
                     "alerts are signed");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (process->settings.reminder_late >= process->settings.reminder_lead) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "TE0016: "
                     "TaskEventsReminderLate is for tasks that are due within "
                     "the TaskEventsReminderLead, and must be shorter");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (check_topics(s, &process->settings) != OK) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return process->settings.transport == TE_TRANSPORT_DAPR
               ? check_mapping(pconf, s) : OK;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog,
                        apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    te_conf_finish(pconf, s);
    if (!any_engine(s)) {
        return OK;
    }
    warn_of_secrets(te_server_conf(s)->process, s);
    return check_process(pconf, s);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *s)
{
    apr_status_t rv;

    (void)plog;
    log_server = s;
    te_log_to(log_to_httpd, httpd_wants);
    te_parent_note();
    if (!any_engine(s)) {
        return OK;
    }
    rv = te_db_driver_init(pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, "TE0003: cannot load "
                     "apr_dbd's pgsql driver; install it (Debian: "
                     "libaprutil1-dbd-pgsql)");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    rv = te_metrics_share(pconf, s);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, "TE0013: no shared "
                     "memory for the metrics of the children");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    rv = te_page_secret();
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, "TE0019: the system "
                     "gives no random bytes for the forms of %s",
                     TE_STATUS_HANDLER);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        warn_of_choices(ptemp, s);
        warn_of_open_status(ptemp, s);
    }
    return OK;
}

/* --- 3. and 7. a child's life ------------------------------------------ */

/* What is done in the database beside requests and events. */
static const te_chore_t chores[] = {
    {"forget", apr_time_from_sec(60), TE_CHORE_LOCK_FORGET, te_forget, NULL,
     0},
    {"tidy", apr_time_from_sec(60), TE_CHORE_LOCK_TIDY, te_tidy,
     te_tidy_create, 0},
    {"sweep", apr_time_from_sec(1), TE_CHORE_LOCK_SWEEP, te_sweep, NULL, 0},
    {"schema", apr_time_from_sec(5), 0, te_schema_look, NULL, 0},
    {"sample", apr_time_from_sec(3), 0, te_sample, te_sample_create, 1},
};

/* What calls others, who may be slow: apart from what is done in the
 * database. The last one only where somebody wants alerts. */
static const te_chore_t outside_chores[] = {
    {"jobs", apr_time_from_sec(1), TE_CHORE_LOCK_JOBS, te_jobs,
     te_jobs_create, 0},
    {"alert", apr_time_from_sec(2), TE_CHORE_LOCK_ALERT, te_alert,
     te_alert_create, 0},
};

static int count_outside_chores(const te_settings_t *settings)
{
    int all = (int)(sizeof outside_chores / sizeof outside_chores[0]);

    return settings->alert_url != NULL ? all : all - 1;
}

/* A new httpd has publishers of its own. */
static void leave_publishing(void)
{
    if (app != NULL) {
        te_publisher_stop(app->publisher);
    }
}

static void watch_parent(void)
{
    te_parent_watch(log_server, leave_publishing);
}

static apr_status_t end_child(void *data)
{
    te_app_t *ending = data;

    te_chores_stop(ending->chores);
    te_chores_stop(ending->outside_chores);
    if (ending->publisher != NULL) {
        te_publisher_stop(ending->publisher);
    }
    /* these ring the publisher, and stop it when httpd's parent is gone: it
     * has to be there until they are not */
    te_chores_join(ending->chores);
    te_chores_join(ending->outside_chores);
    app = NULL;
    if (ending->publisher != NULL) {
        te_publisher_join(ending->publisher);
    }
    if (!te_db_pool_close(ending->db, CLOSE_WAIT)) {
        te_log(TE_LOG_WARNING, 0, "TE0010", "a request still had a database "
               "connection when the child ended");
    }
    te_log_tell_held(1, apr_time_now());
    apr_pool_destroy(ending->told_pool);
    te_metrics_leave();
    return APR_SUCCESS;
}

static apr_status_t start_child(apr_pool_t *pchild, te_app_t *starting)
{
    apr_status_t rv = te_http_global_init();

    if (rv != APR_SUCCESS) {
        return rv;
    }
    te_json_global_init();
    json_object_seed(0);
    /* a thread may log until the very end */
    rv = te_log_control_floods(ap_server_conf->process->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_app_tell_init(starting, pchild);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_db_pool_create(&starting->db, &starting->settings->db, pchild);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_group_commit_create(&starting->creates, starting->db, pchild);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_group_read_create(&starting->reads, starting->db, pchild);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_pre_cleanup_register(pchild, starting, end_child);
    rv = te_publisher_start(&starting->publisher, starting->settings,
                            starting->db, pchild);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = te_chores_start(&starting->chores, chores,
                         (int)(sizeof chores / sizeof chores[0]),
                         TE_THREAD_CHORES,
                         starting->settings, starting->db,
                         starting->publisher, pchild);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return te_chores_start(&starting->outside_chores, outside_chores,
                           count_outside_chores(starting->settings),
                           TE_THREAD_OUTSIDE,
                           starting->settings, starting->db,
                           starting->publisher, pchild);
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    te_app_t *starting;
    apr_status_t rv;

    if (!any_engine(s)) {
        return;
    }
    te_metrics_enter();
    starting = apr_pcalloc(pchild, sizeof *starting);
    starting->settings = &te_server_conf(s)->process->settings;
    rv = start_child(pchild, starting);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, "TE0008: this child "
                     "cannot serve task events and answers 503");
        return;
    }
    app = starting;
    te_chores_watch(starting->outside_chores, watch_parent);
}

static void child_stopping(apr_pool_t *pchild, int graceful)
{
    te_app_t *ending = app;

    (void)pchild;
    (void)graceful;
    if (ending != NULL) {
        te_publisher_stop(ending->publisher);
        te_chores_stop(ending->chores);
        te_chores_stop(ending->outside_chores);
    }
}

/* --- 4. a request ------------------------------------------------------ */

static int answer_options(te_req_t *req)
{
    apr_table_setn(req->r->headers_out, "Allow",
                   te_router_allow(req->pool, req->match.route));
    return te_reply_empty(req, HTTP_NO_CONTENT);
}

static te_route_fn *function_of(const te_route_t *route, int method)
{
    switch (method) {
    case M_GET:                         /* HEAD too */
        return route->get;
    case M_POST:
        return route->post;
    case M_PATCH:
        return route->patch;
    case M_DELETE:
        return route->delete;
    default:
        return NULL;
    }
}

static int dispatch(te_req_t *req)
{
    te_route_fn *fn = function_of(req->match.route, req->r->method_number);

    if (fn != NULL) {
        return fn(req);
    }
    apr_table_setn(req->r->headers_out, "Allow",
                   te_router_allow(req->pool, req->match.route));
    return te_reply_problem(req, HTTP_METHOD_NOT_ALLOWED,
                            te_problem_detail(HTTP_METHOD_NOT_ALLOWED));
}

/* What a <Location> gives to us is no file: httpd need not look for one, nor
 * for the <Directory> sections and .htaccess files of its path. The location's
 * configuration is seen by translate_name, not by map_to_storage. */
static int note_location(request_rec *r)
{
    const core_dir_config *dir =
        ap_get_core_module_config(r->per_dir_config);
    const char *handler, *error = NULL;
    int is_status;

    if (te_server_conf(r->server)->engine && dir->expr_handler != NULL) {
        handler = ap_expr_str_exec(r, dir->expr_handler, &error);
        handler = error == NULL && handler != NULL ? handler : "";
        is_status = strcmp(handler, TE_STATUS_HANDLER) == 0;
        te_notes(r)->is_no_file = is_status
                                  || strcmp(handler, TE_HANDLER) == 0;
        if (is_status) {
            te_access_claim_errors(r);
        }
    }
    return DECLINED;
}

static int skip_files(request_rec *r)
{
    const te_notes_t *notes = ap_get_module_config(r->request_config,
                                                   &taskevents_module);

    return notes != NULL && notes->is_no_file ? OK : DECLINED;
}

/* What the access log can say of it whatever becomes of it. */
static void note_match(te_req_t *req)
{
    apr_int64_t id;

    te_request_note(req, "route", req->match.route->name);
    if (req->match.user_id != NULL) {
        te_request_note(req, "user", req->match.user_id);
        if (req->match.id != NULL && strncmp(req->match.route->name, "task",
                                             4) == 0
            && te_text_to_id(req->match.id, &id)) {
            te_request_note(req, "task_id", req->match.id);
        }
    }
}

static int answer(te_req_t *req)
{
    int status;

    if (req->r->method_number == M_OPTIONS) {
        return answer_options(req);
    }
    status = te_access_check(req);
    status = status == OK ? dispatch(req) : status;
    if (req->db_time > 0) {
        te_request_note(req, "db_time", apr_psprintf(
            req->pool, "%" APR_TIME_T_FMT, req->db_time));
    }
    return status;
}

static int serve(request_rec *r, int page)
{
    request_rec *outer = serving;
    te_req_t req;
    int status;

    memset(&req, 0, sizeof req);
    req.r = r;
    req.page = page;
    req.pool = r->pool;
    req.conf = te_server_conf(r->server);
    req.app = te_app();
    if (req.app == NULL) {
        return te_reply_unavailable(&req, TE_DB_AWAY);
    }
    req.settings = req.app->settings;
    req.match = strcmp(r->handler, TE_STATUS_HANDLER) == 0
                    ? te_status_match(r)
                    : te_router_match(r->pool, req.conf->prefix, r->uri);
    te_notes(r)->route = req.match.route;
    if (req.match.route == NULL) {
        return te_reply_problem(&req, HTTP_NOT_FOUND,
                                te_problem_detail(HTTP_NOT_FOUND));
    }
    note_match(&req);
    serving = r;
    status = answer(&req);
    serving = outer;
    return status;
}

static int handler(request_rec *r)
{
    if (r->handler == NULL || !te_server_conf(r->server)->engine) {
        return DECLINED;
    }
    if (strcmp(r->handler, TE_HANDLER) == 0) {
        return serve(r, 0);
    }
    if (strcmp(r->handler, TE_STATUS_HANDLER) == 0) {
        int page = te_page_wanted(r);

        te_page_guard(r, page);
        return serve(r, page);
    }
    return strcmp(r->handler, TE_METRICS_HANDLER) == 0 ? te_metrics_handler(r)
                                                       : DECLINED;
}

/* --- 5. after the response --------------------------------------------- */

static const char *noted(const request_rec *r, const char *name)
{
    const char *value = apr_table_get(r->subprocess_env, name);

    return value ? value : "-";
}

static void tell_request(request_rec *r)
{
    serving = r;
    te_log(TE_LOG_DEBUG, 0, "TE0102", "%s answered %d after %" APR_TIME_T_FMT
           " us, %s us of them with the database: user %s, task %s, event %s, "
           "outcome %s", noted(r, "taskevents_route"), r->status,
           apr_time_now() - r->request_time, noted(r, "taskevents_db_time"),
           noted(r, "taskevents_user"), noted(r, "taskevents_task_id"),
           noted(r, "taskevents_event_id"), noted(r, "taskevents_outcome"));
    serving = NULL;
}

static int after_response(request_rec *r)
{
    te_app_t *current = app;

    while (r->next != NULL) {
        r = r->next;
    }
    if (current != NULL && ap_get_module_config(r->request_config,
                                                &taskevents_module) != NULL) {
        const te_notes_t *notes = te_notes(r);

        if (notes->wrote) {
            te_publisher_ring(current->publisher);
        }
        if (notes->route != NULL || notes->is_no_file) {
            te_metrics_count_request(r);
            if (APLOG_R_IS_LEVEL(r, APLOG_DEBUG)) {
                tell_request(r);
            }
        }
    }
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    /* what is said of a request gives it an id that the access log has too */
    static const char *const before[] = {"mod_log_config.c", NULL};

    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_LAST);
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(note_location, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(skip_files, NULL, NULL, APR_HOOK_LAST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(after_response, NULL, before, APR_HOOK_MIDDLE);
    te_access_register(p);
    te_server_status_register(p);
}

module AP_MODULE_DECLARE_DATA taskevents_module = {
    STANDARD20_MODULE_STUFF,
    NULL,
    NULL,
    te_server_conf_create,
    te_server_conf_merge,
    te_directives,
    register_hooks,
    AP_MODULE_FLAG_NONE
};
