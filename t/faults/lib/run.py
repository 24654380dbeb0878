"""A run: users at work, perhaps faults, then everything there is to know."""
import http.client
import json
import os
import random
import re
import time
from urllib.parse import quote, urlsplit

from checker import TOPICS, Checker
from faults import EXIT_WITHIN
from history import History
from load import Load
from stack import RUN, Stack, eventually
import reminders
import tap

HTTPD_LOGS = [f"{RUN}/log/{part}.log" for part in ("httpd", "httpd2")]


class Run:
    NODES = ("",)                   # of httpd and its sidecar; the second is 2

    def __init__(self, name, seed, stack=None, environment="", conf="",
                 first=False, **load):
        """first: of all runs, so that Kafka was just made."""
        self.name, self.seed = name, seed
        self.stack = stack or Stack()
        with open(f"{RUN}/httpd/more.conf", "w", encoding="ascii") as more:
            more.write(reminders.CONF + conf)
        if environment:         # else what httpd has there stays
            self.stack.httpd_environment(environment)
        if environment or conf:
            self.stack.ctl("httpd", "stop")
            self.stack.ctl("httpd", "start")
        else:
            self.stack.ctl("httpd", "restart")
        self.bring_nodes()
        self.prefix = f"{name}-{os.getpid()}-"
        self.directory = f"{RUN}/faults/{name}-{os.getpid()}"
        os.makedirs(self.directory)
        self.log_from = {log: os.path.getsize(log) for log in HTTPD_LOGS
                         if os.path.exists(log)}
        if first:
            self.bring_first_events()
        self.began = time.monotonic()
        self.load = Load(self.stack, self.prefix, self.directory, seed,
                         urls=self.urls(), **load)
        self.ops = []

    def bring_first_events(self):
        """Kafka may take longer for them than a publish may, and then they are
        there twice."""
        prefix = f"first-{os.getpid()}-"
        load = Load(self.stack, prefix, self.directory, self.seed,
                    urls=self.urls(), users=1, writers=1, name="first")
        eventually(60, lambda: self.stack.sql(
            "SELECT count(DISTINCT split_part(type, '.', 1)) FROM"
            " taskevents.processed_events WHERE"
            f" starts_with(user_id, '{prefix}')") == [len(TOPICS)])
        load.stop()
        self.stack.settle(prefix)

    def burst(self, seconds, threads):
        """More users at once than the rest of the run has; a sidecar that
        stands still for a third of that time, and for a moment PostgreSQL,
        while each of httpd's threads asks for something: so all that may be
        opened to it is."""
        more = Load(self.stack, f"{self.prefix}burst-", self.directory,
                    f"{self.seed} burst", urls=self.urls(), name="b",
                    writers=64, rate=10)
        time.sleep(seconds / 3)
        self.stack.ctl("daprd", "pause")
        self.stack.ctl("postgres", "pause")
        answers = self.ask(threads + 8)
        time.sleep(2)
        self.stack.ctl("postgres", "resume")
        time.sleep(seconds / 3)
        for answer in answers:
            answer.close()
        self.stack.ctl("daprd", "resume")
        time.sleep(seconds / 3)
        self.ops += more.stop()
        tap.ok(more.good, f"a burst of users did {len(self.ops)} things")

    def ask(self, n):
        """The connections of n requests that nobody has answered yet."""
        user, token = next(iter(self.load.tokens.items()))
        answers = []
        for _ in range(n):
            answers.append(http.client.HTTPConnection(
                urlsplit(self.stack.env["TASKEVENTS_URL"]).netloc, timeout=15))
            answers[-1].request("GET", f"/api/{quote(user)}/tasks", headers={
                "Authorization": f"Bearer {token}"})
        return answers

    def bring_nodes(self):
        """What there is beside httpd and its sidecar."""

    def urls(self):
        """Where users write."""
        return [self.stack.env["TASKEVENTS_URL"]]

    def end_load(self, least=100):
        self.lively = self.load.alive()
        self.ops += self.load.stop()
        tap.ok(self.lively and self.load.good, "the users worked to the end")
        tap.ok(len(self.ops) > least, f"and did {len(self.ops)} things")

    def settle(self):
        """Also the reminders that are to come soon."""
        began = time.monotonic()
        self.stack.bring_back_sidecar()
        while reminders.to_come(self.stack, self.prefix) \
                and time.monotonic() - began < 90:
            time.sleep(1)
        self.left = self.stack.settle(self.prefix)
        tap.note(f"settled after {time.monotonic() - began:.1f} s, "
                 f"left: {self.left}")

    def redrive(self):
        """As an operator would: hand in again what was given up on."""
        letters = self.stack.sql(
            "SELECT json_build_object('type', convert_from(body, 'UTF8')"
            "::json->>'type', 'body', convert_from(body, 'UTF8'))"
            " FROM taskevents.dead_letters WHERE stage = 'deadletter'"
            f" AND starts_with(user_id, '{self.prefix}') ORDER BY id")
        for letter in letters:
            topic = "reminders" if letter["type"].startswith("rem") \
                else "tasks"
            status = self.deliver(topic, letter["body"])
            if status != 200:
                tap.note(f"a redelivery was answered {status}")
        tap.note(f"{len(letters)} dead letters handed in again")
        if letters:
            self.settle()

    def revive(self):
        """A sidecar whose app was unhealthy for some seconds can come back
        without one of its subscriptions: Kafka's unsubscribing, which waits
        for deliveries under way, then comes after the new subscribing. (Like
        github.com/dapr/components-contrib/issues/4349.) Until it is
        restarted, events wait in Kafka; none may be lost by that."""
        if self.left[1] == 0:
            return
        tap.note(f"THE SIDECAR NO LONGER DELIVERS: {self.left[1]} events "
                 "wait in Kafka; it is restarted")
        for node in self.NODES:
            self.stack.ctl(f"daprd{node}", "restart")
        self.settle()
        self.read_again()

    def read_again(self):
        """When a sidecar comes back while a delivery of before is about to
        end, it can also leave out the record behind that one: it commits it
        and never delivers it. An operator lets the group read from an earlier
        offset. Here that is the records that nobody was asked about; one that
        was answered 2xx and is not handled is no such record."""
        if self.left[1] == 0:
            return
        known = self.stack.events_asked_about() | set(self.stack.sql(
            "SELECT to_json(event_id) FROM taskevents.processed_events"
            f" WHERE starts_with(user_id, '{self.prefix}')"))
        again = [r for r in self.stack.records("tasks")
                 if r["key"].startswith(self.prefix)
                 and r["event"]["id"] not in known]
        for record in again:
            tap.note("THE SIDECAR LEFT OUT an event that it has committed, "
                     "partition {partition}, offset {offset}: it is read "
                     "again".format(**record))
            tap.equal(self.deliver("tasks", json.dumps(record["event"])), 200,
                      "what the sidecar left out is handled")
        if again:
            self.settle()

    def conclude(self, injector):
        """The end of a run with faults; all is well again."""
        time.sleep(3)               # some work meanwhile
        self.end_load()
        self.settle()
        tap.equal(self.left[0], 0, "the outbox is empty at the end")
        self.redrive()
        self.revive()

        faults = sum(injector.kinds.values())
        tap.ok(faults > 0, f"{faults} faults: " + ", ".join(
            f"{n} {kind}" for kind, n in sorted(injector.kinds.items())))
        joined = sum(n for kind, n in injector.kinds.items()
                     if kind.startswith("node-"))
        tap.ok(self.stack.deliveries_to("httpd2") > 0 or not joined,
               f"a second node had its share of the deliveries, {joined} "
               "times")
        slow = [e for e in injector.endings if e[1] > EXIT_WITHIN]
        tap.ok(not slow, f"children of httpd end within {EXIT_WITHIN:.0f} s, "
               f"asked {len(injector.endings)} times", slow)
        self.judge(disturbed=True)
        self.check_log(injector.killed, disturbed=True)

    def deliver(self, topic, body):
        address = urlsplit(self.stack.env["TASKEVENTS_SIDECAR_URL"]).netloc
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request(
            "POST", f"/api/events/{topic}", body.encode(),
            {"Content-Type": "application/cloudevents+json",
             "dapr-api-token": self.stack.env["APP_API_TOKEN"]})
        status = connection.getresponse().status
        connection.close()
        return status

    def judge(self, disturbed):
        self.history = history = History()
        history.ops = self.ops
        history.records = [r for topic in (*TOPICS, "tasks-dlq")
                           for r in self.stack.records(topic)
                           if r["key"].startswith(self.prefix)]
        history.db = self.stack.tables(self.prefix)
        history.db.update(reminders.tables(self.stack, self.prefix))
        history.save(f"{self.directory}/history.jsonl")
        checker = Checker(history, disturbed)
        findings = checker.check()
        tap.note(f"{self.name}, seed {self.seed}: {checker.summary()}, "
                 f"{time.monotonic() - self.began:.0f} s")
        tap.ok(not findings, "nothing lost, doubled, reordered or invented",
               f"{len(findings)} finding(s); the history is in "
               f"{self.directory}\n"
               + "\n".join(map(str, findings[:20])))
        return checker

    def events_size(self):
        """What Kafka has of them, MB."""
        return sum(len(json.dumps(record["event"]))
                   for record in self.history.records) / (1 << 20)

    def check_log(self, killed=(), disturbed=False):
        bad = []
        for name in filter(os.path.exists, HTTPD_LOGS):
            with open(name, encoding="utf-8", errors="replace") as log:
                log.seek(self.log_from.get(name, 0))
                bad += [line.rstrip() for line in log
                        if is_bad(line, killed, disturbed)]
        tap.ok(not bad, "no crash, no hang, nothing critical in httpd's log",
               "\n".join(bad[:10]))


def is_bad(line, killed, disturbed):
    ended = re.search(r"child pid (\d+) exit signal (\w+)", line)
    if ended:
        return not (ended[2] == "Killed" and int(ended[1]) in killed)
    if re.search(r"exit signal|sending a SIGKILL|could not make child|"
                 r"Sanitizer|runtime error|"
                 r"stack smashing|corrupt|double free|Assertion", line):
        return True
    level = re.search(r":(crit|alert|emerg)\]", line)
    # what the sidecar could not deliver is told of at this level, and that a
    # child's parent was killed
    return bool(level) and not (
        disturbed and ("TE0401" in line and "(deadletter)" in line
                       or "TE0020" in line))


def minutes(default):
    text = os.environ.get("TASKEVENTS_FAULTS_MINUTES", default)
    return float(text)


def chosen_seed():
    seed = os.environ.get("TASKEVENTS_FAULTS_SEED") or \
        str(random.SystemRandom().randrange(1 << 32))
    tap.note(f"TASKEVENTS_FAULTS_SEED={seed}")
    return seed
