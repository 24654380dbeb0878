#!/usr/bin/env python3
"""A node that is cut off from the database, from Kafka or from both for 30 s:
nothing is lost, doubled or reordered, and the other node does not wait for it.

    TASKEVENTS_NODES_ROUNDS  how often both sides are cut off at random (1),
                             one of them from both; with more, each node is
                             cut off from each by itself
    TASKEVENTS_NODES_SEED    the same cuts again
"""
import os
import random
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(__file__)
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from nodes import NAMES, NODES, TwoNodes

# What docs/operations.md promises.
FREE_WITHIN = 18        # seconds: the server ends the sessions of who is gone
LATE = {"database": FREE_WITHIN + 3, "both": FREE_WITHIN + 3, "kafka": 10}
ANSWERS_WITHIN = 5      # seconds: a request whose database is away
BACK_WITHIN = 6         # seconds: requests are served again

seed = os.environ.get("TASKEVENTS_NODES_SEED") or \
    str(random.SystemRandom().randrange(1 << 32))
tap.note(f"TASKEVENTS_NODES_SEED={seed}")
rounds = int(os.environ.get("TASKEVENTS_NODES_ROUNDS", "1"))
alone = [("", "database"), ("2", "kafka")]
if rounds > 1:
    alone += [("", "both"), ("2", "database"), ("", "kafka"), ("2", "both")]

run = TwoNodes("nodes", seed, rate=6)
rng = random.Random(seed)
time.sleep(3)
cuts, together = [], []
for node, what in alone:
    cuts.append(run.disturb(node, what))
    time.sleep(BACK_WITHIN)
for _ in range(rounds):
    together += run.disturb_both(rng)
    time.sleep(BACK_WITHIN)
run.end_load()
run.settle()
tap.equal(run.left[0], 0, "the outbox is empty at the end")
run.redrive()
run.revive()
checker = run.judge(disturbed=True)
run.check_log(disturbed=True)

lags = run.lags(checker)
for cut in cuts + together:
    tap.ok(cut.dropped > 10, f"{cut}: {cut.dropped} packets were lost")
    back = run.acknowledged(cut.node, cut.ended, cut.ended + BACK_WITHIN)
    if cut in cuts:
        tap.ok(back, f"... it serves again within {BACK_WITHIN} s")

for cut in cuts:
    tap.note(f"---- {cut}")
    other, = (n for n in NODES if n != cut.node)
    moments = sorted([cut.began, cut.ended] + [
        op["began"] + op["seconds"]
        for op in run.acknowledged(other, cut.began, cut.ended)])
    longest = max(b - a for a, b in zip(moments, moments[1:]))
    tap.ok(longest < 3, f"... {NAMES[other]} went on, with {len(moments) - 2} "
           f"acknowledged requests and no pause of 3 s ({longest:.1f} s)")
    mine = run.acknowledged(cut.node, cut.began + 2, cut.ended)
    if cut.what == "kafka":
        slowest = max(op["seconds"] for op in mine)
        tap.ok(slowest < 3, f"... its requests went on, too: {len(mine)}, of "
               f"at most {slowest:.1f} s")
    else:
        tap.equal(len(mine), 0, "... it acknowledged nothing itself")
        slow = [op for op in run.of_node(cut.node) if cut.during(op["began"])
                and op["tries"] == 1 and op["seconds"] > ANSWERS_WITHIN]
        tap.ok(not slow, "... but said so within "
               f"{ANSWERS_WITHIN} s", slow[:3])
        tap.ok(cut.held_for < FREE_WITHIN, "... what its publisher held was "
               f"free after {cut.held_for:.1f} s, not {FREE_WITHIN}")
        tap.equal(cut.sessions, 0, "... the server kept none of its sessions")
    late = sorted(lag for when, lag in lags if cut.during(when))
    half, most = late[len(late) // 2], late[-1]
    tap.ok(most < LATE[cut.what], f"... {len(late)} events were in Kafka "
           f"after {half:.2f} s, half of them, and {most:.1f} s, the last; "
           f"{LATE[cut.what]} s are allowed")

# Of each stream one event is on its way: when a node is cut off, when its
# publisher tries again before its breaker opens, and then one a probe.
streams = len(checker.streams)
allowed = (2 * streams + 10) * len(cuts + together)
copies = checker.totals["duplicates"]
tap.ok(copies <= allowed, f"{copies} copies in Kafka; {streams} streams and "
       f"{len(cuts + together)} cuts allow {allowed}")
tap.done()
