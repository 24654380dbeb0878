#include "recurrence.h"

#include <string.h>

int te_interval_valid(const char *name)
{
    return strcmp(name, "daily") == 0 || strcmp(name, "weekly") == 0
           || strcmp(name, "monthly") == 0;
}

te_next_e te_recurrence_decide(const te_task_t *completed,
                               const te_task_t *now,
                               const te_series_t *series)
{
    if (completed->series_id == NULL || completed->occurrence < 1) {
        return TE_NEXT_NONE;
    }
    if (now != NULL && !now->completed) {
        return TE_NEXT_OPEN_AGAIN;
    }
    if (series == NULL || series->ended) {
        return TE_NEXT_SERIES_ENDED;
    }
    /* a number is used once, for ever: whatever became of its task */
    return completed->occurrence == series->last ? TE_NEXT_MAKE
                                                 : TE_NEXT_NUMBER_USED;
}

te_series_change_e te_series_change(const te_task_t *before,
                                    const te_task_t *after)
{
    if (before->recurring_interval == NULL) {
        return after->recurring_interval ? TE_SERIES_START : TE_SERIES_SAME;
    }
    if (after->recurring_interval == NULL) {
        return TE_SERIES_STOP;
    }
    return before->due_date == after->due_date
                   && strcmp(before->time_zone, after->time_zone) == 0
                   && strcmp(before->recurring_interval,
                             after->recurring_interval) == 0
               ? TE_SERIES_SAME : TE_SERIES_ANCHOR;
}
