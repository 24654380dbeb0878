#include "reminder.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "jobs.h"

#define COMPLETED "completed"
#define DELETED "deleted"
#define CLEARED "due_date_cleared"
#define MOVED "due_date_moved"

apr_time_t te_reminder_time(const te_settings_t *settings,
                            apr_time_t due_date, apr_time_t since)
{
    apr_time_t late = due_date - settings->reminder_late;

    if (due_date == TE_TIME_NONE) {
        return TE_TIME_NONE;
    }
    if (due_date - settings->reminder_lead > since) {
        return due_date - settings->reminder_lead;
    }
    return settings->reminder_late > 0 && late > since ? late : TE_TIME_NONE;
}

const char *te_reminder_obsolete(const te_reminder_t *reminder,
                                 int task_there, int completed,
                                 apr_time_t due_date, apr_time_t due_since)
{
    if (!task_there) {
        return DELETED;
    }
    if (completed) {
        return COMPLETED;
    }
    if (due_date == TE_TIME_NONE) {
        return CLEARED;
    }
    return due_date != reminder->due_date
                   || due_since != reminder->due_since ? MOVED : NULL;
}

const char *te_reminder_obsolete_by(const te_reminder_t *reminder,
                                    const te_task_t *task)
{
    return task == NULL
               ? DELETED
               : te_reminder_obsolete(reminder, 1, task->completed,
                                      task->due_date, task->due_since);
}

/* --- events ------------------------------------------------------------ */

/* @param data  taken over; members besides reminder_id */
static te_outgoing_t *reminder_event(const te_settings_t *settings,
                                     apr_pool_t *p, const char *type,
                                     const te_reminder_t *reminder,
                                     const char *cause_id,
                                     const char *correlation_id,
                                     const char *traceparent, json_t *data)
{
    json_t *all = json_pack("{s:s}", "reminder_id", reminder->id);
    te_event_t event;

    json_object_update(all, data);
    json_decref(data);
    memset(&event, 0, sizeof event);
    event.id = te_uuid_v5(p, cause_id, apr_pstrcat(p, type, " reminders/",
                                                   reminder->id, NULL));
    event.source = settings->source;
    event.type = type;
    event.topic = settings->topics[TE_TOPIC_REMINDERS];
    event.user_id = reminder->user_id;
    event.task_id = reminder->task_id;
    event.time = apr_time_now();
    event.origin = TE_ORIGIN_REMINDER;
    event.correlation_id = correlation_id;
    event.causation_id = cause_id;
    event.traceparent = te_traceparent(p, traceparent);
    event.data = all;
    return te_event_text(p, &event);
}

te_outgoing_t *te_reminder_end_event(const te_settings_t *settings,
                                     apr_pool_t *p, const te_due_t *due,
                                     const char *reason)
{
    const te_reminder_t *reminder = &due->reminder;
    json_t *data = reason
        ? json_pack("{s:s}", "reason", reason)
        : json_pack("{s:s,s:s}", "due_date",
                    te_time_format(p, reminder->due_date), "title",
                    due->title);

    return reminder_event(settings, p,
                          reason ? TE_REMINDER_CANCELLED
                                 : TE_REMINDER_TRIGGERED,
                          reminder, reminder->event_id,
                          reminder->correlation_id, reminder->traceparent,
                          data);
}

/* An event that the one at hand causes. */
static te_outgoing_t *follow(te_handling_t *h, const char *type,
                             const te_reminder_t *reminder, json_t *data)
{
    te_outgoing_t *event = reminder_event(
        h->settings, h->pool, type, reminder, h->event->id,
        h->event->correlation_id, h->event->traceparent, data);

    APR_ARRAY_PUSH(h->follow_ups, te_outgoing_t *) = event;
    return event;
}

/* --- task events ------------------------------------------------------- */

/* A due date that is set, cleared or moved and a task that is reopened are
 * named among the changes. */
static int update_concerns(const te_incoming_t *event)
{
    const json_t *changes = json_object_get(event->data, "changes");

    return !json_is_object(changes)
           || json_object_get(changes, "due_date") != NULL
           || json_object_get(changes, "completed") != NULL;
}

/* Whether the event can change a reminder at all: it told of a due date, of a
 * completion of a task with one, or of the end of the task. */
static int wants(const te_handling_t *h)
{
    return h->said == NULL
           || (strcmp(h->event->type, TE_TASK_UPDATED) == 0
                   ? update_concerns(h->event)
                   : h->said->due_date != TE_TIME_NONE);
}

/* The instant at which the due date's distance is judged: when it was set.
 * An event that speaks of the very task that is there has a say, too. */
static apr_time_t judged_at(const te_handling_t *h)
{
    const te_task_t *task = h->task;

    return h->said != NULL && h->said->version == task->version
                   && h->event->time != TE_TIME_NONE
                   && h->event->time < task->due_since
               ? h->event->time : task->due_since;
}

te_db_err_e te_reminder_call_off(te_handling_t *h, te_reminder_t *reminder,
                                 const char *reason)
{
    reminder->state = TE_REMINDER_IS_CANCELLED;
    follow(h, TE_REMINDER_CANCELLED, reminder,
           json_pack("{s:s}", "reason", reason));
    return te_reminder_cancel(h->db, reminder->id, reason);
}

static te_db_err_e schedule(te_handling_t *h, apr_time_t remind_at)
{
    const te_task_t *task = h->task;
    te_reminder_t reminder;

    memset(&reminder, 0, sizeof reminder);
    reminder.id = te_uuid_v5(h->pool, h->event->id,
                             apr_psprintf(h->pool, "reminder tasks/%"
                                          APR_INT64_T_FMT, task->id));
    reminder.task_id = task->id;
    reminder.user_id = task->user_id;
    reminder.due_date = task->due_date;
    reminder.due_since = task->due_since;
    reminder.remind_at = remind_at;
    reminder.correlation_id = h->event->correlation_id;
    reminder.traceparent = te_traceparent(h->pool, h->event->traceparent);
    reminder.event_id = follow(
        h, TE_REMINDER_SCHEDULED, &reminder,
        json_pack("{s:s,s:s}", "due_date",
                  te_time_format(h->pool, reminder.due_date), "remind_at",
                  te_time_format(h->pool, remind_at)))->id;
    return te_reminder_schedule(h->db, h->pool, &reminder,
                                h->settings->jobs ? TE_JOBS_A_MINUTE : 0);
}

/* Make the task's reminder what it must be now. */
static te_db_err_e apply(te_handling_t *h)
{
    const te_task_t *task = h->task;
    apr_array_header_t *reminders;
    apr_time_t remind_at = TE_TIME_NONE;
    te_db_err_e err = te_reminders_lock(h->db, h->pool, h->event->user_id,
                                        h->event->task_id,
                                        task ? task->due_since : TE_TIME_NONE,
                                        &reminders);
    int i;

    if (err == TE_DB_OK && task != NULL && !task->completed) {
        remind_at = te_reminder_time(h->settings, task->due_date,
                                     judged_at(h));
    }
    for (i = 0; err == TE_DB_OK && i < reminders->nelts; ++i) {
        te_reminder_t *reminder = APR_ARRAY_IDX(reminders, i,
                                                te_reminder_t *);
        const char *reason = te_reminder_obsolete_by(reminder, task);

        if (task != NULL && reminder->due_since == task->due_since) {
            remind_at = TE_TIME_NONE;   /* it has had its reminder */
        }
        if (reason != NULL && reminder->state == TE_REMINDER_IS_SCHEDULED) {
            err = te_reminder_call_off(h, reminder, reason);
        }
    }
    return err == TE_DB_OK && remind_at != TE_TIME_NONE
               ? schedule(h, remind_at) : err;
}

const te_effect_t te_effect_reminder = {wants, apply, NULL};
