/* The threads of a process that create tasks, and the one among them that
 * writes for all.
 *
 * No deadlock. A batch is the one transaction that locks rows of more than
 * one user, and the only rows of theirs that others lock too are the counters
 * of their streams. Every batch of every process takes these in the order of
 * the bytes of the user ids, so batches cannot wait for each other in a ring.
 * All other transactions are of one user; one that holds a counter and waits
 * for anything waits for that user's other rows, none of which a batch has:
 * its tasks and series are new. (A task that is written once more, after its
 * batch was lost, waits for that batch and holds nothing.) */
#include "group_commit.h"

#include <apr_thread_mutex.h>
#include <string.h>

#include "../base/log.h"
#include "group.h"
#include "task_row.h"

#define LOCK_PATIENCE "100"             /* ms */
#define SLOW_USERS 16
#define SLOW_FOR apr_time_from_sec(10)

typedef struct {
    apr_pool_t *pool;
    const char *user_id;
    te_statement_e create;
    const char *params[TE_TASK_CREATE_PARAMS];
} new_task_t;

struct te_group_commit_t {
    te_db_pool_t *db;
    te_group_t *group;
    apr_thread_mutex_t *mutex;          /* all below */
    struct {
        apr_uint64_t user;              /* a hash will do: who is taken for
                                         * another one writes by himself */
        apr_time_t until;
    } slow[SLOW_USERS];
    unsigned int slow_next;
};

/* --- who is slow ------------------------------------------------------- */

static apr_uint64_t hash(const char *text)      /* FNV-1a */
{
    apr_uint64_t h = APR_UINT64_C(14695981039346656037);

    for (; *text; ++text) {
        h = (h ^ (unsigned char)*text) * APR_UINT64_C(1099511628211);
    }
    return h;
}

static int is_slow(te_group_commit_t *g, const char *user_id)
{
    apr_uint64_t user = hash(user_id);
    apr_time_t now = apr_time_now();
    int i, found = 0;

    apr_thread_mutex_lock(g->mutex);
    for (i = 0; i < SLOW_USERS; ++i) {
        found |= g->slow[i].user == user && g->slow[i].until > now;
    }
    apr_thread_mutex_unlock(g->mutex);
    return found;
}

static void note_slow(te_group_commit_t *g, const char *user_id)
{
    unsigned int i;

    apr_thread_mutex_lock(g->mutex);
    i = g->slow_next++ % SLOW_USERS;
    g->slow[i].user = hash(user_id);
    g->slow[i].until = apr_time_now() + SLOW_FOR;
    apr_thread_mutex_unlock(g->mutex);
}

/* --- a batch ----------------------------------------------------------- */

/* By user id, else as they came. */
static void sort(new_task_t **sorted, void *const *items, int n)
{
    int i, at;

    for (i = 0; i < n; ++i) {
        new_task_t *task = items[i];

        for (at = i; at > 0
             && strcmp(sorted[at - 1]->user_id, task->user_id) > 0; --at) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = task;
    }
}

static const char *const patience[] = {LOCK_PATIENCE};

/* One statement for all. */
static te_db_err_e write_rows(te_db_t *db, apr_pool_t *p,
                              new_task_t *const *tasks, int n)
{
    apr_array_header_t *columns[TE_TASK_CREATE_PARAMS];
    const char *params[TE_TASK_CREATE_PARAMS];
    te_db_call_t calls[] = {{TE_LOCK_PATIENCE, patience, NULL},
                            {TE_TASKS_CREATE, params, NULL}};
    int row, i;

    te_db_columns(p, columns, TE_TASK_CREATE_PARAMS, n);
    for (row = 0; row < n; ++row) {
        for (i = 0; i < TE_TASK_CREATE_PARAMS; ++i) {
            APR_ARRAY_PUSH(columns[i], const char *) = tasks[row]->params[i];
        }
    }
    te_db_from_columns(p, columns, TE_TASK_CREATE_PARAMS, params);
    return te_db_run_all(db, TE_TX_NONE, calls, 2);
}

/* A statement for each, which tells whose it was that failed. */
static te_db_err_e write_each(te_group_commit_t *g, te_db_t *db,
                              new_task_t *const *tasks, int n)
{
    te_db_call_t calls[1 + TE_GROUP_MOST] = {{TE_LOCK_PATIENCE, patience,
                                              NULL}};
    te_db_err_e err;
    int i;

    for (i = 0; i < n; ++i) {
        calls[1 + i].statement = tasks[i]->create;
        calls[1 + i].params = tasks[i]->params;
    }
    err = te_db_run_all(db, TE_TX_NONE, calls, 1 + n);
    if (err == TE_DB_BUSY && te_db_refused(db) > 0) {
        note_slow(g, tasks[te_db_refused(db) - 1]->user_id);
    }
    return err;
}

static te_db_err_e write_batch(te_db_t *db, void *context, void **items,
                               int n)
{
    apr_pool_t *leader = ((new_task_t *)items[0])->pool;
    new_task_t *tasks[TE_GROUP_MOST];
    te_group_commit_t *g = context;
    te_db_err_e err = TE_DB_BUSY;

    if (te_db_stock_task_ids(g->db, db) != TE_DB_OK) {
        return TE_DB_AGAIN;
    }
    sort(tasks, items, n);
    if (n > 1) {
        err = write_rows(db, leader, tasks, n);
    }
    if (err == TE_DB_BUSY) {
        err = write_each(g, db, tasks, n);
    }
    if (err == TE_DB_OK) {
        return err;
    }
    te_log(TE_LOG_INFO, 0, "TE0203", "%d new tasks were not written together "
           "('%s': %s): each is tried by itself", n, te_db_err_name(err),
           te_db_error(db));
    return err == TE_DB_LOST ? TE_DB_LOST : TE_DB_AGAIN;
}

apr_status_t te_group_commit_create(te_group_commit_t **out, te_db_pool_t *db,
                                    apr_pool_t *p)
{
    te_group_commit_t *g = apr_pcalloc(p, sizeof *g);
    apr_status_t rv;

    g->db = db;
    *out = g;
    rv = te_group_create(&g->group, db, write_batch, g, p);
    return rv != APR_SUCCESS
               ? rv : apr_thread_mutex_create(&g->mutex,
                                              APR_THREAD_MUTEX_DEFAULT, p);
}

te_db_err_e te_group_write(te_group_commit_t *g, apr_pool_t *p,
                           const te_task_t *task, const te_outgoing_t *event,
                           apr_time_t deadline)
{
    new_task_t item;

    if (is_slow(g, task->user_id)) {
        return TE_DB_AGAIN;
    }
    item.pool = p;
    item.user_id = task->user_id;
    item.create = te_task_create_call(p, task, event, item.params);
    return te_group_run(g->group, &item, deadline);
}
