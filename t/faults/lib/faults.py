"""What can happen to the parts of the stack, in an order that a seed gives."""
import glob
import os
import random
import shutil
import sys
import time
from collections import Counter

from stack import RUN, children_of, eventually, is_there, send, \
    threads_of, tree_of

EXIT_WITHIN = 5.0       # seconds, a child of httpd that is told to end


def faketime():
    return glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0]


def plan(seed, kinds):
    """Endless: (kind, seconds before, seconds that it lasts, a number to
    choose by, a second fault meanwhile or None). Every kind comes once before
    any comes again; the nodes come first, so that each run has them."""
    rng = random.Random(f"faults {seed}")
    short = sorted(set(SHORT) & set(kinds))
    while True:
        kinds = sorted(kinds)
        rng.shuffle(kinds)
        kinds.sort(key=lambda kind: not kind.startswith("node-"))
        for kind in kinds:
            lasts = rng.uniform(0.2, LONGEST.get(kind, 2))
            also = rng.choice(short) if rng.random() < 0.3 and short else None
            yield kind, rng.uniform(0.5, 3), lasts, rng.random(), also


class Injector:
    def __init__(self, stack):
        self.stack = stack
        self.kinds, self.killed = Counter(), set()
        self.endings = []       # (kind, seconds) of undisturbed children
        self.began = time.monotonic()

    def say(self, text):
        print(f"# {time.monotonic() - self.began:7.1f} {text}",
              file=sys.stderr, flush=True)

    def run(self, seed, seconds, kinds=None):
        """Of these kinds, or of all."""
        end = time.monotonic() + seconds
        for kind, before, lasts, choice, also in plan(seed, kinds or
                                                      set(FAULTS)):
            if time.monotonic() + before > end:
                return
            if kind in LONG and seconds < 300:
                continue
            time.sleep(before)
            self.stack.bring_back_sidecar()
            # a stopped or dying parent takes no second signal
            if also and kind.startswith("httpd"):
                also = "backends-end"
            self.say(f"{kind} for {lasts:.1f} s"
                     + (f", meanwhile {also}" if also else ""))
            self.kinds[kind] += 1
            try:
                FAULTS[kind](self, lasts, choice, also)
            except RuntimeError:
                if not self.stack.bring_back_sidecar():
                    raise
                self.all_well()

    def meanwhile(self, seconds, choice, also):
        time.sleep(seconds / 2)
        if also:
            self.kinds[also] += 1
            SHORT[also](self, 0, choice, None)
        time.sleep(seconds / 2)

    def all_well(self):
        for part in ("postgres", "kafka", "scheduler", "httpd", "daprd"):
            self.stack.ctl(part, "start")

    # ---- the kinds ---------------------------------------------------------

    def node(self, leave, lasts, choice, also):
        """A second httpd and sidecar join the consumer group and leave it:
        Kafka hands the partitions out anew, twice. That takes some seconds,
        and it may leave before: but not until it once had some."""
        for part in ("httpd2", "daprd2"):
            self.stack.ctl(part, "start")
        if not self.stack.deliveries_to("httpd2"):
            eventually(20, lambda: self.stack.deliveries_to("httpd2"))
        self.meanwhile(lasts, choice, also)
        for part in ("httpd2", "daprd2") if leave == "kill" \
                else ("daprd2", "httpd2"):
            self.stack.ctl(part, leave)

    def kill(self, part, lasts, choice, also):
        self.stack.ctl(part, "kill")
        if also and part == "postgres":
            also = None if also.startswith("backend") else also
        self.meanwhile(lasts, choice, also)
        self.stack.ctl(part, "start")

    def restart(self, part):
        self.stack.ctl(part, "restart")

    # ---- what reminders hang on --------------------------------------------

    def scheduler_lost(self, lasts, choice, also):
        """It comes back without its jobs."""
        self.stack.ctl("scheduler", "kill")
        self.meanwhile(lasts, choice, also)
        shutil.rmtree(f"{RUN}/scheduler")
        self.stack.ctl("scheduler", "start")

    def no_scheduler(self, lasts, choice, also):
        """The sidecar knows of none for a while."""
        self.stack.ctl("daprd", "restart", TASKEVENTS_SCHEDULER="")
        self.meanwhile(lasts, choice, also)
        self.stack.ctl("daprd", "restart")

    def clock(self, lasts, choice, _also):
        """The clock of httpd is an hour off; PostgreSQL's counts."""
        self.stack.ctl("httpd", "stop")
        was = self.stack.httpd_environment("")
        self.stack.httpd_environment(
            f"{was}LD_PRELOAD={faketime()}\n"
            f"FAKETIME={'+1h' if choice < 0.5 else '-1h'}\n")
        try:
            self.stack.ctl("httpd", "start")
            time.sleep(1 + lasts)
            self.stack.ctl("httpd", "stop")
        finally:
            self.stack.httpd_environment(was)
        self.stack.ctl("httpd", "start")

    def database_due(self, _lasts, _choice, _also):
        """PostgreSQL is restarted at the moment at which a reminder is due."""
        row, = self.ask("SELECT json_build_array(extract(epoch FROM"
                        " min(remind_at) - clock_timestamp()))"
                        " FROM taskevents.reminders WHERE state = 'scheduled'"
                        " AND remind_at > clock_timestamp() + interval '1 s'")
        if row[0] is not None and row[0] < 20:
            time.sleep(max(0.0, row[0] - 0.3))
        self.stack.ctl("postgres", "restart")

    def pause(self, part, lasts, choice, also):
        if also and part == "postgres":
            also = None if also.startswith("backend") else also
        root = self.stack.pid(part)
        send("STOP", root)
        pids = tree_of(root)
        send("STOP", *pids)
        self.paused(pids, lasts, choice, also)

    def paused(self, pids, lasts, choice, also):
        try:
            self.meanwhile(lasts, choice, also)
        finally:
            send("CONT", *pids)

    def a_child(self, choice):
        children = children_of(self.stack.pid("httpd"))
        return children[int(choice * len(children))]

    def child_kill(self, _lasts, choice, _also):
        pid = self.a_child(choice)
        self.killed.add(pid)
        send("KILL", pid)

    def child_pause(self, lasts, choice, also):
        pid = self.a_child(choice)
        send("STOP", pid)
        self.paused([pid], lasts, choice, also)

    def child_freeze(self, lasts, choice, also):
        """Long enough for the others to end its publisher's session."""
        self.child_pause(35 + lasts, choice, also)

    def graceful(self, lasts, _choice, also):
        parent = self.stack.pid("httpd")
        children, began = children_of(parent), time.monotonic()
        send("USR1", parent)
        self.wait_gone("httpd-graceful", children, began, lasts, also)

    def graceful_stop(self, lasts, _choice, also):
        parent = self.stack.pid("httpd")
        children, began = children_of(parent), time.monotonic()
        send("WINCH", parent)
        self.wait_gone("httpd-graceful-stop", children, began, lasts, also)
        if not eventually(5, lambda: not is_there(parent)):
            self.endings.append(("the parent", 99))
            self.stack.ctl("httpd", "kill")
        self.stack.ctl("httpd", "start")

    def parent_kill(self, lasts, _choice, _also):
        """The children are left alone, with the ports and the locks. They
        end by themselves, or no other httpd could ever start."""
        parent = self.stack.pid("httpd")
        children, began = children_of(parent), time.monotonic()
        send("KILL", parent)
        if not self.wait_gone("httpd-parent-kill", children, began, 0, None):
            self.endings.append(("httpd-parent-kill", 99))
            send("KILL", *children)
        time.sleep(lasts)
        self.stack.ctl("httpd", "start")

    def wait_gone(self, kind, children, began, lasts, also):
        if also:
            self.meanwhile(min(lasts, 0.5), 0, also)
        gone = eventually(15, lambda: not any(map(is_there, children)), 0.05)
        took = time.monotonic() - began
        self.say(f"{kind}: the old children ended in {took:.1f} s")
        for pid in filter(is_there, children) if not gone else ():
            self.say(threads_of(pid))
        if lasts > 0:
            self.endings.append((kind, took))
        return gone

    def backends(self, what, limit):
        self.ask(f"SELECT count({what}) FROM (SELECT pid"
                 " FROM pg_stat_activity"
                 " WHERE application_name = 'mod_taskevents'"
                 f" ORDER BY random() LIMIT {limit}) AS chosen")

    def ask(self, sql):
        """PostgreSQL may be just recovering from the fault before."""
        def answer():
            try:
                return [self.stack.sql(sql)]
            except RuntimeError:
                return None
        return eventually(20, answer)[0]

    def backends_end(self, _lasts, choice, _also):
        self.backends("pg_terminate_backend(pid)",
                      "ALL" if choice < 0.3 else 1 + int(choice * 4))

    def backend_kill(self, _lasts, choice, _also):
        """PostgreSQL then ends all its sessions and recovers."""
        postmaster = self.stack.pid("postgres")
        pids = self.ask("SELECT pid FROM pg_stat_activity"
                        " WHERE application_name = 'mod_taskevents'"
                        " ORDER BY pid")
        pids = [pid for pid in pids if pid in tree_of(postmaster)]
        if pids:
            send("KILL", pids[int(choice * len(pids))])


def of_part(method, part):
    return lambda injector, *how: getattr(injector, method)(part, *how)


SHORT = {
    "httpd-child-kill": Injector.child_kill,
    "httpd-graceful": lambda i, _l, c, _a: i.graceful(0, c, None),
    "backends-end": Injector.backends_end,
}
# Seconds; the others take 2.
LONGEST = {f"{part}-pause": 8 for part in ("httpd", "httpd-child", "daprd",
                                           "kafka", "postgres")}
LONGEST |= {"postgres-kill": 8, "daprd-kill": 4, "httpd-kill": 4,
            "node-leaves": 8, "node-killed": 8}
# After these httpd's processes are others than before.
ENDS_HTTPD = {"httpd-kill", "httpd-child-kill", "httpd-parent-kill",
              "httpd-graceful", "httpd-graceful-stop", "httpd-clock"}
LONG = ("httpd-child-freeze",)      # only in runs of 5 minutes and more
FAULTS = {
    "httpd-child-kill": Injector.child_kill,
    "httpd-graceful": Injector.graceful,
    "backends-end": Injector.backends_end,
    "backend-kill": Injector.backend_kill,
    "httpd-graceful-stop": Injector.graceful_stop,
    "httpd-parent-kill": Injector.parent_kill,
    "httpd-child-pause": Injector.child_pause,
    "httpd-child-freeze": Injector.child_freeze,
    "node-leaves": of_part("node", "stop"),
    "node-killed": of_part("node", "kill"),
    "daprd-restart": lambda i, *_how: i.restart("daprd"),
    "scheduler-lost": Injector.scheduler_lost,
    "scheduler-unknown": Injector.no_scheduler,
    "httpd-clock": Injector.clock,
    "postgres-due": Injector.database_due,
    **{f"{part}-kill": of_part("kill", part)
       for part in ("httpd", "daprd", "kafka", "postgres", "scheduler")},
    **{f"{part}-pause": of_part("pause", part)
       for part in ("httpd", "daprd", "kafka", "postgres")},
}
