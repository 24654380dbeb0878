"""The real stack: what ./dev runs, what Kafka and the database have."""
import glob
import http.client
import json
import os
import re
import signal
import subprocess
import time
from urllib.parse import urlsplit

import tap

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))

# An instance of the tests' own, whoever's shell this is.
for name in list(os.environ):
    if name.startswith("PG") or name in (
            "TASKEVENTS_BROKERS", "DAPR_API_TOKEN", "APP_API_TOKEN",
            "DAPR_HTTP_ENDPOINT"):
        del os.environ[name]
RUN = os.environ.setdefault("TASKEVENTS_RUN", f"{ROOT}/.run/test/faults")

PARTS = ("postgres", "kafka", "scheduler", "httpd", "daprd")


def dev(*words, **env):
    done = subprocess.run([f"{ROOT}/dev", *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, **env}, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"./dev {' '.join(words)}: {done.stderr[-2000:]}")
    return done.stdout


def eventually(seconds, is_so, pause=0.25):
    end = time.monotonic() + seconds
    while True:
        what = is_so()
        if what or time.monotonic() >= end:
            return what
        time.sleep(pause)


# ---- processes -------------------------------------------------------------

def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children",
                  encoding="ascii") as words:
            return [int(word) for word in words.read().split()]
    except OSError:
        return []


def tree_of(pid):
    """A process and its descendants, parents first."""
    return [pid] + [p for child in children_of(pid) for p in tree_of(child)]


def processes_of(word):
    """Those that were started with that word."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if word.encode() in words.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            pass
    return [pid for pid in sorted(found) if is_there(pid)]


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def threads_of(pid):
    """Where each of a process stands that should not be there any more."""
    try:
        return subprocess.run(
            ["gdb", "-p", str(pid), "-batch", "-ex",
             "thread apply all bt 12"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return f"{pid} is still there (with gdb this would say where)"


def send(name, *pids):
    for pid in pids:
        try:
            os.kill(pid, getattr(signal, "SIG" + name))
        except ProcessLookupError:
            pass


# ---- the stack -------------------------------------------------------------

def environment():
    """What ./dev env says of the instance."""
    env = {}
    for line in dev("env").splitlines():
        name, value = re.match(r"export (\w+)=(.*)", line).groups()
        env[name] = re.sub(r"\\(.)", r"\1", value)
    return env


class Stack:
    def __init__(self, up=True):
        """Not up: somebody else has brought it up."""
        if up:
            dev("up", "--dapr")
        self.env = environment()

    def ctl(self, part, action, **env):
        """A busy machine may take longer than ./dev waits for a start; what
        is started goes on, and a second ./dev finds it."""
        try:
            dev("ctl", part, action, **env)
        except RuntimeError:
            if action != "start":
                raise
            dev("ctl", part, action, **env)

    def bring_back_sidecar(self):
        """As Kubernetes and systemd do with one that ended by itself, at a
        time at which nobody has killed it. (When a broker goes, what it reads
        Kafka with can "send on closed channel".) Whether it was so."""
        if not re.search(r"^daprd +died", dev("status"), re.M):
            return False
        with open(f"{RUN}/log/daprd.log", encoding="utf-8",
                  errors="replace") as log:
            why = [line for line in log if re.match("panic|fatal", line)]
        tap.note("THE SIDECAR ENDED BY ITSELF, and is started again: "
                 + (why[-1].strip() if why else "its log does not say why"))
        self.ctl("daprd", "start")
        return True

    def pid(self, part):
        found = re.search(rf"^{part} +\w+ +pid (\d+)", dev("status"), re.M)
        if not found:
            raise RuntimeError(f"{part} does not run")
        return int(found[1])

    @staticmethod
    def httpd_environment(words):
        """What the next httpd finds there; returns what it was."""
        name, was = f"{RUN}/httpd/environment", ""
        if os.path.exists(name):
            with open(name, encoding="ascii") as old:
                was = old.read()
        with open(name, "w", encoding="ascii") as new:
            new.write(words)
        return was

    @staticmethod
    def httpd_configuration():
        return f"{RUN}/httpd/httpd.conf"

    def httpd_starts(self):
        """How often httpd has begun, restarts included; its log says so."""
        with open(f"{RUN}/log/httpd.log", "rb") as log:
            return log.read().count(b"resuming normal operations")

    @staticmethod
    def deliveries_to(part):
        """In all runs of this instance."""
        name = f"{RUN}/log/{part}-access.log"
        if not os.path.exists(name):
            return 0
        with open(name, encoding="utf-8", errors="replace") as log:
            return sum("POST /api/events/" in line for line in log)

    @staticmethod
    def events_asked_about():
        """The ids of all that came to the route of tasks' events, one by one,
        whatever was answered."""
        ids = set()
        for name in glob.glob(f"{RUN}/log/httpd*-access.log"):
            with open(name, encoding="utf-8", errors="replace") as log:
                for line in log:
                    if '"POST /api/events/tasks ' in line:
                        ids.update(line.rsplit('"', 1)[1].split())
        return ids

    def answers(self):
        """Whether httpd answers a new connection well."""
        connection = http.client.HTTPConnection(
            urlsplit(self.env["TASKEVENTS_URL"]).netloc, timeout=15)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def sql(self, text):
        """The rows, each of them JSON."""
        done = subprocess.run(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d",
             self.env["TASKEVENTS_DSN"], "-c", text],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def records(self, topic):
        """All of a topic, each partition in its order. Nobody writes to it
        meanwhile, or kcat may never see its end."""
        for left in (2, 1, 0):
            done = subprocess.run(
                ["timeout", "60", "kcat", "-C", "-e", "-q", "-o", "beginning",
                 "-b", self.env["TASKEVENTS_BROKERS"], "-t", topic,
                 "-f", r"%p\t%o\t%T\t%k\t%s\n"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                check=left == 0)
            if done.returncode == 0:
                break
        records = []
        for line in done.stdout.decode().split("\n")[:-1]:
            partition, offset, at, key, value = line.split("\t", 4)
            records.append({"topic": topic, "partition": int(partition),
                            "offset": int(offset), "at": int(at) / 1000,
                            "key": key,
                            "event": json.loads(value)})
        return records

    # ---- the end of a run --------------------------------------------------

    def left(self, prefix):
        """Events in the outbox; given a number but not handled."""
        row, = self.sql(f"""
            SELECT json_build_array(
              (SELECT count(*) FROM taskevents.outbox
                WHERE starts_with(user_id, '{prefix}')),
              (SELECT coalesce(sum(last), 0) FROM taskevents.streams
                WHERE starts_with(user_id, '{prefix}')
                  AND name IN ('tasks', 'reminders'))
              - (SELECT count(*) FROM taskevents.processed_events
                  WHERE starts_with(user_id, '{prefix}')))""")
        return row

    def settle(self, prefix, seconds=120, patience=20):
        """Wait until everything was published and handled. Gives up when
        nothing moves any more, and returns what is left."""
        end, last, moved = time.monotonic() + seconds, None, time.monotonic()
        while time.monotonic() < end:
            now = self.left(prefix)
            if now == [0, 0]:
                break
            if now != last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > patience:
                break
            time.sleep(0.5)
        return self.left(prefix)

    def outbox_size(self):
        """Of the table and its index, MB."""
        row, = self.sql("SELECT json_build_array("
                        "pg_table_size('taskevents.outbox') / 1048576.0,"
                        "pg_indexes_size('taskevents.outbox') / 1048576.0)")
        return row

    def tables(self, prefix):
        mine = f"starts_with(user_id, '{prefix}')"
        streams = {}
        for row in self.sql(f"SELECT row_to_json(s) FROM taskevents.streams s"
                            f" WHERE {mine}"):
            streams.setdefault(row["user_id"], {})[row["name"]] = row["last"]
        return {
            "streams": streams,
            "processed": self.sql(
                "SELECT json_build_object('event_id', event_id, 'user_id',"
                " user_id, 'position', position)"
                f" FROM taskevents.processed_events WHERE {mine}"),
            "tasks": self.sql(
                "SELECT json_build_object('id', id, 'user_id', user_id,"
                " 'title', title, 'completed', completed, 'version', version,"
                " 'tags', tags, 'series_id', series_id, 'occurrence',"
                f" occurrence) FROM taskevents.tasks WHERE {mine}"),
            "series": dict(self.sql(
                "SELECT json_build_array(series_id, ended_at IS NOT NULL)"
                f" FROM taskevents.series WHERE {mine}")),
            "outbox": self.left(prefix)[0],
            "dead_letters": self.sql(
                "SELECT json_build_object('stage', stage, 'event_id',"
                " event_id, 'user_id', user_id, 'reason', reason)"
                f" FROM taskevents.dead_letters WHERE {mine}"
                " OR user_id IS NULL"),
        }
