/* Completing a recurring task makes the next one. */
#include <apr_strings.h>
#include <string.h>

#include "../base/log.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "effect.h"
#include "recurrence.h"

/* Its id comes from its cause, so that one cause never makes two. */
static te_outgoing_t *created_event(te_handling_t *h, const te_task_t *next,
                                    const char *id)
{
    te_event_t event;

    memset(&event, 0, sizeof event);
    event.id = id;
    event.source = h->settings->source;
    event.type = TE_TASK_CREATED;
    event.topic = h->settings->topics[TE_TOPIC_TASKS];
    event.user_id = next->user_id;
    event.task_id = next->id;
    event.time = next->created_at;
    event.origin = TE_ORIGIN_RECURRENCE;
    event.correlation_id = h->event->correlation_id;
    event.causation_id = h->event->id;
    event.traceparent = te_traceparent(h->pool, h->event->traceparent);
    event.task = next;
    return te_event_text(h->pool, &event);
}

/* The completed task's fields as they are now; gone: as they were. A task
 * completed without saying when was completed at the event's time. */
static te_task_t *completed_task(te_handling_t *h)
{
    te_task_t *from = apr_pmemdup(h->pool, h->task ? h->task : h->said,
                                  sizeof *from);

    if (from->completed_at == TE_TIME_NONE) {
        from->completed_at = h->event->time != TE_TIME_NONE ? h->event->time
                                                            : apr_time_now();
    }
    from->series_id = h->said->series_id;
    return from;
}

static te_db_err_e insert_next(te_handling_t *h)
{
    te_task_t *from = completed_task(h), *next;
    apr_time_t now = apr_time_now();
    const char *event_id;
    apr_int64_t id;
    te_db_err_e err = te_db_next_task_id(h->ids, h->db, &id);

    if (err != TE_DB_OK) {
        return err;
    }
    event_id = te_uuid_v5(h->pool, h->event->id,
                          apr_psprintf(h->pool, "%s series/%s/%d",
                                       TE_TASK_CREATED, from->series_id,
                                       h->said->occurrence + 1));
    err = te_tasks_create_next(h->db, h->pool, id, from,
                               h->settings->catch_up_skip ? now
                                                          : TE_TIME_NONE,
                               event_id, now, &next);
    if (err == TE_DB_OK && next != NULL) {
        /* the next event of this transaction sees the number as used */
        h->series->last = next->occurrence;
        APR_ARRAY_PUSH(h->follow_ups, te_outgoing_t *) =
            created_event(h, next, event_id);
    }
    else if (err == TE_DB_OK) {
        te_log(TE_LOG_INFO, 0, "TE0410", "event %s: the series has no later "
               "due date before the year 10000", h->event->id);
    }
    return err;
}

/* What an event itself made cannot start another round. */
static int wants(const te_handling_t *h)
{
    return strcmp(h->event->origin, TE_ORIGIN_USER) == 0
           && h->said->series_id != NULL;
}

static te_db_err_e apply(te_handling_t *h)
{
    te_next_e next = te_recurrence_decide(h->said, h->task, h->series);

    if (h->task == NULL && h->series == NULL) {
        te_log(TE_LOG_INFO, 0, "TE0412", "event %s: there is no such task "
               "and no such series", h->event->id);
    }
    te_log(TE_LOG_DEBUG, 0, "TE0411", "event %s: next occurrence: %d",
           h->event->id, next);
    return next == TE_NEXT_MAKE ? insert_next(h) : TE_DB_OK;
}

const te_effect_t te_effect_occurrence = {wants, apply, NULL};
