/* What an effect is: how one thing changes when an event is handled. The list
 * that says which event has which effects is in effects.c. */
#ifndef TE_CORE_EFFECT_H
#define TE_CORE_EFFECT_H

#include "../store/inbox.h"
#include "event.h"
#include "settings.h"

/* One event inside the transaction that handles it. */
typedef struct te_handling_t {
    const te_settings_t *settings;
    te_db_pool_t *ids;                  /* where task ids come from */
    te_db_t *db;                        /* its transaction is open */
    apr_pool_t *pool;
    const te_incoming_t *event;
    const te_task_t *said;              /* the task that the event carries;
                                         * NULL: its type carries none */
    const te_task_t *task;              /* the task as it is now, held until
                                         * the end; NULL: gone */
    te_series_t *series;                /* said's series, held too; NULL */
    apr_array_header_t *follow_ups;     /* te_outgoing_t *: put here what this
                                         * event causes; written at the end */
    int notified;                       /* out: there is a notification */
} te_handling_t;

/* Rules for all effects: they reconcile with the state of now, so that any
 * order of events ends the same; they take locks behind the task and before
 * the streams (store/statements.c); they do not commit, and write no event but
 * through follow_ups. An error ends the transaction, which is tried again as
 * a whole, for this event or for several. */
typedef struct te_effect_t {
    /* Whether there may be something to change, told from the event alone:
     * settings, pool, event and said are set. When no effect wants an event,
     * handling it is one statement and locks no task. */
    int (*wants)(const te_handling_t *h);
    /* One of the two: one event, or all in a row that want nothing else, of
     * whichever users, in few statements. */
    te_db_err_e (*apply)(te_handling_t *h);
    te_db_err_e (*apply_all)(te_handling_t *const *all, int n);
} te_effect_t;

/* Completing a task makes the next one of its series (occurrence.c). */
extern const te_effect_t te_effect_occurrence;

/* A task has the reminder that it must have (reminder.c). */
extern const te_effect_t te_effect_reminder;

/* A reminder that was triggered notifies its user (notification.c). */
extern const te_effect_t te_effect_notification;

#endif
