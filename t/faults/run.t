#!/usr/bin/env python3
"""Whatever happens to its parts, the stack loses, doubles and reorders
nothing that it acknowledged.

    TASKEVENTS_FAULTS_MINUTES  how long (3)
    TASKEVENTS_FAULTS_SEED     the same faults again
"""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from faults import Injector
from run import Run, chosen_seed, minutes

seed = chosen_seed()
run = Run("faults", seed)
injector = Injector(run.stack)
injector.run(seed, minutes("3") * 60)
injector.all_well()
run.conclude(injector)
tap.done()
