"""chain.py URL TOKENS RATE SECONDS: recurring tasks are completed, RATE a
second; how long each takes, from the request on, until a list of the user's
open tasks has the next occurrence. Prints lines of results: the number, and
p50, p99 and the longest in ms."""
import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

POLL = 0.004                    # seconds between two looks
PATIENCE = 10
WORKERS = 24


class User:
    """One user's requests, over a connection of each thread."""
    local = threading.local()

    def __init__(self, address, name, token):
        self.address, self.name, self.token = address, name, token
        self.open = []

    def request(self, method, path, body=None):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(
                self.address, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        self.local.connection.request(
            method, f"/api/{self.name}/{path}", body, headers)
        answer = self.local.connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)

    def make(self):
        self.open.append(self.request("POST", "tasks", {
            "title": "Water the plants", "is_recurring": True,
            "recurring_interval": "daily",
            "due_date": "2031-05-04T09:00:00Z"})["series_id"])
        return self.request("GET", "tasks?limit=1")[0]["id"]

    def complete(self, task, series):
        """Seconds until the next occurrence can be read."""
        began = time.monotonic()
        self.request("POST", f"tasks/{task}/complete")
        while time.monotonic() - began < PATIENCE:
            newest = self.request(
                "GET", "tasks?completed=false&limit=1&sort_by=created_desc")
            if newest and newest[0]["series_id"] == series \
                    and newest[0]["occurrence"] == 2:
                return time.monotonic() - began
            time.sleep(POLL)
        raise RuntimeError(f"task {task} of {self.name} got no next one")


def in_threads(work, items):
    """work(item) for each, by several threads; their results."""
    results, failures, lock, rest = [], [], threading.Lock(), iter(items)

    def run():
        while not failures:
            with lock:
                item = next(rest, None)
            if item is None:
                return
            try:
                result = work(item)
            except Exception as error:  # told below
                failures.append(error)
                return
            with lock:
                results.append(result)

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def main():
    url, tokens, rate, seconds = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    address = urlsplit(url).netloc
    with open(tokens, encoding="ascii") as file:
        users = [User(address, *line.split()) for line in file]
    # so that a user has one completion under way at a time, mostly
    each = -(-rate * seconds // len(users))

    def make(user):
        return [(user, user.make()) for _ in range(each)]

    made = in_threads(make, users)
    jobs = [(user, task, user.open[i]) for i in range(each)
            for user, task in (tasks[i] for tasks in made)]
    time.sleep(3)               # what that caused is handled
    start = time.monotonic() + 0.2

    def job(numbered):
        n, (user, task, series) = numbered
        time.sleep(max(0.0, start + n / rate - time.monotonic()))
        return user.complete(task, series)

    took = sorted(in_threads(job, enumerate(jobs[:rate * seconds])))
    print("chain", len(took), rate,
          *(f"{1000 * took[min(len(took) - 1, int(len(took) * q))]:.0f}"
            for q in (0.5, 0.99, 1)))


main()
