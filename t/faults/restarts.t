#!/usr/bin/env python3
"""200 graceful restarts under load, each done before the next: no request
fails, no event is lost or comes twice, nothing is left over and nothing
grows.

    TASKEVENTS_FAULTS_RESTARTS  how many (200)
"""
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from run import Run
from stack import children_of, eventually, is_there, processes_of, send, \
    threads_of
from watch import Series

RESTARTS = int(os.environ.get("TASKEVENTS_FAULTS_RESTARTS", "200"))
seed = os.environ.get("TASKEVENTS_FAULTS_SEED", "restarts")


def restart(stack, parent):
    """Graceful, and done: the parent has made it, the children of before are
    gone, and a new connection is answered, by one of the new ones therefore.
    What is missing, or None."""
    made, old = stack.httpd_starts(), children_of(parent)
    send("USR1", parent)
    if not eventually(20, lambda: not any(map(is_there, old)), 0.01):
        return "\n".join(map(threads_of, filter(is_there, old)))
    if not eventually(20, lambda: stack.httpd_starts() > made, 0.01):
        return "the parent has not made it"
    if not eventually(20, lambda: children_of(parent), 0.01):
        return "there are no new children"
    return None if stack.answers() else "a new connection is not answered"


run = Run("restarts", seed, strict=True)
parent = run.stack.pid("httpd")
series, took = Series("httpd's parent"), []
time.sleep(3)                   # the users are at work
for n in range(RESTARTS):
    began, last = time.monotonic(), children_of(parent)
    missing = restart(run.stack, parent)
    if missing:
        tap.ok(False, f"restart {n + 1} is done in time", missing)
        break
    took.append(time.monotonic() - began)
    series.take(parent)
left = set(processes_of(run.stack.httpd_configuration())) \
    - {parent, *children_of(parent)} | {p for p in last if is_there(p)}
run.end_load()
run.settle()
run.revive()

tap.note(f"restarts: {len(took)} in {sum(took):.0f} s, "
         f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s")
tap.note(series)
tap.equal(len(took), RESTARTS, f"{RESTARTS} graceful restarts, each done")
tap.ok(is_there(parent), "by the same parent")
bad = [op for op in run.ops
       if op["status"] not in (200, 201, 204) or op["tries"] > 1]
tap.ok(not bad, f"none of {len(run.ops)} requests failed", bad[:3])
again = sum(op["again"] for op in run.ops)
tap.note(f"{again} requests came on a connection that was just closed, and "
         "were made again on a new one; none of them was half done")
tap.equal(left, set(), "no process is left over")
tap.equal(series.grown(), [], "the parent takes no more at the end")
tap.equal(run.left, [0, 0], "all is published and handled")
checker = run.judge(disturbed=False)
tap.equal(checker.totals["duplicates"], 0, "no event came twice")
run.check_log()
tap.done()
