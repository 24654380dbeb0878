#!/usr/bin/env python3
"""What watches for growth: it names what grows, and only that."""
import os
import random
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))
import tap
from watch import COLUMNS, Series, Watch, connections, taken

FLAT = {"resident": 20.0, "own": 10.0, "files": 8, "sockets": 12}


def series(**grow):
    """Of a process that is flat but for these: a function of the share of
    the time that is over, 0 to 1, which says how much more."""
    rng, made = random.Random("watch"), Series("x")
    for n in range(90):
        sample = {c: FLAT[c] + grow.get(c, lambda _: 0)(n / 89)
                  for c in COLUMNS}
        sample["resident"] *= rng.uniform(0.99, 1.01)
        sample["sockets"] += rng.randrange(3)
        sample["clients"] = rng.randrange(20)
        sample["sidecar"] = 30 if n == 80 else rng.randrange(17)
        made.samples.append(sample)
    return made


tap.equal(series().grown(), [], "what is flat is flat")
tap.equal(series(own=lambda t: 1.5 * t).grown(), ["own"],
          "memory that leaks evenly is named")
tap.equal(series(own=lambda t: 0.5 * t).grown(), [],
          "a twentieth is not")
tap.equal(series(own=lambda t: min(3, 9 * t)).grown(), [],
          "what grows in the warm-up is not")
tap.equal(series(own=lambda t: 6 if 0.6 < t < 0.7 else 0,
                 sockets=lambda t: 20 if 0.9 < t < 0.95 else 0).grown(), [],
          "a peak is not")
tap.equal(series(files=lambda t: t > 0.7).grown(), ["files"],
          "one file that stays open is named")
tap.equal(series(sockets=lambda t: int(12 * t)).grown(), ["sockets"],
          "connections that stay open are named")
tap.equal(series(own=lambda t: -3 * t, files=lambda t: -int(2 * t)).grown(),
          [], "what shrinks is not")

one = series()
for sample in one.samples[-15:]:
    sample["sidecar"] = 17
tap.equal(one.grown(), ["sidecar"], "and more to the sidecar than are needed")

small, large = series(own=lambda t: 2 * t - 3), series()
tap.equal((small.grown(), small.grown([large])), (["own"], []),
          "one that comes to what another of its kind has is named alone")
tap.equal(series(own=lambda t: 4 * t - 3).grown([large]), [],
          "or a little more, when it is its first turn")
tap.equal(series(own=lambda t: 8 * t - 6).grown([large]), ["own"],
          "and one that comes to more always")
tap.equal(large.grown([series(own=lambda t: 4 * t)]), [],
          "others that grow are not its own doing")

# connections of others are told from its own
listener = socket.create_server(("127.0.0.1", 0))
before = taken(os.getpid())
calls = [socket.create_connection(listener.getsockname()) for _ in range(3)]
served = [listener.accept()[0] for _ in calls]
after = taken(os.getpid())
tap.equal([after[c] - before[c] for c in ("files", "sockets", "clients")],
          [0, 3, 3], "a client's connection is told from one of its own")
port = listener.getsockname()[1]
there = taken(os.getpid(), connections([port]))
tap.equal([there[c] - before[c] for c in ("sockets", "sidecar", "clients")],
          [0, 3, 3], "and one to a sidecar from both")
for one in (*calls, *served, listener):
    one.close()

# a process that does all of it, and one that does nothing
LEAK = """
import socket, sys, time
kept = []
while True:
    kept += [bytearray(1 << 20), open("/dev/null"), socket.socket()]
    time.sleep(0.05)
"""
leaks = subprocess.Popen([sys.executable, "-c", LEAK])
idle = subprocess.Popen(["sleep", "60"])
time.sleep(0.5)
watch = Watch({leaks.pid: "leaks", idle.pid: "idle"}, 0.05)
while min(len(one.samples) for one in watch.series.values()) < 40:
    time.sleep(0.05)
found = {one.name: one.grown() for one in watch.end()}
tap.equal(found, {"leaks": list(COLUMNS), "idle": []},
          "a process that takes more and more is told from one that does not")
for process in (leaks, idle):
    process.kill()
    process.wait()
tap.equal(taken(leaks.pid), None, "one that is gone takes nothing")
tap.done()
