#!/usr/bin/env python3
"""The Dockerfile and the Compose files, as far as they can be checked without an
engine: a linter, Compose's own reader, and what they have to agree about with
the cluster and the local stack. (long/image.t runs the Dockerfile's commands.)"""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from dockerfile import stages
from httpdconf import value, variables
from manifests import build, named, path, pod_of, read, tool

FILES = [path("docker-compose.yml"), path("docker-compose.kafka.yml")]


def lint(text):
    return subprocess.run([os.path.join(os.path.dirname(sys.executable), "hadolint"), "-"],
                          input=text, text=True, capture_output=True, check=False)


def compose(*files):
    return json.loads(tool("compose", *files))


# ---- the Dockerfile ------------------------------------------------------------------

docker = read("Dockerfile")
done = lint(docker)
tap.ok(done.returncode == 0 and not done.stdout, "the linter finds nothing in the Dockerfile",
       done.stdout)
tap.ok(lint(docker.replace("debian:12", "debian:latest\n#")).returncode
       and lint(docker.replace("apt-get install -y", "apt-get install")).returncode,
       "and something in a worse one")

made = stages()
tap.equal(list(made), ["build", "migrations", "httpd"], "its stages; the last is the image")
deployment = named(build("k8s/overlays/production"), "Deployment", "taskevents")
pod = pod_of(deployment)["spec"]["securityContext"]
for name in "migrations", "httpd":
    tap.equal(made[name].user, f"{pod['runAsUser']}:{pod['runAsGroup']}",
              f"{name} runs as the user that the cluster runs it as")
ignored = read(".dockerignore")
sources = {word.split("/")[0] for stage in made.values() for step in stage.all_of("COPY")
           for word in step[1].split()[:-1] if not step[1].startswith("--from")}
tap.equal({f"!{one}" for one in sources},
          {line for line in ignored.splitlines() if line.startswith("!")},
          "the engine is given what it copies, and no more")
tap.ok(all(os.path.exists(path(*word.split("/"))) for stage in made.values()
           for step in stage.all_of("COPY") if not step[1].startswith("--from")
           for word in step[1].split()[:-1]), "all of which is there")
modules = re.findall(r"LoadModule \w+ +(\S+)", read("docker/httpd.conf"))
tap.ok(modules and all(one.startswith("/usr/lib/apache2/modules/") for one in modules),
       "httpd's modules are where Debian and the Dockerfile put them")

# ---- Compose ---------------------------------------------------------------------------

local, dapr = compose(FILES[0]), compose(*FILES)
tap.equal(set(local["services"]), {"httpd", "migrations", "postgres"},
          "docker-compose.yml: httpd, PostgreSQL and the migrations")
tap.equal(set(dapr["services"]) - set(local["services"]),
          {"kafka", "topics", "daprd", "scheduler"}, "docker-compose.kafka.yml adds Kafka and Dapr")
for mistake in ("image: taskevents:0.1.0", "imagee: taskevents:0.1.0"), \
        ("condition: service_healthy", "condition: service_healty"), \
        ("- postgres:/var/lib", "- postgress:/var/lib"):
    with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=path()) as file:
        file.write(read("docker-compose.yml").replace(*mistake))
        file.flush()
        refused = subprocess.run([os.path.join(os.environ["TASKEVENTS_K8S_TOOLS"], "compose"),
                                  file.name], capture_output=True, text=True, check=False)
        tap.ok(refused.returncode, f"a mistake is refused: {mistake[1]}")

services = dapr["services"]
images = {name: one["image"] for name, one in services.items()}
tap.ok(all(re.search(r":[\w.-]*\d[\w.-]*$", one) for one in images.values()),
       "every image is pinned", images)
cluster = named(build("k8s/overlays/local"), "StatefulSet", "postgres")
tap.equal(images["postgres"], pod_of(cluster)["spec"]["containers"][0]["image"],
          "PostgreSQL is the one of the local overlay")
version = next(line.split()[2] if "require" in line else line.split()[1]
               for line in read("t/stack/runtime/go.mod").splitlines()
               if "github.com/dapr/dapr v" in line)
tap.equal((images["daprd"], images["scheduler"]),
          (f"daprio/daprd:{version[1:]}", f"daprio/scheduler:{version[1:]}"),
          "Dapr is the version of the local stack")
tap.equal(images["kafka"], "apache/kafka:" + re.search(
    r"<kafka.version>(.*?)<", read("t/stack/kafka/pom.xml"))[1], "and so is Kafka")

reachable = [port["host_ip"] for one in services.values() for port in one.get("ports") or []]
tap.ok(reachable and set(reachable) == {"127.0.0.1"}, "nothing is published but to this machine")
tap.equal(set(services["httpd"]["environment"]) - {
    "PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"} - variables(), set(),
    "httpd is told what it reads")
tap.equal((local["services"]["httpd"]["environment"]["TASKEVENTS_TRANSPORT"],
           services["httpd"]["environment"]["TASKEVENTS_TRANSPORT"]), ("local", "dapr"),
          "its transport is the one that is there")
configs = {one["target"]: dapr["configs"][one["source"]]["content"]
           for one in services["httpd"]["configs"]}
sidecar = services["daprd"]
tap.equal({"DAPR_API_TOKEN": configs[os.path.join(value("ServerRoot"),
                                                  value("TaskEventsDaprTokenFile"))],
           "APP_API_TOKEN": configs[os.path.join(value("ServerRoot"),
                                                 value("TaskEventsAppTokenFile"))]},
          {name: sidecar["environment"][name] for name in ("DAPR_API_TOKEN", "APP_API_TOKEN")},
          "httpd and the sidecar have the same tokens")
tap.equal(sidecar["network_mode"], "service:httpd", "and the same loopback")
tap.equal(sorted(os.path.relpath(one["source"], path()) for one in sidecar["volumes"]),
          sorted("k8s/components/" + name for name in
                 ("kafka-pubsub.yaml", "resiliency.yaml", "configuration.yaml")),
          "the sidecar has the files that it has everywhere")


def flags(words):
    return dict((word.lstrip("-").split("=", 1) + [""])[:2] for word in words
                if word.startswith("--"))


stack = re.search(r'CMD=\("\${IN\[@\]}" "\${AS\[@\]}" "\$dir/daprd" (.*?)\)\n', read("t/stack/lib/dapr.sh"),
                  re.S)[1]
here, there = flags(sidecar["command"]), flags(word.strip('"') for word in stack.split())
same = [name for name, text in there.items() if "$" not in text]
tap.equal({name: here.get(name) for name in same}, {name: there[name] for name in same},
          "and the settings of the local stack's")
tap.equal((here["app-port"], f"http://127.0.0.1:{here['dapr-http-port']}"),
          ("8081", value("TaskEventsDaprURL")), "it and httpd know each other's ports")
programs = os.environ.get("TASKEVENTS_DAPR")
for name in ("daprd", "scheduler") if programs else ():
    known = subprocess.run([os.path.join(programs, name), "--help"], text=True,
                           capture_output=True, check=False)
    unknown = [flag for flag in flags(services[name]["command"])
               if not re.search(rf"--{flag}\b", known.stdout + known.stderr)]
    tap.ok(not unknown, f"{name} of that version knows each of its flags", unknown)

made_topics = re.findall(r"^ *topic (\S+) (\d+) (\d+)$", services["topics"]["command"][0], re.M)
tap.equal({(name, int(parts), int(ms) // 86400000) for name, parts, ms in made_topics},
          {(name, int(parts), int(days)) for name, parts, days in re.findall(
              r"kafka_topic (\S+) (\d+) (\d+) ", read("t/stack/lib/kafka.sh"))},
          "the topics are those of the local stack")
tap.equal(sidecar["environment"]["TASKEVENTS_BROKERS"],
          re.search(r"PLAINTEXT://(kafka:\d+)",
                    services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"])[1],
          "the sidecar goes to the listener that Kafka tells it of")

# ---- the token of the examples ---------------------------------------------------------------

text = subprocess.run([path("docker", "token"), "alice"], text=True, capture_output=True,
                      check=True).stdout.strip()
signed, _, signature = text.rpartition(".")
part = lambda one: base64.urlsafe_b64decode(one + "=" * (-len(one) % 4))
claims = json.loads(part(signed.split(".")[1]))
environment = services["httpd"]["environment"]
tap.ok(hmac.compare_digest(part(signature), hmac.new(
    environment["TASKEVENTS_JWT_KEY"].encode(), signed.encode(), hashlib.sha256).digest())
    and claims["iss"] == environment["TASKEVENTS_ISSUER"]
    and claims["aud"] == environment["TASKEVENTS_AUDIENCE"] and claims["sub"] == "alice",
    "docker/token makes tokens that httpd takes, here")
objects = build("k8s/overlays/local")
config = named(objects, "ConfigMap", "taskevents")["data"]
key = base64.b64decode(named(objects, "Secret", "taskevents-jwt-key")["data"]["key"]).decode()
tap.equal((key, config["TASKEVENTS_ISSUER"], config["TASKEVENTS_AUDIENCE"]),
          (environment["TASKEVENTS_JWT_KEY"], claims["iss"], claims["aud"]),
          "and in the local overlay")

# ---- what the documents say to do ---------------------------------------------------------------

documents = read("docs/kubernetes.md") + read("docs/quickstart.md")
folders = set(re.findall(r"apply -k (\S+)", documents))
tap.ok(folders and all(build(one) for one in folders), "kubectl is told of folders that build",
       folders)
targets = set(re.findall(r"--target (\w+)", documents + docker))
tap.ok(targets and targets <= set(made), "docker of stages that are there", targets)
tags = set(re.findall(r"\b(taskevents(?:-migrations)?:[\d.]+)", documents))
tap.equal(tags, {images["httpd"], images["migrations"]}, "and of the images that the files name")

tap.done()
