#include "effects.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "../base/log.h"
#include "../base/metrics.h"
#include "../base/text.h"
#include "../base/timefmt.h"
#include "../base/uuid.h"
#include "../store/dead_letters.h"
#include "effect.h"
#include "reminder.h"
#include "task.h"

#define MOST_EFFECTS 2

/* What each event changes beside the user's history. */
typedef struct {
    const char *type;
    int carries_task;                   /* data.task must be one */
    const te_effect_t *effects[MOST_EFFECTS];
    /* what is wrong with the rest of its data; NULL: nothing can be */
    const char *(*check)(const te_incoming_t *event);
} known_type_t;

static const known_type_t known_types[] = {
    {TE_TASK_CREATED, 1, {&te_effect_reminder}, NULL},
    {TE_TASK_UPDATED, 1, {&te_effect_reminder}, NULL},
    {TE_TASK_COMPLETED, 1, {&te_effect_occurrence, &te_effect_reminder}, NULL},
    {TE_TASK_DELETED, 0, {&te_effect_reminder}, NULL},
    {TE_REMINDER_SCHEDULED, 0, {NULL}, NULL},
    {TE_REMINDER_CANCELLED, 0, {NULL}, NULL},
    {TE_REMINDER_TRIGGERED, 0, {&te_effect_notification},
     te_reminder_check},
};

static const known_type_t *find_type(const char *type)
{
    apr_size_t i;

    for (i = 0; i < sizeof known_types / sizeof known_types[0]; ++i) {
        if (strcmp(type, known_types[i].type) == 0) {
            return &known_types[i];
        }
    }
    return NULL;
}

int te_event_is_known(const char *type)
{
    return find_type(type) != NULL;
}

/* One message on its way through. */
typedef struct {
    te_handling_t h;
    te_delivery_t *delivery;
    const known_type_t *type;           /* NULL: there is nothing to handle */
    int wanted;                         /* some effect wants it */
    int copy;                           /* of another one of the batch */
    int was_done;                       /* before this transaction */
} message_t;

typedef struct {
    const te_settings_t *settings;
    te_db_t *db;
    apr_pool_t *pool;
    message_t *messages;
    int n;
    apr_array_header_t *follow_ups;
} batch_t;

/* --- dead letters ------------------------------------------------------ */

static void tell(apr_pool_t *p, const char *stage, const char *event_id,
                 const char *reason, te_letter_kept_e kept)
{
    event_id = te_text_printable(p, event_id);
    switch (kept) {
    case TE_LETTER_NEW:
        te_metric_add(TE_METRIC_DEAD_LETTERS_MADE, stage, NULL);
        te_log_record(TE_LOG_ALERT, "TE0401", "an event is a dead letter (%s) "
                      "and waits in taskevents.dead_letters: id %s, %s",
                      stage, event_id, reason);
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

static te_db_err_e keep(message_t *m, const char *stage, const char *reason)
{
    te_redrive_t *redrive = m->delivery->redrive;
    te_db_err_e err;

    if (redrive != NULL) {
        redrive->reason = reason;
        err = te_letters_failed(m->h.db, m->h.pool, redrive->letter,
                                redrive->by, reason);
    }
    else {
        err = te_event_keep(m->h.settings, m->h.db, m->h.pool, m->delivery,
                            stage, reason);
    }
    m->delivery->outcome = TE_EVENT_KEPT;
    m->delivery->done = err == TE_DB_OK;
    return err;
}

/* --- what came in ------------------------------------------------------ */

/* Done without effects; of the local transport's row nothing is to stay. */
static te_db_err_e dismiss(message_t *m, te_event_outcome_e outcome)
{
    te_db_err_e err = m->delivery->row == NULL
                          ? TE_DB_OK
                          : te_outbox_settle(m->h.db, m->h.pool,
                                             m->delivery->row);

    m->delivery->outcome = outcome;
    m->delivery->done = err == TE_DB_OK;
    return err;
}

/* A fact of our own that a newer version knows how to handle. */
static int is_ours(const message_t *m)
{
    const te_incoming_t *event = m->h.event;

    return strcmp(event->source, m->h.settings->source) == 0
           && (strncmp(event->type, "task.", 5) == 0
               || strncmp(event->type, "reminder.", 9) == 0);
}

static te_db_err_e receive_unknown(message_t *m)
{
    if (is_ours(m)) {
        return keep(m, "handle", "this version does not know the type; "
                    "redrive it after the upgrade");
    }
    te_log(TE_LOG_INFO, 0, "TE0402", "an event of an unknown type from "
           "another source was acknowledged and ignored: id %s",
           te_text_printable(m->h.pool, m->h.event->id));
    return dismiss(m, TE_EVENT_IGNORED);
}

/* Whether its mark may be forgotten by now. What is in the outbox was never
 * handled. */
static int is_too_old(const message_t *m)
{
    apr_interval_time_t memory = m->h.settings->keep_history;

    return memory > 0 && m->h.event->time != TE_TIME_NONE
           && m->h.event->time < apr_time_now() - memory
           && m->delivery->row == NULL && m->delivery->redrive == NULL;
}

static te_db_err_e receive_old(message_t *m)
{
    int known;
    te_db_err_e err = te_inbox_known(m->h.db, m->h.event->source,
                                     m->h.event->id, &known);

    if (err != TE_DB_OK) {
        return err;
    }
    return known ? dismiss(m, TE_EVENT_DUPLICATE)
                 : keep(m, "handle", "it is older than the history "
                        "(TaskEventsRetention history), so that nobody knows "
                        "whether it was handled; redrive it if it was not");
}

static const char *check_data(message_t *m)
{
    const char *detail = NULL;
    const json_t *task;

    if (m->h.event->data_fault != NULL) {
        return m->h.event->data_fault;
    }
    if (m->h.event->user_id == NULL || m->h.event->task_id == 0) {
        return "data.user_id or data.task_id is missing";
    }
    if (m->type->carries_task) {
        task = json_object_get(m->h.event->data, "task");
        if (!json_is_object(task)) {
            return "data.task is missing";
        }
        m->h.said = te_task_from_event(m->h.pool, task, &detail);
    }
    return detail == NULL && m->type->check != NULL
               ? m->type->check(m->h.event) : detail;
}

static int is_wanted(const message_t *m)
{
    int i, wanted = 0;

    for (i = 0; i < MOST_EFFECTS && m->type->effects[i] != NULL; ++i) {
        wanted |= m->type->effects[i]->wants(&m->h);
    }
    return wanted;
}

/* Read one; what is not to be handled is done with, and has no type. */
static te_db_err_e receive(message_t *m)
{
    const char *reason = NULL;
    te_db_err_e err;

    if (m->delivery->full_size > (apr_off_t)m->delivery->size) {
        return keep(m, "malformed", "the message is larger than is read");
    }
    m->h.event = te_event_parse(m->h.pool, m->delivery->bytes,
                                m->delivery->size, &reason);
    if (m->h.event == NULL) {
        return keep(m, "malformed", reason);
    }
    m->delivery->user_id = m->h.event->user_id;
    m->delivery->event_id = m->h.event->id;
    m->delivery->type = m->h.event->type;
    m->delivery->task_id = m->h.event->task_id;
    m->type = find_type(m->h.event->type);
    if (m->type == NULL) {
        return receive_unknown(m);
    }
    reason = check_data(m);
    if (reason != NULL || is_too_old(m)) {
        err = reason ? keep(m, "malformed", reason) : receive_old(m);
        m->type = NULL;
        return err;
    }
    m->wanted = is_wanted(m);
    return TE_DB_OK;
}

static te_db_err_e receive_all(batch_t *b)
{
    apr_hash_t *seen = apr_hash_make(b->pool);
    te_db_err_e err;
    const char *key;
    int i;

    for (i = 0; i < b->n; ++i) {
        message_t *m = &b->messages[i];

        if (m->delivery->done) {
            continue;
        }
        err = receive(m);
        if (err != TE_DB_OK) {
            return err;
        }
        if (m->type != NULL && b->n > 1) {
            key = apr_psprintf(b->pool, "%" APR_SIZE_T_FMT " %s%s",
                               strlen(m->h.event->source),
                               m->h.event->source, m->h.event->id);
            m->copy = apr_hash_get(seen, key, APR_HASH_KEY_STRING) != NULL;
            apr_hash_set(seen, key, APR_HASH_KEY_STRING, m);
        }
    }
    return TE_DB_OK;
}

/* --- one transaction --------------------------------------------------- */

/* What is to be marked. @return how many */
static int list_seen(batch_t *b, te_seen_t *seen)
{
    int i, n = 0;

    for (i = 0; i < b->n; ++i) {
        const message_t *m = &b->messages[i];
        const te_incoming_t *event = m->h.event;

        if (m->type == NULL || m->copy) {
            continue;
        }
        seen[n].source = event->source;
        seen[n].id = event->id;
        seen[n].user_id = event->user_id;
        seen[n].type = event->type;
        seen[n].task_id = event->task_id;
        seen[n].event = event->text;
        seen[n].time = event->time != TE_TIME_NONE ? event->time
                                                   : apr_time_now();
        /* the letter of a redrive is closed in this transaction */
        seen[n].hold = m->wanted || m->delivery->redrive != NULL;
        seen[n++].series_id = m->h.said ? m->h.said->series_id : NULL;
    }
    return n;
}

/* Events in a row, of an effect that takes several. */
typedef struct {
    const te_effect_t *effect;
    te_handling_t **all;
    int n;
} row_t;

static te_db_err_e end_row(row_t *row)
{
    int n = row->n;

    row->n = 0;
    return n > 0 ? row->effect->apply_all(row->all, n) : TE_DB_OK;
}

static te_db_err_e apply(message_t *m, const te_seen_t *seen, row_t *row)
{
    te_db_err_e err = TE_DB_OK;
    int i;

    m->h.notified = 0;
    m->h.task = seen->task;
    m->h.series = seen->series;
    for (i = 0; err == TE_DB_OK && i < MOST_EFFECTS
                && m->type->effects[i] != NULL; ++i) {
        const te_effect_t *effect = m->type->effects[i];

        if (!effect->wants(&m->h)) {
            continue;
        }
        if (effect != row->effect) {
            err = end_row(row);
            row->effect = effect;
        }
        if (effect->apply_all != NULL) {
            row->all[row->n++] = &m->h;
        }
        else if (err == TE_DB_OK) {
            err = effect->apply(&m->h);
        }
    }
    return err;
}

static te_db_err_e apply_all(batch_t *b, const te_seen_t *seen)
{
    te_db_err_e err = TE_DB_OK;
    row_t row = {NULL, NULL, 0};
    int i;

    /* of pointers, as is meant.
     * NOLINTNEXTLINE(bugprone-sizeof-expression) */
    row.all = apr_palloc(b->pool, (apr_size_t)b->n * sizeof *row.all);
    for (i = 0; err == TE_DB_OK && i < b->n; ++i) {
        message_t *m = &b->messages[i];

        if (m->type == NULL || m->copy) {
            continue;
        }
        if (seen->is_new && m->wanted) {
            err = apply(m, seen, &row);
        }
        ++seen;
    }
    return err == TE_DB_OK ? end_row(&row) : err;
}

/* What the events that handling caused are the trace of. */
static void count_effects(const batch_t *b)
{
    int i;

    for (i = 0; i < b->follow_ups->nelts; ++i) {
        const char *type = APR_ARRAY_IDX(b->follow_ups, i,
                                         const te_outgoing_t *)->type;

        if (strncmp(type, "reminder.", 9) == 0) {
            te_metric_add(TE_METRIC_REMINDERS, type + 9, NULL);
            te_metric_add(TE_METRIC_EFFECTS, "reminder", NULL);
        }
        else {
            te_metric_add(TE_METRIC_EFFECTS, "occurrence", NULL);
        }
    }
    for (i = 0; i < b->n; ++i) {
        if (b->messages[i].h.notified) {
            te_metric_add(TE_METRIC_EFFECTS, "notification", NULL);
        }
    }
}

/* All is committed. */
static void note_outcomes(batch_t *b, const te_seen_t *seen)
{
    int i;

    for (i = 0; i < b->n; ++i) {
        message_t *m = &b->messages[i];

        if (m->type == NULL) {
            continue;
        }
        m->delivery->outcome = TE_EVENT_DUPLICATE;
        if (!m->copy && seen++->is_new) {
            m->delivery->outcome = TE_EVENT_HANDLED;
        }
        m->delivery->done = 1;
    }
}

/* With the letter of a redrive closed by somebody else in the meantime, there
 * is nothing to do. */
static te_db_err_e close_letter(batch_t *b, int *closed)
{
    te_delivery_t *delivery = b->messages[0].delivery;
    int was_open;
    te_db_err_e err = te_letters_close(b->db, b->pool,
                                       delivery->redrive->letter,
                                       TE_LETTER_REDRIVEN,
                                       delivery->redrive->by, "handled",
                                       &was_open);

    *closed = err == TE_DB_OK && !was_open;
    if (*closed) {
        te_db_rollback(b->db);
        apr_array_clear(b->follow_ups);
        delivery->outcome = TE_EVENT_CLOSED;
        delivery->done = 1;
    }
    return err;
}

static te_db_err_e transact(batch_t *b, int again)
{
    te_seen_t *seen = apr_pcalloc(b->pool, (apr_size_t)b->n * sizeof *seen);
    const te_outbox_row_t *row = b->messages[0].delivery->row;
    int n = list_seen(b, seen), open = 0, closed = 0;
    te_db_err_e err;

    if (n == 0) {
        return TE_DB_OK;
    }
    apr_array_clear(b->follow_ups);
    err = te_inbox_mark(b->db, b->pool, seen, n, row, again, &open);
    if (err == TE_DB_OK && open) {
        err = apply_all(b, seen);
        if (err == TE_DB_OK && seen->is_new
            && b->messages[0].delivery->redrive != NULL) {
            err = close_letter(b, &closed);
        }
        if (err == TE_DB_OK && !closed) {
            err = te_outbox_finish(b->db, b->pool, b->follow_ups, row);
        }
    }
    if (err == TE_DB_OK && !closed) {
        note_outcomes(b, seen);
        count_effects(b);
    }
    else if (err != TE_DB_OK) {
        te_db_rollback(b->db);
    }
    return err;
}

const char *te_event_outcome(const te_delivery_t *delivery)
{
    static const char *const words[] = {
        [TE_EVENT_HANDLED] = "handled", [TE_EVENT_DUPLICATE] = "duplicate",
        [TE_EVENT_IGNORED] = "ignored", [TE_EVENT_KEPT] = "dead_letter",
        [TE_EVENT_CLOSED] = "duplicate"};

    return delivery->done ? words[delivery->outcome] : "failed";
}

/* What is done by now, or failed; of a batch that fails for the fault of one
 * of them nobody knows which yet. */
static void count(const message_t *m, te_db_err_e err, int n,
                  apr_interval_time_t took)
{
    const char *type = m->delivery->type;

    if (m->delivery->done
            ? !m->was_done
            : n == 1 || err == TE_DB_AWAY || err == TE_DB_LOST) {
        te_metric_add(TE_METRIC_DELIVERIES, type,
                      te_event_outcome(m->delivery));
        te_metric_observe(TE_METRIC_DELIVERY_DURATION, type, NULL, took);
    }
}

static void tell_each(const batch_t *b, apr_interval_time_t took)
{
    int i;

    for (i = 0; i < b->n; ++i) {
        const te_delivery_t *delivery = b->messages[i].delivery;

        te_log(TE_LOG_DEBUG, 0, "TE0405", "event %s (%s) of user %s, task %"
               APR_INT64_T_FMT ": %s, %d of %d in %d us",
               te_text_printable(b->pool, delivery->event_id
                                              ? delivery->event_id : "-"),
               te_text_printable(b->pool,
                                 delivery->type ? delivery->type : "-"),
               te_text_printable(b->pool,
                                 delivery->user_id ? delivery->user_id : "-"),
               delivery->task_id, te_event_outcome(delivery), i + 1, b->n,
               (int)took);
    }
}

te_db_err_e te_events_handle(const te_settings_t *settings, te_db_pool_t *ids,
                             te_db_t *db, apr_pool_t *p,
                             te_delivery_t *deliveries, int n, int *followed)
{
    batch_t b = {settings, db, p, NULL, n, NULL};
    apr_time_t began = apr_time_now();
    apr_interval_time_t took;
    te_db_err_e err;
    int i, tries = 0;

    b.messages = apr_pcalloc(p, (apr_size_t)n * sizeof *b.messages);
    b.follow_ups = apr_array_make(p, 2, sizeof(te_outgoing_t *));
    for (i = 0; i < n; ++i) {
        te_handling_t *h = &b.messages[i].h;

        b.messages[i].delivery = &deliveries[i];
        b.messages[i].was_done = deliveries[i].done;
        h->settings = settings;
        h->ids = ids;
        h->db = db;
        h->pool = p;
        h->follow_ups = b.follow_ups;
    }
    err = receive_all(&b);
    if (err == TE_DB_OK) {
        do {
            err = transact(&b, tries > 0);
        } while (err == TE_DB_AGAIN && ++tries < TE_DB_TRIES);
    }
    took = apr_time_now() - began;
    for (i = 0; i < n; ++i) {
        count(&b.messages[i], err, n, took);
    }
    if (te_log_wants(TE_LOG_DEBUG)) {
        tell_each(&b, took);
    }
    *followed = err == TE_DB_OK && b.follow_ups->nelts > 0;
    return err;
}

te_db_err_e te_event_handle(const te_settings_t *settings, te_db_pool_t *ids,
                            te_db_t *db, apr_pool_t *p,
                            const te_delivery_t *delivery,
                            te_event_outcome_e *outcome, int *followed)
{
    te_delivery_t one = *delivery;
    te_db_err_e err;

    one.done = 0;
    err = te_events_handle(settings, ids, db, p, &one, 1, followed);
    *outcome = one.outcome;
    return err;
}
