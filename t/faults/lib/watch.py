"""What processes take while a run lasts, and whether that grows.

The first third of the samples is the warm-up. Of the rest, the median of the
first third is compared with that of the last, of each process: a fault that
is just happening moves neither much, and what is lost with each request or
fault moves the last one.

    resident    all that is in memory, as ps shows it
    own         what is not of a file: the heap, stacks, pools
    files       open files, pipes and the like
    sockets     listening, to the database: all but those that follow
    sidecar     to its HTTP port: kept for a while, as many as requests were
                under way at the same time; these medians have a bound
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
TURN = 1                # MB
SPARE = {"files": 0, "sockets": 4}
MEMORY = {"resident": "Rss", "own": "Anonymous"}
COLUMNS = (*MEMORY, *SPARE)
OTHERS = ("sidecar", "clients")
SIDECAR_MOST = 16       # TE_HTTP_SIDE_BY_SIDE of events, and as many of jobs
LISTENS = "0A"          # a state in /proc/net/tcp


def connections(sidecars=()):
    """Which connections are to ports that are listened to, and which to those
    of a sidecar: {inode: column}."""
    local, remote, listening = {}, {}, set()
    for name in glob.glob("/proc/net/tcp*"):
        with open(name, encoding="ascii") as lines:
            for words in map(str.split, list(lines)[1:]):
                port = words[1].rsplit(":", 1)[1]
                if words[3] == LISTENS:
                    listening.add(port)
                else:
                    local[words[9]] = port
                    remote[words[9]] = int(words[2].rsplit(":", 1)[1], 16)
    return {inode: "sidecar" for inode, port in remote.items()
            if port in sidecars} \
        | {inode: "clients" for inode, port in local.items()
           if port in listening}


def taken(pid, known=None):
    """By that process now; None when it is not there."""
    now = dict.fromkeys((*COLUMNS, *OTHERS), 0)
    if known is None:
        known = connections()
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
            now[known.get(inode[1], "sockets") if inode else "files"] += 1
    except (FileNotFoundError, ProcessLookupError):
        return None
    return now


class Series:
    """Of one process."""
    def __init__(self, name):
        self.name, self.samples = name, []

    def take(self, pid, known=None):
        now = taken(pid, known)
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
        began with, and for its first turn at a backlog to TURN more."""
        found = []
        for column in COLUMNS:
            first, last = self.thirds(column)
            if column != "files":
                first = max([first, *(o.thirds(column)[0] for o in alike)])
            most = first + SPARE[column] if column in SPARE \
                else max(first * (1 + GROWTH), first + TURN * bool(alike))
            if last > most:
                found.append(column)
        if max(self.thirds("sidecar")) > SIDECAR_MOST:
            found.append("sidecar")
        return found

    def __str__(self):
        cells = []
        for column in (*COLUMNS, *OTHERS):
            first, last = self.thirds(column)
            cells.append(f"{column} {first:.2f} -> {last:.2f} MB "
                         f"({(last / first - 1) * 100:+.1f} %)"
                         if column in MEMORY else
                         f"{column} {first:.0f} -> {last:.0f}")
        return f"{self.name:<16} {len(self.samples):>5} samples: " \
            + ", ".join(cells)


class Watch(threading.Thread):
    """Takes samples of these processes until it is ended."""
    def __init__(self, pids, pause=1.0, sidecars=()):
        """The HTTP ports of sidecars, which are watched as such."""
        super().__init__(daemon=True)
        self.sidecars = sidecars
        self.series = {pid: Series(name) for pid, name in pids.items()}
        self.pause, self.stop = pause, threading.Event()
        self.start()

    def run(self):
        due = time.monotonic()
        while not self.stop.is_set():
            known = connections(self.sidecars)
            for pid, series in self.series.items():
                series.take(pid, known)
            due = max(due + self.pause, time.monotonic())
            self.stop.wait(due - time.monotonic())

    def end(self):
        self.stop.set()
        self.join()
        return list(self.series.values())
