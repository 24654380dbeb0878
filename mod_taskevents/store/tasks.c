#include "tasks.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/timefmt.h"
#include "db_internal.h"
#include "task_row.h"

/* Columns as TE_TASK_COLUMNS names them. */
#define HELD_BY 18              /* the column behind TE_TASK_COLUMNS */

te_task_t *te_task_row(apr_pool_t *p, const PGresult *r, int row)
{
    te_task_t *task = apr_pcalloc(p, sizeof *task);

    task->id = te_db_int64(r, row, 0);
    task->user_id = te_db_text(p, r, row, 1);
    task->title = te_db_text(p, r, row, 2);
    task->description = te_db_text(p, r, row, 3);
    task->completed = PQgetvalue(r, row, 4)[0] == 't';
    task->completed_at = te_db_time(r, row, 5);
    task->priority = (te_priority_e)te_db_int64(r, row, 6);
    task->tags = te_db_to_array(p, PQgetvalue(r, row, 7));
    task->due_date = te_db_time(r, row, 8);
    task->time_zone = te_db_text(p, r, row, 9);
    task->recurring_interval = te_db_text(p, r, row, 10);
    task->series_id = te_db_text(p, r, row, 11);
    task->occurrence = (int)te_db_int64(r, row, 12);
    task->version = te_db_int64(r, row, 13);
    task->last_event_id = te_db_text(p, r, row, 14);
    task->created_at = te_db_time(r, row, 15);
    task->updated_at = te_db_time(r, row, 16);
    task->due_since = te_db_time(r, row, 17);
    return task;
}

apr_int64_t te_task_row_id(const PGresult *r, int row)
{
    return te_db_int64(r, row, 0);
}

const char *te_task_row_user(const PGresult *r, int row)
{
    return PQgetvalue(r, row, 1);
}

te_statement_e te_task_create_call(apr_pool_t *p, const te_task_t *task,
                                   const te_outgoing_t *event,
                                   const char **params)
{
    params[0] = te_db_from_int64(p, task->id);
    params[1] = task->user_id;
    params[2] = task->title;
    params[3] = task->description;
    params[4] = te_db_from_int64(p, task->priority);
    params[5] = te_db_from_array(p, task->tags);
    params[6] = te_time_format(p, task->due_date);
    params[7] = task->time_zone;
    params[8] = task->recurring_interval;
    params[9] = task->series_id;
    params[10] = te_time_format(p, task->created_at);
    params[11] = event->id;
    params[12] = event->topic;
    params[13] = event->head;
    params[14] = event->tail;
    params[15] = task->completed ? "true" : "false";
    return task->series_id ? TE_TASK_CREATE_SERIES : TE_TASK_CREATE;
}

te_db_err_e te_tasks_create(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                            const te_outgoing_t *event, int again)
{
    const char *params[TE_TASK_CREATE_PARAMS];
    te_statement_e create = te_task_create_call(p, task, event, params);
    te_db_err_e err;
    PGresult *r;

    err = te_db_run(db, create, TE_TX_NONE, params, &r);
    if (err == TE_DB_TAKEN && again) {
        /* ids are ours alone: the try whose answer was lost did commit */
        const char *constraint = te_db_constraint(db);

        if (strcmp(constraint, "tasks_pkey") == 0
            || strcmp(constraint, "series_pkey") == 0) {
            return TE_DB_OK;
        }
    }
    return err;
}

te_db_err_e te_tasks_get(te_db_t *db, apr_pool_t *p, const char *user_id,
                         apr_int64_t id, te_task_t **task)
{
    const char *params[2];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, id);
    params[1] = user_id;
    err = te_db_run(db, TE_TASK_GET, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *task = PQntuples(r) > 0 ? te_task_row(p, r, 0) : NULL;
    }
    return err;
}

te_db_err_e te_tasks_lock(te_db_t *db, apr_pool_t *p, int begin,
                          const char *user_id, apr_int64_t id,
                          te_task_t **task)
{
    const char *params[2];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, id);
    params[1] = user_id;
    err = te_db_run(db, TE_TASK_LOCK, begin ? TE_TX_BEGIN : TE_TX_NONE,
                    params, &r);
    *task = NULL;
    if (err == TE_DB_OK && PQntuples(r) > 0) {
        *task = te_task_row(p, r, 0);
        (*task)->held_by = te_db_text(p, r, 0, HELD_BY);
    }
    return err;
}

te_db_err_e te_tasks_update(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                            te_outgoing_t *const *events, int n, int commit)
{
    apr_array_header_t *columns[3];
    const char *params[18];
    PGresult *r;
    int i;

    te_db_columns(p, columns, 3, n);
    for (i = 0; i < n; ++i) {
        APR_ARRAY_PUSH(columns[0], const char *) = events[i]->id;
        APR_ARRAY_PUSH(columns[1], const char *) = events[i]->head;
        APR_ARRAY_PUSH(columns[2], const char *) = events[i]->tail;
    }
    params[0] = te_db_from_int64(p, task->id);
    params[1] = task->title;
    params[2] = task->description;
    params[3] = task->completed ? "true" : "false";
    params[4] = te_time_format(p, task->completed_at);
    params[5] = te_db_from_int64(p, task->priority);
    params[6] = te_db_from_array(p, task->tags);
    params[7] = te_time_format(p, task->due_date);
    params[8] = task->time_zone;
    params[9] = task->recurring_interval;
    params[10] = task->series_id;
    params[11] = task->occurrence ? te_db_from_int64(p, task->occurrence)
                                  : NULL;
    params[12] = te_db_from_int64(p, task->version);
    params[13] = te_time_format(p, task->updated_at);
    params[14] = events[0]->topic;
    te_db_from_columns(p, columns, 3, params + 15);
    return te_db_run(db, TE_TASK_UPDATE, commit ? TE_TX_COMMIT : TE_TX_NONE,
                     params, &r);
}

te_db_err_e te_tasks_delete(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                            const te_outgoing_t *event)
{
    const char *params[5];
    PGresult *r;

    params[0] = te_db_from_int64(p, task->id);
    params[1] = event->topic;
    params[2] = event->id;
    params[3] = event->head;
    params[4] = event->tail;
    return te_db_run(db, TE_TASK_DELETE, TE_TX_COMMIT, params, &r);
}

te_db_err_e te_tasks_occurrences(te_db_t *db, apr_pool_t *p,
                                 const char *user_id, apr_int64_t id,
                                 apr_time_t not_before, int limit,
                                 apr_array_header_t **occurrences)
{
    const char *params[4];
    te_db_err_e err;
    PGresult *r;
    int row;

    params[0] = te_db_from_int64(p, id);
    params[1] = user_id;
    params[2] = te_time_format(p, not_before);
    params[3] = te_db_from_int64(p, limit);
    err = te_db_run(db, TE_TASK_OCCURRENCES, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *occurrences = apr_array_make(p, PQntuples(r) + 1,
                                  sizeof(te_occurrence_t));
    for (row = 0; row < PQntuples(r); ++row) {
        te_occurrence_t *o = apr_array_push(*occurrences);

        o->number = (int)te_db_int64(r, row, 0);
        o->due_date = te_db_time(r, row, 1);
    }
    return TE_DB_OK;
}

te_db_err_e te_series_lock(te_db_t *db, apr_pool_t *p, const char *series_id,
                           const char *user_id, int *last, int *ended)
{
    const char *params[2] = {series_id, user_id};
    te_db_err_e err;
    PGresult *r;

    (void)p;
    *last = 0;
    *ended = 0;
    err = te_db_run(db, TE_SERIES_LOCK, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK && PQntuples(r) > 0) {
        *last = (int)te_db_int64(r, 0, 2);
        *ended = PQgetvalue(r, 0, 3)[0] == 't';
    }
    return err;
}

te_db_err_e te_series_put(te_db_t *db, apr_pool_t *p, const te_task_t *task)
{
    const char *params[6];
    PGresult *r;

    params[0] = task->series_id;
    params[1] = task->user_id;
    params[2] = te_db_from_int64(p, task->occurrence);
    params[3] = te_time_format(p, task->due_date);
    params[4] = task->time_zone;
    params[5] = task->recurring_interval;
    return te_db_run(db, TE_SERIES_PUT, TE_TX_NONE, params, &r);
}

te_db_err_e te_series_end(te_db_t *db, apr_pool_t *p, const te_task_t *task,
                          apr_time_t now)
{
    const char *params[2];
    PGresult *r;

    params[0] = task->series_id;
    params[1] = te_time_format(p, now);
    return te_db_run(db, TE_SERIES_END, TE_TX_NONE, params, &r);
}

te_db_err_e te_tasks_create_next(te_db_t *db, apr_pool_t *p, apr_int64_t id,
                                 const te_task_t *from, apr_time_t not_before,
                                 const char *event_id, apr_time_t now,
                                 te_task_t **next)
{
    const char *params[11];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, id);
    params[1] = from->title;
    params[2] = from->description;
    params[3] = te_db_from_int64(p, from->priority);
    params[4] = te_db_from_array(p, from->tags);
    params[5] = te_time_format(p, from->due_date);
    params[6] = te_time_format(p, from->completed_at);
    params[7] = te_time_format(p, not_before);
    params[8] = from->series_id;
    params[9] = te_time_format(p, now);
    params[10] = event_id;
    err = te_db_run(db, TE_TASK_CREATE_NEXT, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *next = PQntuples(r) > 0 ? te_task_row(p, r, 0) : NULL;
    }
    return err;
}
