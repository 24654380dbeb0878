"""Judges a history. A stream is a user's events on one topic.

    lost         a number that the database gave out is not in Kafka
    swapped      an event appears first behind a later one
    doubled      one event with two numbers, or two contents
    invented     an event that nothing in the database gave a number to
    misplaced    another partition, key or user than the stream's
    duplicate    a copy, though nothing was disturbed
    unpublished  an acknowledged write without its event
    unasked      an event of a user that no request asked for
    chain        a task's versions do not follow each other
    database     the task as it is now is not what its events say
    unread       an acknowledged write that a later read did not see
    unhandled    published, but never handled
    unsent       handled, but not in Kafka
    repeated     handled more than once
    history      a user's handled events are not counted 1, 2, 3 ...
    successor    a completed occurrence has no next one, or two
    cause        an occurrence that not the completion before it made
    effect       an occurrence that is not like the one before it, or is due
                 at another time than it should be
    reminder     of a task that asks for none, or none; early, twice, untold
    dead letter  what nobody expects there
    outbox       not empty at the end
    strange      an answer that fits no state that the service can be in
"""
from calendar import monthrange
from collections import Counter, defaultdict
from datetime import datetime, timedelta

import reminders

TOPICS = ("tasks", "reminders")
ACKNOWLEDGED = (200, 201, 204)
KEPT = ("user_id", "priority", "tags", "time_zone", "is_recurring",
        "recurring_interval")


def due_at(first, interval, n):
    """When occurrence n is due, the first at a time of UTC's."""
    start = datetime.fromisoformat(first.replace("Z", "+00:00"))
    if interval != "monthly":
        days = {"daily": 1, "weekly": 7}[interval] * (n - 1)
        return (start + timedelta(days=days)).isoformat()
    year, month = divmod(start.year * 12 + start.month - 1 + n - 1, 12)
    day = min(start.day, monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day).isoformat()


class Finding:
    def __init__(self, kind, text, stream=None, task=None, primary=False):
        self.kind, self.text, self.stream = kind, text, stream
        self.task, self.primary, self.follows = task, primary, []

    def __str__(self):
        more = "".join(f"\n    so also: {t}" for t in self.follows[:5])
        if len(self.follows) > 5:
            more += f"\n    and {len(self.follows) - 5} more"
        return f"{self.kind}: {self.text}{more}"


class Checker:
    def __init__(self, history, disturbed=False):
        self.h, self.disturbed = history, disturbed
        self.findings, self.totals = [], Counter()
        self.streams = {}               # (user, topic): {sequence: event}
        self.by_id = {}                 # what Kafka has, once each
        self.by_task = defaultdict(list)    # topic tasks, in order
        self.processed = {p["event_id"]: p for p in history.db["processed"]}
        self.letters = {d["event_id"] for d in history.db["dead_letters"]}

    def find(self, kind, text, stream=None, task=None, primary=False):
        """A finding; or, when a greater one explains it, a line below it."""
        if not primary:
            for other in self.findings:
                if (other.primary and stream is not None
                        and other.stream and other.stream[0] == stream[0]) \
                        or (task is not None and other.task == task):
                    other.follows.append(f"{kind}: {text}")
                    return
        self.findings.append(Finding(kind, text, stream, task, primary))

    def check(self):
        self.read_streams()
        self.check_handled()
        self.check_answers()
        self.check_asked()
        self.check_tasks()
        self.check_series()
        reminders.check(self)
        self.check_leftovers()
        self.count()
        return self.findings

    # ---- streams ---------------------------------------------------------

    def read_streams(self):
        records = defaultdict(list)
        for record in self.h.records:
            if record["topic"] in TOPICS:
                records[record["key"], record["topic"]].append(record)
        for user, names in self.h.db["streams"].items():
            for name in names:
                if name in TOPICS:
                    records.setdefault((user, name), [])
        for stream, mine in sorted(records.items()):
            self.read_stream(stream, mine)

    def read_stream(self, stream, records):
        user, topic = stream
        last = self.h.db["streams"].get(user, {}).get(topic, 0)
        taken, highest = {}, 0
        if len({r["partition"] for r in records}) > 1:
            self.find("misplaced", f"{stream} is in several partitions",
                      stream, primary=True)
        for record in records:
            event = record["event"]
            if not self.is_first(stream, event):
                continue
            number = int(event["sequence"])
            at = f"{stream} {number} ({event['type']} {event['id']})"
            if (event["partitionkey"], event["data"]["user_id"]) \
                    != (user, user):
                self.find("misplaced", f"{at}: has another user", stream,
                          primary=True)
            if number > last or not self.owns(taken, number, event):
                self.find("invented", f"{at}: the database counted to "
                          f"{last}", stream, primary=True)
                continue
            taken[number] = event
            if number < highest:
                self.find("swapped", f"{at}: appears first behind {highest}",
                          stream, primary=True)
            highest = max(highest, number)
        missing = sorted(set(range(1, last + 1)) - set(taken))
        for first in missing:
            if first - 1 not in missing:
                end = first
                while end + 1 in missing:
                    end += 1
                self.find("lost", f"{stream} {first}"
                          + (f" to {end}" if end > first else "")
                          + f" of {last}: not in Kafka", stream, primary=True)
        self.streams[stream] = taken
        if topic == "tasks":
            for number in sorted(taken):
                event = taken[number]
                self.by_task[event["data"]["task_id"]].append(event)

    def is_first(self, stream, event):
        known = self.by_id.get(event["id"])
        if known is None:
            self.by_id[event["id"]] = event
            return True
        at = f"{stream} {int(known['sequence'])} ({event['id']})"
        self.totals["duplicates"] += 1
        if known["sequence"] != event["sequence"]:
            self.find("doubled", f"{at}: is there as "
                      f"{int(event['sequence'])} too", stream, primary=True)
        elif known != event:
            self.find("doubled", f"{at}: two contents", stream, primary=True)
        elif not self.disturbed:
            self.find("duplicate", at, stream, primary=True)
        return False

    def owns(self, taken, number, event):
        """Whether the number is this event's, or the database knows only
        the other one that has it."""
        other = taken.get(number)
        return other is None or (event["id"] in self.processed
                                 and other["id"] not in self.processed)

    # ---- what the consumer did -------------------------------------------

    def check_handled(self):
        positions = defaultdict(list)
        for event in self.by_id.values():
            user = event["data"]["user_id"]
            if event["id"] not in self.processed:
                where = " (a dead letter)" if event["id"] in self.letters \
                    else ""
                self.find("unhandled", f"{user} {event['type']} "
                          f"{event['id']}{where}", (user, None))
        times = Counter(p["event_id"] for p in self.h.db["processed"])
        for row in self.processed.values():
            user = row["user_id"]
            positions[user].append(row["position"])
            if times[row["event_id"]] > 1:
                self.find("repeated", f"{user} {row['event_id']}: handled "
                          f"{times[row['event_id']]} times", (user, None),
                          primary=True)
            if row["event_id"] not in self.by_id:
                self.find("unsent", f"{user} {row['event_id']}", (user, None))
        for user, given in sorted(positions.items()):
            last = self.h.db["streams"].get(user, {}).get("history", 0)
            if sorted(given) != list(range(1, last + 1)):
                self.find("history", f"{user}: {len(given)} positions, "
                          f"counted to {last}", (user, None))

    # ---- what was answered -----------------------------------------------

    def check_answers(self):
        for op in self.h.ops:
            if op["do"] == "read":
                self.check_read(op)
            elif op["status"] in ACKNOWLEDGED:
                if op["do"] != "list":
                    self.check_acknowledged(op)
            elif not self.may_fail(op):
                self.find("strange", f"{op['n']} {op['do']} of task "
                          f"{op['task']} was answered {op['status']} "
                          f"{op['error']}", (op["user"], None))

    def may_fail(self, op):
        return self.disturbed and op["status"] in (None, 503)

    def check_read(self, op):
        seen = (op["answer"] or {}).get("version")
        if op["status"] != 200 and not self.may_fail(op) or \
                op["status"] == 200 and seen != op["version"]:
            self.find("unread", f"{op['n']} task {op['task']}: answer "
                      f"{op['status']}, version {seen}, not {op['version']}",
                      (op["user"], None), op["task"])

    def check_acknowledged(self, op):
        """The version answered has the event(s) of this very write."""
        task = op["task"]
        if op["do"] == "delete":
            got = [e for e in self.by_task[task]
                   if e["type"] == "task.deleted"]
            wanted = ["task.deleted"]
        else:
            version = op["answer"]["version"]
            got = [e for e in self.by_task[task]
                   if e["data"].get("task", {}).get("version") == version]
            wanted = {
                "create": ["task.created"],
                "patch": ["task.updated"],
                "complete": ["task.completed"],
            }[op["do"]] + (["task.completed"] if op["completes"] else [])
        types = [e["type"] for e in got]
        what = f"{op['n']} {op['do']} of task {task}"
        if types != wanted:
            self.find("unpublished", f"{what} was answered {op['status']}, "
                      f"its events are {types}, not {wanted}",
                      (op["user"], None), task)
        elif op["answer"] and got[-1]["data"]["task"] != op["answer"]:
            self.find("unpublished", f"{what}: its event {got[-1]['id']} "
                      "shows another task than the answer",
                      (op["user"], None), task)

    # ---- what was asked for ----------------------------------------------

    def check_asked(self):
        titles, asked = defaultdict(set), set()
        for op in self.h.ops:
            if op["title"] is not None:
                titles[op["do"]].add((op["user"], op["title"]))
            asked.add((op["do"], op["task"]))
            if op["completes"]:
                asked.add(("complete", op["task"]))
        made = Counter()
        for event in self.by_id.values():
            data, user = event["data"], event["data"]["user_id"]
            title = data.get("task", {}).get("title")
            if data["origin"] != "user" \
                    or not event["type"].startswith("task."):
                continue
            if event["type"] == "task.created":
                known = (user, title) in titles["create"]
                made[user, title] += 1
            elif event["type"] == "task.updated":
                known = (user, title) in titles["patch"]
            else:
                known = self.was_asked(asked, event)
            if not known:
                self.find("unasked", f"{user} {int(event['sequence'])} "
                          f"({event['type']} {event['id']})",
                          (user, None), data["task_id"])
        for (user, title), n in made.items():
            if n > 1:
                self.find("unasked", f"{user}: {n} tasks were made by the "
                          f"one request for {title}", (user, None))

    @staticmethod
    def was_asked(asked, event):
        word = {"task.completed": "complete", "task.deleted": "delete"}
        return (word.get(event["type"]), event["data"]["task_id"]) in asked

    # ---- tasks -----------------------------------------------------------

    def check_tasks(self):
        rows = {row["id"]: row for row in self.h.db["tasks"]}
        for task, events in sorted(self.by_task.items()):
            if not events:
                continue
            stream = (events[0]["data"]["user_id"], "tasks")
            self.check_chain(stream, task, events)
            self.check_row(stream, task, events, rows.get(task))
        for task, row in sorted(rows.items()):
            if not self.by_task.get(task):
                self.find("unpublished", f"task {task} of {row['user_id']} "
                          "exists, but no event tells of it",
                          (row["user_id"], "tasks"), task)

    def check_chain(self, stream, task, events):
        version = 0
        for at, event in enumerate(events):
            before = events[at - 1]["type"] if at else None
            now = event["data"].get("task", {}).get("version", version)
            follows = {
                "task.created": before is None and now == 1,
                "task.updated": before is not None and now == version + 1,
                "task.completed": now == version + 1
                or now == version and before == "task.updated",
                "task.deleted": before is not None,
            }.get(event["type"], False) and before != "task.deleted"
            if not follows:
                self.find("chain", f"{stream} task {task}: {event['type']} "
                          f"(version {now}) behind {before} ({version})",
                          stream, task)
                return
            version = now

    def check_row(self, stream, task, events, row):
        gone = events[-1]["type"] == "task.deleted"
        if gone or row is None:
            if gone != (row is None):
                self.find("database", f"{stream} task {task}: "
                          + ("deleted, but there" if gone else "not there"),
                          stream, task)
            return
        said = events[-1]["data"]["task"]
        for name, value in row.items():
            if said[name] != value:
                self.find("database", f"{stream} task {task}: {name} is "
                          f"{value!r}, its last event says {said[name]!r}",
                          stream, task)

    # ---- series ----------------------------------------------------------

    def check_series(self):
        made, done = defaultdict(list), {}
        for events in self.by_task.values():
            for event in events:
                task = event["data"].get("task", {})
                if not task.get("series_id"):
                    continue
                place = (task["series_id"], task["occurrence"])
                if event["type"] == "task.created":
                    made[place].append(event)
                elif event["type"] == "task.completed":
                    done[place] = event
        for (series, n), event in sorted(done.items()):
            got = len(made[series, n + 1])
            ended = self.h.db["series"].get(series, True)
            self.totals["completed occurrences"] += 1
            if got > 1 or got == 0 and not ended:
                self.find("successor", f"{event['data']['user_id']} series "
                          f"{series}: occurrence {n} was completed "
                          f"({event['id']}), {got} follow it",
                          (event["data"]["user_id"], "tasks"),
                          event["data"]["task_id"])
        for (series, n), events in sorted(made.items()):
            for event in events:
                self.check_cause(series, n, event, done.get((series, n - 1)))
                if n > 1 and made[series, 1]:
                    self.check_effect(series, n, event, made[series, 1][0])

    def check_cause(self, series, n, event, cause):
        if n == 1 and event["data"]["origin"] == "user":
            return
        if cause is None or event.get("causationid") != cause["id"] \
                or event["correlationid"] != cause["correlationid"] \
                or event["data"]["origin"] != "recurrence":
            self.find("cause", f"{event['data']['user_id']} series {series}: "
                      f"occurrence {n} ({event['id']}) does not come from "
                      f"the completion before it",
                      (event["data"]["user_id"], "tasks"),
                      event["data"]["task_id"])

    def check_effect(self, series, n, event, first):
        task, first = event["data"]["task"], first["data"]["task"]
        wanted = {name: first[name] for name in KEPT}
        wanted.update(completed=False, version=1, due_date=due_at(
            first["due_date"], first["recurring_interval"], n))
        got = {name: task[name] for name in wanted}
        got["due_date"] = got["due_date"].replace("Z", "+00:00")
        if got != wanted:
            self.find("effect", f"{task['user_id']} series {series}: "
                      f"occurrence {n} ({event['id']}) is {got}, not {wanted}",
                      (task["user_id"], "tasks"), task["id"])

    # ---- the rest --------------------------------------------------------

    def check_leftovers(self):
        if self.h.db["outbox"]:
            self.find("outbox", f"{self.h.db['outbox']} events still wait")
        for letter in self.h.db["dead_letters"]:
            # what the sidecar could not deliver while a part was away
            if not (self.disturbed and letter["stage"] == "deadletter"
                    and letter["event_id"] in self.by_id):
                self.find("dead letter", f"{letter['stage']} "
                          f"{letter['user_id']} {letter['event_id']}: "
                          f"{letter['reason']}", (letter["user_id"], None))

    def count(self):
        t, writes = self.totals, [o for o in self.h.ops
                                  if o["do"] not in ("read", "list")]
        t["acknowledged writes"] = sum(o["status"] in ACKNOWLEDGED
                                       for o in writes)
        t["unanswered writes"] = len(writes) - t["acknowledged writes"]
        t["reads"] = len(self.h.ops) - len(writes)
        t["retries"] = sum(o["tries"] - 1 for o in self.h.ops)
        t["users"] = len({o["user"] for o in self.h.ops})
        t["events"] = len(self.by_id)
        t["dead letters"] = len(self.letters)
        t["duplicates"] += 0

    def summary(self):
        return ", ".join(f"{n} {name}"
                         for name, n in sorted(self.totals.items()))
