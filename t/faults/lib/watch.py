"""What processes take while a run lasts, and whether that grows.

The first third of the samples is the warm-up. Of the rest, the median of the
first third is compared with that of the last, of each process: a fault that
is just happening moves neither much, and what is lost with each request or
fault moves the last one.

    resident    all that is in memory, as ps shows it
    own         what is not of a file: the heap, stacks, pools
    files       open files, pipes and the like
    sockets     listening, to the database, to the sidecar: all but clients'
    clients     connections that others have made and may end; not judged
"""
import glob
import os
import re
import statistics
import threading
import time

MB = 1024               # in what /proc counts
GROWTH = 0.05           # of memory
SPARE = {"files": 0, "sockets": 4}
MEMORY = {"resident": "Rss", "own": "Anonymous"}
COLUMNS = (*MEMORY, *SPARE)
LISTENS = "0A"          # a state in /proc/net/tcp


def accepted():
    """The inodes of the connections to ports that are listened to."""
    local, listening = {}, set()
    for name in glob.glob("/proc/net/tcp*"):
        with open(name, encoding="ascii") as lines:
            for words in map(str.split, list(lines)[1:]):
                port = words[1].rsplit(":", 1)[1]
                if words[3] == LISTENS:
                    listening.add(port)
                else:
                    local[words[9]] = port
    return {inode for inode, port in local.items() if port in listening}


def taken(pid, clients=None):
    """By that process now; None when it is not there."""
    now = dict.fromkeys((*COLUMNS, "clients"), 0)
    if clients is None:
        clients = accepted()
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
            sizes = dict(line.split()[:2] for line in list(lines)[1:])
        for name, word in MEMORY.items():
            now[name] = int(sizes[word + ":"]) / MB
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                what = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                continue
            inode = re.match(r"socket:\[(\d+)\]", what)
            now["files" if not inode else "clients" if inode[1] in clients
                else "sockets"] += 1
    except (FileNotFoundError, ProcessLookupError):
        return None
    return now


class Series:
    """Of one process."""
    def __init__(self, name):
        self.name, self.samples = name, []

    def take(self, pid, clients=None):
        now = taken(pid, clients)
        if now:
            self.samples.append(now | {"at": time.time()})

    def save(self, path):
        """A line for each sample, to look at when one has grown."""
        with open(path, "w", encoding="ascii") as out:
            for sample in self.samples:
                out.write("\t".join(f"{name}={value:.3f}" for name, value
                                    in sample.items()) + "\n")

    def thirds(self, column):
        """The medians that are compared."""
        rest = [s[column] for s in self.samples[len(self.samples) // 3:]]
        third = max(1, len(rest) // 3)
        return (statistics.median(rest[:third]),
                statistics.median(rest[-third:]))

    def grown(self, alike=()):
        """The columns that are not flat. Of processes that do the same work
        each may come to as much memory, and as many sockets, as the largest
        began with."""
        found = []
        for column in COLUMNS:
            first, last = self.thirds(column)
            if column != "files":
                first = max([first, *(o.thirds(column)[0] for o in alike)])
            most = first + SPARE[column] if column in SPARE \
                else first * (1 + GROWTH)
            if last > most:
                found.append(column)
        return found

    def __str__(self):
        cells = []
        for column in (*COLUMNS, "clients"):
            first, last = self.thirds(column)
            cells.append(f"{column} {first:.2f} -> {last:.2f} MB "
                         f"({(last / first - 1) * 100:+.1f} %)"
                         if column in MEMORY else
                         f"{column} {first:.0f} -> {last:.0f}")
        return f"{self.name:<16} {len(self.samples):>5} samples: " \
            + ", ".join(cells)


class Watch(threading.Thread):
    """Takes samples of these processes until it is ended."""
    def __init__(self, pids, pause=1.0):
        super().__init__(daemon=True)
        self.series = {pid: Series(name) for pid, name in pids.items()}
        self.pause, self.stop = pause, threading.Event()
        self.start()

    def run(self):
        due = time.monotonic()
        while not self.stop.is_set():
            clients = accepted()
            for pid, series in self.series.items():
                series.take(pid, clients)
            due = max(due + self.pause, time.monotonic())
            self.stop.wait(due - time.monotonic())

    def end(self):
        self.stop.set()
        self.join()
        return list(self.series.values())
