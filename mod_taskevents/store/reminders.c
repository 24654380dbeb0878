#include "reminders.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "../base/timefmt.h"
#include "db_internal.h"

static te_reminder_state_e state_of(const char *word)
{
    return strcmp(word, "scheduled") == 0   ? TE_REMINDER_IS_SCHEDULED
           : strcmp(word, "triggered") == 0 ? TE_REMINDER_IS_TRIGGERED
                                            : TE_REMINDER_IS_CANCELLED;
}

/* Columns as TE_REMINDER_COLUMNS names them. */
static void read_reminder(apr_pool_t *p, const PGresult *r, int row,
                          te_reminder_t *reminder)
{
    reminder->id = te_db_text(p, r, row, 0);
    reminder->task_id = te_db_int64(r, row, 1);
    reminder->user_id = te_db_text(p, r, row, 2);
    reminder->due_date = te_db_time(r, row, 3);
    reminder->due_since = te_db_time(r, row, 4);
    reminder->remind_at = te_db_time(r, row, 5);
    reminder->state = state_of(PQgetvalue(r, row, 6));
    reminder->event_id = te_db_text(p, r, row, 7);
    reminder->correlation_id = te_db_text(p, r, row, 8);
    reminder->traceparent = te_db_text(p, r, row, 9);
}

#define AFTER_REMINDER 10

static apr_array_header_t *read_reminders(apr_pool_t *p, const PGresult *r)
{
    apr_array_header_t *reminders =
        apr_array_make(p, PQntuples(r) + 1, sizeof(te_reminder_t *));
    int row;

    for (row = 0; row < PQntuples(r); ++row) {
        te_reminder_t *reminder = apr_pcalloc(p, sizeof *reminder);

        read_reminder(p, r, row, reminder);
        APR_ARRAY_PUSH(reminders, te_reminder_t *) = reminder;
    }
    return reminders;
}

te_db_err_e te_reminders_lock(te_db_t *db, apr_pool_t *p,
                              const char *user_id, apr_int64_t task_id,
                              apr_time_t due_since,
                              apr_array_header_t **reminders)
{
    const char *params[3];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_int64(p, task_id);
    params[1] = user_id;
    params[2] = te_time_format(p, due_since);
    err = te_db_run(db, TE_REMINDERS_LOCK, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *reminders = read_reminders(p, r);
    }
    return err;
}

te_db_err_e te_reminders_hold(te_db_t *db, apr_pool_t *p,
                              const apr_array_header_t *ids,
                              const apr_array_header_t *users,
                              apr_array_header_t **reminders)
{
    const char *params[2];
    te_db_err_e err;
    PGresult *r;

    params[0] = te_db_from_array(p, ids);
    params[1] = te_db_from_array(p, users);
    err = te_db_run(db, TE_REMINDERS_HOLD, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK) {
        *reminders = read_reminders(p, r);
    }
    return err;
}

te_db_err_e te_reminder_schedule(te_db_t *db, apr_pool_t *p,
                                 const te_reminder_t *reminder, int jobs)
{
    const char *params[10];
    PGresult *r;

    params[0] = reminder->id;
    params[1] = te_db_from_int64(p, reminder->task_id);
    params[2] = reminder->user_id;
    params[3] = te_time_format(p, reminder->due_date);
    params[4] = te_time_format(p, reminder->due_since);
    params[5] = te_time_format(p, reminder->remind_at);
    params[6] = reminder->event_id;
    params[7] = reminder->correlation_id;
    params[8] = reminder->traceparent;
    params[9] = te_db_from_int64(p, jobs);
    return te_db_run(db, TE_REMINDER_SCHEDULE, TE_TX_NONE, params, &r);
}

te_db_err_e te_reminder_cancel(te_db_t *db, const char *id,
                               const char *reason)
{
    const char *params[2] = {id, reason};
    PGresult *r;

    return te_db_run(db, TE_REMINDER_CANCEL, TE_TX_NONE, params, &r);
}

/* --- due --------------------------------------------------------------- */

static te_due_t *read_due(apr_pool_t *p, const PGresult *r, int row)
{
    te_due_t *due = apr_pcalloc(p, sizeof *due);
    int column = AFTER_REMINDER;

    read_reminder(p, r, row, &due->reminder);
    due->early = PQgetvalue(r, row, column++)[0] == 't';
    due->version = te_db_int64(r, row, column++);       /* NULL: 0 */
    due->title = te_db_text(p, r, row, column++);
    due->completed = PQgetvalue(r, row, column++)[0] == 't';
    due->task_due = te_db_time(r, row, column++);
    due->task_due_since = te_db_time(r, row, column);
    return due;
}

te_db_err_e te_reminders_due(te_db_t *db, apr_pool_t *p, int limit,
                             apr_array_header_t **due)
{
    const char *params[1];
    te_db_err_e err;
    PGresult *r;
    int row;

    params[0] = te_db_from_int64(p, limit);
    err = te_db_run(db, TE_REMINDERS_DUE, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *due = apr_array_make(p, PQntuples(r) + 1, sizeof(te_due_t *));
    for (row = 0; row < PQntuples(r); ++row) {
        APR_ARRAY_PUSH(*due, te_due_t *) = read_due(p, r, row);
    }
    return TE_DB_OK;
}

te_db_err_e te_reminders_overdue(te_db_t *db, apr_int64_t *n,
                                 double *oldest_seconds)
{
    PGresult *r;
    te_db_err_e err = te_db_run(db, TE_REMINDERS_OVERDUE, TE_TX_NONE, NULL,
                                &r);

    if (err == TE_DB_OK && PQntuples(r) > 0) {
        *n = te_db_int64(r, 0, 0);
        *oldest_seconds = strtod(PQgetvalue(r, 0, 1), NULL);
    }
    return err;
}

te_db_err_e te_reminder_find(te_db_t *db, apr_pool_t *p, const char *id,
                             te_due_t **due)
{
    const char *params[1] = {id};
    te_db_err_e err;
    PGresult *r;

    *due = NULL;
    err = te_db_run(db, TE_REMINDER_FIND, TE_TX_NONE, params, &r);
    if (err == TE_DB_OK && PQntuples(r) > 0) {
        *due = read_due(p, r, 0);
    }
    return err;
}

#define FIRE_COLUMNS 8

static void add_firing(apr_pool_t *p, const te_firing_t *firing,
                       apr_array_header_t **columns)
{
    const te_reminder_t *reminder = &firing->due->reminder;
    const char *values[FIRE_COLUMNS];
    int i;

    values[0] = reminder->id;
    values[1] = te_db_from_int64(p, reminder->task_id);
    values[2] = te_db_from_int64(p, firing->due->version);
    values[3] = firing->reason ? "cancelled" : "triggered";
    values[4] = firing->reason ? firing->reason : "";
    values[5] = firing->event->id;
    values[6] = firing->event->head;
    values[7] = firing->event->tail;
    for (i = 0; i < FIRE_COLUMNS; ++i) {
        APR_ARRAY_PUSH(columns[i], const char *) = values[i];
    }
}

te_db_err_e te_reminders_fire(te_db_t *db, apr_pool_t *p, const char *topic,
                              apr_array_header_t *firings)
{
    apr_array_header_t *columns[FIRE_COLUMNS];
    const char *params[1 + FIRE_COLUMNS];
    te_db_err_e err;
    PGresult *r;
    int i;

    for (i = 0; i < FIRE_COLUMNS; ++i) {
        columns[i] = apr_array_make(p, firings->nelts, sizeof(const char *));
    }
    for (i = 0; i < firings->nelts; ++i) {
        add_firing(p, &APR_ARRAY_IDX(firings, i, te_firing_t), columns);
    }
    params[0] = topic;
    for (i = 0; i < FIRE_COLUMNS; ++i) {
        params[1 + i] = te_db_from_array(p, columns[i]);
    }
    err = te_db_run(db, TE_REMINDERS_FIRE, TE_TX_NONE, params, &r);
    for (i = 0; err == TE_DB_OK && i < PQntuples(r); ++i) {
        te_firing_t *firing = &APR_ARRAY_IDX(
            firings, (int)te_db_int64(r, i, 0) - 1, te_firing_t);

        firing->done = 1;
        firing->late = te_db_int64(r, i, 1);
    }
    return err;
}

/* --- jobs -------------------------------------------------------------- */

te_db_err_e te_reminders_jobs(te_db_t *db, apr_pool_t *p, int limit,
                              apr_array_header_t **jobs)
{
    const char *params[1];
    te_db_err_e err;
    PGresult *r;
    int row;

    params[0] = te_db_from_int64(p, limit);
    err = te_db_run(db, TE_REMINDERS_JOBS, TE_TX_NONE, params, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    *jobs = apr_array_make(p, PQntuples(r) + 1, sizeof(te_job_t *));
    for (row = 0; row < PQntuples(r); ++row) {
        te_job_t *job = apr_pcalloc(p, sizeof *job);

        job->reminder_id = te_db_text(p, r, row, 0);
        job->task_id = te_db_int64(r, row, 1);
        job->remind_at = te_db_time(r, row, 2);
        job->unwanted = PQgetvalue(r, row, 3)[0] == 't';
        job->attempts = (int)te_db_int64(r, row, 4);
        APR_ARRAY_PUSH(*jobs, te_job_t *) = job;
    }
    return TE_DB_OK;
}

te_db_err_e te_reminders_jobs_tried(te_db_t *db, apr_pool_t *p,
                                    const apr_array_header_t *jobs)
{
    apr_array_header_t *columns[3];
    const char *params[3];
    PGresult *r;
    int i;

    for (i = 0; i < 3; ++i) {
        columns[i] = apr_array_make(p, jobs->nelts, sizeof(const char *));
    }
    for (i = 0; i < jobs->nelts; ++i) {
        const te_job_t *job = APR_ARRAY_IDX(jobs, i, const te_job_t *);

        APR_ARRAY_PUSH(columns[0], const char *) = job->reminder_id;
        APR_ARRAY_PUSH(columns[1], const char *) =
            job->unwanted ? "unwanted" : "wanted";
        APR_ARRAY_PUSH(columns[2], const char *) =
            job->done ? "-1" : te_db_from_int64(p, apr_time_as_msec(job->wait));
    }
    for (i = 0; i < 3; ++i) {
        params[i] = te_db_from_array(p, columns[i]);
    }
    return te_db_run(db, TE_REMINDERS_JOBS_TRIED, TE_TX_NONE, params, &r);
}
