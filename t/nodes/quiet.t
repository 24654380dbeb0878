#!/usr/bin/env python3
"""Two nodes and nothing between them and what they share: each stream is
published by one of them at a time, so no event is in Kafka twice."""
import os
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(__file__)
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from nodes import NAMES, NODES, TwoNodes

PUBLISHED = "taskevents_events_published_total"


def work(name, seconds, **load):
    """@return what each node published"""
    run = TwoNodes(name, os.environ.get("TASKEVENTS_NODES_SEED", "quiet"),
                   **load)
    before = [run.metric(node, PUBLISHED) for node in NODES]
    time.sleep(seconds)
    run.end_load(least=10)
    run.settle()
    tap.equal(run.left, [0, 0], "all is published and handled")
    bad = [op for op in run.ops if op["status"] not in (200, 201, 204)]
    tap.ok(not bad, "every request succeeded", bad[:3])
    checker = run.judge(disturbed=False)
    tap.equal(checker.totals["duplicates"], 0, "no event came twice")
    run.check_log()
    return [run.metric(node, PUBLISHED) - n
            for node, n in zip(NODES, before)]


# So much that both always want the same shards; whoever has them may keep
# them, for there is always something left.
tap.note("---- busy")
work("busy", 10, rate=15)
# So little that each finds them free.
tap.note("---- calm")
shares = work("calm", 8, rate=1.5, users=4)
for node, share in zip(NODES, shares):
    tap.ok(share > 0, f"{NAMES[node]} published some: {share:.0f} events")
tap.done()
