#include "glance.h"

#include <string.h>

#include "db_internal.h"

static void read_retries(apr_pool_t *p, const PGresult *r,
                         te_glance_t *glance)
{
    int i;

    glance->retries = apr_array_make(p, PQntuples(r) + 1,
                                     sizeof(te_retry_t *));
    for (i = 0; i < PQntuples(r); ++i) {
        te_retry_t *retry = apr_pcalloc(p, sizeof *retry);

        retry->user_id = te_db_text(p, r, i, 0);
        retry->topic = te_db_text(p, r, i, 1);
        retry->sequence = te_db_int64(r, i, 2);
        retry->attempts = te_db_int64(r, i, 3);
        retry->next_at = te_db_time(r, i, 4);
        retry->error = te_db_text(p, r, i, 5);
        glance->retrying = te_db_int64(r, i, 6);
        APR_ARRAY_PUSH(glance->retries, te_retry_t *) = retry;
    }
}

static void read_groups(apr_pool_t *p, const PGresult *r, te_glance_t *glance)
{
    int i;

    glance->groups = apr_array_make(p, PQntuples(r) + 1,
                                    sizeof(te_letter_group_t *));
    for (i = 0; i < PQntuples(r); ++i) {
        te_letter_group_t *group = apr_pcalloc(p, sizeof *group);

        group->stage = te_db_text(p, r, i, 0);
        group->reason = te_db_text(p, r, i, 1);
        group->letters = te_db_int64(r, i, 2);
        group->last_failed_at = te_db_time(r, i, 3);
        APR_ARRAY_PUSH(glance->groups, te_letter_group_t *) = group;
    }
}

static void read_reminders(const PGresult *r, te_glance_t *glance)
{
    glance->reminders = te_db_int64(r, 0, 0);
    glance->reminders_due = te_db_int64(r, 0, 1);
    glance->reminders_soon = te_db_int64(r, 0, 2);
    glance->reminder_next = te_db_time(r, 0, 3);
    glance->reminder_oldest = te_db_time(r, 0, 4);
}

/* A schema that is too old may have none of the tables. */
te_db_err_e te_glance_read(te_db_t *db, apr_pool_t *p, int needed,
                           te_glance_t *glance)
{
    const char *retries[1], *groups[1];
    te_db_call_t calls[3];
    te_db_err_e err;
    PGresult *r;

    memset(glance, 0, sizeof *glance);
    err = te_db_run(db, TE_SERVER_VERSION, TE_TX_NONE, NULL, &r);
    if (err != TE_DB_OK) {
        return err;
    }
    glance->schema_version = (int)te_db_int64(r, 0, 0);
    glance->server = te_db_text(p, r, 0, 1);
    if (glance->schema_version < needed) {
        return TE_DB_OK;
    }
    memset(calls, 0, sizeof calls);
    retries[0] = te_db_from_int64(p, TE_GLANCE_MOST_RETRIES);
    groups[0] = te_db_from_int64(p, TE_GLANCE_MOST_GROUPS);
    calls[0].statement = TE_OUTBOX_RETRIES;
    calls[0].params = retries;
    calls[1].statement = TE_LETTER_GROUPS;
    calls[1].params = groups;
    calls[2].statement = TE_REMINDERS_GLANCE;
    err = te_db_run_all(db, TE_TX_NONE, calls, 3);
    if (err != TE_DB_OK) {
        return err;
    }
    read_retries(p, calls[0].result, glance);
    read_groups(p, calls[1].result, glance);
    read_reminders(calls[2].result, glance);
    err = te_inbox_dead_letter_counts(db, &glance->letters);
    if (err == TE_DB_OK) {
        err = te_outbox_measure(db, &glance->outbox);
    }
    glance->known = err == TE_DB_OK;
    return err;
}
