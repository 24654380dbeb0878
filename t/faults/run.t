#!/usr/bin/env python3
"""Whatever happens to its parts, the stack loses, doubles and reorders
nothing that it acknowledged.

    TASKEVENTS_FAULTS_MINUTES  how long (3)
    TASKEVENTS_FAULTS_SEED     the same faults again
"""
import os
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from faults import EXIT_WITHIN, Injector
from run import Run, minutes

seed = os.environ.get("TASKEVENTS_FAULTS_SEED") or \
    str(random.SystemRandom().randrange(1 << 32))
tap.note(f"TASKEVENTS_FAULTS_SEED={seed}")

run = Run("faults", seed)
injector = Injector(run.stack)
injector.run(seed, minutes("3") * 60)
injector.all_well()
time.sleep(3)                   # some work while all is well again
run.end_load()
run.settle()
tap.equal(run.left[0], 0, "the outbox is empty at the end")
run.redrive()
run.revive()

faults = sum(injector.kinds.values())
tap.ok(faults > 0, f"{faults} faults: " + ", ".join(
    f"{n} {kind}" for kind, n in sorted(injector.kinds.items())))
joined = sum(n for kind, n in injector.kinds.items()
             if kind.startswith("node-"))
tap.ok(run.deliveries_to("httpd2") > 0 or not joined,
       f"a second node had its share of the deliveries, {joined} times")
slow = [e for e in injector.endings if e[1] > EXIT_WITHIN]
tap.ok(not slow, f"children of httpd end within {EXIT_WITHIN:.0f} s, asked "
       f"{len(injector.endings)} times", slow)
run.judge(disturbed=True)
run.check_log(injector.killed, disturbed=True)
tap.done()
