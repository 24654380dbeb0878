#!/usr/bin/env python3
"""The checker itself: it finds nothing in a clean history, and in one with a
fault it names exactly that."""
import copy
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(__file__)
sys.path.insert(0, os.path.join(HERE, "lib"))
import tap
from checker import Checker, due_at
from history import History

CLEAN = History.load(os.path.join(HERE, "clean.jsonl"))


def judged(name, kind, spoil, *words, disturbed=False):
    """One finding of that kind; what spoil returns and the words are named
    in it. None: no finding."""
    history = copy.deepcopy(CLEAN)
    named = spoil(history)
    findings = Checker(history, disturbed).check()
    told = "\n".join(map(str, findings))
    tap.equal([f.kind for f in findings], [kind] if kind else [], name)
    if kind:
        for word in (*words, *(named if isinstance(named, tuple)
                               else (named,))):
            tap.ok(str(word) in findings[0].text if findings else False,
                   f"... and says {word}", told)
    elif findings:
        tap.note(told)


# ---- the parts of a history --------------------------------------------------

def stream(history, least=6):
    """The records of a user who has some, in the order of Kafka."""
    keys = sorted({r["key"] for r in history.records})
    return next(mine for mine in (
        [r for r in history.records if r["key"] == key
         and r["topic"] == "tasks"] for key in keys) if len(mine) >= least)


def drop(history, record):
    history.records.remove(record)
    return record["event"]


def copy_of(history, record, **members):
    """Another record at the end of the partition."""
    new = copy.deepcopy(record)
    new["event"].update(members)
    new["offset"] = 1 + max(r["offset"] for r in history.records
                            if r["partition"] == record["partition"])
    history.records.append(new)
    return new["event"]


def last(history, record):
    return history.db["streams"][record["key"]]["tasks"]


def number(n):
    return f"{n:020d}"


# ---- as it never was: no event for a write ---------------------------------

def forget(history, record):
    """The event was never made: the numbers close up behind it."""
    user, event = record["key"], drop(history, record)
    gone = int(event["sequence"])
    for other in stream_of(history, user):
        if int(other["event"]["sequence"]) > gone:
            other["event"]["sequence"] = number(
                int(other["event"]["sequence"]) - 1)
    row = next(p for p in history.db["processed"]
               if p["event_id"] == event["id"])
    history.db["processed"].remove(row)
    for other in history.db["processed"]:
        if other["user_id"] == user and other["position"] > row["position"]:
            other["position"] -= 1
    history.db["streams"][user]["tasks"] -= 1
    history.db["streams"][user]["history"] -= 1
    return event


def stream_of(history, user):
    return [r for r in history.records
            if r["key"] == user and r["topic"] == "tasks"]


def of_type(history, *types):
    return next(r for r in history.records if r["event"]["type"] in types
                and r["event"]["data"]["origin"] == "user")


def lost(history):
    record = stream(history)[2]
    event = drop(history, record)
    return f"('{record['key']}', 'tasks') {int(event['sequence'])} of"


def lost_last(history):
    record = stream(history)[-1]
    event = drop(history, record)
    return f"('{record['key']}', 'tasks') {int(event['sequence'])} of"


def doubled(history):
    record = stream(history)[2]
    event = copy_of(history, record,
                    sequence=number(last(history, record) + 1))
    return event["id"]


def doubled_as_another(history):
    mine = stream(history)
    event = copy_of(history, mine[2], sequence=mine[3]["event"]["sequence"])
    return event["id"]


def changed(history):
    return copy_of(history, stream(history)[1], time="2000-01-01")["id"]


def swapped(history):
    first, second = stream(history)[2:4]
    at, other = map(history.records.index, (first, second))
    history.records[at], history.records[other] = second, first
    return first["event"]["id"]


def invented(history):
    record = stream(history)[-1]
    return copy_of(history, record, id="11111111-invented",
                   sequence=number(last(history, record) + 1))["id"]


def invented_between(history):
    record = stream(history)[3]
    return copy_of(history, record, id="22222222-invented")["id"]


def repeated(history):
    return copy_of(history, stream(history)[1])["id"]


def other_partition(history):
    record = stream(history)[4]
    record["partition"] += 1
    return record["key"]


def silent_update(history):
    op = next(o for o in history.ops
              if o["do"] == "patch" and not o["completes"])
    forget(history, next(
        r for r in history.records if r["event"]["type"] == "task.updated"
        and r["event"]["data"]["task"]["title"] == op["title"]))
    return op["n"], op["task"]


def silent_delete(history):
    op = next(o for o in history.ops if o["do"] == "delete")
    forget(history, next(
        r for r in history.records if r["event"]["type"] == "task.deleted"
        and r["event"]["data"]["task_id"] == op["task"]))
    return op["n"], op["task"]


def silent_create(history):
    op = copy.deepcopy(next(o for o in history.ops if o["do"] == "create"))
    op["n"], op["task"], op["title"] = "w9-9", 999999, "w9 task 9"
    op["answer"].update(id=op["task"], title=op["title"])
    history.ops.append(op)
    return op["n"], op["task"]


def unasked(history):
    op = next(o for o in history.ops if o["do"] == "patch")
    history.ops.remove(op)
    return op["task"] and op["user"]


def no_successor(history):
    """The completed last one of a series that goes on."""
    made = of_origin(history, "recurrence")
    later = [r for r in stream_of(history, made["key"]) if r is not made
             and r["event"]["data"]["task_id"]
             == made["event"]["data"]["task_id"]]
    for record in (made, *later):
        forget(history, record)
    task = made["event"]["data"]["task_id"]
    history.ops = [o for o in history.ops if o["task"] != task]
    history.db["tasks"] = [t for t in history.db["tasks"] if t["id"] != task]
    return made["event"]["data"]["task"]["series_id"]


def of_origin(history, origin):
    """The last task of a series that nobody completed."""
    done = {r["event"]["data"]["task_id"] for r in history.records
            if r["event"]["type"] == "task.completed"}
    return next(r for r in history.records
                if r["event"]["data"]["origin"] == origin
                and r["event"]["data"]["task_id"] not in done
                and not history.db["series"][
                    r["event"]["data"]["task"]["series_id"]])


def two_successors(history):
    made = of_origin(history, "recurrence")
    user, task = made["key"], 888888
    event = copy_of(history, made, id="33333333-second",
                    sequence=number(last(history, made) + 1))
    event["data"]["task_id"] = event["data"]["task"]["id"] = task
    event["data"]["task"]["version"] = 1
    counters = history.db["streams"][user]
    counters["tasks"] += 1
    counters["history"] += 1
    history.db["processed"].append({
        "event_id": event["id"], "user_id": user,
        "position": counters["history"]})
    history.db["tasks"].append({"id": task, "user_id": user, "version": 1})
    return event["data"]["task"]["series_id"], "2 follow"


def follow_up(history):
    """The event of an occurrence that handling a completion made."""
    return of_origin(history, "recurrence")["event"]


def other_cause(history):
    """Of another completion, as if that had made it."""
    event = follow_up(history)
    event["causationid"] = next(
        r["event"]["id"] for r in history.records
        if r["event"]["type"] == "task.completed"
        and r["event"]["id"] != event["causationid"])
    return event["id"]


def other_chain(history):
    event = follow_up(history)
    event["correlationid"] = event["id"]
    return event["id"]


def no_completion(history):
    """One more, though nobody completed the last one."""
    made = of_origin(history, "recurrence")
    user, task = made["key"], 777777
    event = copy_of(history, made, id="44444444-uncalled",
                    sequence=number(last(history, made) + 1))
    event["data"]["task_id"] = task
    shown = event["data"]["task"]
    shown.update(id=task, version=1, occurrence=shown["occurrence"] + 1,
                 due_date=due_at(
                     first_of(history, shown["series_id"])["due_date"],
                     shown["recurring_interval"], shown["occurrence"] + 1
                 ).replace("+00:00", "Z"))
    counters = history.db["streams"][user]
    counters["tasks"] += 1
    counters["history"] += 1
    history.db["processed"].append({
        "event_id": event["id"], "user_id": user,
        "position": counters["history"]})
    history.db["tasks"].append({"id": task, "user_id": user, "version": 1})
    return event["id"]


def first_of(history, series):
    return next(r["event"]["data"]["task"] for r in history.records
                if r["event"]["type"] == "task.created"
                and r["event"]["data"]["task"]["series_id"] == series
                and r["event"]["data"]["task"]["occurrence"] == 1)


def shown_otherwise(history, **fields):
    """In each event that shows the made task, and in its row."""
    event = follow_up(history)
    task = event["data"]["task_id"]
    for record in history.records:
        if record["event"]["data"]["task_id"] == task \
                and "task" in record["event"]["data"]:
            record["event"]["data"]["task"].update(fields)
    for row in history.db["tasks"]:
        if row["id"] == task:
            row.update({k: v for k, v in fields.items() if k in row})
    for op in history.ops:
        if op["task"] == task and op["answer"]:
            op["answer"].update(fields)
    return event["id"]


def handled_again(history):
    """As if the mark were not unique; with a position of its own."""
    row = dict(history.db["processed"][0])
    counters = history.db["streams"][row["user_id"]]
    counters["history"] += 1
    row["position"] = counters["history"]
    history.db["processed"].append(row)
    return row["event_id"]


def unhandled(history):
    """Of the user's last handled one, so that the positions hold."""
    row = max((p for p in history.db["processed"]),
              key=lambda p: p["position"])
    history.db["processed"].remove(row)
    history.db["streams"][row["user_id"]]["history"] -= 1
    return row["event_id"]


def handled_twice(history):
    row = history.db["processed"][0]
    history.db["processed"][1 if history.db["processed"][1]["user_id"]
                            == row["user_id"] else 0]["position"] += 1000
    return row["user_id"] if history.db["processed"][1]["user_id"] \
        == row["user_id"] else row["user_id"]


def other_version(history):
    history.db["tasks"][0]["version"] += 1
    return history.db["tasks"][0]["id"], "version"


def stale_read(history):
    op = next(o for o in history.ops if o["do"] == "read")
    op["answer"]["version"] -= 1
    return op["n"]


def refused(history):
    op = copy.deepcopy(next(o for o in history.ops if o["do"] == "patch"))
    op.update(n="w9-9", status=404, answer=None)
    history.ops.append(op)
    return op["n"]


def waiting(history):
    history.db["outbox"] = 3
    return "3 events"


def letter(stage):
    def spoil(history):
        history.db["dead_letters"].append({
            "stage": stage, "reason": "r", "user_id": None,
            "event_id": stream(history)[0]["event"]["id"]})
        return stage
    return spoil


def unanswered(history):
    """Nobody heard of it, and it was done all the same."""
    for op in [o for o in history.ops if o["do"] != "read"][5:15]:
        op.update(status=None, answer=None)
        if op["do"] == "create":
            op["task"] = None
    history.ops = [o for o in history.ops if o["do"] != "read"]


# ---- reminders: the recorded history has none, so one is put into it ----------

def with_reminder(history):
    """One that was triggered, as it should be: its row."""
    user = sorted(history.db["streams"])[0]
    counters = history.db["streams"][user]
    counters["reminders"] = 2
    for n, word in enumerate(("scheduled", "triggered"), 1):
        counters["history"] += 1
        history.records.append({
            "topic": "reminders", "partition": 0, "offset": n, "key": user,
            "event": {"id": f"reminder-{word}", "sequence": number(n),
                      "type": f"reminder.{word}", "partitionkey": user,
                      "data": {"user_id": user, "task_id": 1,
                               "origin": "reminder", "reminder_id": "r1"}}})
        history.db["processed"].append({
            "event_id": f"reminder-{word}", "user_id": user,
            "position": counters["history"]})
    row = {"id": "r1", "user_id": user, "task_id": 1, "state": "triggered",
           "late": 0.2, "overdue": 60, "fits": True}
    history.db["reminders"] = [row]
    history.db["notifications"] = [{"reminder_id": "r1", "user_id": user}]
    return row


def early(history):
    with_reminder(history)["late"] = -0.4
    return "0.4 s early"


def not_as_its_events(history):
    with_reminder(history)["state"] = "scheduled"
    return "its events are"


def untold(history):
    with_reminder(history)
    history.db["notifications"] = []
    return "told 0 times"


def told_twice(history):
    with_reminder(history)
    history.db["notifications"] *= 2
    return "told 2 times"


def never_triggered(history):
    """Scheduled, its time long gone."""
    row = with_reminder(history)
    record = history.records.pop()
    user = record["key"]
    history.db["streams"][user]["reminders"] = 1
    history.db["streams"][user]["history"] -= 1
    history.db["processed"].pop()
    history.db["notifications"] = []
    row.update(state="scheduled", late=None)
    return "60 s ago"


def unfit(history):
    never_triggered(history)
    history.db["reminders"][0].update(overdue=-100, fits=False)
    return "asks for it no more"


def without_row(history):
    with_reminder(history)
    history.db["reminders"] = []
    return "no row"


def unreminded(history):
    with_reminder(history)
    history.db["unreminded"] = [{"id": 7, "user_id": "u0@x"}]
    return "task 7"


judged("a clean history", None, lambda history: None)
judged("a lost event", "lost", lost)
judged("a lost event, the last", "lost", lost_last)
judged("one event with two numbers", "doubled", doubled)
judged("and with the number of another", "doubled", doubled_as_another)
judged("one event with two contents", "doubled", changed, disturbed=True)
judged("two events swapped", "swapped", swapped)
judged("an invented event", "invented", invented)
judged("one with the number of another", "invented", invented_between)
judged("a copy without a fault", "duplicate", repeated)
judged("a copy with faults is as promised", None, repeated, disturbed=True)
judged("a stream in two partitions", "misplaced", other_partition)
judged("an acknowledged change without event", "unpublished", silent_update)
judged("an acknowledged delete without event", "unpublished", silent_delete)
judged("an acknowledged task that is nowhere", "unpublished", silent_create)
judged("an event that nobody asked for", "unasked", unasked)
judged("a series that stops", "successor", no_successor)
judged("a series that forks", "successor", two_successors)
judged("a next task of another completion", "cause", other_cause)
judged("a next task in another chain", "cause", other_chain)
judged("a next task that nobody completed for", "cause", no_completion)
judged("a next task at another time", "effect", lambda history:
       shown_otherwise(history, due_date="2031-03-03T09:00:00Z"))
judged("a next task with other tags", "effect", lambda history:
       shown_otherwise(history, tags=["other"]))
judged("an event handled twice", "repeated", handled_again)
judged("an event that nobody handled", "unhandled", unhandled)
judged("positions with a hole", "history", handled_twice)
judged("a task that no event explains", "database", other_version)
judged("a read that does not see a write", "unread", stale_read)
judged("an answer that cannot be", "strange", refused)
judged("events that still wait", "outbox", waiting)
judged("an event given up on", "dead letter", letter("publish"),
       disturbed=True)
judged("an undelivered one, without faults", "dead letter",
       letter("deadletter"))
judged("an undelivered one, with faults", None, letter("deadletter"),
       disturbed=True)
judged("a reminder", None, lambda history: with_reminder(history) and None)
judged("one that came early", "reminder", early)
judged("one whose events are of another fate", "reminder", not_as_its_events)
judged("one that told nobody", "reminder", untold)
judged("one that told twice", "reminder", told_twice)
judged("one that never came", "reminder", never_triggered)
judged("one that its task asks for no more", "reminder", unfit)
judged("events of a reminder that never was", "reminder", without_row)
judged("a task without its reminder", "reminder", unreminded)
judged("writes that were done unheard", None, unanswered, disturbed=True)
tap.done()
