"""The service under test: its users, its sidecar's routes, its database."""
import json
import os
import random
import socket
import threading
import time
import uuid
from urllib.parse import urlsplit

from psql import psql
from stack import dev, environment

RUN = f"{random.SystemRandom().randrange(1 << 32):08x}"     # user ids of a run
IDLE = 2        # seconds; KeepAliveTimeout is 5


class Wire:
    """One connection that is kept."""

    def __init__(self, url):
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port
        self.socket, self.rest = None, b""
        self.used = 0                       # when the last answer came

    def open(self):
        if self.socket is None:
            self.socket = socket.create_connection((self.host, self.port), 30)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.rest = b""

    def send(self, *request):
        self.open()
        self.socket.sendall(self.bytes_of(*request))

    def bytes_of(self, method, path, headers, body):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}",
                 *(f"{name}: {value}" for name, value in headers.items()),
                 f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body

    def receive(self):
        """Status and body."""
        data = self.rest
        while b"\r\n\r\n" not in data:
            data += self.more()
        head, data = data.split(b"\r\n\r\n", 1)
        size = 0
        for line in head.split(b"\r\n")[1:]:
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                size = int(value)
            closing = name.lower() == b"connection" and b"close" in value
            if closing:
                self.socket, last = None, self.socket
        while len(data) < size:
            data += (self.socket or last).recv(65536)
        self.rest = data[size:]
        self.used = time.monotonic()
        return int(head[9:12]), data[:size]

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data

    def ask(self, *request):
        """On a new connection, if httpd may be about to close this one."""
        if time.monotonic() - self.used > IDLE:
            self.socket = None
        self.send(*request)
        return self.receive()


class Service:
    def __init__(self):
        self.env = environment()
        self.users = Wire(self.env["TASKEVENTS_URL"])
        self.tokens = {}
        self.local = threading.local()
        self.sidecar_headers = {
            "Content-Type": "application/cloudevents+json",
            "dapr-api-token": self.env["APP_API_TOKEN"]}

    def user(self, name):
        user = f"{name}-{RUN}"
        self.tokens[user] = dev("token", user).split()[-1]
        return user

    def api(self, user, method, path, body=None, status=(200, 201, 204)):
        """The answer, which must have this status."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}",
                   "Content-Type": "application/json"}
        text = b"" if body is None else json.dumps(body).encode()
        got, answer = self.users.ask(method, f"/api/{user}/{path}", headers,
                                     text)
        if got not in status:
            raise AssertionError(f"{method} {path} {body}: {got} {answer}")
        return json.loads(answer) if answer else None

    def complete(self, task, completed=True):
        return self.api(task["user_id"], "POST", f"tasks/{task['id']}/complete",
                        {"completed": completed})

    def patch(self, task, **fields):
        return self.api(task["user_id"], "PATCH", f"tasks/{task['id']}",
                        fields)

    def delete(self, task):
        self.api(task["user_id"], "DELETE", f"tasks/{task['id']}")

    def tasks(self, user, **filters):
        query = "".join(f"&{k}={v}" for k, v in filters.items())
        return self.api(user, "GET", f"tasks?limit=200{query}")

    def wire(self):
        """To the sidecar's routes, one for each thread."""
        if not hasattr(self.local, "wire"):
            self.local.wire = Wire(self.env["TASKEVENTS_SIDECAR_URL"])
        return self.local.wire

    def delivery(self, event):
        """The request that the sidecar would make of it."""
        text = event if isinstance(event, str) else json.dumps(event)
        topic = "reminders" if '"type":"reminder.' in text else "tasks"
        return ("POST", f"/api/events/{topic}", self.sidecar_headers,
                text.encode())

    def deliver(self, *events):
        for event in events:
            answer = self.wire().ask(*self.delivery(event))
            if answer != (200, b""):
                raise AssertionError(f"delivery of {event}: {answer}")

    def deliver_batch(self, events):
        """As a bulk delivery; of one topic each, as the sidecar does it."""
        for route in ("tasks", "reminders"):
            mine = [self.delivery(event)[3].decode() for event in events
                    if self.delivery(event)[1].endswith(route)]
            if mine:
                self.deliver_batch_to(f"/api/events/{route}", mine)

    def deliver_batch_to(self, path, texts):
        entries = ",".join(
            f'{{"entryId":"{n}","contentType":"application/cloudevents+json",'
            f'"event":{text},"metadata":{{}}}}' for n, text in enumerate(texts))
        body = (f'{{"entries":[{entries}],"id":"{uuid.uuid4()}",'
                '"type":"com.dapr.event.sent.bulk"}')
        status, answer = self.wire().ask(
            "POST", path, {**self.sidecar_headers,
                           "Content-Type": "application/json"}, body.encode())
        statuses = {s["status"] for s in json.loads(answer)["statuses"]}
        if (status, statuses) != (200, {"SUCCESS"}):
            raise AssertionError(f"bulk delivery of {texts}: {answer}")

    def events(self, *users, topic="tasks"):
        """What was published, as nobody takes it out of the outbox here."""
        return psql("SELECT event FROM taskevents.outbox WHERE user_id IN ("
                    + ",".join(f"'{user}'" for user in users)
                    + f") AND topic = '{topic}' ORDER BY user_id, sequence")

    def drain(self, *users, known=()):
        """Deliver what there is and what comes of it; all that there was."""
        done = list(known)
        while True:
            new = [e for topic in ("tasks", "reminders")
                   for e in self.events(*users, topic=topic) if e not in done]
            if not new:
                return done
            self.deliver(*new)
            done += new


def seed(name):
    """Of this run, or that of another one again."""
    variable = f"TASKEVENTS_{name}_SEED"
    return variable, os.environ.get(variable) or \
        str(random.SystemRandom().randrange(1 << 32))
