#include "reminder.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "../store/notifications.h"
#include "task.h"

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

/* --- events ------------------------------------------------------------ */

te_outgoing_t *te_reminder_event(const te_settings_t *settings,
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

    return te_reminder_event(settings, p,
                             reason ? TE_REMINDER_CANCELLED
                                    : TE_REMINDER_TRIGGERED,
                             reminder, reminder->event_id,
                             reminder->correlation_id, reminder->traceparent,
                             data);
}

/* An event that the one at hand causes. */
static void follow(te_reminding_t *r, const char *type,
                   const te_reminder_t *reminder, json_t *data)
{
    APR_ARRAY_PUSH(r->follow_ups, te_outgoing_t *) = te_reminder_event(
        r->settings, r->pool, type, reminder, r->event->id,
        r->event->correlation_id, r->event->traceparent, data);
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

int te_reminder_concerns(const te_incoming_t *event, const te_task_t *said)
{
    return said == NULL
           || (strcmp(event->type, TE_TASK_UPDATED) == 0
                   ? update_concerns(event) : said->due_date != TE_TIME_NONE);
}

/* The instant at which the due date's distance is judged: when it was set.
 * An event that speaks of the very task that is there has a say, too. */
static apr_time_t judged_at(const te_reminding_t *r)
{
    const te_task_t *now = r->now;

    return r->said != NULL && r->said->version == now->version
                   && r->event->time != TE_TIME_NONE
                   && r->event->time < now->due_since
               ? r->event->time : now->due_since;
}

static te_db_err_e cancel(te_reminding_t *r, const te_reminder_t *reminder,
                          const char *reason)
{
    follow(r, TE_REMINDER_CANCELLED, reminder,
           json_pack("{s:s}", "reason", reason));
    return te_reminder_cancel(r->db, reminder->id, reason);
}

static te_db_err_e schedule(te_reminding_t *r, apr_time_t remind_at)
{
    const te_task_t *now = r->now;
    te_reminder_t reminder;

    memset(&reminder, 0, sizeof reminder);
    reminder.id = te_uuid_v5(r->pool, r->event->id,
                             apr_psprintf(r->pool, "reminder tasks/%"
                                          APR_INT64_T_FMT, now->id));
    reminder.task_id = now->id;
    reminder.user_id = now->user_id;
    reminder.due_date = now->due_date;
    reminder.due_since = now->due_since;
    reminder.remind_at = remind_at;
    reminder.correlation_id = r->event->correlation_id;
    reminder.traceparent = te_traceparent(r->pool, r->event->traceparent);
    follow(r, TE_REMINDER_SCHEDULED, &reminder,
           json_pack("{s:s,s:s}", "due_date",
                     te_time_format(r->pool, reminder.due_date), "remind_at",
                     te_time_format(r->pool, remind_at)));
    reminder.event_id = APR_ARRAY_IDX(r->follow_ups,
                                      r->follow_ups->nelts - 1,
                                      te_outgoing_t *)->id;
    return te_reminder_schedule(r->db, r->pool, &reminder, r->settings->jobs);
}

te_db_err_e te_reminder_reconcile(te_reminding_t *r)
{
    const te_task_t *now = r->now;
    apr_array_header_t *reminders;
    apr_time_t remind_at = TE_TIME_NONE;
    te_db_err_e err = te_reminders_lock(r->db, r->pool, r->event->user_id,
                                        r->event->task_id,
                                        now ? now->due_since : TE_TIME_NONE,
                                        &reminders);
    int i;

    if (err == TE_DB_OK && now != NULL && !now->completed) {
        remind_at = te_reminder_time(r->settings, now->due_date,
                                     judged_at(r));
    }
    for (i = 0; err == TE_DB_OK && i < reminders->nelts; ++i) {
        const te_reminder_t *reminder = APR_ARRAY_IDX(reminders, i,
                                                      te_reminder_t *);
        const char *reason = te_reminder_obsolete(
            reminder, now != NULL, now && now->completed,
            now ? now->due_date : 0, now ? now->due_since : 0);

        if (now != NULL && reminder->due_since == now->due_since) {
            remind_at = TE_TIME_NONE;   /* it has had its reminder */
        }
        if (reason != NULL && reminder->state == TE_REMINDER_IS_SCHEDULED) {
            err = cancel(r, reminder, reason);
        }
    }
    return err == TE_DB_OK && remind_at != TE_TIME_NONE
               ? schedule(r, remind_at) : err;
}

/* --- reminder.triggered ------------------------------------------------ */

static const char *reminder_id(const te_incoming_t *event)
{
    return te_json_get_string(event->data, "reminder_id");
}

const char *te_reminder_check(const te_incoming_t *event)
{
    const char *id = reminder_id(event);
    const char *due = te_json_get_string(event->data, "due_date");
    apr_time_t due_date;

    if (id == NULL || !te_uuid_valid(id)) {
        return "data.reminder_id is no UUID";
    }
    return due == NULL || te_time_parse(due, &due_date) != NULL
               ? "data.due_date is no RFC 3339 time" : NULL;
}

/* The row decides. One that was forgotten, or lost with a database that was
 * restored, is taken to be what its event says it was. */
static te_reminder_t *as_told(te_reminding_t *r)
{
    te_reminder_t *reminder = apr_pcalloc(r->pool, sizeof *reminder);

    reminder->id = apr_pstrdup(r->pool, reminder_id(r->event));
    te_time_parse(te_json_get_string(r->event->data, "due_date"),
                  &reminder->due_date);
    reminder->due_since = r->now ? r->now->due_since : 0;
    reminder->state = TE_REMINDER_IS_TRIGGERED;
    return reminder;
}

te_db_err_e te_reminder_notify(te_reminding_t *r)
{
    const te_task_t *now = r->now;
    te_reminder_t *reminder;
    const char *reason;
    te_db_err_e err = te_reminder_lock(r->db, r->pool, r->event->user_id,
                                       reminder_id(r->event), &reminder);
    int there = reminder != NULL;

    if (err != TE_DB_OK) {
        return err;
    }
    if (!there) {
        reminder = as_told(r);
    }
    if (reminder->state != TE_REMINDER_IS_TRIGGERED) {
        return TE_DB_OK;
    }
    reason = te_reminder_obsolete(reminder, now != NULL,
                                  now && now->completed,
                                  now ? now->due_date : 0,
                                  now ? now->due_since : 0);
    if (reason == NULL) {
        return te_notifications_remind(r->db, r->pool, now->id, reminder->id,
                                       reminder->due_date);
    }
    te_log(TE_LOG_DEBUG, 0, "TE0701", "reminder %s was overtaken: %s",
           reminder->id, reason);
    return there ? cancel(r, reminder, reason) : TE_DB_OK;
}
