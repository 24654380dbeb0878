"""Two nodes, and what lies between them and what they share: a run whose users
write through both, packets that are lost, and what may come of that."""
import re
import subprocess
import time
from datetime import datetime

import tap
from checker import ACKNOWLEDGED
from run import Run
from stack import RUN

NODES = ("", "2")               # as in the names of their parts
NAMES = {"": "the first node", "2": "the second node"}
WHAT = {"database": ("database",), "kafka": ("kafka",),
        "both": ("database", "kafka", "scheduler")}
WAYS = (("in", "out"), ("in",), ("out",))
LOCK_SPACE = 1952776754         # of the module's advisory locks


def read(name):
    with open(f"{RUN}/{name}", encoding="ascii") as lines:
        return dict(line.strip().split("=") for line in lines)


def command(words, stdin=""):
    done = subprocess.run(words, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def in_node(node):
    """The words that put before a command run it there."""
    with open(f"{RUN}/pid/net{node}", encoding="ascii") as record:
        pid = record.read().split()[0]
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--"]


# ---- packets that are lost -------------------------------------------------

class Cut:
    """No packet comes through between a node and some of what it shares with
    the other. Nobody is told: they are dropped where they arrive, so that who
    sent them sees only that there is no answer."""

    def __init__(self, node, what, ways=WAYS[0]):
        self.node, self.what, self.ways = node, what, ways
        self.began = self.ended = self.dropped = None
        self.held_for = None        # seconds, locks of publishers of the node

    def __str__(self):
        lost = "" if len(self.ways) == 2 else \
            f" (only what comes {self.ways[0]} is lost)"
        return (f"{NAMES[self.node]} cut off from "
                f"{self.what.replace('both', 'database and Kafka')}{lost}")

    def places(self):
        """Where packets are dropped, and which ones: (words, rules)."""
        addresses, ports = read("addresses"), read("ports")
        of = {"database": "postgres", "kafka": "kafka",
              "scheduler": "scheduler"}
        ports = [ports[of[name]] for name in WHAT[self.what]]
        if "out" in self.ways:
            address = addresses[f"node{self.node}"]
            yield [], [f"ip saddr {address} tcp dport {p}" for p in ports]
        if "in" in self.ways:
            yield in_node(self.node), [
                f"ip saddr {addresses['hub']} tcp sport {p}" for p in ports]

    def begin(self):
        for words, rules in self.places():
            command(words + ["nft", "-f", "-"],
                    f"table inet cut{self.node} {{\nchain arrives {{\n"
                    "type filter hook input priority 0;\n"
                    + "".join(f"{rule} counter drop\n" for rule in rules)
                    + "}\n}\n")
        self.began = time.time()

    def end(self):
        table, self.dropped = ["table", "inet", f"cut{self.node}"], 0
        for words, _ in self.places():
            told = command(words + ["nft", "list", *table])
            self.dropped += sum(map(int, re.findall(r"packets (\d+)", told)))
            command(words + ["nft", "delete", *table])
        self.ended = time.time()

    def during(self, moment):
        return self.began <= moment <= self.ended


# ---- a run -----------------------------------------------------------------

class TwoNodes(Run):
    NODES = NODES

    def bring_nodes(self):
        for part in ("httpd2", "daprd2"):
            self.stack.ctl(part, "start")

    def urls(self):
        addresses, ports = read("addresses"), read("ports")
        return [f"http://{addresses[f'node{n}']}:{ports[f'httpd{n}']}"
                for n in NODES]

    def note(self, text):
        tap.note(f"{time.monotonic() - self.began:6.1f} {text}")

    def deliver(self, topic, body):
        """As the first node's sidecar would."""
        port = read("ports")["sidecar"]
        return int(command(in_node("") + [
            "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
            "--max-time", "20", "-H", "Expect:", "-H",
            "Content-Type: application/cloudevents+json", "-H",
            f"dapr-api-token: {self.stack.env['APP_API_TOKEN']}",
            "--data-binary", "@-",
            f"http://127.0.0.1:{port}/api/events/{topic}"], body))

    def metric(self, node, name):
        """The sum over its labels."""
        url = self.urls()[NODES.index(node)]
        told = command(in_node(node) + ["curl", "-fsS",
                                        f"{url}/taskevents-metrics"])
        return sum(float(n) for n in re.findall(
            rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", told, re.M))

    # ---- what the server knows of a node -----------------------------------

    def count(self, query):
        row, = self.stack.sql(f"SELECT json_build_array({query})")
        return row[0]

    def sessions(self, node):
        return self.count(
            "(SELECT count(*) FROM pg_stat_activity WHERE client_addr ="
            f" '{read('addresses')[f'node{node}']}')")

    def held(self, node):
        """Shards that publishers of a node hold."""
        return self.count(
            "(SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a"
            f" USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
            f" AND l.classid = {LOCK_SPACE} AND l.objid < 16 AND"
            f" a.client_addr = '{read('addresses')[f'node{node}']}')")

    # ---- cuts --------------------------------------------------------------

    def catch(self, cut):
        """Begin it at a moment at which the node's publisher holds shards:
        it is tried until it is so."""
        end = time.monotonic() + 60
        while True:
            cut.begin()
            if self.held(cut.node) > 0:
                return
            cut.end()
            if time.monotonic() > end:
                raise RuntimeError(f"{NAMES[cut.node]} holds no shard, ever")
            time.sleep(0.03)

    def disturb(self, node, what, seconds=30):
        cut = Cut(node, what)
        self.catch(cut)
        self.note(f"{cut}; its publisher holds {self.held(node)} shards")
        if what != "kafka":
            while self.held(node) > 0 and \
                    time.time() - cut.began < seconds:
                time.sleep(0.2)
            cut.held_for = time.time() - cut.began
            self.note(f"they were free after {cut.held_for:.1f} s")
        time.sleep(max(0, seconds - (time.time() - cut.began)))
        cut.sessions = self.sessions(node)
        self.heal(cut)
        return cut

    def heal(self, cut):
        cut.end()
        self.note(f"together again: {NAMES[cut.node]}; {cut.dropped} packets "
                  "were lost")

    def disturb_both(self, rng, seconds=30):
        """Each side, at a time of its own; one of them from all."""
        cuts, todo, alone = [], [], rng.choice(NODES)
        for node in NODES:
            what = "both" if node == alone else rng.choice(sorted(WHAT))
            cut = Cut(node, what, rng.choice(WAYS))
            at = rng.uniform(0, 8)
            cuts.append(cut)
            todo += [(at, cut.begin, cut), (at + seconds, None, cut)]
        began = time.monotonic()
        for at, begin, cut in sorted(todo, key=lambda what: what[0]):
            time.sleep(max(0, began + at - time.monotonic()))
            if begin:
                begin()
                self.note(str(cut))
            else:
                self.heal(cut)
        return cuts

    # ---- what is wanted ----------------------------------------------------

    def of_node(self, node):
        """Its requests, with their times."""
        at = NODES.index(node)
        return [op for op in self.ops
                if int(op["n"].split("-")[0][1:]) % len(NODES) == at]

    def acknowledged(self, node, began, ended):
        return [op for op in self.of_node(node)
                if op["status"] in ACKNOWLEDGED
                and began <= op["began"] + op["seconds"] <= ended]

    def lags(self, checker):
        """(committed, seconds until Kafka had it) of each event; what was
        written and what was accepted have clocks of one machine."""
        first = {}
        for record in checker.h.records:
            if record["topic"] != "tasks-dlq":
                at = first.get(record["event"]["id"], record["at"])
                first[record["event"]["id"]] = min(at, record["at"])
        return [(moment(event["time"]), first[event_id]
                 - moment(event["time"]))
                for event_id, event in checker.by_id.items()]


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
