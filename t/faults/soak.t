#!/usr/bin/env python3
"""However long it runs, and whatever happens meanwhile, the stack loses
nothing, and httpd takes no more than it did.

First come faults that end httpd's processes, for a fourth of the time; in
long runs all others between them. Then come all others, and httpd's processes
are the same ones from there to the end: these are watched.

    TASKEVENTS_FAULTS_MINUTES  how long (3)
    TASKEVENTS_FAULTS_SEED     the same faults again
"""
import os
import sys
from urllib.parse import urlsplit

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from faults import ENDS_HTTPD, FAULTS, Injector
from run import Run, chosen_seed, minutes
from stack import children_of
from watch import Watch

# One arena, which gives back what is free: what is seen is then what is used.
# With one for each few threads it creeps for an hour to what each ever needed.
MALLOC = "MALLOC_ARENA_MAX=1\nMALLOC_TRIM_THRESHOLD_=131072\n"
# As many children from the beginning as there will be: a late one would still
# grow when the others are as large as they get.
CHILDREN, THREADS = 3, 32
CONF = f"""
StartServers {CHILDREN}
MinSpareThreads 1
MaxSpareThreads {CHILDREN * THREADS}
MaxRequestWorkers {CHILDREN * THREADS}
"""
LONG = 600
OUTBOX = 48             # MB; the events of some minutes

seconds = minutes("3") * 60
seed = chosen_seed()
run = Run("soak", seed, environment=MALLOC, conf=CONF)
injector = Injector(run.stack)
injector.run(seed, seconds / 4, ENDS_HTTPD if seconds < LONG else None)
injector.all_well()

# Memory is as large as it was ever needed: with more users at once than the
# rest of the run has, and events that wait for a sidecar that is away.
run.burst(12, CHILDREN * THREADS)
parent = run.stack.pid("httpd")
children = children_of(parent)
names = {parent: "httpd's parent"} | {
    pid: f"child {n} of httpd" for n, pid in enumerate(children, 1)}
sidecar = urlsplit(run.stack.env["DAPR_HTTP_ENDPOINT"])
watch = Watch(names, sidecars=[sidecar.port])
injector.run(f"{seed} spared", seconds * 3 / 4, set(FAULTS) - ENDS_HTTPD)
injector.all_well()
series = watch.end()
tap.equal((run.stack.pid("httpd"), children_of(parent)), (parent, children),
          "httpd's processes are the ones that were watched")
run.conclude(injector)

rows, index = run.stack.outbox_size()
through = run.events_size()
tap.ok(rows + index < OUTBOX, f"the outbox takes less than {OUTBOX} MB at the "
       f"end: {rows:.1f} MB and {index:.1f} MB of index, after {through:.0f} "
       "MB of events")
for one in series:
    one.save(f"{run.directory}/{one.name.replace(' ', '-')}.tsv")
    tap.note(one)
# In a few minutes a child may have its first turn at what takes most, a backlog
# to publish, after the warm-up.
alike = series[1:] if seconds < LONG else []
for one in series:
    tap.equal(one.grown(alike if one in alike else []), [],
              f"{one.name} takes no more at the end")
tap.done()
