/* GET of the location of SetHandler taskevents-status: the service at a
 * glance, for an operator and for scripts. */
#include "status.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../base/json.h"
#include "../base/metrics.h"
#include "../base/timefmt.h"
#include "../base/version.h"
#include "query.h"
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

const char *te_status_location(request_rec *r)
{
    return ap_os_escape_path(r->pool, location_of(r), 1);
}

te_match_t te_status_match(request_rec *r)
{
    return te_router_match_status(r->pool, location_of(r), r->uri);
}

const char *te_status_unguarded(apr_pool_t *p, const ap_directive_t *tree)
{
    return te_sections_open(p, tree, TE_STATUS_HANDLER);
}

/* --- as JSON ----------------------------------------------------------- */

static json_t *number_or_null(double v)
{
    return isnan(v) ? json_null() : json_real(v);
}

/* From the first step on of which anything is known; the last is now. */
static json_t *line_of(const te_status_t *status, apr_size_t offset)
{
    json_t *array = json_array();
    int i;

    for (i = status->first; i < TE_TREND_STEPS; ++i) {
        const char *point = (const char *)&status->points[i];

        json_array_append_new(array, number_or_null(
            *(const double *)(const void *)(point + offset)));
    }
    return array;
}

#define LINE(name) \
    json_object_set_new(json, #name, \
                        line_of(status, offsetof(te_trend_point_t, name)))

static json_t *hour_json(const te_status_t *status)
{
    json_t *json = json_pack("{s:i}", "step_seconds",
                             (int)apr_time_sec(TE_TREND_STEP));

    LINE(published);
    LINE(failures);
    LINE(handled);
    LINE(lag_half);
    LINE(lag_most);
    LINE(handling_half);
    LINE(handling_most);
    LINE(outbox_events);
    LINE(outbox_oldest);
    return json;
}

/* Counted since httpd was started. */
static json_t *deliveries_json(void)
{
    static const char *const outcomes[] = {"handled", "duplicate", "ignored",
                                           "dead_letter", "failed", NULL};
    json_t *json = json_object();
    int i;

    for (i = 0; outcomes[i] != NULL; ++i) {
        json_object_set_new(json, outcomes[i], json_integer(
            (json_int_t)te_metric_total(TE_METRIC_DELIVERIES, NULL,
                                        outcomes[i])));
    }
    return json;
}

static json_t *published_json(void)
{
    return json_pack("{s:I,s:I}", "accepted",
                     (json_int_t)te_metric_total(TE_METRIC_PUBLISHED, NULL,
                                                 NULL),
                     "failed",
                     (json_int_t)te_metric_total(TE_METRIC_PUBLISH_FAILURES,
                                                 NULL, NULL));
}

static json_t *versions_json(const te_status_t *status)
{
    json_t *json = json_object();
    const te_version_t *v;

    for (v = status->versions; v->name != NULL; ++v) {
        json_object_set_new(json, v->name, v->version
                                               ? json_string(v->version)
                                               : json_null());
    }
    return json;
}

static json_t *time_or_null(te_req_t *req, apr_time_t t)
{
    return t == TE_TIME_NONE ? json_null()
                             : json_string(te_time_format(req->pool, t));
}

static json_t *child_json(te_req_t *req, const te_child_t *child)
{
    json_t *threads = json_object();
    int i;

    for (i = 0; i < TE_THREAD_COUNT; ++i) {
        json_object_set_new(threads, te_thread_name(i), time_or_null(
            req, child->beats[i] ? child->beats[i] : TE_TIME_NONE));
    }
    return json_pack(
        "{s:i,s:i,s:o,s:s,s:i,s:o,s:{s:i,s:i,s:i,s:i}}", "child",
        child->number, "pid", (int)child->pid, "since",
        time_or_null(req, child->since), "breaker",
        te_child_breaker(child->breaker), "shards", child->shards,
        "threads", threads, "pool", "used", child->connections_used, "idle",
        child->connections_idle, "max", child->connections_max, "waiting",
        child->waiting);
}

static void add_children(te_req_t *req, json_t *json,
                         const te_status_t *status)
{
    te_pools_t pools = te_status_pools(status);
    json_t *array = json_array();
    int i;

    for (i = 0; i < status->children->nelts; ++i) {
        json_array_append_new(array, child_json(
            req, &APR_ARRAY_IDX(status->children, i, te_child_t)));
    }
    json_object_set_new(json, "publishers", array);
    json_object_set_new(json, "pool", json_pack(
        "{s:i,s:i,s:i,s:i,s:I,s:f}", "used", pools.used, "idle", pools.idle,
        "max", pools.max, "waiting", pools.waiting, "timeouts",
        (json_int_t)pools.timeouts, "wait_p99_seconds", pools.wait_most));
}

static json_t *retries_json(te_req_t *req, const te_glance_t *g)
{
    json_t *array = json_array();
    int i;

    for (i = 0; i < g->retries->nelts; ++i) {
        const te_retry_t *r = APR_ARRAY_IDX(g->retries, i,
                                            const te_retry_t *);

        json_array_append_new(array, json_pack(
            "{s:s,s:s,s:I,s:I,s:o,s:s?}", "user_id", r->user_id, "topic",
            r->topic, "sequence", (json_int_t)r->sequence, "attempts",
            (json_int_t)r->attempts, "next_at", time_or_null(req, r->next_at),
            "error", r->error));
    }
    return array;
}

static json_t *groups_json(te_req_t *req, const te_glance_t *g)
{
    json_t *array = json_array();
    int i;

    for (i = 0; i < g->groups->nelts; ++i) {
        const te_letter_group_t *group =
            APR_ARRAY_IDX(g->groups, i, const te_letter_group_t *);

        json_array_append_new(array, json_pack(
            "{s:s,s:s,s:I,s:o}", "stage", group->stage, "reason",
            group->reason, "letters", (json_int_t)group->letters,
            "last_failed_at", time_or_null(req, group->last_failed_at)));
    }
    return array;
}

/* null while PostgreSQL does not tell */
static void add_glance(te_req_t *req, json_t *json,
                       const te_status_t *status)
{
    const te_glance_t *g = &status->glance;
    static const char *const members[] = {"outbox", "retries", "dead_letters",
                                          "open_letters", "reminders", NULL};
    int i;

    for (i = 0; members[i] != NULL && !g->known; ++i) {
        json_object_set_new(json, members[i], json_null());
    }
    if (!g->known) {
        return;
    }
    json_object_set_new(json, "outbox", json_pack(
        "{s:I,s:f,s:I}", "depth", (json_int_t)g->outbox.events,
        "oldest_seconds", g->outbox.oldest_seconds, "retrying",
        (json_int_t)g->retrying));
    json_object_set_new(json, "retries", retries_json(req, g));
    json_object_set_new(json, "dead_letters", json_pack(
        "{s:I,s:I,s:I}", "open", (json_int_t)g->letters.open, "redriven",
        (json_int_t)g->letters.redriven, "discarded",
        (json_int_t)g->letters.discarded));
    json_object_set_new(json, "open_letters", groups_json(req, g));
    json_object_set_new(json, "reminders", json_pack(
        "{s:I,s:I,s:I,s:o}", "scheduled", (json_int_t)g->reminders, "due",
        (json_int_t)g->reminders_due, "due_within_an_hour",
        (json_int_t)g->reminders_soon, "next_at",
        time_or_null(req, g->reminder_next)));
}

static int answer_json(te_req_t *req, const te_status_t *status)
{
    const te_glance_t *g = &status->glance;
    json_t *json = json_pack(
        "{s:s,s:o,s:s,s:o,s:i}", "version", te_version(), "versions",
        versions_json(status), "database",
        status->database ? status->database : "ok", "schema_version",
        g->schema_version ? json_integer(g->schema_version) : json_null(),
        "schema_needed", TE_SCHEMA_NEEDED);

    json_object_set_new(json, "transport", json_string(
        req->settings->transport == TE_TRANSPORT_LOCAL ? "local" : "dapr"));
    json_object_set_new(json, "breaker", json_string(
        te_child_breaker(status->breaker)));
    add_glance(req, json, status);
    add_children(req, json, status);
    json_object_set_new(json, "published", published_json());
    json_object_set_new(json, "deliveries", deliveries_json());
    json_object_set_new(json, "last_hour", hour_json(status));
    te_json_keep(req->pool, json);
    return te_reply_text(req, HTTP_OK, te_json_brief(req->pool, json));
}

/* --- the route --------------------------------------------------------- */

static const te_param_rule_t rules[] = {{"format", te_query_format},
                                        {NULL, NULL}};

int te_status(te_req_t *req)
{
    const te_status_t *now;
    int status = te_query_read(req, rules, NULL);

    if (status != OK) {
        return status;
    }
    now = te_status_look(req);
    return req->page ? te_status_page(req, now) : answer_json(req, now);
}
