/* A reminder that was triggered notifies its user, once. */
#include <apr_strings.h>
#include <string.h>

#include "../base/json.h"
#include "../base/log.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "../store/notifications.h"
#include "reminder.h"

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

static int wants(const te_handling_t *h)
{
    (void)h;
    return 1;
}

/* A reminder without a row (forgotten, or lost with a database that was
 * restored) is what its event says it was. */
static te_reminder_t *as_told(const te_handling_t *h)
{
    te_reminder_t *reminder = apr_pcalloc(h->pool, sizeof *reminder);

    reminder->id = apr_pstrdup(h->pool, reminder_id(h->event));
    te_time_parse(te_json_get_string(h->event->data, "due_date"),
                  &reminder->due_date);
    reminder->due_since = h->task ? h->task->due_since : 0;
    reminder->state = TE_REMINDER_IS_TRIGGERED;
    return reminder;
}

/* The row decides, and the task as it is at this moment. */
static te_db_err_e apply(te_handling_t *h)
{
    te_reminder_t *reminder;
    const char *reason;
    te_db_err_e err = te_reminder_lock(h->db, h->pool, h->event->user_id,
                                       reminder_id(h->event), &reminder);
    int there = reminder != NULL;

    if (err != TE_DB_OK) {
        return err;
    }
    if (!there) {
        reminder = as_told(h);
    }
    if (reminder->state != TE_REMINDER_IS_TRIGGERED) {
        return TE_DB_OK;
    }
    reason = te_reminder_obsolete_by(reminder, h->task);
    if (reason == NULL) {
        h->notified = 1;
        return te_notifications_remind(h->db, h->pool, h->task->id,
                                       reminder->id, reminder->due_date);
    }
    te_log(TE_LOG_DEBUG, 0, "TE0701", "reminder %s was overtaken: %s",
           reminder->id, reason);
    return there ? te_reminder_call_off(h, reminder, reason) : TE_DB_OK;
}

const te_effect_t te_effect_notification = {wants, apply};
