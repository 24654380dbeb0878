"""What the checker wants of reminders: each has one reminder.scheduled and one
end, none was triggered early, each triggered one told its user once, and what
is still scheduled fits its task."""
from collections import Counter, defaultdict

# What the run's httpd is told, so that reminders come while it lasts.
LEAD = 2
CONF = f"TaskEventsReminderLead {LEAD}s\n"


def tables(stack, prefix):
    """What the database says of them, for History.db."""
    mine = f"starts_with(user_id, '{prefix}')"
    return {
        "reminders": stack.sql(f"""
            SELECT json_build_object('id', id, 'user_id', user_id,
              'task_id', task_id, 'state', state,
              'late', extract(epoch FROM ended_at - remind_at),
              'overdue', extract(epoch FROM clock_timestamp() - remind_at),
              'fits', EXISTS (SELECT FROM taskevents.tasks t
                WHERE t.id = r.task_id AND NOT t.completed
                  AND t.due_date = r.due_date
                  AND t.due_since = r.due_since))
              FROM taskevents.reminders r WHERE {mine}"""),
        "notifications": stack.sql(
            "SELECT json_build_object('reminder_id', reminder_id, 'user_id',"
            f" user_id) FROM taskevents.notifications WHERE {mine}"),
        "unreminded": stack.sql(f"""
            SELECT json_build_object('id', id, 'user_id', user_id)
              FROM taskevents.tasks t WHERE {mine} AND NOT completed
               AND due_date - interval '{LEAD} s' > due_since
               AND NOT EXISTS (SELECT FROM taskevents.reminders r
                 WHERE r.task_id = t.id AND r.due_since = t.due_since)"""),
    }


def to_come(stack, prefix, seconds=60):
    """How many reminders are due now or soon."""
    row, = stack.sql(
        "SELECT json_build_array(count(*)) FROM taskevents.reminders"
        f" WHERE starts_with(user_id, '{prefix}') AND state = 'scheduled'"
        f" AND remind_at < clock_timestamp() + interval '{seconds} s'")
    return row[0]


def check(checker):
    db, told = checker.h.db, defaultdict(Counter)
    for event in checker.by_id.values():
        if event["type"].startswith("reminder."):
            told[event["data"]["reminder_id"]][event["type"][9:]] += 1
    notified = Counter(n["reminder_id"] for n in db.get("notifications", ()))
    rows = {row["id"]: row for row in db.get("reminders", ())}
    for row in rows.values():
        fault = fault_of(row, told[row["id"]], notified[row["id"]])
        checker.totals[f"reminders {row['state']}"] += 1
        if fault:
            checker.find("reminder", f"{row['user_id']} {row['id']} of task "
                         f"{row['task_id']} is {row['state']}, but {fault}",
                         (row["user_id"], None), row["task_id"])
    for unknown in sorted(set(told) - set(rows)):
        checker.find("reminder", f"{unknown} has events, but no row")
    for task in db.get("unreminded", ()):
        checker.find("reminder", f"task {task['id']} of {task['user_id']} "
                     "has none", (task["user_id"], None), task["id"])


def fault_of(row, told, notified):
    """What is wrong with one, or None."""
    state, wanted = row["state"], {"scheduled": 1}
    if state != "scheduled":
        wanted[state] = 1
    # what was overtaken before its user was told has both
    if state == "cancelled" and told["triggered"] == 1:
        wanted["triggered"] = 1
    if dict(told) != wanted:
        return f"its events are {dict(told)}"
    if state == "triggered" and row["late"] < 0:
        return f"it was {-row['late']} s early"
    if notified != (state == "triggered"):
        return f"its user was told {notified} times"
    if state == "scheduled" and row["overdue"] > 10:
        return f"its time was {row['overdue']:.0f} s ago"
    if state == "scheduled" and not row["fits"]:
        return "its task asks for it no more"
    return None
