"""Users at work: several processes, each with a connection that it keeps,
each with tasks of its own, all with the same users.

Strict users are those of a service that is only restarted gracefully: no
request of theirs may fail. Every second of them makes a connection for each
request. Of the others, a connection that httpd closes in the very moment in
which they send on it is no failure: it closes what is idle, and clients send
again on a new one (RFC 9112, 9.3.1). That must not have been half of one: all
that they send says what to do only once, by a key or a version, and so an
answer that was lost shows.
"""
import http.client
import json
import multiprocessing
import os
import random
import time
from urllib.parse import quote, urlsplit

from stack import dev

RETRY_FOR = 60      # seconds, of a request that has an Idempotency-Key
TIMEOUT = 15        # a part is stopped for 8 s at most
CLOSED = (ConnectionResetError, BrokenPipeError)    # RemoteDisconnected too


def soon(rng):
    """A due date whose reminder comes while the run lasts, or just does not."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ",
                         time.gmtime(time.time() + rng.randint(1, 15)))


class Unheard(Exception):
    """The connection was closed before the first word of an answer."""


class Writer:
    def __init__(self, name, url, tokens, seed, rate, path, strict=False,
                 keeps=True):
        self.name, self.tokens = name, tokens
        self.users = sorted(tokens)
        self.rng = random.Random(f"{seed} {name}")
        self.rate, self.n, self.again = rate, 0, 0
        self.strict, self.keeps = strict, keeps
        self.address = urlsplit(url).netloc
        self.connection = None
        self.out = open(path, "a", buffering=1, encoding="utf-8")
        self.tasks = {}             # id: what the last answer said
        self.series = set()         # of ours, as long as we are sure of them

    # ---- HTTP --------------------------------------------------------------

    def request(self, user, method, path, body=None, headers=()):
        """Status, body and error; the status is None when no answer came."""
        words = {"Authorization": f"Bearer {self.tokens[user]}"}
        words.update(headers)
        if body is not None:
            words["Content-Type"] = "application/json"
        reused = self.connection is not None
        try:
            answer = self.send(method, f"/api/{quote(user)}/{path}",
                               body and json.dumps(body), words)
            text = answer.read()
            if not self.keeps:
                self.close()
            if self.strict and answer.getheader("Idempotent-Replayed"):
                return None, None, "the first answer was lost"
            return answer.status, json.loads(text) if text else None, None
        except Unheard as error:
            self.close()
            if self.strict and reused:
                self.again += 1
                return self.request(user, method, path, body, headers)
            return None, None, repr(error.__cause__)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return None, None, repr(error)

    def send(self, method, path, body, headers):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address,
                                                         timeout=TIMEOUT)
        try:
            self.connection.request(method, path, body, headers)
            return self.connection.getresponse()
        except CLOSED as error:
            raise Unheard from error

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def write(self, op, method, path, body=None, headers=(), key=None):
        """One operation; with a key, again until its outcome is known."""
        self.n += 1
        again = self.again
        op = {"n": f"{self.name}-{self.n}", "task": None, "title": None,
              "completes": False, "version": None, **op}
        headers = dict(headers)
        if key:
            headers["Idempotency-Key"] = f"{self.name}-{self.n}"
        end, tries = time.monotonic() + RETRY_FOR, 0
        while True:
            tries += 1
            began = time.time()
            status, answer, error = self.request(op["user"], method, path,
                                                 body, headers)
            unsure = status is None or status in (409, 503)
            if not (key and unsure) or time.monotonic() > end:
                break
            time.sleep(1 if status == 409 else 0.2)
        good = status is not None and status < 300
        if status is not None and not good:
            error = json.dumps(answer)[:200]
        if good and op["do"] == "create":
            op["task"] = answer["id"]
        op.update(status=status, tries=tries, error=error,
                  again=self.again - again,
                  answer=answer if good and op["do"] != "list" else None,
                  began=round(began, 3),
                  seconds=round(time.time() - began, 3))
        self.out.write(json.dumps(op) + "\n")
        if unsure:
            time.sleep(0.2)
        return answer if good else None, good

    def has_key(self):
        return self.strict or self.rng.random() < 0.4

    # ---- what users do -----------------------------------------------------

    def create(self, user):
        body = {"title": f"{self.name} task {self.n + 1}",
                "tags": self.rng.sample(["home", "work", "Ärger", "later"],
                                        self.rng.randint(0, 3))}
        if self.rng.random() < 0.3:
            body.update(is_recurring=True, due_date="2031-01-31T09:00:00Z",
                        recurring_interval=self.rng.choice(
                            ["daily", "weekly", "monthly"]))
        elif self.rng.random() < 0.6:
            body["due_date"] = soon(self.rng)
        task, good = self.write(
            {"do": "create", "user": user, "title": body["title"]},
            "POST", "tasks", body, key=self.has_key())
        if good:
            self.tasks[task["id"]] = task
            if task["series_id"]:
                self.series.add(task["series_id"])

    def change(self, do, task, method, path, body=None, **more):
        """What is unsure is never touched again: nobody could tell what the
        next answer would have to be."""
        self.tasks.pop(task["id"], None)
        completes = more.pop("completes", False)
        title = body["title"] if do == "patch" else None
        answer, good = self.write(
            {"do": do, "user": task["user_id"], "task": task["id"],
             "title": title, "completes": completes},
            method, f"tasks/{task['id']}{path}", body, **more)
        if good and answer is not None:
            self.tasks[task["id"]] = answer
        if not good:
            self.series.discard(task["series_id"])

    def patch(self, task):
        body = {"title": f"{self.name} title {self.n + 1}"}
        completes = not task["completed"] and self.rng.random() < 0.2
        if completes:
            body["completed"] = True
        elif self.rng.random() < 0.3:
            body["description"] = "words" * self.rng.randint(1, 60)
        elif self.rng.random() < 0.3 and not task["series_id"]:
            body["due_date"] = self.rng.choice([None, soon(self.rng)])
        headers = {}
        if self.strict or self.rng.random() < 0.5:
            headers["If-Match"] = f'"{task["version"]}"'
        self.change("patch", task, "PATCH", "", body, headers=headers,
                    completes=completes)

    def read(self, task):
        self.write({"do": "read", "user": task["user_id"],
                    "task": task["id"], "version": task["version"]},
                   "GET", f"tasks/{task['id']}")

    def adopt(self, user):
        """Go on with the occurrences that came of our completions."""
        found, good = self.write({"do": "list", "user": user}, "GET",
                                 "tasks?completed=false&limit=200")
        for task in found if good else ():
            if task["series_id"] in self.series and task["occurrence"] > 1:
                self.tasks.setdefault(task["id"], task)

    def step(self):
        user = self.rng.choice(self.users)
        mine = [t for t in self.tasks.values() if t["user_id"] == user]
        if len(mine) < 2 or (self.rng.random() < 0.25 and len(mine) < 20):
            self.create(user)
            return
        task = self.rng.choice(mine)
        chance = self.rng.random() if len(mine) < 20 else 0.75
        if chance < 0.45:
            self.patch(task)
        elif chance < 0.7 and not task["completed"]:
            self.change("complete", task, "POST", "/complete",
                        key=self.has_key())
        elif 0.7 <= chance < 0.8:
            self.change("delete", task, "DELETE", "")
        elif chance < 0.92:
            self.read(task)
        else:
            self.adopt(user)

    def work(self, stop):
        due = time.monotonic()
        while not stop.is_set():
            self.step()
            due = max(due + 1 / self.rate, time.monotonic() - 0.2)
            time.sleep(max(0, due - time.monotonic()))
            if self.n % 300 == 299:
                self.close()                # others come and go


class Load:
    def __init__(self, stack, prefix, directory, seed, urls, users=16,
                 writers=4, rate=25, strict=False, name="w"):
        """Each writer has one of the urls, in turn."""
        self.tokens = tokens = {}
        for i in range(users):
            user = f"{prefix}{i}@x"
            tokens[user] = dev("token", user, "--ttl",
                               "86400").split("\n")[-2]
        self.stop_it = multiprocessing.Event()
        self.paths, self.processes = [], []
        for i in range(writers):
            path = os.path.join(directory, f"ops-{name}{i}.jsonl")
            self.paths.append(path)
            writer = Writer(f"{name}{i}", urls[i % len(urls)], tokens,
                            seed, rate, path, strict,
                            keeps=not strict or i % 2 == 0)
            self.processes.append(multiprocessing.Process(
                target=writer.work, args=(self.stop_it,), daemon=True))
        for process in self.processes:
            process.start()

    def alive(self):
        return all(process.is_alive() for process in self.processes)

    def stop(self):
        """The operations. Who is still in the middle of one ends it."""
        self.stop_it.set()
        for process in self.processes:
            process.join(RETRY_FOR + 2 * TIMEOUT)
        ops = []
        for path in self.paths:
            with open(path, encoding="utf-8") as lines:
                ops += [json.loads(line) for line in lines]
        self.good = all(p.exitcode == 0 for p in self.processes)
        return ops
