#!/usr/bin/env python3
"""What handling an event does, through the routes that the sidecar calls.

    TASKEVENTS_EFFECTS_SEED   the same series again
"""
import json
import os
import random
import sys
import uuid
from datetime import datetime, timedelta

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from oracle import UTC, next_due, transitions
from psql import psql
from service import Service, Wire, seed
from stack import children_of

VARIABLE, SEED = seed("EFFECTS")
KEPT = ("title", "description", "priority", "tags", "time_zone",
        "is_recurring", "recurring_interval", "series_id")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
         "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu", "CET",
         "Africa/Casablanca", "America/Sao_Paulo", "Pacific/Chatham"]
service = Service()


def when(text):
    return text and datetime.fromisoformat(text.replace("Z", "+00:00"))


def written(moment):
    return moment and moment.isoformat()


def event_type(event):
    return json.loads(event)["type"]


def completions(*users):
    return [e for e in service.events(*users)
            if event_type(e) == "task.completed"]


def series_of(user, task):
    """Its tasks as they are, by number."""
    mine = [t for t in service.tasks(user)
            if t["series_id"] == task["series_id"]]
    return sorted(mine, key=lambda t: t["occurrence"])


def create(user, **fields):
    return service.api(user, "POST", "tasks", {
        "title": "Water the plants", "is_recurring": True,
        "recurring_interval": "daily", "due_date": "2031-01-31T09:00:00Z",
        **fields})


# ---- every field, every due date -----------------------------------------------

def a_due(rng, zone):
    if rng.random() < 0.15:
        return None
    if rng.random() < 0.5 and transitions(zone):
        change = rng.choice(transitions(zone))[0]
        return change + timedelta(minutes=rng.randint(-2 * 1440, 60),
                                  microseconds=rng.choice((0, 1, 999999)))
    return datetime(rng.randint(1970, 2099), rng.randint(1, 12),
                    rng.choice((1, 15, 27, 28)), 12, tzinfo=UTC) + \
        timedelta(days=rng.randint(0, 3), hours=rng.randint(0, 23))


def some_fields(rng):
    zone = rng.choice(ZONES)
    return {
        "title": rng.choice(("Plants", "Büroklammern \"<&>\" \\ '", "日本語 🪴"))
        + f" {rng.random()}",
        "description": rng.choice((None, "", "zwei\nZeilen\t\"'\\", "x" * 1000)),
        "priority": rng.choice(("low", "medium", "high")),
        "tags": rng.sample(["home", "Ärger", "a,b", "c{d}", "e\"f", "NULL"],
                           rng.randint(0, 4)),
        "due_date": written(a_due(rng, zone)), "time_zone": zone,
        "recurring_interval": rng.choice(("daily", "weekly", "monthly"))}


def lives(rng, user, series, rounds):
    """Tasks that are completed, some moved before; what is wrong with those
    that follow."""
    wrong, last = [], [create(user, **some_fields(rng))
                       for _ in range(series)]
    anchors = [when(task["due_date"]) for task in last]
    handled = []
    for _ in range(rounds):
        for n, task in enumerate(last):
            if rng.random() < 0.2:      # counted anew from here
                moved = a_due(rng, task["time_zone"])
                task = service.patch(task, due_date=written(moved))
                anchors[n] = when(task["due_date"])
            last[n] = service.complete(task)
        handled = service.drain(user, known=handled)
        follow = {t["series_id"]: t
                  for t in service.tasks(user, completed="false")}
        for n, task in enumerate(last):
            next_one = follow.get(task["series_id"], {})
            done = when(task["completed_at"])
            anchors[n] = anchors[n] or done
            due = next_due(anchors[n], when(task["due_date"]) or done,
                           task["time_zone"], task["recurring_interval"], None)
            wanted = {**{name: task[name] for name in KEPT},
                      "occurrence": task["occurrence"] + 1,
                      "completed": False, "completed_at": None, "version": 1}
            got = {name: next_one.get(name) for name in wanted}
            if got != wanted or when(next_one["due_date"]) != due:
                wrong.append(f"{task}\nanchor {anchors[n]}, due {due}, "
                             f"followed by\n{next_one}")
            last[n] = next_one
        if wrong:
            break
    return wrong


def property_of_series():
    rng = random.Random(SEED)
    wrong, series, rounds = [], 0, 3
    for name in range(4):
        wrong += lives(rng, service.user(f"fields{name}"), 50, rounds)
        series += 50
    tap.ok(not wrong, f"{series} series, {rounds} times completed: each next "
           "task keeps every field and is due when it should be",
           "\n".join(wrong[:3]))


# ---- a number is used once, for ever ---------------------------------------------

def numbers():
    user = service.user("numbers")

    task = create(user)
    for completed in (True, False, True, False, True):
        service.complete(task, completed)
    service.drain(user)
    tap.equal(len(series_of(user, task)), 2,
              "completed, reopened and completed again makes one")

    made = series_of(user, task)[1]
    service.delete(made)
    for completed in (False, True):
        service.complete(task, completed)
    service.drain(user)
    tap.equal(len(series_of(user, task)), 1,
              "what was made and deleted is not made again")

    task = create(user)
    service.complete(task)
    service.drain(user)
    made = series_of(user, task)[1]
    service.complete(made)
    service.delete(made)
    for completed in (False, True):
        service.complete(task, completed)
    service.drain(user)
    tap.equal([t["occurrence"] for t in series_of(user, task)], [1, 3],
              "a completed one that was deleted still has its next, and "
              "completing the first again adds none")

    task = create(user)
    service.complete(task)
    service.delete(task)
    service.drain(user)
    tap.equal([t["occurrence"] for t in series_of(user, task)], [2],
              "completed and gone when the event comes: the next is made")


def ends():
    user = service.user("ends")

    task = create(user)
    service.complete(task)
    service.complete(task, False)
    service.delete(task)
    service.drain(user)
    tap.equal(series_of(user, task), [], "deleting an open one ends the series")

    task = create(user)
    service.complete(task)
    service.patch(task, is_recurring=False)
    service.drain(user)
    tap.equal(len([t for t in service.tasks(user) if t["id"] == task["id"]]),
              1, "one that recurs no more is followed by none")
    tap.equal(len(service.tasks(user)), 1, "not in another series either")

    task = create(user)
    service.complete(task)
    service.complete(task, False)
    service.drain(user)
    tap.equal(len(series_of(user, task)), 1,
              "a completion that was taken back makes none")
    service.complete(task)
    service.drain(user)
    tap.equal(len(series_of(user, task)), 2, "the next one does")


def last_state_counts():
    """Of a task that is gone, whichever of its completions comes first."""
    for first in (0, -1):
        user = service.user(f"gone{first}")
        task = create(user, title="Before", priority="low")
        service.complete(task)
        service.complete(task, False)
        service.patch(task, title="After", priority="high",
                      due_date="2031-02-28T10:00:00Z")
        service.complete(task)
        service.patch(task, description="and even later")
        service.delete(task)
        service.deliver(completions(user)[first])
        service.drain(user)
        made, = series_of(user, task)
        tap.equal([made[name] for name in
                   ("title", "priority", "description", "due_date")],
                  ["After", "high", "and even later",
                   "2031-03-01T10:00:00Z"],
                  f"its {'first' if first == 0 else 'last'} completion first: "
                  "the next is like it was in the end")


def old_state_does_not():
    """An older build lets lie what a newer one kept."""
    user = service.user("older")
    task = create(user)
    service.complete(task)
    service.drain(user)
    psql("UPDATE taskevents.series SET gone = '{\"occurrence\": 1, \"title\":"
         " \"Old\", \"priority\": 1, \"tags\": []}'"
         f" WHERE series_id = '{task['series_id']}'")
    service.complete(series_of(user, task)[1])
    service.drain(user)
    made = series_of(user, task)[2]
    tap.equal([made["title"], made["due_date"]],
              [task["title"], "2031-02-02T09:00:00Z"],
              "what was kept of an earlier one does not count")


# ---- no circles --------------------------------------------------------------------

def changed(event, origin="recurrence", **task):
    event = json.loads(event)
    event["id"] = str(uuid.uuid4())
    event["data"]["origin"] = origin
    event["data"]["task"].update(task)
    return json.dumps(event)


def circles():
    user = service.user("circles")
    task = create(user)
    service.complete(task)
    handled = service.drain(user)
    created = [e for e in handled if event_type(e) == "task.created"]
    tap.equal([json.loads(e)["data"]["origin"] for e in created],
              ["user", "recurrence"], "an occurrence says where it comes from")
    before = len(service.events(user))

    done = dict(completed=True, completed_at="2031-01-31T09:00:00Z")
    service.deliver(changed(created[1], **done), changed(created[1]))
    completed, = completions(user)
    second = json.loads(created[1])["data"]["task"]
    forged = json.loads(changed(completed))
    forged["data"].update(task_id=second["id"], task={**second, **done})
    forged["subject"] = f"tasks/{second['id']}"
    psql("UPDATE taskevents.tasks SET completed = true, completed_at = now()"
         f" WHERE id = {second['id']}")
    for origin in ("recurrence", "reminder"):
        forged["data"]["origin"], forged["id"] = origin, str(uuid.uuid4())
        service.deliver(json.dumps(forged))
    tap.equal(len(series_of(user, task)), 2,
              "an occurrence that is created completed makes none")
    service.deliver(*handled, *reversed(handled))
    tap.equal((len(series_of(user, task)), len(service.events(user))),
              (2, before), "nor does one that is replayed")
    forged["data"]["origin"], forged["id"] = "user", str(uuid.uuid4())
    service.deliver(json.dumps(forged))
    tap.equal(len(series_of(user, task)), 3, "a user's completion does")


def chains():
    """As many tasks as were made and completed, however long it is drained."""
    user, made = service.user("chains"), 3
    open_ones = [create(user) for _ in range(made)]
    handled = []
    for _ in range(4):
        for task in open_ones:
            service.complete(task)
            made += 1
        handled = service.drain(user, known=handled)
        service.deliver(*handled)
        open_ones = service.tasks(user, completed="false")
    tap.equal(len(service.tasks(user)), made,
              f"{made} tasks, one for each that was made or completed")
    tap.equal(len(service.events(user)), 2 * made - 3,
              "and one event for each of both")


# ---- the same event many times at once -------------------------------------------------

def serving(wires):
    """The children of httpd that have these connections."""
    ports = {wire.socket.getsockname()[1] for wire in wires}
    sockets = set()
    with open("/proc/net/tcp", encoding="ascii") as lines:
        for line in list(lines)[1:]:
            words = line.split()
            if int(words[2].split(":")[1], 16) in ports:
                sockets.add(f"socket:[{words[9]}]")
    with open(f"{os.environ['TASKEVENTS_RUN']}/pid/httpd",
              encoding="ascii") as pid:
        children = children_of(int(pid.read().split()[0]))
    return {child for child in children if sockets & links_of(child)}


def links_of(pid):
    links = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    return links


def at_once():
    served, rounds, wrong = 0, 10, []
    user = service.user("race")
    for n in range(1, rounds + 1):
        task = create(user)
        service.complete(task)
        completed = service.events(user)[-1]
        wires = [Wire(service.env["TASKEVENTS_SIDECAR_URL"])
                 for _ in range(32)]
        text = wires[0].bytes_of(*service.delivery(completed))
        for part in (text[:-1], text[-1:]):
            for wire in wires:
                wire.open()
                wire.socket.sendall(part)
        answers = [wire.receive() for wire in wires]
        served = max(served, len(serving(wires)))
        state = psql("SELECT count(*), max(position) FROM"
                     f" taskevents.processed_events WHERE user_id = '{user}'")
        if answers != [(200, b"")] * 32 or state != [f"{n}|{n}"] \
                or len(series_of(user, task)) != 2 \
                or len(service.events(user)) != 3 * n:
            wrong.append((answers, state, series_of(user, task)))
        for wire in wires:
            wire.socket.close()
    tap.ok(served > 1, f"32 connections at once, in {served} children")
    tap.ok(not wrong, f"{rounds} times 32 copies: handled once, one row of "
           "history, one next task, one event", wrong[:2])


tap.note(f"{VARIABLE}={SEED}")
property_of_series()
numbers()
ends()
last_state_counts()
old_state_does_not()
circles()
chains()
at_once()
tap.done()
