#!/usr/bin/env python3
"""Nothing is disturbed: then there is no duplicate and no refusal either."""
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from run import Run

run = Run("quiet", os.environ.get("TASKEVENTS_FAULTS_SEED", "quiet"),
          first=True)
time.sleep(float(os.environ.get("TASKEVENTS_FAULTS_QUIET", "20")))
run.end_load()
run.settle()
tap.equal(run.left, [0, 0], "all is published and handled")
bad = [op for op in run.ops if op["status"] not in (200, 201, 204)]
tap.ok(not bad, "every request succeeded", bad[:3])
tap.equal(sum(op["tries"] for op in run.ops), len(run.ops), "at once")
checker = run.judge(disturbed=False)
tap.equal(checker.totals["duplicates"], 0, "no event came twice")
run.check_log()
tap.done()
