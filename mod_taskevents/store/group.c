/* A member waits in the queue, is taken into a batch, or is made the leader of
 * the next batch; its semaphore tells it of either. It lives on the stack of
 * its thread, which therefore may leave while it is in the queue (under the
 * mutex), and not once it was taken. That is why a leader takes members only
 * when it has a connection: from then on all it does ends by a deadline. */
#include "group.h"

#include <apr_thread_mutex.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>

#define MOST_UNDER_WAY 8
#define BATCH_BUDGET apr_time_from_sec(2)
#define LEAST_PATIENCE apr_time_from_msec(2)
#define MOST_PATIENCE apr_time_from_msec(20)
#define QUEUE_PATIENCE apr_time_from_msec(200)
#define USUAL_OF 8              /* batches count for what one takes */

typedef enum {
    IN_QUEUE,
    LEADS,
    TAKEN
} state_e;

typedef struct member_t {
    struct member_t *next;
    void *item;
    apr_time_t deadline;
    state_e state;                      /* under the mutex */
    te_db_err_e err;
    sem_t turn;                         /* posted once it is not IN_QUEUE and
                                         * its thread has to do something */
} member_t;

struct te_group_t {
    te_db_pool_t *db;
    te_group_fn *run;
    void *context;
    apr_thread_mutex_t *mutex;          /* all below */
    member_t *first, **last;            /* the queue */
    int under_way;                      /* batches that somebody leads */
    apr_interval_time_t usual;          /* what one takes */
};

apr_status_t te_group_create(te_group_t **out, te_db_pool_t *db,
                             te_group_fn *run, void *context, apr_pool_t *p)
{
    te_group_t *g = apr_pcalloc(p, sizeof *g);

    g->db = db;
    g->run = run;
    g->context = context;
    g->last = &g->first;
    *out = g;
    return apr_thread_mutex_create(&g->mutex, APR_THREAD_MUTEX_DEFAULT, p);
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

/* A leader who has not the whole time of a batch left takes nobody along.
 * @return how many they are */
static int fill(te_group_t *g, member_t *me, member_t **members,
                apr_interval_time_t left)
{
    member_t *m;
    int n = 0;

    members[n++] = me;
    if (left < BATCH_BUDGET) {
        return n;
    }
    apr_thread_mutex_lock(g->mutex);
    while (n < TE_GROUP_MOST && (m = take_first(g)) != NULL) {
        m->state = TAKEN;
        members[n++] = m;
    }
    apr_thread_mutex_unlock(g->mutex);
    return n;
}

static te_db_err_e run(te_group_t *g, te_db_t *db, member_t *const *members,
                       int n)
{
    void *items[TE_GROUP_MOST];
    int i;

    for (i = 0; i < n; ++i) {
        items[i] = members[i]->item;
    }
    return g->run(db, g->context, items, n);
}

/* The first in the queue leads the next batch, unless another one that is on
 * its way will see to that. */
static void hand_over(te_group_t *g, apr_interval_time_t took)
{
    member_t *m;

    took = took < MOST_PATIENCE ? took : MOST_PATIENCE;
    apr_thread_mutex_lock(g->mutex);
    g->usual += (took - g->usual) / USUAL_OF;
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
    member_t *members[TE_GROUP_MOST];
    apr_time_t began = apr_time_now();
    te_db_err_e err;
    te_db_t *db;
    int i, n = 1;

    err = te_db_acquire(g->db, &db, BATCH_BUDGET);
    if (err == TE_DB_OK) {
        apr_interval_time_t left = me->deadline - apr_time_now();

        te_db_renew(db, left < BATCH_BUDGET ? left : BATCH_BUDGET);
        n = fill(g, me, members, left);
        err = run(g, db, members, n);
        te_db_release(db);
    }
    hand_over(g, apr_time_now() - began);
    for (i = 1; i < n; ++i) {
        members[i]->err = err;
        sem_post(&members[i]->turn);    /* and it may be gone */
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

/* A batch that takes longer than usual (somebody has a lock, a packet was
 * lost) is not waited for.
 * @return 0: nothing came of it in time, and nothing will */
static int wait_in_queue(te_group_t *g, member_t *me,
                         apr_interval_time_t patience)
{
    apr_time_t now = apr_time_now(), last = now + QUEUE_PATIENCE;

    if (wait_turn(me, now + patience) || step_out(g, me, 1)
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
    apr_interval_time_t patience;
    int leads;

    apr_thread_mutex_lock(g->mutex);
    leads = !g->under_way;
    if (leads) {
        start_leading(g, me);
    }
    else {
        append(g, me);
    }
    patience = 2 * g->usual;
    apr_thread_mutex_unlock(g->mutex);
    patience = patience > LEAST_PATIENCE ? patience : LEAST_PATIENCE;
    patience = patience < MOST_PATIENCE ? patience : MOST_PATIENCE;
    if (!leads && !wait_in_queue(g, me, patience)) {
        return TE_DB_AGAIN;
    }
    return me->state == LEADS ? lead(g, me) : me->err;
}

te_db_err_e te_group_run(te_group_t *g, void *item, apr_time_t deadline)
{
    te_db_err_e err;
    member_t me;

    memset(&me, 0, sizeof me);
    me.item = item;
    me.deadline = deadline;
    sem_init(&me.turn, 0, 0);
    err = take_part(g, &me);
    sem_destroy(&me.turn);
    return err;
}
