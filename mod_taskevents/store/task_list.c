/* The list of a user's tasks: one SQL text for each set of filters, so that
 * each is planned for what it asks. */
#include <apr_strings.h>

#include "../base/timefmt.h"
#include "task_row.h"

#define MOST_PARAMS 10

/* A statement being put together. */
typedef struct {
    apr_pool_t *pool;
    const char *sql;
    const char *params[MOST_PARAMS];
    int n;
} query_t;

/* Add a condition; its %d is the number of the parameter. */
static void where(query_t *q, const char *format, const char *param)
{
    q->params[q->n++] = param;
    q->sql = apr_pstrcat(q->pool, q->sql, " AND ",
                         apr_psprintf(q->pool, format, q->n), NULL);
}

/* A due date that is none stands behind all others in both directions. */
static const char *sort_expression(const te_task_filter_t *filter)
{
    switch (filter->sort) {
    case TE_SORT_UPDATED:
        return "updated_at";
    case TE_SORT_DUE_DATE:
        return filter->descending ? "coalesce(due_date, '-infinity')"
                                  : "coalesce(due_date, 'infinity')";
    case TE_SORT_PRIORITY:
        return "priority";
    case TE_SORT_CREATED:
        break;
    }
    return "created_at";
}

static const char *cursor_value(apr_pool_t *p, const te_task_filter_t *filter)
{
    if (filter->sort == TE_SORT_PRIORITY) {
        return te_db_from_int64(p, filter->cursor_key);
    }
    if (filter->cursor_key == TE_TIME_NONE) {
        return filter->descending ? "-infinity" : "infinity";
    }
    return te_time_format(p, filter->cursor_key);
}

/* Behind the cursor, in the order of the list: a row comparison, which an
 * index on the same expressions answers. */
static void start_behind(query_t *q, const te_task_filter_t *filter)
{
    int priority = filter->sort == TE_SORT_PRIORITY;

    q->params[q->n++] = cursor_value(q->pool, filter);
    q->params[q->n++] = te_db_from_int64(q->pool, filter->cursor_id);
    q->sql = apr_psprintf(q->pool, "%s AND (%s, id) %s ($%d::%s, $%d::bigint)",
                          q->sql, sort_expression(filter),
                          filter->descending ? "<" : ">", q->n - 1,
                          priority ? "smallint" : "timestamptz", q->n);
}

static void narrow(query_t *q, const te_task_filter_t *filter)
{
    apr_pool_t *p = q->pool;

    if (filter->priority != 0) {
        where(q, "priority = $%d::smallint",
              te_db_from_int64(p, filter->priority));
    }
    if (filter->completed >= 0) {
        where(q, "completed = $%d::boolean",
              filter->completed ? "true" : "false");
    }
    if (filter->tags != NULL) {
        where(q, "EXISTS (SELECT FROM unnest(tags) AS had,"
              " unnest($%d::text[]) AS wanted"
              " WHERE taskevents.fold(had) = taskevents.fold(wanted))",
              te_db_from_array(p, filter->tags));
    }
    if (filter->words != NULL) {
        where(q, "NOT EXISTS (SELECT FROM unnest($%d::text[]) AS word"
              " WHERE strpos(taskevents.fold(title || E'\\n'"
              "  || coalesce(description, '')), taskevents.fold(word)) = 0)",
              te_db_from_array(p, filter->words));
    }
    if (filter->due_before != TE_TIME_NONE) {
        where(q, "due_date < $%d::timestamptz",
              te_time_format(p, filter->due_before));
    }
    if (filter->due_after != TE_TIME_NONE) {
        where(q, "due_date > $%d::timestamptz",
              te_time_format(p, filter->due_after));
    }
    if (filter->has_cursor) {
        start_behind(q, filter);
    }
}

/* The one list that most clients ask for is prepared once per connection. */
static int is_plain(const te_task_filter_t *filter)
{
    return filter->priority == 0 && filter->completed < 0
           && filter->tags == NULL && filter->words == NULL
           && filter->due_before == TE_TIME_NONE
           && filter->due_after == TE_TIME_NONE
           && filter->sort == TE_SORT_CREATED && filter->descending;
}

static te_db_err_e run_plain(te_db_t *db, apr_pool_t *p,
                             const te_task_filter_t *filter, PGresult **r)
{
    const char *params[4];

    params[0] = filter->user_id;
    params[1] = te_db_from_int64(p, filter->limit);
    if (!filter->has_cursor) {
        return te_db_run(db, TE_TASK_LIST, TE_TX_NONE, params, r);
    }
    params[2] = cursor_value(p, filter);
    params[3] = te_db_from_int64(p, filter->cursor_id);
    return te_db_run(db, TE_TASK_LIST_AFTER, TE_TX_NONE, params, r);
}

static te_db_err_e run_filtered(te_db_t *db, apr_pool_t *p,
                                const te_task_filter_t *filter, PGresult **r)
{
    query_t q = {p, "SELECT " TE_TASK_COLUMNS("") " FROM taskevents.tasks"
                    " WHERE user_id = $1::text", {NULL}, 1};
    const char *direction = filter->descending ? "DESC" : "ASC";

    q.params[0] = filter->user_id;
    narrow(&q, filter);
    q.params[q.n++] = te_db_from_int64(p, filter->limit);
    q.sql = apr_psprintf(p, "%s ORDER BY %s %s, id %s LIMIT $%d::int", q.sql,
                         sort_expression(filter), direction, direction, q.n);
    return te_db_run_text(db, q.sql, q.n, q.params, r);
}

te_db_err_e te_tasks_list(te_db_t *db, apr_pool_t *p,
                          const te_task_filter_t *filter,
                          apr_array_header_t **tasks)
{
    te_db_err_e err;
    PGresult *r;
    int row;

    err = is_plain(filter) ? run_plain(db, p, filter, &r)
                           : run_filtered(db, p, filter, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *tasks = apr_array_make(p, PQntuples(r) + 1, sizeof(te_task_t *));
    for (row = 0; row < PQntuples(r); ++row) {
        APR_ARRAY_PUSH(*tasks, te_task_t *) = te_task_row(p, r, row);
    }
    return TE_DB_OK;
}

apr_int64_t te_task_sort_key(const te_task_t *task, te_sort_e sort)
{
    switch (sort) {
    case TE_SORT_UPDATED:
        return task->updated_at;
    case TE_SORT_DUE_DATE:
        return task->due_date;
    case TE_SORT_PRIORITY:
        return task->priority;
    case TE_SORT_CREATED:
        break;
    }
    return task->created_at;
}
