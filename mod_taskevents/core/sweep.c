#include "sweep.h"

#include "../base/metrics.h"
#include "reminder.h"

#define BATCH 100
#define LONGEST_PAUSE apr_time_from_msec(500)
/* The later, the shorter the pauses; this late there are none; */
#define BEHIND apr_time_from_sec(2)
/* but nobody waits for a reminder that is later than this: a backlog, whose
 * telling also takes its time from others. */
#define BACKLOG apr_time_from_sec(60)

/* What is to become of each, by the task as it was read. */
static apr_array_header_t *decide(const te_settings_t *settings,
                                  apr_pool_t *p,
                                  const apr_array_header_t *due)
{
    apr_array_header_t *firings = apr_array_make(p, due->nelts,
                                                 sizeof(te_firing_t));
    int i;

    for (i = 0; i < due->nelts; ++i) {
        const te_due_t *d = APR_ARRAY_IDX(due, i, const te_due_t *);
        te_firing_t *firing = apr_array_push(firings);

        firing->due = d;
        firing->done = 0;
        firing->reason = te_reminder_obsolete(&d->reminder, d->version != 0,
                                              d->completed, d->task_due,
                                              d->task_due_since);
        firing->event = te_reminder_end_event(settings, p, d, firing->reason);
    }
    return firings;
}

static int count_done(const apr_array_header_t *firings,
                      apr_interval_time_t *latest)
{
    int i, n = 0;

    *latest = 0;
    for (i = 0; i < firings->nelts; ++i) {
        const te_firing_t *firing = &APR_ARRAY_IDX(firings, i, te_firing_t);

        if (!firing->done) {
            continue;
        }
        ++n;
        te_metric_add(TE_METRIC_REMINDERS, firing->reason ? "cancelled"
                                                          : "triggered",
                      NULL);
        if (firing->reason == NULL) {
            te_metric_observe(TE_METRIC_REMINDER_LATENESS, NULL, NULL,
                              firing->late);
        }
        *latest = firing->late > *latest ? firing->late : *latest;
    }
    return n;
}

te_db_err_e te_sweep_one(const te_settings_t *settings, te_db_t *db,
                         apr_pool_t *p, const char *reminder_id,
                         te_fired_e *fired, int *wrote)
{
    apr_array_header_t *due = apr_array_make(p, 1, sizeof(te_due_t *));
    apr_array_header_t *firings;
    apr_interval_time_t latest;
    te_due_t *one;
    te_db_err_e err = te_reminder_find(db, p, reminder_id, &one);

    *wrote = 0;
    *fired = TE_FIRED_DONE;
    if (err != TE_DB_OK || one == NULL
        || one->reminder.state != TE_REMINDER_IS_SCHEDULED) {
        return err;
    }
    if (one->early) {
        *fired = TE_FIRED_EARLY;
        return TE_DB_OK;
    }
    APR_ARRAY_PUSH(due, te_due_t *) = one;
    firings = decide(settings, p, due);
    err = te_reminders_fire(db, p, settings->topics[TE_TOPIC_REMINDERS],
                            firings);
    if (err == TE_DB_OK) {
        *wrote = count_done(firings, &latest);
        *fired = *wrote ? TE_FIRED_DONE : TE_FIRED_HELD;
    }
    return err;
}

/* How long to leave the others alone after a batch. */
static apr_interval_time_t pause_after(apr_interval_time_t took,
                                       apr_interval_time_t latest)
{
    apr_interval_time_t pause =
        latest > BACKLOG  ? 40 * took
        : latest > BEHIND ? 0
                          : 3 * took * (BEHIND - latest) / BEHIND;

    return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

/* One batch; a full one is followed by another after a pause. */
te_db_err_e te_sweep(te_chore_env_t *env, void *state)
{
    const char *topic = env->settings->topics[TE_TOPIC_REMINDERS];
    apr_time_t started = apr_time_now(), now;
    apr_interval_time_t latest;
    apr_array_header_t *due, *firings;
    te_db_err_e err = te_reminders_due(env->db, env->pool, BATCH, &due);

    (void)state;
    if (err != TE_DB_OK || due->nelts == 0) {
        return err;
    }
    firings = decide(env->settings, env->pool, due);
    err = te_reminders_fire(env->db, env->pool, topic, firings);
    if (err == TE_DB_OK && count_done(firings, &latest) > 0) {
        env->wrote = 1;
        now = apr_time_now();
        if (due->nelts == BATCH) {
            env->again_at = now + pause_after(now - started, latest);
        }
    }
    return err;
}
