#!/usr/bin/env python3
"""The Dockerfile without a container engine: its own commands, run in a clean
Debian, make images that serve as they would in a pod: not root, nothing to
write to, no capabilities. `./dev test k8s --long` runs it; it needs root.

    TASKEVENTS_CACHE        where the clean tree and what is installed are kept
    TASKEVENTS_IMAGE_WORK   an empty folder
    TASKEVENTS_IMAGE_PG     the folder of the socket of an empty database, its
                            port and the password of taskevents
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), os.path.join(HERE, "../../faults/lib")]
if "--unshared" not in sys.argv:        # whatever is mounted goes when this ends
    os.execvp("unshare", ["unshare", "--mount", sys.executable, __file__, "--unshared"])
import tap
from dockerfile import stages
from image import WORK, Image
from manifests import path, read, tool

SOCKET, PORT, PASSWORD = os.environ["TASKEVENTS_IMAGE_PG"].split()
DATABASE = {"PGHOST": "/postgres", "PGPORT": PORT, "PGUSER": "taskevents",
            "PGDATABASE": "taskevents", "PGPASSWORD": PASSWORD}
# As `docker compose up` would run it, so that the examples for that fit.
COMPOSE = json.loads(tool("compose", path("docker-compose.yml")))["services"]["httpd"]
bases = {stage.base for stage in stages().values()}
tap.ok(len(bases) == 1 and re.fullmatch(r"debian:12(\.\d+)?-slim", next(iter(bases))),
       "every stage is on one Debian 12, the same that the tree is made of", bases)


# ---- the images ------------------------------------------------------------------------

began = time.time()
try:
    build = Image("build", "bookworm")
    migrations = Image("migrations", "bookworm")
    httpd = Image("httpd", "bookworm", [build])
except subprocess.CalledProcessError as error:
    tap.ok(False, "the commands of the Dockerfile run", error)
    for name in os.listdir(WORK):
        if name.endswith(".log"):
            tap.note(subprocess.run(["tail", "-n", "20", f"{WORK}/{name}"], text=True,
                                    capture_output=True).stdout)
    tap.done()
tap.ok(os.path.getsize(f"{httpd.root}/usr/lib/apache2/modules/mod_taskevents.so") > 100000,
       f"the commands of the Dockerfile make the images ({time.time() - began:.0f} s)")
left = [name for name in ("gcc", "make", "apxs", "perl5.36-x86_64-linux-gnu")
        if shutil.which(name, path=f"{httpd.root}/usr/bin")]
tap.ok(not {"gcc", "make", "apxs"} & set(left), "what built the module is not in the image", left)

# ---- migrations ----------------------------------------------------------------------------


def run(image, words, env, **more):
    # Its output, as the engine would take it, belongs to its user.
    with open(f"{WORK}/{image.name}.out", "w+", encoding="utf-8") as out:
        os.chown(out.name, *map(int, image.stage.user.split(":")))
        done = subprocess.run(image.as_pod(words, env, **more), stdin=subprocess.DEVNULL,
                              stdout=out, stderr=out, check=False, timeout=120)
        out.seek(0)
        return done.returncode, out.read()


PG = [(SOCKET, "/postgres")]
command = migrations.stage.entrypoint + migrations.stage.command
status, said = run(migrations, command, DATABASE, binds=PG)
tap.ok(status == 0 and "reminders" in said, "the migrations make the schema", said)
status, said = run(migrations, command, DATABASE, binds=PG)
tap.ok(status == 0 and "up-to-date" in said, "and again they do nothing", said)

# ---- httpd ---------------------------------------------------------------------------------

secrets = f"{WORK}/secrets"
for name in "dapr-api-token", "app-token":
    os.makedirs(f"{secrets}/{name}")
    with open(f"{secrets}/{name}/token", "w", encoding="utf-8") as file:
        file.write(f"{name}-of-the-test")
binds = PG + [(f"{secrets}/{name}", f"/etc/taskevents/{name}")
              for name in ("dapr-api-token", "app-token")]
more = {"binds": binds, "writable": ("/tmp", "/run/taskevents")}
local = {**COMPOSE["environment"], **DATABASE}

status, said = run(httpd, httpd.stage.command + ["-t"], DATABASE, **more)
tap.ok(status == 0 and "Syntax OK" in said, "httpd takes its configuration as the image has it",
       said)

log = open(f"{WORK}/httpd.log", "w+", encoding="utf-8")
os.chown(log.name, *map(int, httpd.stage.user.split(":")))
# a pid file of a killed container, in what outlives it
words = ["sh", "-c", 'echo 1 >/run/taskevents/httpd.pid; exec "$@"', "sh"]
server = subprocess.Popen(httpd.as_pod(words + httpd.stage.command, local, **more),
                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def children():
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="utf-8") as file:
        return file.read().split()


def init():
    """The container's process 1, as seen from here."""
    return int(children()[0])


def there(*words):
    """A command in the network of the container."""
    return subprocess.run(["nsenter", "--target", str(init()), "--net", *words],
                          text=True, capture_output=True, check=False, timeout=60)


def curl(path, *words, port=8080):
    done = there("curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *words,
                 f"http://127.0.0.1:{port}{path}")
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


def eventually(seconds, what):
    end = time.time() + seconds
    while not what():
        if time.time() > end or server.poll() is not None:
            return False
        time.sleep(0.1)
    return True



tap.ok(eventually(60, children) and eventually(60, lambda: curl("/readyz")[0] == 200),
       "httpd starts, not root and with nothing to write to, and is ready")
health = httpd.stage.health
alive = subprocess.run(
    ["nsenter", "--target", str(init()), "--net", "--pid", "--mount", "chroot", httpd.root,
     "setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", *health],
    capture_output=True, text=True, check=False)
tap.ok(alive.returncode == 0, "the image's health check says so", alive.stderr)

# ---- what docs/quickstart.md says to do with it ---------------------------------------------

section = read("docs/quickstart.md").split("\n## Docker\n")[1].split("\n## ")[0]
example = "\n".join(line.strip() for line in section.splitlines()
                    if re.match(r"    (TOKEN=|ID=|curl )", line))
done = there("bash", "-euc", f"cd {path()}\n{example}")
answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
tap.ok(done.returncode == 0 and len(answers) == 2 and answers[0]["completed"] is True,
       "the example of docs/quickstart.md makes a task and completes it",
       done.stdout + done.stderr)
listed = f"{example.splitlines()[0]}\n{example.splitlines()[-1]}"
tap.ok(eventually(30, lambda: '"completed":false' in there(
    "bash", "-euc", f"cd {path()}\n{listed}").stdout), "and its next one comes")

bearer = subprocess.run([path("docker", "token"), "alice"], text=True, capture_output=True,
                        check=True).stdout.strip()
status, _ = curl("/api/alice/tasks")
tap.equal(status, 401, "without a token: 401")
status, _ = curl("/api/bob/tasks", "-H", f"Authorization: Bearer {bearer}")
tap.equal(status, 403, "another user's: 403")

# ---- its ports and rights -----------------------------------------------------------------

status, body = curl("/taskevents-metrics", port=8082)
tap.ok(status == 200 and "taskevents_build_info" in body, "metrics have a port of their own")
tap.equal([curl("/taskevents-metrics")[0], curl("/dapr/subscribe")[0], curl("/api/alice/tasks",
           port=8082)[0]], [403] * 3, "and no port has what is another one's")
listening = there("ss", "-Hltn").stdout
tap.equal(sorted(line.split()[3] for line in listening.splitlines()),
          sorted(["*:8080", "*:8082", "127.0.0.1:8081"]), "the sidecar's is on loopback")
with open(f"/proc/{init()}/status", encoding="utf-8") as file:
    text = file.read()
tap.ok(re.search(r"^Uid:\t10001\t10001", text, re.M) and
       not int(re.search(r"^CapEff:\t(\w+)", text, re.M)[1], 16), "httpd has no rights at all")

os.kill(init(), signal.SIGWINCH)
try:
    tap.equal(server.wait(40), 0, "SIGWINCH, the image's signal to stop, ends it well")
except subprocess.TimeoutExpired:
    server.kill()
    tap.ok(False, "SIGWINCH, the image's signal to stop, ends it well")
log.seek(0)
said = log.read()
tap.ok("POST /api/alice/tasks HTTP/1.1" in said and "resuming normal operations" in said,
       "its logs went to where the engine reads them", said)
bad = [line for line in re.findall(r".*:(?:crit|alert|emerg|error)\].*", said)
       if "[authz_core:error]" not in line]     # those that were refused above
tap.ok(not bad, "with nothing bad in them", "\n".join(bad))

tap.done()
