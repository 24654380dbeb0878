#!/usr/bin/env python3
"""Any order and number of deliveries ends in the same state.

Some users make, change, complete, reopen and delete tasks; some of the events
are delivered meanwhile, the others not. From there on all of the events are
delivered in many shuffled and doubled orders, to copies of these users; in
some of them several at the same moment, in some as bulk deliveries.

    TASKEVENTS_CONVERGENCE_SEED    the same history in the same orders again
    TASKEVENTS_CONVERGENCE_ORDERS  how many (1000)
"""
import json
import os
import random
import sys
import threading
import time
from collections import Counter, defaultdict

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from copies import IDS, UUID, Copies, tables
from psql import psql
from service import Service, seed

VARIABLE, SEED = seed("CONVERGENCE")
ORDERS = int(os.environ.get("TASKEVENTS_CONVERGENCE_ORDERS") or 1000)
USERS, STEPS, CONNECTIONS = 3, 24, 8
service = Service()


def history_of(users):
    return [event for topic in ("tasks", "reminders")
            for event in service.events(*users, topic=topic)]


# ---- a history ---------------------------------------------------------------------

class Life:
    """What the users do, by chance; most of the events are held back."""

    def __init__(self, rng):
        self.rng = rng
        self.users = [service.user(f"order{n}") for n in range(USERS)]
        self.delivered, self.held, self.did = set(), set(), Counter()

    def live(self):
        for user in self.users:
            self.create(user)
        for _ in range(STEPS):
            user = self.rng.choice(self.users)
            tasks = service.tasks(user)
            if not tasks or self.rng.random() < 0.12:
                self.create(user)
            else:
                self.change(self.rng.choice(tasks))
            self.deliver_some()
        for user in self.users:
            self.leave(user)

    def leave(self, user):
        """A task that was complete twice, each time another one, and is gone
        when the first of its events is delivered."""
        task = self.create(user, is_recurring=True, recurring_interval="daily")
        service.complete(task)
        service.complete(task, False)
        service.patch(task, title="Left", due_date="2031-05-04T09:00:00Z")
        service.complete(task)
        service.delete(task)

    def due(self):
        return self.rng.choice((
            None, "2031-01-31T09:00:00Z", "2031-03-29T01:30:00Z",
            "2024-02-29T23:59:59.999999Z", "2031-10-25T00:30:00Z"))

    def create(self, user, **fields):
        recurs = self.rng.random() < 0.85
        self.did["create"] += 1
        return service.api(user, "POST", "tasks", {
            "title": f"Task {self.did['create']}", "due_date": self.due(),
            "time_zone": self.rng.choice(("UTC", "Europe/Berlin", "CET")),
            "tags": ["a", "Ärger"][:self.rng.randint(0, 2)],
            "is_recurring": recurs, "recurring_interval": self.rng.choice(
                ("daily", "weekly", "monthly")) if recurs else None, **fields})

    def change(self, task):
        what = self.rng.choice(("complete",) * 4 + ("words", "words", "due",
                                                    "delete", "recurs"))
        if what == "complete":
            what = "reopen" if task["completed"] else what
            service.complete(task, not task["completed"])
        elif what == "words":
            service.patch(task, title=f"{task['title']}!", priority="high",
                          description=f"as of {task['version']}")
        elif what == "due":
            service.patch(task, due_date=self.due(), time_zone="Asia/Kolkata")
        elif what == "delete":
            service.delete(task)
        elif self.rng.random() < 0.5:
            what = "stays"
        elif task["is_recurring"]:
            service.patch(task, is_recurring=False)
        else:
            service.patch(task, is_recurring=True, recurring_interval="daily")
        self.did[what] += 1

    def deliver_some(self):
        for event in history_of(self.users):
            name = json.loads(event)["id"]
            if name in self.delivered or name in self.held:
                continue
            if self.rng.random() < 0.6:
                self.held.add(name)
            else:
                self.delivered.add(name)
                service.deliver(event)


# ---- deliveries ----------------------------------------------------------------------

class Order:
    """One order of the history's events, delivered to one copy; every tenth
    by several at once, every third in batches."""

    def __init__(self, n, copies, events):
        self.at_once = 4 if n % 10 == 9 else 1
        self.in_batches = n % 3 == 2
        self.rng = random.Random(f"{SEED} order {n}")
        self.users = [copies.user(user, n) for user in copies.users]
        self.known = {json.loads(copies.text(e, n))["id"] for e in events}
        mine = [copies.text(e, n) for e in events]
        if n:               # 0: as it happened
            mine += self.rng.choices(mine, k=self.rng.randint(1, len(mine)))
            self.rng.shuffle(mine)
        half = self.rng.randint(0, len(mine)) if n else len(mine)
        self.now, self.later, self.all = mine[:half], mine[half:], mine
        self.caused = []

    def deliver(self, events):
        while events and self.in_batches:
            size = 1 + len(events[0]) % 20
            service.deliver_batch(events[:size])
            events = events[size:]
        service.deliver(*events)

    def next_round(self, caused):
        """With what the deliveries so far have caused."""
        new = [e for e in caused if json.loads(e)["id"] not in self.known]
        self.known.update(json.loads(e)["id"] for e in new)
        self.caused += map(json.loads, new)
        again = self.rng.choices(new, k=self.rng.randint(0, 2)) if new else []
        self.now = self.later + new + again
        self.later = []
        self.rng.shuffle(self.now)


def in_threads(orders):
    """Each order in its order, several of them at a time."""
    failed, waiting = [], [(order, order.now[part::order.at_once])
                           for order in reversed(orders)
                           for part in range(order.at_once)]

    def work():
        while waiting and not failed:
            try:
                order, events = waiting.pop()
                order.deliver(events)
            except IndexError:
                return
            except Exception as error:          # told by the main thread
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def deliver_all(orders):
    count, users = 0, orders[0].users
    while any(order.now or order.later for order in orders):
        in_threads(orders)
        count += sum(len(order.now) for order in orders)
        caused = defaultdict(list)
        for row in psql("SELECT json_build_array(user_id, event) FROM"
                        " taskevents.outbox WHERE split_part(user_id, '.', 1)"
                        f" IN ({', '.join(map(repr, users))})"):
            user, event = json.loads(row)
            caused[user].append(event)
        for order in orders:
            order.next_round([e for user in order.users
                              for e in caused[user]])
    return count


# ---- how it ended -------------------------------------------------------------------------

# The user and what there is of the user's, without the ids and times that are
# given anew.
STATES = {
    "task": """t.user_id, coalesce(t.series_id::text, (t.id % {ids})::text),
        t.occurrence, t.title, t.description, t.completed_at, t.priority,
        t.tags, t.due_date, t.time_zone, t.recurring_interval, t.version
        FROM taskevents.tasks AS t""",
    "series": """t.user_id, t.series_id, t.last_occurrence, t.anchor_due,
        t.time_zone, t.recurring_interval, t.ended_at, t.gone
        FROM taskevents.series AS t""",
    "counted": "t.user_id, t.name, t.last FROM taskevents.streams AS t",
    "handled": """t.user_id, t.event_id, t.type
        FROM taskevents.processed_events AS t""",
    "events": """t.user_id, t.type, sum(t.n)
        FROM taskevents.event_counts AS t GROUP BY t.user_id, t.type""",
    "reminder": """t.user_id, coalesce(k.series_id::text,
        (t.task_id % {ids})::text), k.occurrence, t.due_date, t.remind_at,
        t.state, t.reason FROM taskevents.reminders AS t
        LEFT JOIN taskevents.tasks AS k ON k.id = t.task_id""",
    "told": """t.user_id, t.type, t.title, t.message
        FROM taskevents.notifications AS t""",
    "positions": """t.user_id, count(*), max(t.position)
        FROM taskevents.processed_events AS t GROUP BY t.user_id""",
}


GIVEN_ANEW = ("id", "task_id", "user_id", "series_id", "reminder_id",
              "created_at", "updated_at", "timestamp")


def ends(copies, orders):
    """What each order has led to: sorted lines."""
    state, there = [[] for _ in orders], tables()
    for name, what in STATES.items():
        if not any(f"taskevents.{table} AS t" in what for table in there):
            continue                    # not in this version of the schema
        columns, rest = what.format(ids=IDS).split("FROM", 1)
        for row in psql(f"SELECT json_build_array({columns}) FROM {rest}"):
            user, *values = json.loads(row)
            user, n = copies.owner(user)
            if user in copies.users and n < len(orders):
                values = [copies.origin.get(v, "new") if is_uuid(v) else v
                          for v in values]
                state[n].append(f"{name} {user} {json.dumps(values)}")
    for n, order in enumerate(orders):
        for event in order.caused:
            task = event["data"].pop("task", {})
            user, _ = copies.owner(event["data"].pop("user_id"))
            values = [event["type"], copies.origin.get(task.get("series_id")),
                      {k: v for k, v in {**task, **event["data"]}.items()
                       if k not in GIVEN_ANEW}]
            state[n].append(f"caused {user} {json.dumps(values)}")
    return [sorted(lines) for lines in state]


def is_uuid(value):
    return isinstance(value, str) and UUID.fullmatch(value)


def difference(wanted, got):
    return "\n".join([f"- {line}" for line in wanted if line not in got]
                     + [f"+ {line}" for line in got if line not in wanted])


# ---- the proof ------------------------------------------------------------------------------

tap.note(f"{VARIABLE}={SEED}")
life = Life(random.Random(SEED))
life.live()
events = history_of(life.users)
tap.note(f"{dict(life.did)}; {len(events)} events, {len(life.delivered)} of "
         "them delivered meanwhile")
copies = Copies(life.users, ORDERS)
orders = [Order(n, copies, events) for n in range(ORDERS)]
tap.equal(len(set(map(tuple, ([copies.origin[json.loads(e)["id"]]
                               for e in order.all] for order in orders)))),
          ORDERS, f"{ORDERS} orders, none like another")
began = time.monotonic()
count = deliver_all(orders)
tap.note(f"{count} deliveries, {count / (time.monotonic() - began):.0f}/s")
first, *others = ends(copies, orders)
tap.ok(any(line.startswith("caused") for line in first),
       f"{len(orders[0].caused)} events were still to be caused")
wrong = [n for n, state in enumerate(others, 1) if state != first]
tap.ok(not wrong, "they all end in the same state",
       f"{len(wrong)} end otherwise; of order {wrong[0] if wrong else 0}:\n"
       + (difference(first, others[wrong[0] - 1]) if wrong else ""))
tap.done()
