/* Due reminders: triggered by whoever finds them due, a chore that looks each
 * second or the callback of a job; the row decides that it happens once. */
#ifndef TE_CORE_SWEEP_H
#define TE_CORE_SWEEP_H

#include "chores.h"

/* The chore. A backlog (the service was down for an hour) is worked off in
 * small batches with pauses between them, so that task requests get their
 * turn. */
te_chore_fn te_sweep;

typedef enum {
    TE_FIRED_DONE,              /* there is nothing more to do for it: it was
                                 * triggered or cancelled now or before, or
                                 * there is none */
    TE_FIRED_EARLY,             /* its time has not come by PostgreSQL's clock */
    TE_FIRED_HELD               /* somebody has its task: again in a while */
} te_fired_e;

/* Trigger one, if it is due. Any thread; db must be idle.
 * @param wrote  1 when the outbox has something new */
te_db_err_e te_sweep_one(const te_settings_t *settings, te_db_t *db,
                         apr_pool_t *p, const char *reminder_id,
                         te_fired_e *fired, int *wrote);

#endif
