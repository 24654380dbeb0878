#include "recurrence.h"

#include <string.h>

int te_interval_valid(const char *name)
{
    return strcmp(name, "daily") == 0 || strcmp(name, "weekly") == 0
           || strcmp(name, "monthly") == 0;
}

te_next_e te_recurrence_decide(const te_task_t *completed,
                               const te_task_t *now, int last, int ended)
{
    if (completed->series_id == NULL || completed->occurrence < 1) {
        return TE_NEXT_NONE;
    }
    if (now != NULL && !now->completed) {
        return TE_NEXT_OPEN_AGAIN;
    }
    if (last == 0 || ended) {
        return TE_NEXT_SERIES_ENDED;
    }
    /* a number is used once, for ever: whatever became of its task */
    return completed->occurrence == last ? TE_NEXT_MAKE : TE_NEXT_NUMBER_USED;
}
