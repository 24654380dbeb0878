#!/usr/bin/env python3
"""An httpd that has everything to do at once: users at work, events on their
way out and back, reminders, whoever asks for metrics and the status page,
graceful restarts, and parts that stop and come back. `./dev test tsan --long`
brings the stack up with ThreadSanitizer in that httpd, and looks at what it
has to report.

    TASKEVENTS_TSAN_MINUTES  how long (3)
    TASKEVENTS_TSAN_SEED     the same again
"""
import http.client
import os
import random
import sys
import threading
import time
from collections import Counter
from urllib.parse import urlsplit

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../faults/lib"))
import tap
from faults import Injector
from run import Run
from stack import Stack

# What leaves an httpd to be looked at; often the restarts.
KINDS = ("httpd-graceful", "httpd-graceful", "httpd-graceful-stop",
         "backends-end", "daprd-restart", "daprd-pause", "kafka-pause",
         "postgres-pause", "node-leaves")

ASKED = (("TASKEVENTS_METRICS_URL", "", "text/plain"),
         ("TASKEVENTS_STATUS_URL", "", "text/html"),
         ("TASKEVENTS_STATUS_URL", "", "application/json"),
         ("TASKEVENTS_STATUS_URL", "/dead-letters", "text/html"),
         ("TASKEVENTS_URL", "/healthz", "*/*"),
         ("TASKEVENTS_URL", "/readyz", "*/*"),
         ("TASKEVENTS_URL", "/api/openapi.json", "*/*"))


class Askers:
    """Prometheus, an operator's page and a load balancer, all impatient."""

    def __init__(self, env, n=3):
        self.env, self.stop, self.answers = env, threading.Event(), Counter()
        self.threads = [threading.Thread(target=self.ask, args=(i,))
                        for i in range(n)]
        for thread in self.threads:
            thread.start()

    def ask(self, i):
        while not self.stop.wait(0.05):
            i += 1
            name, path, accept = ASKED[i % len(ASKED)]
            url = urlsplit(self.env[name])
            try:
                connection = http.client.HTTPConnection(url.netloc, timeout=20)
                connection.request("GET", url.path + path, headers={
                    "Accept": accept})
                answer = connection.getresponse()
                answer.read()
                self.answers[name, path, accept, answer.status] += 1
                connection.close()
            except (OSError, http.client.HTTPException):
                pass        # just between two parents

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


seed = os.environ.get("TASKEVENTS_TSAN_SEED") or \
    str(random.SystemRandom().randrange(1 << 32))
tap.note(f"TASKEVENTS_TSAN_SEED={seed}")
seconds = float(os.environ.get("TASKEVENTS_TSAN_MINUTES", "3")) * 60

run = Run("tsan", seed, Stack(up=False))
askers = Askers(run.stack.env)
injector = Injector(run.stack)
injector.run(seed, seconds, KINDS)
injector.all_well()
time.sleep(3)
askers.end()
run.end_load()
run.settle()
tap.equal(run.left[0], 0, "the outbox is empty at the end")
run.redrive()
run.revive()
run.judge(disturbed=True)
run.check_log(injector.killed, disturbed=True)

tap.note("\n".join(f"{n} {kind}" for kind, n in sorted(injector.kinds.items())))
for name, path, accept in ASKED:
    good = sum(n for asked, n in askers.answers.items()
               if asked == (name, path, accept, 200))
    tap.ok(good > 5, f"{name}{path} as {accept} was answered {good} times")
tap.note("\n".join(f"{n} {asked}" for asked, n in
                   sorted(askers.answers.items())))
tap.ok(injector.kinds["httpd-graceful"] > 1, "there were graceful restarts")
run.stack.ctl("httpd", "stop")
tap.done()
