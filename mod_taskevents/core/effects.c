#include "effects.h"

#include <apr_strings.h>
#include <string.h>

#include "../base/log.h"
#include "../base/metrics.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "../store/dead_letters.h"
#include "../store/inbox.h"
#include "event.h"
#include "recurrence.h"
#include "task.h"

/* One message on its way through. */
typedef struct {
    const te_settings_t *settings;
    te_db_pool_t *ids;
    te_db_t *db;
    apr_pool_t *pool;
    const te_delivery_t *delivery;
    const te_incoming_t *event;
    te_task_t *task;                    /* the task it carries, or NULL */
    te_outgoing_t *follow_up;           /* the event it causes, or NULL */
} handling_t;

typedef te_db_err_e effect_fn(handling_t *h);

static effect_fn make_next_occurrence;

/* What each event changes beside the user's history. */
static const struct {
    const char *type;
    int carries_task;                   /* data.task must be one */
    effect_fn *effect;
} known_types[] = {
    {TE_TASK_CREATED, 1, NULL},
    {TE_TASK_UPDATED, 1, NULL},
    {TE_TASK_COMPLETED, 1, make_next_occurrence},
    {TE_TASK_DELETED, 0, NULL},
    {"reminder.scheduled", 0, NULL},
    {"reminder.cancelled", 0, NULL},
    {"reminder.triggered", 0, NULL},
};

static int find_type(const char *type)
{
    int i, n = (int)(sizeof known_types / sizeof known_types[0]);

    for (i = 0; i < n; ++i) {
        if (strcmp(type, known_types[i].type) == 0) {
            return i;
        }
    }
    return -1;
}

int te_event_is_known(const char *type)
{
    return find_type(type) >= 0;
}

/* --- completing a recurring task --------------------------------------- */

/* Its id comes from its cause, so that one cause never makes two. */
static te_outgoing_t *created_event(handling_t *h, const te_task_t *next,
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
static te_task_t *completed_task(handling_t *h, te_task_t *now)
{
    te_task_t *from = apr_pmemdup(h->pool, now ? now : h->task, sizeof *from);

    if (from->completed_at == TE_TIME_NONE) {
        from->completed_at = h->event->time != TE_TIME_NONE ? h->event->time
                                                            : apr_time_now();
    }
    from->series_id = h->task->series_id;
    return from;
}

static te_db_err_e insert_next(handling_t *h, te_task_t *now_task)
{
    te_task_t *from = completed_task(h, now_task), *next;
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
                                       h->task->occurrence + 1));
    err = te_tasks_create_next(h->db, h->pool, id, from,
                               h->settings->catch_up_skip ? now
                                                          : TE_TIME_NONE,
                               event_id, now, &next);
    if (err == TE_DB_OK && next != NULL) {
        h->follow_up = created_event(h, next, event_id);
    }
    else if (err == TE_DB_OK) {
        te_log(TE_LOG_INFO, 0, "TE0410", "event %s: the series has no later "
               "due date before the year 10000", h->event->id);
    }
    return err;
}

static te_db_err_e make_next_occurrence(handling_t *h)
{
    te_task_t *now_task = NULL;
    int last = 0, ended = 0;
    te_next_e next;
    te_db_err_e err;

    /* what an event itself made cannot start another round */
    if (strcmp(h->event->origin, TE_ORIGIN_USER) != 0
        || h->task->series_id == NULL) {
        return TE_DB_OK;
    }
    err = te_tasks_lock(h->db, h->pool, 0, h->event->user_id,
                        h->event->task_id, &now_task);
    if (err == TE_DB_OK) {
        err = te_series_lock(h->db, h->pool, h->task->series_id,
                             h->event->user_id, &last, &ended);
    }
    if (err != TE_DB_OK) {
        return err;
    }
    next = te_recurrence_decide(h->task, now_task, last, ended);
    te_log(TE_LOG_DEBUG, 0, "TE0411", "event %s: next occurrence: %d",
           h->event->id, next);
    return next == TE_NEXT_MAKE ? insert_next(h, now_task) : TE_DB_OK;
}

/* --- one transaction --------------------------------------------------- */

/* The last step: the follow-up event, the outbox row of the local transport,
 * COMMIT. */
static te_db_err_e finish(handling_t *h)
{
    te_db_err_e err = TE_DB_OK;
    int there = 1;

    if (h->follow_up != NULL) {
        err = te_outbox_emit(h->db, h->follow_up, h->delivery->row == NULL);
        if (err != TE_DB_OK || h->delivery->row == NULL) {
            return err;
        }
    }
    if (h->delivery->row != NULL) {
        err = te_outbox_settle(h->db, h->pool, 0, h->delivery->row, &there);
    }
    return err == TE_DB_OK ? te_db_commit(h->db) : err;
}

/* A copy: only the outbox row of the local transport is left to remove. */
static te_db_err_e finish_duplicate(handling_t *h)
{
    int there;

    te_db_rollback(h->db);
    return h->delivery->row == NULL
               ? TE_DB_OK
               : te_outbox_settle(h->db, h->pool, 0, h->delivery->row,
                                  &there);
}

/* The letter of a redrive: with it closed by somebody else in the meantime,
 * there is nothing to do. */
static te_db_err_e close_letter(handling_t *h, te_event_outcome_e *outcome)
{
    const te_redrive_t *redrive = h->delivery->redrive;
    int was_open;
    te_db_err_e err = te_letters_close(h->db, h->pool, redrive->letter,
                                       TE_LETTER_REDRIVEN, redrive->by,
                                       "handled", &was_open);

    if (err == TE_DB_OK && !was_open) {
        *outcome = TE_EVENT_CLOSED;
        h->follow_up = NULL;
        te_db_rollback(h->db);
    }
    return err;
}

static te_db_err_e transact(handling_t *h, effect_fn *effect,
                            te_event_outcome_e *outcome)
{
    te_seen_t seen;
    te_db_err_e err;
    int is_new;

    memset(&seen, 0, sizeof seen);
    seen.source = h->event->source;
    seen.id = h->event->id;
    seen.user_id = h->event->user_id;
    seen.type = h->event->type;
    seen.task_id = h->event->task_id;
    seen.event = h->event->text;
    seen.outcome = "handled";
    h->follow_up = NULL;
    err = te_inbox_begin(h->db, h->pool, &seen, &is_new);
    if (err != TE_DB_OK) {
        return err;
    }
    if (!is_new) {
        *outcome = TE_EVENT_DUPLICATE;
        return finish_duplicate(h);
    }
    *outcome = TE_EVENT_HANDLED;
    if (effect != NULL) {
        err = effect(h);
    }
    if (err == TE_DB_OK && h->delivery->redrive != NULL) {
        err = close_letter(h, outcome);
    }
    return err == TE_DB_OK && *outcome == TE_EVENT_HANDLED ? finish(h) : err;
}

/* --- what came in ------------------------------------------------------ */

static void tell(apr_pool_t *p, const char *stage, const char *event_id,
                 const char *reason, te_letter_kept_e kept)
{
    event_id = te_text_printable(p, event_id);
    switch (kept) {
    case TE_LETTER_NEW:
        te_metric_add(TE_METRIC_DEAD_LETTERS_MADE, stage, NULL);
        te_log(TE_LOG_ALERT, 0, "TE0401", "an event is a dead letter (%s) "
               "and waits in taskevents.dead_letters: id %s, %s", stage,
               event_id, reason);
        break;
    case TE_LETTER_COPY:
        te_log(TE_LOG_INFO, 0, "TE0420", "a dead letter came again (%s) and "
               "was counted: id %s, %s", stage, event_id, reason);
        break;
    case TE_LETTER_SETTLED:
        te_log(TE_LOG_INFO, 0, "TE0421", "an event came as a dead letter (%s) "
               "but had been handled: id %s", stage, event_id);
        break;
    }
}

te_db_err_e te_event_keep(const te_settings_t *settings, te_db_t *db,
                          apr_pool_t *p, const te_delivery_t *delivery,
                          const char *stage, const char *reason)
{
    te_letter_kept_e kept = TE_LETTER_NEW;
    te_dead_letter_t letter;
    te_db_err_e err;

    memset(&letter, 0, sizeof letter);
    letter.stage = stage;
    letter.source = "";
    te_event_identity(p, delivery->bytes, delivery->size, &letter.source,
                      &letter.event_id, &letter.user_id);
    if (letter.event_id == NULL) {
        letter.event_id = te_uuid_of_bytes(p, delivery->bytes,
                                           delivery->size);
    }
    letter.topic = delivery->topic;
    letter.body = delivery->bytes;
    letter.body_size = delivery->size;
    letter.full_size = delivery->full_size;
    letter.reason = reason;
    letter.attempts = 1;
    letter.partition = delivery->partition;
    letter.offset = delivery->offset;
    letter.alert = settings->alert_url != NULL;
    err = delivery->row ? te_outbox_park(db, p, delivery->row, stage,
                                         settings->source, reason,
                                         letter.alert)
                        : te_inbox_dead_letter(db, p, &letter, &kept);
    if (err == TE_DB_OK) {
        tell(p, stage, delivery->row ? delivery->row->event_id
                                     : letter.event_id, reason, kept);
    }
    return err;
}

static te_db_err_e keep(handling_t *h, const char *stage, const char *reason)
{
    te_redrive_t *redrive = h->delivery->redrive;

    if (redrive != NULL) {
        redrive->reason = reason;
        return te_letters_failed(h->db, h->pool, redrive->letter, redrive->by,
                                 reason);
    }
    return te_event_keep(h->settings, h->db, h->pool, h->delivery, stage,
                         reason);
}

/* A fact of our own that a newer version knows how to handle. */
static int is_ours(const handling_t *h)
{
    return strcmp(h->event->source, h->settings->source) == 0
           && (strncmp(h->event->type, "task.", 5) == 0
               || strncmp(h->event->type, "reminder.", 9) == 0);
}

static te_db_err_e handle_unknown(handling_t *h, te_event_outcome_e *outcome)
{
    if (is_ours(h)) {
        *outcome = TE_EVENT_KEPT;
        return keep(h, "handle", "this version does not know the type; "
                    "redrive it after the upgrade");
    }
    *outcome = TE_EVENT_IGNORED;
    te_log(TE_LOG_INFO, 0, "TE0402", "an event of an unknown type from "
           "another source was acknowledged and ignored");
    return h->delivery->row == NULL ? TE_DB_OK : finish_duplicate(h);
}

static const char *check_data(handling_t *h, int carries_task)
{
    const char *detail = NULL;
    const json_t *task;

    if (h->event->user_id == NULL || h->event->task_id == 0) {
        return "data.user_id or data.task_id is missing";
    }
    if (carries_task) {
        task = json_object_get(h->event->data, "task");
        if (!json_is_object(task)) {
            return "data.task is missing";
        }
        h->task = te_task_from_event(h->pool, task, &detail);
    }
    return detail;
}

static te_db_err_e handle(handling_t *h, te_event_outcome_e *outcome)
{
    const te_delivery_t *delivery = h->delivery;
    const char *reason = NULL;
    te_db_err_e err;
    int type, tries;

    *outcome = TE_EVENT_KEPT;
    if (delivery->full_size > (apr_off_t)delivery->size) {
        return keep(h, "malformed", "the message is larger than is read");
    }
    h->event = te_event_parse(h->pool, delivery->bytes, delivery->size,
                              &reason);
    if (h->event == NULL) {
        return keep(h, "malformed", reason);
    }
    type = find_type(h->event->type);
    if (type < 0) {
        return handle_unknown(h, outcome);
    }
    reason = check_data(h, known_types[type].carries_task);
    if (reason != NULL) {
        return keep(h, "malformed", reason);
    }
    for (tries = 1;; ++tries) {
        err = transact(h, known_types[type].effect, outcome);
        if (err != TE_DB_AGAIN || tries == TE_DB_TRIES) {
            break;
        }
    }
    if (err != TE_DB_OK) {
        te_db_rollback(h->db);
    }
    return err;
}

static void count(const handling_t *h, te_db_err_e err,
                  te_event_outcome_e outcome)
{
    static const char *const words[] = {
        [TE_EVENT_HANDLED] = "handled", [TE_EVENT_DUPLICATE] = "duplicate",
        [TE_EVENT_IGNORED] = "ignored", [TE_EVENT_KEPT] = "dead_letter",
        [TE_EVENT_CLOSED] = "duplicate"};

    te_metric_add(TE_METRIC_DELIVERIES, h->event ? h->event->type : NULL,
                  err == TE_DB_OK ? words[outcome] : "failed");
}

te_db_err_e te_event_handle(const te_settings_t *settings, te_db_pool_t *ids,
                            te_db_t *db, apr_pool_t *p,
                            const te_delivery_t *delivery,
                            te_event_outcome_e *outcome, int *followed)
{
    handling_t h = {settings, ids, db, p, delivery, NULL, NULL, NULL};
    te_db_err_e err = handle(&h, outcome);

    count(&h, err, *outcome);
    *followed = err == TE_DB_OK && h.follow_up != NULL;
    return err;
}
