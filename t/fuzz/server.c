#include "server.h"

#include <apr_escape.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <string.h>
#include <util_filter.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/http/request.h"

APLOG_USE_MODULE(taskevents);

static answer_t answer;
static const char *body_bytes;
static apr_size_t body_size;

static te_process_conf_t process;
static te_server_conf_t conf;
static te_app_t app;

/* --- in place of httpd ------------------------------------------------- */

ap_directive_t *ap_conftree;

char *ap_escape_path_segment(apr_pool_t *p, const char *s)
{
    return (char *)apr_pescape_path_segment(p, s);
}

char *ap_escape_urlencoded(apr_pool_t *p, const char *s)
{
    return (char *)apr_pescape_urlencoded(p, s);
}

char *ap_os_escape_path(apr_pool_t *p, const char *path, int partial)
{
    return (char *)apr_pescape_path(p, path, partial);
}

int unescape(char *text, const char *forbid)
{
    apr_status_t rv = apr_unescape_url(text, text, APR_ESCAPE_STRING, forbid,
                                       NULL, 0, NULL);

    return rv == APR_SUCCESS || rv == APR_NOTFOUND;
}

int ap_unescape_urlencoded(char *query)
{
    char *c;

    for (c = query; *c != '\0'; ++c) {
        *c = *c == '+' ? ' ' : *c;
    }
    return unescape(query, NULL) ? OK : HTTP_BAD_REQUEST;
}

int ap_cstr_casecmp(const char *a, const char *b)
{
    return strcasecmp(a, b);
}

int ap_cstr_casecmpn(const char *a, const char *b, apr_size_t n)
{
    return strncasecmp(a, b, n);
}

const char *ap_get_status_line(int status)
{
    return apr_psprintf(pool, "%d Status", status);
}

int ap_map_http_request_error(apr_status_t rv, int status)
{
    (void)rv;
    return status;
}

void ap_log_rerror_(const char *file, int line, int module_index, int level,
                    apr_status_t rv, const request_rec *r, const char *fmt,
                    ...)
{
    (void)file;
    (void)line;
    (void)module_index;
    (void)level;
    (void)rv;
    (void)r;
    (void)fmt;
}

void ap_set_content_type(request_rec *r, const char *type)
{
    (void)r;
    answer.type = type;
}

void ap_set_content_length(request_rec *r, apr_off_t n)
{
    (void)r;
    PROMISE(n >= 0);
}

int ap_rwrite(const void *bytes, int n, request_rec *r)
{
    (void)r;
    answer.body = apr_pstrcat(pool, answer.body,
                              apr_pstrmemdup(pool, bytes, (apr_size_t)n),
                              NULL);
    return n;
}

apr_status_t ap_get_brigade(ap_filter_t *filter, apr_bucket_brigade *bb,
                            ap_input_mode_t mode, apr_read_type_e block,
                            apr_off_t most)
{
    apr_size_t n = body_size < (apr_size_t)most ? body_size
                                                : (apr_size_t)most;

    (void)filter;
    (void)mode;
    (void)block;
    if (n > 0) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(
                                        body_bytes, n, bb->bucket_alloc));
    }
    body_bytes += n;
    body_size -= n;
    if (body_size == 0) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    }
    return APR_SUCCESS;
}

/* --- in place of the database: a connection that is lost -------------- */

te_app_t *__wrap_te_app(void);
void __wrap_te_publisher_ring(te_publisher_t *publisher);
te_db_err_e __wrap_te_db_acquire(te_db_pool_t *db_pool, te_db_t **out,
                                 apr_interval_time_t budget);
void __wrap_te_db_release(te_db_t *db);
te_db_err_e __wrap_te_db_zone_known(te_db_pool_t *db_pool, te_db_t *db,
                                    const char *name, int *known);
apr_int64_t __wrap_te_db_take_task_id(te_db_pool_t *db_pool);
te_db_err_e __wrap_te_db_next_task_id(te_db_pool_t *db_pool, te_db_t *db,
                                      apr_int64_t *id);
te_db_err_e __wrap_te_tasks_list(te_db_t *db, apr_pool_t *p,
                                 const te_task_filter_t *filter,
                                 apr_array_header_t **tasks);
te_db_err_e __wrap_te_group_get(te_group_t *group, apr_pool_t *p,
                                const char *user_id, apr_int64_t id,
                                te_task_t **task, apr_time_t deadline);
te_db_err_e __wrap_te_key_claim(te_db_t *db, apr_pool_t *p,
                                const te_key_t *key, apr_interval_time_t keep,
                                te_key_state_e *state,
                                te_stored_answer_t *stored);

te_app_t *__wrap_te_app(void)
{
    return &app;
}

void __wrap_te_publisher_ring(te_publisher_t *publisher)
{
    (void)publisher;
}

te_db_err_e __wrap_te_db_acquire(te_db_pool_t *db_pool, te_db_t **out,
                                 apr_interval_time_t budget)
{
    (void)db_pool;
    (void)budget;
    *out = te_db_standalone(pool, &process.settings.db);
    answer.asked = 1;
    return TE_DB_OK;
}

void __wrap_te_db_release(te_db_t *db)
{
    (void)db;
}

te_db_err_e __wrap_te_db_zone_known(te_db_pool_t *db_pool, te_db_t *db,
                                    const char *name, int *known)
{
    (void)db_pool;
    (void)db;
    *known = strchr(name, '/') != NULL;
    return TE_DB_OK;
}

apr_int64_t __wrap_te_db_take_task_id(te_db_pool_t *db_pool)
{
    (void)db_pool;
    return 0;
}

te_db_err_e __wrap_te_db_next_task_id(te_db_pool_t *db_pool, te_db_t *db,
                                      apr_int64_t *id)
{
    (void)db_pool;
    (void)db;
    *id = 42;
    return TE_DB_OK;
}

static int is_time(apr_time_t t)
{
    return t == TE_TIME_NONE || (t >= TE_TIME_FIRST && t <= TE_TIME_LAST);
}

static void check_filter(const te_task_filter_t *f)
{
    PROMISE(strcmp(f->user_id, answer.match.user_id) == 0);
    PROMISE(f->priority >= 0 && f->priority <= TE_PRIORITY_HIGH);
    PROMISE(f->completed >= -1 && f->completed <= 1);
    PROMISE(f->tags == NULL || (f->tags->nelts >= 1 && f->tags->nelts <= 10));
    PROMISE(f->words == NULL
            || (f->words->nelts >= 1 && f->words->nelts <= 10));
    PROMISE(is_time(f->due_before) && is_time(f->due_after));
    PROMISE(f->limit >= 2 && f->limit <= 201);
    PROMISE(!f->has_cursor || f->cursor_id >= 1);
    PROMISE(!f->has_cursor || f->sort == TE_SORT_PRIORITY
            || is_time(f->cursor_key));
}

/* As many tasks as are asked for, each where the cursor is: so that the next
 * page's cursor is this one. */
te_db_err_e __wrap_te_tasks_list(te_db_t *db, apr_pool_t *p,
                                 const te_task_filter_t *filter,
                                 apr_array_header_t **tasks)
{
    te_task_t *task = apr_pcalloc(p, sizeof *task);
    int i;

    (void)db;
    check_filter(filter);
    answer.filter = apr_pmemdup(p, filter, sizeof *filter);
    task->id = filter->has_cursor ? filter->cursor_id : 1;
    task->user_id = filter->user_id;
    task->title = "Water the plants";
    task->priority = TE_PRIORITY_MEDIUM;
    task->tags = apr_array_make(p, 1, sizeof(const char *));
    task->time_zone = "UTC";
    task->due_date = TE_TIME_NONE;
    task->completed_at = TE_TIME_NONE;
    if (filter->has_cursor && filter->sort == TE_SORT_PRIORITY) {
        task->priority = (te_priority_e)filter->cursor_key;
    }
    else if (filter->has_cursor) {
        task->created_at = task->updated_at = task->due_date =
            filter->cursor_key;
    }
    *tasks = apr_array_make(p, filter->limit, sizeof(const te_task_t *));
    for (i = 0; i < filter->limit; ++i) {
        APR_ARRAY_PUSH(*tasks, const te_task_t *) = task;
    }
    return TE_DB_OK;
}

/* Nobody else is here. */
te_db_err_e __wrap_te_group_get(te_group_t *group, apr_pool_t *p,
                                const char *user_id, apr_int64_t id,
                                te_task_t **task, apr_time_t deadline)
{
    (void)group;
    (void)p;
    (void)user_id;
    (void)id;
    (void)task;
    (void)deadline;
    return TE_DB_AGAIN;
}

te_db_err_e __wrap_te_key_claim(te_db_t *db, apr_pool_t *p,
                                const te_key_t *key, apr_interval_time_t keep,
                                te_key_state_e *state,
                                te_stored_answer_t *stored)
{
    (void)db;
    (void)p;
    (void)keep;
    (void)stored;
    answer.key = key;
    *state = TE_KEY_RUNNING;
    return TE_DB_OK;
}

/* --- a request --------------------------------------------------------- */

static void set_up(void)
{
    process.settings.db.wait = 0;
    process.settings.transport = TE_TRANSPORT_DAPR;
    process.settings.topics[0] = "tasks";
    process.settings.topics[1] = "reminders";
    process.settings.topics[2] = "tasks-dlq";
    process.settings.pubsub = "kafka-pubsub";
    process.settings.source = "/taskevents";
    process.settings.keep_history = apr_time_from_sec(30 * 86400);
    conf.process = &process;
    conf.engine = 1;
    conf.prefix = "/api";
    conf.max_body = 65536;
    app.settings = &process.settings;
}

static request_rec *request_of(const char *method, const char *path,
                               const char *args, apr_table_t *headers)
{
    request_rec *r = apr_pcalloc(pool, sizeof *r);

    taskevents_module.module_index = 0;
    r->pool = pool;
    r->method = method;
    r->uri = apr_pstrdup(pool, path);
    r->args = args ? apr_pstrdup(pool, args) : NULL;
    r->headers_in = headers ? headers : apr_table_make(pool, 1);
    r->headers_out = apr_table_make(pool, 4);
    r->err_headers_out = apr_table_make(pool, 1);
    r->subprocess_env = apr_table_make(pool, 1);
    r->notes = apr_table_make(pool, 4);
    r->status = HTTP_OK;
    r->request_time = apr_time_now();
    r->request_config = apr_pcalloc(pool, sizeof(void *));
    r->server = apr_pcalloc(pool, sizeof *r->server);
    r->server->module_config = apr_pcalloc(pool, sizeof(void *));
    ap_set_module_config(r->server->module_config, &taskevents_module, &conf);
    r->connection = apr_pcalloc(pool, sizeof *r->connection);
    r->connection->bucket_alloc = apr_bucket_alloc_create(pool);
    r->connection->pool = pool;
    r->connection->client_ip = r->useragent_ip = apr_pstrdup(pool, "192.0.2.7");
    r->hostname = "taskevents.example";
    return r;
}

static te_route_fn *function_of(const te_route_t *route, const char *method)
{
    return strcmp(method, "GET") == 0 ? route->get
           : strcmp(method, "POST") == 0 ? route->post
           : strcmp(method, "PATCH") == 0 ? route->patch
           : strcmp(method, "DELETE") == 0 ? route->delete : NULL;
}

static void check_problem(const json_t *json)
{
    const json_t *errors = json_object_get(json, "errors"), *item;
    const char *detail = te_json_get_string(json, "detail");
    size_t i;

    PROMISE(json_integer_value(json_object_get(json, "status"))
            == answer.status);
    PROMISE(detail != NULL && *detail != '\0');
    PROMISE(te_json_get_string(json, "instance") != NULL);
    PROMISE(errors == NULL || json_array_size(errors) > 0);
    PROMISE(answer.status != HTTP_UNPROCESSABLE_ENTITY || errors != NULL);
    json_array_foreach(errors, i, item) {
        const char *pointer = te_json_get_string(item, "pointer");
        const char *what = te_json_get_string(item, "detail");

        PROMISE(pointer != NULL && (*pointer == '#' || *pointer == '?'));
        PROMISE(what != NULL && *what != '\0');
    }
}

/* 200s, a client's mistake, or the database that is away: nothing else. */
static void check_answer(void)
{
    const char *detail;
    const json_t *json;
    int is_delivery = answer.match.route->area == TE_AREA_SIDECAR;

    PROMISE((answer.status >= 200 && answer.status < 300)
            || (answer.status >= 400 && answer.status < 500)
            || answer.status == HTTP_SERVICE_UNAVAILABLE
            || (is_delivery && answer.status == 500));
    PROMISE(answer.status != HTTP_SERVICE_UNAVAILABLE || answer.asked);
    if (*answer.body == '\0') {
        return;
    }
    PROMISE(answer.type != NULL);
    if (strstr(answer.type, "json") == NULL) {
        return;
    }
    json = te_json_parse(pool, answer.body, strlen(answer.body), &detail);
    PROMISE(json != NULL);
    PROMISE((strcmp(answer.type, "application/problem+json") == 0)
            == (answer.status >= 400));
    if (answer.status >= 400) {
        check_problem(json);
    }
}

const answer_t *serve(const char *method, const char *path, const char *args,
                      apr_table_t *headers, const char *body, apr_size_t size)
{
    static const char status_path[] = "/taskevents-status";
    request_rec *r = request_of(method, path, args, headers);
    te_req_t req;
    int is_status = strncmp(path, status_path, sizeof status_path - 1) == 0;
    te_route_fn *fn;

    set_up();
    memset(&answer, 0, sizeof answer);
    answer.body = "";
    answer.match = is_status ? te_router_match_status(pool, status_path, path)
                             : te_router_match(pool, conf.prefix, path);
    fn = answer.match.route ? function_of(answer.match.route, method) : NULL;
    /* the pages about the service itself take nothing from outside */
    if (fn == NULL || strstr("status healthz readyz openapi subscribe",
                             answer.match.route->name) != NULL) {
        return NULL;
    }
    body_bytes = body;
    body_size = size;
    memset(&req, 0, sizeof req);
    req.r = r;
    req.pool = pool;
    req.conf = &conf;
    req.app = &app;
    req.settings = &process.settings;
    req.match = answer.match;
    PROMISE(fn(&req) == DONE);
    answer.status = r->status;
    answer.headers = r->headers_out;
    check_answer();
    return &answer;
}
