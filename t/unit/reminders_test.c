/* Which task has a reminder and when, and that its user is told once. */
#include <apr_strings.h>
#include <string.h>

#include "../../mod_taskevents/base/json.h"
#include "../../mod_taskevents/base/timefmt.h"
#include "../../mod_taskevents/base/uuid.h"
#include "../../mod_taskevents/core/reminder.h"
#include "cases.h"
#include "reminding.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/* --- when -------------------------------------------------------------- */

START_TEST(a_task_due_after_the_lead_is_reminded_of_that_long_before)
{
    apr_time_t since = apr_time_now();

    ck_assert(te_reminder_time(&settings, since + LEAD + 1, since)
              == since + 1);
    ck_assert(te_reminder_time(&settings, since + LEAD, since)
              == TE_TIME_NONE);
    ck_assert(te_reminder_time(&settings, since - HOUR, since)
              == TE_TIME_NONE);
    ck_assert(te_reminder_time(&settings, TE_TIME_NONE, since)
              == TE_TIME_NONE);
}
END_TEST

START_TEST(within_the_lead_late_reminders_are_for_what_is_still_ahead)
{
    apr_time_t since = apr_time_now();

    settings.reminder_late = HOUR;
    ck_assert(te_reminder_time(&settings, since + LEAD, since)
              == since + LEAD - HOUR);
    ck_assert(te_reminder_time(&settings, since + HOUR + 1, since)
              == since + 1);
    ck_assert(te_reminder_time(&settings, since + HOUR, since)
              == TE_TIME_NONE);
    ck_assert(te_reminder_time(&settings, since + LEAD + HOUR, since)
              == since + HOUR);
}
END_TEST

START_TEST(a_reminder_is_scheduled_with_its_event)
{
    const char *event, *reason;
    te_task_t *task = new_task(apr_time_now() + LEAD + HOUR, apr_time_now(),
                               &event);
    te_incoming_t *cause = te_event_parse(pool, event, strlen(event), &reason);
    te_incoming_t *said;
    int i;

    for (i = 0; i < 3; ++i) {
        handled(event);
    }
    ck_assert_str_eq(reminders(), "scheduled 86400");
    ck_assert_str_eq(told(), "scheduled");
    event = told_event(1);
    said = te_event_parse(pool, event, strlen(event), &reason);
    ck_assert_str_eq(said->type, TE_REMINDER_SCHEDULED);
    ck_assert_str_eq(said->origin, "reminder");
    ck_assert_str_eq(said->correlation_id, cause->id);
    ck_assert_str_eq(said->traceparent, TRACE);
    ck_assert_int_eq(said->task_id, task->id);
    ck_assert_str_eq(te_json_get_string(said->data, "reminder_id"),
                     only_reminder());
    ck_assert_str_eq(te_json_get_string(said->data, "due_date"),
                     te_time_format(pool, task->due_date));
    ck_assert_str_eq(te_json_get_string(said->data, "remind_at"),
                     te_time_format(pool, task->due_date - LEAD));
}
END_TEST

START_TEST(handled_late_it_is_judged_by_when_the_due_date_was_set)
{
    const char *event;

    new_task(apr_time_now() + LEAD - HOUR, apr_time_now() - 2 * HOUR, &event);
    handled(event);
    ck_assert_str_eq(reminders(), "scheduled 86400");
    sweep();
    ck_assert_str_eq(told(), "scheduled triggered");
}
END_TEST

START_TEST(without_a_due_date_far_enough_away_there_is_none)
{
    apr_time_t now = apr_time_now();
    const char *events[3];
    int i;

    new_task(TE_TIME_NONE, now, &events[0]);
    new_task(now + LEAD, now + 1, &events[1]);
    new_task(now - LEAD, now, &events[2]);
    for (i = 0; i < 3; ++i) {
        handled(events[i]);
    }
    ck_assert_str_eq(reminders(), "");
    ck_assert_str_eq(told(), "");
}
END_TEST

START_TEST(a_moved_due_date_has_a_new_reminder)
{
    te_task_t *task = task_with_reminder();
    const char *first = only_reminder();

    handled(edit_task(task, apr_time_now() + 3 * LEAD, -1, NULL,
                      apr_time_now()));
    ck_assert_str_eq(reminders(), "cancelled 86400 due_date_moved,"
                     " scheduled 86400");
    ck_assert_str_eq(told(), "scheduled cancelled scheduled");
    ck_assert_ptr_nonnull(strstr(told_event(2), first));
    ck_assert_ptr_null(strstr(told_event(3), first));
    ck_assert_str_eq(stream_is_gapless(), "t");
}
END_TEST

START_TEST(moved_into_the_lead_it_has_none)
{
    handled(edit_task(task_with_reminder(), apr_time_now() + HOUR, -1, NULL,
                      apr_time_now()));
    ck_assert_str_eq(reminders(), "cancelled 86400 due_date_moved");
}
END_TEST

START_TEST(what_ends_a_task_cancels_its_reminder)
{
    handled(edit_task(task_with_reminder(), 0, 1, NULL, apr_time_now()));
    ck_assert_str_eq(reminders(), "cancelled 86400 completed");
    user = new_user();
    handled(edit_task(task_with_reminder(), TE_TIME_NONE, -1, NULL,
                      apr_time_now()));
    ck_assert_str_eq(reminders(), "cancelled 86400 due_date_cleared");
    user = new_user();
    handled(delete_task(task_with_reminder()));
    ck_assert_str_eq(reminders(), "cancelled 86400 deleted");
    ck_assert_str_eq(told(), "scheduled cancelled");
}
END_TEST

START_TEST(another_users_event_changes_no_reminder)
{
    te_task_t *task = task_with_reminder();
    const char *owner = user, *event;

    task->user_id = new_user();
    event = whole(event_of(task, TE_TASK_DELETED, NULL, apr_time_now()));
    ck_assert_int_eq(handled(event), TE_EVENT_HANDLED);
    ck_assert_str_eq(reminders(), "scheduled 86400");
    ck_assert_str_eq(user, owner);
}
END_TEST

START_TEST(what_does_not_concern_it_leaves_it_alone)
{
    te_task_t *task = task_with_reminder();

    handled(edit_task(task, 0, -1, "another", apr_time_now()));
    ck_assert_str_eq(reminders(), "scheduled 86400");
    make_due();
    sweep();
    handled(edit_task(task, 0, -1, "and another", apr_time_now()));
    ck_assert_str_eq(told(), "scheduled triggered");
}
END_TEST

START_TEST(a_reopened_task_has_its_reminder_again)
{
    te_task_t *task = task_with_reminder();

    handled(edit_task(task, 0, 1, NULL, apr_time_now()));
    handled(edit_task(task, 0, 0, NULL, apr_time_now()));
    ck_assert_str_eq(reminders(), "cancelled 86400 completed,"
                     " scheduled 86400");
    ck_assert_str_eq(told(), "scheduled cancelled scheduled");
}
END_TEST

/* --- in any order ------------------------------------------------------ */

#define EDITS 6

static apr_time_t random_due(apr_time_t at)
{
    static const int hours[] = {1, 23, 25, 30, 49, 72};

    return at + hours[unit_random(6)] * HOUR;
}

/* What is left to happen: the one scheduled, or none. */
static const char *to_come(const te_task_t *task)
{
    return sql("SELECT coalesce(string_agg(concat_ws(' ', due_date,"
               " remind_at), ', '), 'none') FROM taskevents.reminders"
               " WHERE task_id = %" APR_INT64_T_FMT " AND state = 'scheduled'",
               task->id);
}

/* The same history of two tasks: one's events are handled at once, the
 * other's at the end, in any order and some twice. */
START_TEST(any_order_and_number_of_deliveries_ends_the_same)
{
    apr_time_t at = apr_time_now() - 10 * HOUR;
    apr_time_t due;
    const char *at_once[EDITS + 1], *later[EDITS + 1];
    te_task_t *a, *b;
    int i, completed = 0;

    unit_seed();
    due = unit_random(4) ? random_due(at) : TE_TIME_NONE;
    a = new_task(due, at, &at_once[0]);
    b = new_task(due, at, &later[0]);
    handled(at_once[0]);
    for (i = 1; i <= EDITS; ++i) {
        at += HOUR + (apr_time_t)unit_random(3000000);
        due = 0;
        switch (unit_random(4)) {
        case 0:
            completed = !completed;
            break;
        case 1:
            due = unit_random(4) ? random_due(at) : TE_TIME_NONE;
            break;
        case 2:
            due = a->due_date != TE_TIME_NONE ? a->due_date : 0;
            break;
        default:
            break;
        }
        at_once[i] = edit_task(a, due, completed,
                               apr_psprintf(pool, "edit %d", i), at);
        later[i] = edit_task(b, due, completed,
                             apr_psprintf(pool, "edit %d", i), at);
        handled(at_once[i]);
    }
    for (i = 0; i < 4 * EDITS; ++i) {
        handled(later[unit_random(EDITS + 1)]);
    }
    for (i = EDITS; i >= 0; --i) {
        handled(later[i]);
    }
    ck_assert_str_eq(to_come(b), to_come(a));
    ck_assert_str_eq(stream_is_gapless(), "t");
}
END_TEST

/* --- the notification -------------------------------------------------- */

START_TEST(a_triggered_reminder_notifies_once)
{
    te_task_t *task = task_with_reminder();
    const char *event;
    int i;

    sql("UPDATE taskevents.tasks SET due_date = '2031-01-31 09:00+00' WHERE"
        " id = %" APR_INT64_T_FMT, task->id);
    sql("UPDATE taskevents.reminders SET due_date = '2031-01-31 09:00+00'"
        " WHERE user_id = '%s'", user);
    make_due();
    sweep();
    event = told_event(2);
    for (i = 0; i < 3; ++i) {
        handled(event);
    }
    ck_assert_str_eq(sql("SELECT concat_ws('|', type, title, message, task_id"
                         " = %" APR_INT64_T_FMT ", data->>'reminder_id' = '%s',"
                         " data->>'due_date', read_at IS NULL)"
                         " FROM taskevents.notifications WHERE user_id = '%s'",
                         task->id, only_reminder(), user),
                     "task_reminder|Water the \"plants\"|Due on 2031-01-31 at"
                     " 10:00 (Europe/Berlin)|t|t|2031-01-31T09:00:00Z|t");
    ck_assert_str_eq(notifications(), "1");
    ck_assert_str_eq(told(), "scheduled triggered");
}
END_TEST

START_TEST(what_was_overtaken_notifies_nobody)
{
    te_task_t *task = task_with_reminder();
    const char *event, *completed;

    make_due();
    sweep();
    event = told_event(2);
    completed = edit_task(task, 0, 1, NULL, apr_time_now());
    if (_i) {
        handled(completed);
    }
    handled(event);
    if (!_i) {
        handled(completed);
    }
    ck_assert_str_eq(notifications(), "0");
    ck_assert_str_eq(told(), "scheduled triggered cancelled");
    ck_assert_str_eq(stream_is_gapless(), "t");
}
END_TEST

/* Of users of their own, each with one task. */
START_TEST(each_of_a_batch_is_told_of_as_if_it_came_alone)
{
    enum {PLAIN, COMPLETED, DELETED, LOST, TWICE, HEARD, USERS};
    static const struct {
        const char *notifications, *told;
    } ends[USERS] = {
        [PLAIN] = {"1", "scheduled triggered"},
        [COMPLETED] = {"0", "scheduled triggered cancelled"},
        [DELETED] = {"0", "scheduled triggered cancelled"},
        [LOST] = {"1", "scheduled triggered"},
        [TWICE] = {"1", "scheduled triggered"},
        [HEARD] = {"0", "scheduled triggered cancelled"}};
    const char *users[USERS], *texts[3 * USERS + 3], *completed;
    te_task_t *task;
    int i, n = 0;

    for (i = 0; i < USERS; ++i) {
        users[i] = user = i ? new_user() : user;
        task = task_with_reminder();
        make_due();
        sweep();
        texts[n++] = told_event(1);
        texts[n++] = told_event(2);
        if (i == DELETED) {
            delete_task(task);
        }
        if (i == COMPLETED || i == HEARD) {
            completed = edit_task(task, 0, 1, NULL, apr_time_now());
        }
        if (i == HEARD) {
            texts[n - 1] = completed;           /* before its trigger */
            texts[n++] = told_event(2);
        }
        if (i == LOST) {
            sql("DELETE FROM taskevents.reminders WHERE user_id = '%s'",
                user);
        }
        if (i == TWICE || i == COMPLETED) {
            /* another event that names the same reminder, and a copy */
            texts[n++] = whole(event_of(
                task, TE_REMINDER_TRIGGERED,
                json_pack("{s:s,s:s}", "reminder_id", only_reminder(),
                          "due_date", te_time_format(pool, task->due_date)),
                apr_time_now()));
            texts[n] = texts[n - 1];
            ++n;
        }
    }
    for (i = 0; i < 2; ++i) {                   /* and all of it again */
        handled_together(texts, n);
    }
    for (i = 0; i < USERS; ++i) {
        user = users[i];
        ck_assert_msg(strcmp(notifications(), ends[i].notifications) == 0
                          && strcmp(told(), ends[i].told) == 0,
                      "%d: %s, %s", i, notifications(), told());
        ck_assert_str_eq(stream_is_gapless(), "t");
    }
}
END_TEST

START_TEST(a_reminder_whose_row_is_lost_is_what_its_event_says)
{
    task_with_reminder();
    make_due();
    sweep();
    sql("DELETE FROM taskevents.reminders WHERE user_id = '%s'", user);
    handled(told_event(2));
    ck_assert_str_eq(notifications(), "1");
}
END_TEST

START_TEST(a_trigger_that_names_no_reminder_is_malformed)
{
    te_task_t *task = task_with_reminder();
    json_t *data = _i ? json_pack("{s:s,s:s}", "reminder_id", "7", "due_date",
                                  "2031-01-31T09:00:00Z")
                      : json_pack("{s:s}", "reminder_id", te_uuid_v4(pool));

    ck_assert_int_eq(handled(whole(event_of(task, TE_REMINDER_TRIGGERED, data,
                                            apr_time_now()))),
                     TE_EVENT_KEPT);
    ck_assert_str_eq(notifications(), "0");
}
END_TEST

TCase *reminders_tests(void)
{
    TCase *c = unit_case("reminders", 60);

    tcase_add_checked_fixture(c, reminding_open, reminding_close);
    tcase_add_test(c,
                   a_task_due_after_the_lead_is_reminded_of_that_long_before);
    tcase_add_test(c,
                   within_the_lead_late_reminders_are_for_what_is_still_ahead);
    tcase_add_test(c, a_reminder_is_scheduled_with_its_event);
    tcase_add_test(c, handled_late_it_is_judged_by_when_the_due_date_was_set);
    tcase_add_test(c, without_a_due_date_far_enough_away_there_is_none);
    tcase_add_test(c, a_moved_due_date_has_a_new_reminder);
    tcase_add_test(c, moved_into_the_lead_it_has_none);
    tcase_add_test(c, what_ends_a_task_cancels_its_reminder);
    tcase_add_test(c, another_users_event_changes_no_reminder);
    tcase_add_test(c, what_does_not_concern_it_leaves_it_alone);
    tcase_add_test(c, a_reopened_task_has_its_reminder_again);
    tcase_add_loop_test(c, any_order_and_number_of_deliveries_ends_the_same,
                        0, 12);
    tcase_add_test(c, a_triggered_reminder_notifies_once);
    tcase_add_loop_test(c, what_was_overtaken_notifies_nobody, 0, 2);
    tcase_add_test(c, each_of_a_batch_is_told_of_as_if_it_came_alone);
    tcase_add_test(c, a_reminder_whose_row_is_lost_is_what_its_event_says);
    tcase_add_loop_test(c, a_trigger_that_names_no_reminder_is_malformed, 0,
                        2);
    return c;
}
