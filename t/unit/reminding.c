#include "reminding.h"

#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/effects.h"
#include "../../mod_taskevents/core/task.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

te_settings_t settings;
te_db_pool_t *db_pool;
te_db_t *db;
const char *user;

static volatile apr_uint32_t never_stops;

void reminding_open(void)
{
    memset(&settings, 0, sizeof settings);
    settings.source = apr_pstrcat(pool, "/unit/", te_uuid_v4(pool), NULL);
    settings.topics[TE_TOPIC_TASKS] = "tasks";
    settings.topics[TE_TOPIC_REMINDERS] = "reminders";
    settings.topics[TE_TOPIC_DEAD_LETTERS] = "tasks-dlq";
    settings.reminder_lead = LEAD;
    db_pool = open_pool(65);
    db = borrow(db_pool);
    user = new_user();
}

void reminding_close(void)
{
    te_db_release(db);
    close_pool(db_pool);
}

/* --- changes and their events ------------------------------------------ */

te_outgoing_t *event_of(const te_task_t *task, const char *type,
                               json_t *data, apr_time_t time)
{
    te_event_t event;

    memset(&event, 0, sizeof event);
    event.id = te_uuid_v4(pool);
    event.source = settings.source;
    event.type = type;
    event.topic = "tasks";
    event.user_id = task->user_id;
    event.task_id = task->id;
    event.time = time;
    event.origin = TE_ORIGIN_USER;
    event.traceparent = TRACE;
    event.data = data;
    event.task = strcmp(type, TE_TASK_DELETED) ? task : NULL;
    return te_event_text(pool, &event);
}

const char *whole(const te_outgoing_t *event)
{
    return apr_pstrcat(pool, event->head, "00000000000000000001", event->tail,
                       NULL);
}

/* A task that was made at `at`; *event: that it was. */
te_task_t *new_task(apr_time_t due, apr_time_t at, const char **event)
{
    te_task_t *task = apr_pcalloc(pool, sizeof *task);
    te_outgoing_t *created;

    ck_assert_int_eq(te_db_next_task_id(db_pool, db, &task->id), TE_DB_OK);
    task->user_id = user;
    task->title = "Water the \"plants\"";
    task->priority = TE_PRIORITY_MEDIUM;
    task->tags = unit_texts(NULL);
    task->due_date = due;
    task->time_zone = "Europe/Berlin";
    task->version = 1;
    task->completed_at = TE_TIME_NONE;
    task->created_at = task->updated_at = at;
    created = event_of(task, TE_TASK_CREATED, NULL, at);
    ck_assert_int_eq(te_tasks_create(db, pool, task, created, 0), TE_DB_OK);
    *event = whole(created);
    return task;
}

te_db_err_e write_edit(te_db_t *on, apr_pool_t *p, apr_int64_t id,
                              const edit_t *edit, const char **event)
{
    te_task_t *before, *after;
    te_outgoing_t *events[1];
    te_db_err_e err = te_tasks_lock(on, p, 1, user, id, &before);

    if (err != TE_DB_OK || before == NULL) {
        return err;
    }
    after = apr_pmemdup(p, before, sizeof *after);
    after->due_date = edit->due ? edit->due : before->due_date;
    after->completed = edit->completed >= 0 ? edit->completed
                                            : before->completed;
    after->title = edit->title ? edit->title : before->title;
    after->updated_at = edit->at;
    after->completed_at = after->completed ? edit->at : TE_TIME_NONE;
    ++after->version;
    events[0] = after->completed && !before->completed
        ? event_of(after, TE_TASK_COMPLETED, NULL, edit->at)
        : event_of(after, TE_TASK_UPDATED,
                   json_pack("{s:o}", "changes",
                             te_task_changes(p, before, after)), edit->at);
    *event = whole(events[0]);
    return te_tasks_update(on, p, after, events, 1, 1);
}

/* Change a task. @return the event of that */
const char *edit_task(const te_task_t *task, apr_time_t due,
                             int completed, const char *title, apr_time_t at)
{
    edit_t edit = {due, completed, title, at};
    const char *event = NULL;

    ck_assert_int_eq(write_edit(db, pool, task->id, &edit, &event), TE_DB_OK);
    return event;
}

const char *delete_task(const te_task_t *task)
{
    te_task_t *now;
    te_outgoing_t *event;

    ck_assert_int_eq(te_tasks_lock(db, pool, 1, user, task->id, &now),
                     TE_DB_OK);
    event = event_of(now, TE_TASK_DELETED, json_pack("{s:s}", "title", "t"),
                     apr_time_now());
    ck_assert_int_eq(te_tasks_delete(db, pool, now, event), TE_DB_OK);
    return whole(event);
}

/* --- handling and sweeping --------------------------------------------- */

static te_db_err_e handle_on(te_db_t *on, apr_pool_t *p, const char *text,
                             te_event_outcome_e *outcome)
{
    te_delivery_t delivery;
    int followed;

    memset(&delivery, 0, sizeof delivery);
    delivery.bytes = text;
    delivery.size = strlen(text);
    delivery.full_size = (apr_off_t)delivery.size;
    delivery.topic = "tasks";
    return te_event_handle(&settings, db_pool, on, p, &delivery, outcome,
                           &followed);
}

te_event_outcome_e handled(const char *text)
{
    te_event_outcome_e outcome = TE_EVENT_IGNORED;
    te_db_err_e err = handle_on(db, pool, text, &outcome);

    ck_assert_msg(err == TE_DB_OK, "%s %s", te_db_err_name(err),
                  te_db_error(db));
    return outcome;
}

void handled_together(const char *const *texts, int n)
{
    te_delivery_t *all = apr_pcalloc(pool, sizeof *all * (apr_size_t)n);
    te_db_err_e err;
    int i, followed;

    for (i = 0; i < n; ++i) {
        all[i].bytes = texts[i];
        all[i].size = strlen(texts[i]);
        all[i].full_size = (apr_off_t)all[i].size;
        all[i].topic = "reminders";
    }
    err = te_events_handle(&settings, db_pool, db, pool, all, n, &followed);
    ck_assert_msg(err == TE_DB_OK, "%s %s", te_db_err_name(err),
                  te_db_error(db));
    for (i = 0; i < n; ++i) {
        ck_assert(all[i].done);
    }
}

te_db_err_e sweep_on(te_db_t *on, apr_pool_t *p)
{
    te_chore_env_t env;

    memset(&env, 0, sizeof env);
    env.settings = &settings;
    env.db = on;
    env.pool = p;
    env.stopping = &never_stops;
    return te_sweep(&env, NULL);
}

/* Until nothing is due. */
void sweep(void)
{
    int i;

    for (i = 0; i < 20; ++i) {
        ck_assert_int_eq(sweep_on(db, pool), TE_DB_OK);
    }
}

te_fired_e fire(const char *id)
{
    te_fired_e fired;
    int wrote;

    ck_assert_int_eq(te_sweep_one(&settings, db, pool, id, &fired, &wrote),
                     TE_DB_OK);
    return fired;
}

/* The user's reminders: state, time before due in seconds, reason. */
const char *reminders(void)
{
    return sql("SELECT coalesce(string_agg(concat_ws(' ', state,"
               " extract(epoch FROM due_date - remind_at)::int, reason), ', '"
               " ORDER BY due_since), '') FROM taskevents.reminders"
               " WHERE user_id = '%s'", user);
}

const char *only_reminder(void)
{
    return sql("SELECT id FROM taskevents.reminders WHERE user_id = '%s'",
               user);
}

/* The events of the user's stream of reminders, in order. */
const char *told(void)
{
    return sql("SELECT coalesce(string_agg(split_part(event::json->>'type',"
               " '.', 2), ' ' ORDER BY sequence), '') FROM taskevents.outbox"
               " WHERE user_id = '%s' AND topic = 'reminders'", user);
}

/* The n-th of them. */
const char *told_event(int n)
{
    return sql("SELECT event FROM taskevents.outbox WHERE user_id = '%s' AND"
               " topic = 'reminders' AND sequence = %d", user, n);
}

const char *stream_is_gapless(void)
{
    return sql("SELECT count(*) = coalesce(max(sequence), 0)"
               " AND coalesce(max(sequence), 0) = coalesce((SELECT last FROM"
               "  taskevents.streams s WHERE s.user_id = '%s'"
               "  AND s.name = 'reminders'), 0) FROM taskevents.outbox o"
               " WHERE o.user_id = '%s' AND o.topic = 'reminders'", user,
               user);
}

const char *notifications(void)
{
    return sql("SELECT count(*) FROM taskevents.notifications"
               " WHERE user_id = '%s'", user);
}

/* Let the time of all of the user's reminders have come. */
void make_due(void)
{
    /* for task_with_reminder's, when they were made: tests name this time */
    sql("UPDATE taskevents.reminders SET remind_at = CASE"
        " WHEN due_date - interval '90000 s' BETWEEN clock_timestamp()"
        " - interval '30 s' AND clock_timestamp() - interval '1 ms'"
        " THEN due_date - interval '90000 s'"
        " ELSE clock_timestamp() - interval '1 ms' END"
        " WHERE user_id = '%s' AND state = 'scheduled'", user);
}

te_task_t *task_with_reminder(void)
{
    const char *event;
    te_task_t *task = new_task(apr_time_now() + LEAD + HOUR, apr_time_now(),
                               &event);

    ck_assert_int_eq(handled(event), TE_EVENT_HANDLED);
    ck_assert_str_eq(reminders(), "scheduled 86400");
    return task;
}
