/* Reminders: when a task has one, and what becomes of it.
 *
 * A task that is open and due has one reminder for each time that its due
 * date was set (or the task reopened). Whether it was due more than the lead
 * away is judged at that instant, te_task_t.due_since, which is the time of
 * the event that said so: handled late, twice or in another order, the same
 * events come to the same reminders. */
#ifndef TE_CORE_REMINDER_H
#define TE_CORE_REMINDER_H

#include "../store/reminders.h"
#include "event.h"
#include "settings.h"

/* When a task that is open is reminded of, if that is judged at `since`;
 * TE_TIME_NONE: never. */
apr_time_t te_reminder_time(const te_settings_t *settings,
                            apr_time_t due_date, apr_time_t since);

/* Why a reminder must not be triggered, a word for its event; NULL: it may.
 * task_there: 0 when the task is gone, and the rest means nothing. */
const char *te_reminder_obsolete(const te_reminder_t *reminder,
                                 int task_there, int completed,
                                 apr_time_t due_date, apr_time_t due_since);

/* One event of a reminder, caused by another one.
 * @param data  taken over; members besides reminder_id */
te_outgoing_t *te_reminder_event(const te_settings_t *settings,
                                 apr_pool_t *p, const char *type,
                                 const te_reminder_t *reminder,
                                 const char *cause_id,
                                 const char *correlation_id,
                                 const char *traceparent, json_t *data);

/* The event that ends a reminder, caused by the one that scheduled it.
 * @param reason  cancelled for; NULL: triggered */
te_outgoing_t *te_reminder_end_event(const te_settings_t *settings,
                                     apr_pool_t *p, const te_due_t *due,
                                     const char *reason);

/* What an effect works with, inside the transaction of an event that is
 * handled. */
typedef struct te_reminding_t {
    const te_settings_t *settings;
    te_db_t *db;
    apr_pool_t *pool;
    const te_incoming_t *event;
    const te_task_t *said;              /* the task it carries, or NULL */
    const te_task_t *now;               /* as te_tasks_lock found it; NULL:
                                         * it is gone */
    apr_array_header_t *follow_ups;     /* out: te_outgoing_t *, in order */
} te_reminding_t;

/* Whether a task event can change a reminder at all: it told of a due date,
 * of a completion of a task with one, or of the end of the task. */
int te_reminder_concerns(const te_incoming_t *event, const te_task_t *said);

/* A task event: make the task's reminder what it must be now. */
te_db_err_e te_reminder_reconcile(te_reminding_t *r);

/* reminder.triggered: notify the user, or cancel what was overtaken. */
te_db_err_e te_reminder_notify(te_reminding_t *r);

/* What is wrong with the data of a reminder.triggered; NULL: nothing. */
const char *te_reminder_check(const te_incoming_t *event);

#endif
