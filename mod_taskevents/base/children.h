/* What each child of an httpd tells about itself, read from the memory that
 * they share: any child knows it of all of them. */
#ifndef TE_BASE_CHILDREN_H
#define TE_BASE_CHILDREN_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <sys/types.h>

/* Threads of a child, beside those that serve requests. */
typedef enum {
    TE_THREAD_PUBLISHER,
    TE_THREAD_CHORES,
    TE_THREAD_OUTSIDE,          /* chores that call others */
    TE_THREAD_COUNT
} te_thread_e;

/* Their names, as in the label `thread`: "publisher" and so on. */
const char *te_thread_name(te_thread_e thread);

/* Say that this child's thread goes on, a second at most after the last time
 * unless something holds it up; or that it has ended as it should. */
void te_thread_beat(te_thread_e thread);
void te_thread_ended(te_thread_e thread);

/* Whether a thread whose last sign of life that was is thought to be stuck:
 * 30 s is more than any slow statement or answer takes. 0 when there is no
 * such thread. */
int te_thread_is_late(apr_time_t beat, apr_time_t now);

/* Say of a chore, by its name, that its turn went well: it was done, or left
 * to another child that is at it. */
void te_chore_beat(const char *chore);

/* Names of the chores that are told: "forget" and so on. */
const char *const *te_chore_names(int *n);

#define TE_CHORES_MAX 8

/* A child as it was at that moment. */
typedef struct te_child_t {
    int number;                         /* the label `child` */
    pid_t pid;
    apr_time_t since;                   /* when it began */
    int breaker;                        /* of its publisher: 0 closed, 1
                                         * half-open (it probes), 2 open */
    int shards;                         /* of the outbox that it holds now */
    apr_time_t beats[TE_THREAD_COUNT];  /* last signs of life; 0: no such
                                         * thread, or it has ended */
    apr_time_t chores[TE_CHORES_MAX];   /* by te_chore_names; 0: never yet */
    int connections_used;               /* of its pool, borrowed now */
    int connections_idle;               /* open and not borrowed */
    int connections_max;                /* that it may have */
    int waiting;                        /* threads that wait for one */
} te_child_t;

/* "closed", "half-open" or "open". */
const char *te_child_breaker(int breaker);

/* Those that run, by number: te_child_t in p. What happened in all of them is
 * read by te_metric_total and te_metric_histogram: how many times somebody
 * waited for a connection, and how long (TE_METRIC_POOL_WAIT), how many times
 * in vain (TE_METRIC_POOL_TIMEOUTS). */
apr_array_header_t *te_children(apr_pool_t *p);

#endif
