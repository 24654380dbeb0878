/* A reminder that was triggered notifies its user, once. Very many may come in
 * one minute: a batch of them is two statements. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

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

/* Those of the events that there are, locked. reminders: te_reminder_t * */
static te_db_err_e hold(te_handling_t *const *all, int n,
                        apr_array_header_t **reminders)
{
    apr_pool_t *p = all[0]->pool;
    apr_array_header_t *ids = apr_array_make(p, n, sizeof(const char *));
    apr_array_header_t *users = apr_array_make(p, n, sizeof(const char *));
    int i;

    for (i = 0; i < n; ++i) {
        APR_ARRAY_PUSH(ids, const char *) = reminder_id(all[i]->event);
        APR_ARRAY_PUSH(users, const char *) = all[i]->event->user_id;
    }
    return te_reminders_hold(all[0]->db, p, ids, users, reminders);
}

static te_reminder_t *find(const te_handling_t *h,
                           const apr_array_header_t *reminders)
{
    int i;

    for (i = 0; i < reminders->nelts; ++i) {
        te_reminder_t *reminder = APR_ARRAY_IDX(reminders, i,
                                                te_reminder_t *);

        if (strcasecmp(reminder->id, reminder_id(h->event)) == 0
            && strcmp(reminder->user_id, h->event->user_id) == 0) {
            return reminder;
        }
    }
    return NULL;
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

/* The row decides, and the task as it is at this moment.
 * @param told  te_told_t: another one, if its user is to be told */
static te_db_err_e decide(te_handling_t *h, te_reminder_t *reminder,
                          apr_array_header_t *told)
{
    int there = reminder != NULL;
    const char *reason;
    te_told_t *one;

    if (!there) {
        reminder = as_told(h);
    }
    if (reminder->state != TE_REMINDER_IS_TRIGGERED) {
        return TE_DB_OK;
    }
    reason = te_reminder_obsolete_by(reminder, h->task);
    if (reason == NULL) {
        h->notified = 1;
        one = apr_array_push(told);
        one->task_id = h->task->id;
        one->reminder_id = reminder->id;
        one->due_date = reminder->due_date;
        return TE_DB_OK;
    }
    te_log(TE_LOG_DEBUG, 0, "TE0701", "reminder %s was overtaken: %s",
           reminder->id, reason);
    return there ? te_reminder_call_off(h, reminder, reason) : TE_DB_OK;
}

static te_db_err_e apply_all(te_handling_t *const *all, int n)
{
    te_db_t *db = all[0]->db;
    apr_pool_t *p = all[0]->pool;
    apr_array_header_t *told = apr_array_make(p, n, sizeof(te_told_t));
    apr_array_header_t *reminders;
    te_db_err_e err = hold(all, n, &reminders);
    int i;

    for (i = 0; err == TE_DB_OK && i < n; ++i) {
        err = decide(all[i], find(all[i], reminders), told);
    }
    return err == TE_DB_OK && told->nelts > 0
               ? te_notifications_remind(db, p, told) : err;
}

const te_effect_t te_effect_notification = {wants, NULL, apply_all};
