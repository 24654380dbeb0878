/* Recurring tasks: which completions make a next task. When it is due is
 * PostgreSQL's arithmetic (taskevents.next_due), for it has the zones. */
#ifndef TE_CORE_RECURRENCE_H
#define TE_CORE_RECURRENCE_H

#include "../store/tasks.h"

/* @return 1 for "daily", "weekly" and "monthly" */
int te_interval_valid(const char *name);

typedef enum {
    TE_NEXT_MAKE,               /* the next task is to be made */
    TE_NEXT_NONE,               /* the task is in no series */
    TE_NEXT_OPEN_AGAIN,         /* it was reopened since */
    TE_NEXT_SERIES_ENDED,       /* no more, or no such series */
    TE_NEXT_NUMBER_USED         /* this completion made one before */
} te_next_e;

/* Whether a completion makes the next task of its series.
 * @param completed  the task as the event has it
 * @param now        the task as it is, locked; NULL: deleted since
 * @param series     its series, locked; NULL: no such series */
te_next_e te_recurrence_decide(const te_task_t *completed,
                               const te_task_t *now,
                               const te_series_t *series);

/* What changing a task does to its series. */
typedef enum {
    TE_SERIES_SAME,
    TE_SERIES_START,            /* it recurs from now on */
    TE_SERIES_ANCHOR,           /* due date, zone or interval moved */
    TE_SERIES_STOP              /* it does not recur any more */
} te_series_change_e;

te_series_change_e te_series_change(const te_task_t *before,
                                    const te_task_t *after);

#endif
