"""reminders.py URL TOKEN DSN REMINDERS SECONDS JOBS USERS QUIET MODE [DOCUMENT]:
seeds the reminders, sends task requests before and while they come, and says
how it went; fails when a bar was missed. MODE is `minute`, or `catch-up`: then
httpd is away while the time of all of them passes."""
import collections
import http.client
import os
import re
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

RATE = 50                       # task requests a second, one of five a POST
WORKERS = 16
AHEAD = 12                      # seconds between seeding and the first
LATEST_P99 = 5.0                # seconds
TOLD_WITHIN = 180
CAUGHT_UP_WITHIN = 900
SLOWER = 3.0                    # other requests' p99, times their quiet one

url, token, dsn = sys.argv[1:4]
reminders, seconds, jobs, users, quiet = map(int, sys.argv[4:9])
mode, document = sys.argv[9], (sys.argv[10:] + [""])[0]
HERE = os.path.dirname(os.path.abspath(__file__))
address = urlsplit(url).netloc


def sql(text, *variables):
    out = subprocess.run(
        ["psql", dsn, "-XqAt", "-v", "ON_ERROR_STOP=1"]
        + [w for v in variables for w in ("-v", v)],
        input=text, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [line.split("|") for line in out.splitlines()]


class Load:
    """Requests at a fixed rate, whatever the answers take: how long each took
    from the moment at which it was to be sent."""

    def __init__(self):
        self.took, self.bad = [], collections.Counter()
        self.lock, self.n, self.stopped = threading.Lock(), 0, False
        self.start = time.monotonic() + 0.1
        self.threads = [threading.Thread(target=self.run)
                        for _ in range(WORKERS)]
        for thread in self.threads:
            thread.start()

    def run(self):
        connection = http.client.HTTPConnection(address, timeout=10)
        headers = {"Authorization": f"Bearer {token}",
                   "Content-Type": "application/json"}
        while not self.stopped:
            with self.lock:
                n = self.n
                self.n += 1
            at = self.start + n / RATE
            time.sleep(max(0.0, at - time.monotonic()))
            try:
                if n % 5 == 0:
                    connection.request("POST", "/api/bench/tasks",
                                       '{"title":"meanwhile"}', headers)
                else:
                    connection.request("GET", "/api/bench/tasks?limit=20",
                                       headers=headers)
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException) as error:
                status = type(error).__name__
                connection.close()
            self.took.append(time.monotonic() - at)
            if status not in (200, 201):
                self.bad[status] += 1

    def end(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()
        if self.bad:
            raise SystemExit(f"answers that were no 2xx: {dict(self.bad)}")
        return at_quantile(self.took, 0.5), at_quantile(self.took, 0.99)


def at_quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * q))]


class Processors:
    """Processor time that each part of the stack has had since it was made."""
    PARTS = ("postgres", "kafka", "scheduler", "httpd", "daprd")

    def __init__(self):
        self.before = self.used()

    @staticmethod
    def used():
        ticks, parent, used = os.sysconf("SC_CLK_TCK"), {}, collections.Counter()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    words = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            # its own, and that of children that have ended
            parent[pid] = words[1], sum(map(int, words[11:15])) / ticks
        for part in Processors.PARTS:
            with open(f"{os.environ['TASKEVENTS_RUN']}/pid/{part}", encoding="ascii") as file:
                tree = {file.read().split()[0]}
            while more := {p for p, (of, _) in parent.items() if of in tree} - tree:
                tree |= more
            used[part] = sum(parent[p][1] for p in tree if p in parent)
        return used

    def since(self):
        used = self.used()
        return {part: used[part] - self.before[part] for part in self.PARTS}


def count(table, where="true"):
    return int(sql(f"SELECT count(*) FROM taskevents.{table} WHERE {where}")[0][0])


def seed(start):
    """The first is due `start` seconds from now, the others within `seconds`."""
    with open(os.path.join(HERE, "reminders.sql"), encoding="ascii") as file:
        sql(file.read(), f"reminders={reminders}", f"seconds={seconds}",
            f"jobs={jobs}", f"users={users}", f"start={start}")


def httpd(what):
    subprocess.run([os.path.join(HERE, "../../dev"), "ctl", "httpd", what],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def wait_until_told(within):
    began = time.monotonic()
    for table, where, wanted in (("reminders", "state = 'triggered'", reminders),
                                 ("notifications", "true", reminders)):
        while count(table, where) < wanted and time.monotonic() - began < within:
            time.sleep(1)


def main():
    load = Load()               # connections and statements are there then
    time.sleep(3)
    load.end()
    load = Load()
    time.sleep(quiet)
    before = load.end()
    lines, bars = (in_a_minute if mode == "minute" else catching_up)(before)
    tell(lines + [*(f"- {'' if met else '**missed:** '}{text}" for met, text in bars), ""])
    if not all(met for met, _ in bars):
        raise SystemExit("a bar was missed")


def others(before, meanwhile):
    return (f"Other requests ({RATE}/s, lists of 20 and POSTs): quiet p50 {before[0] * 1000:.1f} ms,"
            f" p99 {before[1] * 1000:.1f} ms; meanwhile p50 {meanwhile[0] * 1000:.1f} ms,"
            f" p99 {meanwhile[1] * 1000:.1f} ms: {meanwhile[1] / before[1]:.1f} ×.")


def cost(processors):
    return ("Processor time for each reminder until all are told: "
            + ", ".join(f"{part} {s / reminders * 1e6:.0f} µs"
                        for part, s in processors.since().items()) + ".")


def once_each(before, meanwhile):
    """The bars of either mode."""
    events, distinct = map(int, sql(
        "SELECT count(*), count(DISTINCT event::json->'data'->>'reminder_id')"
        " FROM taskevents.processed_events"
        " WHERE type = 'reminder.triggered'")[0])
    triggered = count("reminders", "state = 'triggered'")
    notifications = count("notifications")
    return [
        (triggered == reminders, f"{triggered} of {reminders} triggered"),
        (events == distinct == reminders,
         f"{events} events reminder.triggered, of {distinct} reminders"),
        (notifications == reminders, f"{notifications} notifications"),
        (meanwhile[1] <= SLOWER * before[1],
         f"other requests' p99 ≤ {SLOWER:.0f} × their quiet one"),
    ]


def in_a_minute(before):
    seed(AHEAD + reminders // 10000 * 2 + jobs // 200)
    left = float(sql("SELECT extract(epoch FROM min(remind_at) -"
                     " clock_timestamp()) FROM taskevents.reminders")[0][0])
    if left < 0:
        raise SystemExit("seeding took longer than was thought")
    time.sleep(left)
    made = count("reminders", "job_state = 'made'")
    processors, load = Processors(), Load()
    time.sleep(seconds)
    meanwhile = load.end()
    wait_until_told(TOLD_WITHIN)
    used = cost(processors)
    late = [float(row[0]) for row in sql(
        "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - remind_at)"
        " FROM taskevents.reminders WHERE state = 'triggered'")]
    told = float(sql("SELECT extract(epoch FROM max(n.created_at) -"
                     " (SELECT min(remind_at) FROM taskevents.reminders))"
                     " FROM taskevents.notifications n")[0][0])
    p50, p90, p99, last = (at_quantile(late, q) for q in (.5, .9, .99, 1))
    return [
        "| reminders | within | with a job | lateness p50 | p90 | **p99** | longest | all told after |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
        f"| {reminders} | {seconds} s | {made} | {p50 * 1000:.0f} ms | {p90 * 1000:.0f} ms"
        f" | **{p99 * 1000:.0f} ms** | {last * 1000:.0f} ms | {told:.0f} s |", "",
        others(before, meanwhile), "", used, ""], [
        (min(late) >= 0, f"none early (the first {min(late) * 1000:.1f} ms after its time)"),
        (p99 <= LATEST_P99, f"lateness p99 ≤ {LATEST_P99:.0f} s"),
        (told <= TOLD_WITHIN, f"the last told {told:.0f} s after the first time"),
        *once_each(before, meanwhile)]


def catching_up(before):
    """httpd is away while the time of all passes, and comes back cold."""
    httpd("stop")
    seed(-seconds)
    httpd("start")
    processors, load = Processors(), Load()
    wait_until_told(CAUGHT_UP_WITHIN)
    meanwhile = load.end()
    used = cost(processors)
    # a transaction is a batch: from .. to of its times, in the order of commits
    took, most, astray = map(float, sql(
        "WITH b AS (SELECT pg_xact_commit_timestamp(xmin) AS at, count(*) AS n,"
        "   min(remind_at) AS low, max(remind_at) AS high"
        "  FROM taskevents.reminders WHERE state = 'triggered' GROUP BY xmin::text, 1)"
        " SELECT (SELECT extract(epoch FROM max(at) - min(at)) FROM b),"
        "  (SELECT max(n) FROM (SELECT sum(n) AS n FROM b GROUP BY date_trunc('second', at)) s),"
        "  (SELECT count(*) FROM (SELECT low < max(high) OVER (ORDER BY at"
        "    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS astray FROM b) s"
        "   WHERE astray)")[0])
    turned = int(sql(
        "SELECT count(*) FROM (SELECT r.remind_at < max(r.remind_at) OVER"
        "  (PARTITION BY n.user_id ORDER BY n.id ROWS BETWEEN UNBOUNDED PRECEDING"
        "   AND 1 PRECEDING) AS turned FROM taskevents.notifications n"
        "  JOIN taskevents.reminders r ON r.id = n.reminder_id) s WHERE turned")[0][0])
    return [
        "| reminders | of the last | with a job | caught up in | most in a second |",
        "|--:|--:|--:|--:|--:|",
        f"| {reminders} | {seconds} s | {jobs} | {took:.0f} s | {most:.0f} |", "",
        others(before, meanwhile), "", used, ""], [
        (astray == 0, f"triggered oldest first ({astray:.0f} batches out of order)"),
        (turned == 0, f"each user told oldest first ({turned} out of order)"),
        *once_each(before, meanwhile)]


def tell(lines):
    print("\n".join(lines))
    if document:
        name = "reminders" if mode == "minute" else "reminders --catch-up"
        with open(document, encoding="utf-8") as file:
            text = file.read()
        text, n = re.subn(
            rf"(<!-- bench {name} -->\n).*?(<!-- /bench {name} -->)",
            lambda m: m[1] + "\n" + "\n".join(lines) + "\n" + m[2], text,
            flags=re.S)
        if not n:
            raise SystemExit(f"{document} has no marks for the table")
        with open(document, "w", encoding="utf-8") as file:
            file.write(text)


main()
