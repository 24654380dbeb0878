/* The threads of a process that create tasks, and the one among them that
 * writes for all.
 *
 * A member waits in the queue, is taken into a batch, or is made the leader of
 * the next batch; its semaphore tells it of either. It lives on the stack of
 * its thread, which therefore may leave while it is in the queue (under the
 * mutex), and not once it was taken. That is why a leader takes members only
 * when it has a connection: from then on all it does ends by a deadline.
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
#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "../base/log.h"
#include "task_row.h"

#define MOST_TOGETHER (TE_DB_MOST_CALLS - 1)
#define MOST_UNDER_WAY 8
#define BATCH_BUDGET apr_time_from_sec(2)
#define NEXT_PATIENCE apr_time_from_msec(2)
#define QUEUE_PATIENCE apr_time_from_msec(200)
#define LOCK_PATIENCE "100"             /* ms */
#define SLOW_USERS 16
#define SLOW_FOR apr_time_from_sec(10)

typedef enum {
    IN_QUEUE,
    LEADS,
    TAKEN
} state_e;

typedef struct member_t {
    struct member_t *next;
    const char *user_id;
    te_db_call_t call;
    apr_time_t deadline;
    state_e state;                      /* under the mutex */
    te_db_err_e err;
    sem_t turn;                         /* posted once it is not IN_QUEUE and
                                         * its thread has to do something */
} member_t;

struct te_group_t {
    te_db_pool_t *db;
    apr_thread_mutex_t *mutex;          /* all below */
    member_t *first, **last;            /* the queue */
    int under_way;                      /* batches that somebody leads */
    struct {
        apr_uint64_t user;              /* a hash will do: who is taken for
                                         * another one writes by himself */
        apr_time_t until;
    } slow[SLOW_USERS];
    unsigned int slow_next;
};

apr_status_t te_group_create(te_group_t **out, te_db_pool_t *db,
                             apr_pool_t *p)
{
    te_group_t *g = apr_pcalloc(p, sizeof *g);

    g->db = db;
    g->last = &g->first;
    *out = g;
    return apr_thread_mutex_create(&g->mutex, APR_THREAD_MUTEX_DEFAULT, p);
}

/* --- who is slow ------------------------------------------------------- */

static apr_uint64_t hash(const char *text)      /* FNV-1a */
{
    apr_uint64_t h = APR_UINT64_C(14695981039346656037);

    for (; *text; ++text) {
        h = (h ^ (unsigned char)*text) * APR_UINT64_C(1099511628211);
    }
    return h;
}

static int is_slow(const te_group_t *g, const char *user_id)
{
    apr_uint64_t user = hash(user_id);
    apr_time_t now = apr_time_now();
    int i;

    for (i = 0; i < SLOW_USERS; ++i) {
        if (g->slow[i].user == user && g->slow[i].until > now) {
            return 1;
        }
    }
    return 0;
}

static void note_slow(te_group_t *g, const char *user_id)
{
    unsigned int i = g->slow_next++ % SLOW_USERS;

    g->slow[i].user = hash(user_id);
    g->slow[i].until = apr_time_now() + SLOW_FOR;
}

/* --- the queue --------------------------------------------------------- */

static void append(te_group_t *g, member_t *m)
{
    *g->last = m;
    g->last = &m->next;
}

static member_t *take_first(te_group_t *g)
{
    member_t *m = g->first;

    if (m != NULL) {
        g->first = m->next;
        if (g->first == NULL) {
            g->last = &g->first;
        }
    }
    return m;
}

static void leave(te_group_t *g, member_t *m)
{
    member_t **at = &g->first;

    while (*at != m) {
        at = &(*at)->next;
    }
    *at = m->next;
    if (m->next == NULL) {
        g->last = at;
    }
}

/* --- a batch ----------------------------------------------------------- */

typedef struct {
    member_t *members[MOST_TOGETHER];   /* by user id, else as they came */
    int n;
} batch_t;

static void join(batch_t *batch, member_t *m)
{
    int i = batch->n++;

    for (; i > 0 && strcmp(batch->members[i - 1]->user_id, m->user_id) > 0;
         --i) {
        batch->members[i] = batch->members[i - 1];
    }
    batch->members[i] = m;
}

/* A leader who has not the whole time of a batch left takes nobody along. */
static void fill(te_group_t *g, batch_t *batch, apr_interval_time_t left)
{
    member_t *m;

    if (left < BATCH_BUDGET) {
        return;
    }
    apr_thread_mutex_lock(g->mutex);
    while (batch->n < MOST_TOGETHER && (m = take_first(g)) != NULL) {
        m->state = TAKEN;
        join(batch, m);
    }
    apr_thread_mutex_unlock(g->mutex);
}

static te_db_err_e write_batch(te_group_t *g, te_db_t *db,
                               const batch_t *batch)
{
    static const char *const patience[] = {LOCK_PATIENCE};
    te_db_call_t calls[1 + MOST_TOGETHER] = {{TE_LOCK_PATIENCE, patience,
                                              NULL}};
    te_db_err_e err;
    int i;

    for (i = 0; i < batch->n; ++i) {
        calls[1 + i] = batch->members[i]->call;
    }
    err = te_db_run_all(db, TE_TX_NONE, calls, 1 + batch->n);
    if (err == TE_DB_OK) {
        return err;
    }
    te_log(TE_LOG_INFO, 0, "TE0203", "%d new tasks were not written together "
           "('%s': %s): each is tried by itself", batch->n,
           te_db_err_name(err), te_db_error(db));
    if (err == TE_DB_BUSY && te_db_refused(db) > 0) {
        apr_thread_mutex_lock(g->mutex);
        note_slow(g, batch->members[te_db_refused(db) - 1]->user_id);
        apr_thread_mutex_unlock(g->mutex);
    }
    return err == TE_DB_LOST ? TE_DB_LOST : TE_DB_AGAIN;
}

/* The first in the queue leads the next batch, unless another one that is on
 * its way will see to that. */
static void hand_over(te_group_t *g)
{
    member_t *m;

    apr_thread_mutex_lock(g->mutex);
    m = g->under_way == 1 ? take_first(g) : NULL;
    if (m != NULL) {
        m->state = LEADS;
    }
    else {
        --g->under_way;
    }
    apr_thread_mutex_unlock(g->mutex);
    if (m != NULL) {
        sem_post(&m->turn);
    }
}

static te_db_err_e lead(te_group_t *g, member_t *me)
{
    batch_t batch;
    te_db_err_e err;
    te_db_t *db;
    int i;

    batch.n = 0;
    join(&batch, me);
    err = te_db_acquire(g->db, &db, BATCH_BUDGET);
    if (err == TE_DB_OK) {
        apr_interval_time_t left = me->deadline - apr_time_now();

        te_db_renew(db, left < BATCH_BUDGET ? left : BATCH_BUDGET);
        err = TE_DB_AGAIN;
        if (te_db_stock_task_ids(g->db, db) == TE_DB_OK) {
            fill(g, &batch, left);
            err = write_batch(g, db, &batch);
        }
        te_db_release(db);
    }
    hand_over(g);
    for (i = 0; i < batch.n; ++i) {
        member_t *m = batch.members[i];

        if (m != me) {
            m->err = err;
            sem_post(&m->turn);         /* and it may be gone */
        }
    }
    return err;
}

/* --- a member ---------------------------------------------------------- */

static void start_leading(te_group_t *g, member_t *me)
{
    me->state = LEADS;
    ++g->under_way;
}

/* @return 1: it was this one's turn; 0: the time is over */
static int wait_turn(member_t *me, apr_time_t until)
{
    struct timespec ts;

    ts.tv_sec = apr_time_sec(until);
    ts.tv_nsec = (long)apr_time_usec(until) * 1000;
    while (sem_timedwait(&me->turn, &ts) != 0) {
        if (errno != EINTR) {
            return 0;
        }
    }
    return 1;
}

/* Out of the queue, if it is still in there: to lead a batch of its own, or
 * for good. @return whether it was */
static int step_out(te_group_t *g, member_t *me, int to_lead)
{
    int out;

    apr_thread_mutex_lock(g->mutex);
    out = me->state == IN_QUEUE
          && (!to_lead || g->under_way < MOST_UNDER_WAY);
    if (out) {
        leave(g, me);
        if (to_lead) {
            start_leading(g, me);
        }
    }
    apr_thread_mutex_unlock(g->mutex);
    return out;
}

/* A batch that takes long (the disk is slow, the machine is busy, somebody
 * has a lock) is not waited for: commits that wait side by side share a flush.
 * @return 0: nothing came of it in time, and nothing will */
static int wait_in_queue(te_group_t *g, member_t *me)
{
    apr_time_t now = apr_time_now(), last = now + QUEUE_PATIENCE;

    if (wait_turn(me, now + NEXT_PATIENCE) || step_out(g, me, 1)
        || wait_turn(me, last < me->deadline ? last : me->deadline)) {
        return 1;
    }
    if (step_out(g, me, 0)) {
        return 0;
    }
    while (sem_wait(&me->turn) != 0) {
        /* a signal; who took it ends by its deadline */
    }
    return 1;
}

static te_db_err_e take_part(te_group_t *g, member_t *me)
{
    int refused, leads;

    apr_thread_mutex_lock(g->mutex);
    refused = is_slow(g, me->user_id);
    leads = !refused && !g->under_way;
    if (leads) {
        start_leading(g, me);
    }
    else if (!refused) {
        append(g, me);
    }
    apr_thread_mutex_unlock(g->mutex);
    if (refused || (!leads && !wait_in_queue(g, me))) {
        return TE_DB_AGAIN;
    }
    return me->state == LEADS ? lead(g, me) : me->err;
}

te_db_err_e te_group_write(te_group_t *g, apr_pool_t *p,
                           const te_task_t *task, const te_outgoing_t *event,
                           apr_time_t deadline)
{
    const char *params[TE_TASK_CREATE_PARAMS];
    te_db_err_e err;
    member_t me;

    memset(&me, 0, sizeof me);
    me.user_id = task->user_id;
    me.deadline = deadline;
    me.call.statement = te_task_create_call(p, task, event, params);
    me.call.params = params;
    sem_init(&me.turn, 0, 0);
    err = take_part(g, &me);
    sem_destroy(&me.turn);
    return err;
}
