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
#include "effect.h"

/* When a task that is open is reminded of, if that is judged at `since`;
 * TE_TIME_NONE: never. */
apr_time_t te_reminder_time(const te_settings_t *settings,
                            apr_time_t due_date, apr_time_t since);

/* Why a reminder must not be triggered, a word for its event; NULL: it may.
 * task_there: 0 when the task is gone, and the rest means nothing.
 * Or by the task; NULL: gone. */
const char *te_reminder_obsolete(const te_reminder_t *reminder,
                                 int task_there, int completed,
                                 apr_time_t due_date, apr_time_t due_since);
const char *te_reminder_obsolete_by(const te_reminder_t *reminder,
                                    const te_task_t *task);

/* The event that ends a reminder, caused by the one that scheduled it.
 * @param reason  cancelled for; NULL: triggered */
te_outgoing_t *te_reminder_end_event(const te_settings_t *settings,
                                     apr_pool_t *p, const te_due_t *due,
                                     const char *reason);

/* Inside an event's transaction: cancel a reminder that is locked. */
te_db_err_e te_reminder_call_off(te_handling_t *h, te_reminder_t *reminder,
                                 const char *reason);

/* What is wrong with the data of a reminder.triggered; NULL: nothing. */
const char *te_reminder_check(const te_incoming_t *event);

#endif
