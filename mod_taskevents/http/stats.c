/* GET /api/{user}/stats: what a user did, by days, and how it stands. */
#include <httpd.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "../base/json.h"
#include "../base/timefmt.h"
#include "../core/event.h"
#include "../store/history.h"
#include "query.h"
#include "reply.h"
#include "resources.h"

#define DAYS_DEFAULT 30
#define DAYS_MAX 366
#define DAY apr_time_from_sec(86400)
#define DAY_LENGTH 10                   /* "2026-01-31" */

/* Days are instants here: the midnights of UTC that are written like them. */
typedef struct {
    apr_time_t from, to;                /* TE_TIME_NONE: not said */
    const char *zone;
    int zone_known;
    const char *fault;                  /* with these days; NULL: none */
    apr_array_header_t *counts;
    apr_int64_t streak, overdue;
} stats_t;

/* --- query parameters -------------------------------------------------- */

static const char *read_day(te_req_t *req, const char *value,
                            apr_time_t *day)
{
    if (strlen(value) != DAY_LENGTH
        || te_time_parse(apr_pstrcat(req->pool, value, "T00:00:00Z", NULL),
                         day) != NULL) {
        return "must be a day such as 2026-01-31";
    }
    return NULL;
}

static const char *read_from(te_req_t *req, const char *value, void *data)
{
    return read_day(req, value, &((stats_t *)data)->from);
}

static const char *read_to(te_req_t *req, const char *value, void *data)
{
    return read_day(req, value, &((stats_t *)data)->to);
}

/* Whether there is such a zone, the database knows. */
static const char *read_zone(te_req_t *req, const char *value, void *data)
{
    (void)req;
    ((stats_t *)data)->zone = value;
    return NULL;
}

static const te_param_rule_t stats_rules[] = {
    {"from", read_from},
    {"to", read_to},
    {"tz", read_zone},
    {NULL, NULL}
};

/* --- reading ----------------------------------------------------------- */

static const char *day_text(apr_pool_t *p, apr_time_t day)
{
    return apr_pstrndup(p, te_time_format(p, day), DAY_LENGTH);
}

/* What was not said: up to today, and 30 days of it. */
static const char *settle_days(stats_t *stats, apr_time_t today)
{
    apr_time_t first = TE_TIME_FIRST;

    if (stats->to == TE_TIME_NONE) {
        stats->to = stats->from != TE_TIME_NONE && stats->from > today
                        ? stats->from : today;
    }
    if (stats->from == TE_TIME_NONE) {
        stats->from = stats->to - (DAYS_DEFAULT - 1) * DAY;
        stats->from = stats->from > first ? stats->from : first;
    }
    if (stats->from > stats->to) {
        return "must not be later than to";
    }
    return (stats->to - stats->from) / DAY >= DAYS_MAX
               ? "must be at most 365 days before to" : NULL;
}

static te_db_err_e read_stats(te_db_t *db, te_req_t *req, void *data,
                              int again)
{
    const char *user_id = req->match.user_id, *today_text;
    apr_time_t today = TE_TIME_NONE;
    stats_t *stats = data;
    te_db_err_e err = TE_DB_OK;

    (void)again;
    stats->zone_known = strcmp(stats->zone, "UTC") == 0;
    if (!stats->zone_known) {
        err = te_db_zone_known(req->app->db, db, stats->zone,
                               &stats->zone_known);
    }
    if (err != TE_DB_OK || !stats->zone_known) {
        return err;
    }
    err = te_stats_now(db, req->pool, user_id, stats->zone, &today_text,
                       &stats->streak, &stats->overdue);
    if (err != TE_DB_OK) {
        return err;
    }
    read_day(req, today_text, &today);
    stats->fault = settle_days(stats, today);
    return stats->fault != NULL
               ? TE_DB_OK
               : te_stats_days(db, req->pool, user_id, stats->zone,
                               day_text(req->pool, stats->from),
                               day_text(req->pool, stats->to),
                               &stats->counts);
}

/* --- the answer -------------------------------------------------------- */

static json_t *stats_json(te_req_t *req, const stats_t *stats)
{
    json_t *days = json_array(), *totals = json_object(), *counts;
    json_int_t completed = 0;
    apr_time_t day;
    int i = 0;

    for (day = stats->from; day <= stats->to; day += DAY) {
        const char *text = day_text(req->pool, day);

        counts = json_object();
        for (; i < stats->counts->nelts; ++i) {
            const te_day_count_t *count =
                &APR_ARRAY_IDX(stats->counts, i, te_day_count_t);
            json_int_t sum = count->n + json_integer_value(
                json_object_get(totals, count->type));

            if (strcmp(count->day, text) != 0) {
                break;
            }
            json_object_set_new(counts, count->type, json_integer(count->n));
            json_object_set_new(totals, count->type, json_integer(sum));
        }
        json_array_append_new(days, json_pack("{s:s,s:o}", "day", text,
                                              "counts", counts));
    }
    completed = json_integer_value(json_object_get(totals,
                                                   TE_TASK_COMPLETED));
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:I,s:I,s:I}", "from",
                     day_text(req->pool, stats->from), "to",
                     day_text(req->pool, stats->to), "tz", stats->zone,
                     "days", days, "totals", totals, "completed", completed,
                     "overdue", (json_int_t)stats->overdue, "streak",
                     (json_int_t)stats->streak);
}

static int bad_parameter(te_req_t *req, const char *name, const char *detail)
{
    apr_array_header_t *faults =
        apr_array_make(req->pool, 1, sizeof(te_fault_t));
    te_fault_t *f = apr_array_push(faults);

    f->pointer = apr_pstrcat(req->pool, "?", name, NULL);
    f->detail = detail;
    return te_reply_faults(req, HTTP_BAD_REQUEST,
                           apr_psprintf(req->pool, "Query parameter %s %s.",
                                        name, detail), faults);
}

int te_stats_route(te_req_t *req)
{
    stats_t stats;
    int status;

    memset(&stats, 0, sizeof stats);
    stats.from = stats.to = TE_TIME_NONE;
    stats.zone = "UTC";
    status = te_query_read(req, stats_rules, &stats);
    if (status != OK) {
        return status;
    }
    if (!te_request_work(req, read_stats, &stats)) {
        return DONE;
    }
    if (!stats.zone_known) {
        return bad_parameter(req, "tz", "must be an IANA time zone such as "
                             "Europe/Berlin");
    }
    if (stats.fault != NULL) {
        return bad_parameter(req, "from", stats.fault);
    }
    return te_reply_json(req, HTTP_OK, stats_json(req, &stats));
}
