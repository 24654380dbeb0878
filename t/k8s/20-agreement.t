#!/usr/bin/env python3
"""What one file says and another one relies on: ports, names, keys, numbers."""
import os
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from httpdconf import host, places, value, values, variables
from manifests import build, load, named, of_kind, path, pod_of, read

LOCAL, PRODUCTION = build("k8s/overlays/local"), build("k8s/overlays/production")
OVERLAYS = {"local": LOCAL, "production": PRODUCTION}
DOC = read("docs/kubernetes.md")
VERSION = re.search(r"AC_INIT\(\[[^]]*\], *\[([\d.]+)\]", read("configure.ac"))[1]

deployment = named(PRODUCTION, "Deployment", "taskevents")
pod = pod_of(deployment)
labels = pod["metadata"]["labels"]
annotations = pod["metadata"]["annotations"]
httpd, = pod["spec"]["containers"]
ports = {port["name"]: port["containerPort"] for port in httpd["ports"]}


def seconds(text):
    return sum(float(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]
               for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def selects(selector, of=None):
    of = labels if of is None else of
    return all(of.get(key) == one for key, one in selector["matchLabels"].items())


# ---- one source of the Dapr components -------------------------------------------------

files = load("k8s/components/kustomization.yaml")[0]["resources"]
stack = re.sub(r"\\\n", " ", read("t/stack/lib/dapr.sh"))
taken = re.findall(r"cp \"\$ROOT\"/k8s/components/(\S+) ", stack)
names = {name for one in taken for name in
         ([f"{part}.yaml" for part in re.search(r"{(.*)}", one)[1].split(",")]
          if "{" in one else [one])}
tap.equal(names, set(files), "./dev up --dapr takes each file of k8s/components")
for name, objects in OVERLAYS.items():
    for file in files:
        one, = load("k8s/components", file)
        built = named(objects, one["kind"], one["metadata"]["name"])
        tap.ok(built and built["spec"] == one["spec"] and built.get("scopes") == one.get("scopes"),
               f"{name}: {file} as it is")

component = named(PRODUCTION, "Component", "kafka-pubsub")
resiliency = named(PRODUCTION, "Resiliency", "taskevents")["spec"]
tap.ok(annotations["dapr.io/app-id"] in component["scopes"], "the component is the app's")
directives = read("docs/directives.md")
default = lambda name: re.search(rf"## {name}\n.*?Default\*\* \| `{name} (\S+)`",
                                 directives, re.S)[1]
tap.equal(component["metadata"]["name"], default("TaskEventsPubsub"),
          "its name is the one that the module publishes to")
meta = {one["name"]: one for one in component["spec"]["metadata"]}
env = dict(pair.split("=", 1) for pair in annotations["dapr.io/env"].split(","))
kafka = named(PRODUCTION, "Kafka", "taskevents")
listener, = kafka["spec"]["kafka"]["listeners"]
tap.equal(env.get(meta["brokers"]["envRef"]),
          f"{kafka['metadata']['name']}-kafka-bootstrap:{listener['port']}",
          "its brokers are the Kafka beside it")

# ---- resiliency: what docs/subscriptions.md promises --------------------------------------

inbound = resiliency["targets"]["components"]["kafka-pubsub"]["inbound"]
outbound = resiliency["targets"]["components"]["kafka-pubsub"]["outbound"]
retry = resiliency["policies"]["retries"][inbound["retry"]]
tap.equal(retry["maxRetries"], 3, "a delivery is tried three times more")
tries = retry["maxRetries"] + 1
longest = tries * seconds(resiliency["policies"]["timeouts"][inbound["timeout"]]) \
    + retry["maxRetries"] * seconds(retry["maxInterval"])
tap.ok(longest < 60, f"all tries of a delivery ({longest:g} s) end before Kafka's rebalance")
tap.equal(resiliency["policies"]["retries"][outbound["retry"]]["maxRetries"], 0,
          "a publish is tried once: the module knows the order")
tap.ok(seconds(resiliency["policies"]["timeouts"][outbound["timeout"]])
       < seconds(default("TaskEventsPublishTimeout")),
       "the module hears the sidecar's answer rather than its own clock")
tap.ok("circuitBreakers" not in resiliency["policies"]
       and not {"circuitBreaker"} & (set(inbound) | set(outbound)),
       "there is no circuit breaker, which would dead-letter everything")

# ---- topics ----------------------------------------------------------------------------

topics = {one["metadata"]["name"]: one["spec"] for one in of_kind(PRODUCTION, "KafkaTopic")}
local_stack = {name: (int(partitions), int(days)) for name, partitions, days in
               re.findall(r"kafka_topic (\S+) (\d+) (\d+) ", read("t/stack/lib/kafka.sh"))}
tap.equal({name: (one["partitions"], one["config"]["retention.ms"] / 86400000)
           for name, one in topics.items()},
          {"tasks": (3, 7), "reminders": (3, 7), "tasks-dlq": (1, 30)},
          "three topics, with their partitions and days")
tap.equal({name: (one["partitions"], one["config"]["retention.ms"] / 86400000)
           for name, one in topics.items()}, local_stack, "those of the local stack")
tap.equal(set(topics), set(re.findall(r"is `([\w.-]+)`", re.search(
    r"## TaskEventsTopic\n.*?Default\*\*(.*)", directives, re.S)[1].split("\n")[0])),
    "with the names that the module has for them")
for name, objects in OVERLAYS.items():
    nodes = named(objects, "KafkaNodePool", "nodes")["spec"]["replicas"]
    config = named(objects, "Kafka", "taskevents")["spec"]["kafka"]["config"]
    ok = all(one["spec"]["replicas"] == nodes
             and one["spec"]["config"]["min.insync.replicas"] == (nodes + 1) // 2
             for one in of_kind(objects, "KafkaTopic"))
    tap.ok(ok and config["default.replication.factor"] == nodes
           and config["min.insync.replicas"] == (nodes + 1) // 2
           and config["offsets.topic.replication.factor"] == nodes,
           f"{name}: as many copies as there are nodes ({nodes})")
    tap.ok(config["auto.create.topics.enable"] == "false", f"{name}: no topic by accident")

subscribed = {one["spec"]["topic"]: one["spec"]
              for one in load("k8s/declarative/subscriptions.yaml")}
tap.equal(set(subscribed), set(topics), "the declarative subscriptions are to these topics")

# ---- ports -----------------------------------------------------------------------------

tap.equal(set(values("Listen")),
          {str(ports["http"]), str(ports["metrics"]), f"127.0.0.1:{annotations['dapr.io/app-port']}"},
          "httpd listens on the pod's ports, and on loopback for the sidecar")
users, sidecar, metrics = (places(f"*:{ports['http']}"),
                           places(f"127.0.0.1:{annotations['dapr.io/app-port']}"),
                           places(f"*:{ports['metrics']}"))
tap.equal({name for name in sidecar if "taskevents-sidecar" in sidecar[name][1]},
          {"/dapr", "/job", "/api/events"}, "the sidecar's listener has the sidecar's routes")
tap.ok(not [name for found in (users, metrics) for name, (_, require) in found.items()
            if "taskevents-sidecar" in require],
       "and no other listener has")
tap.equal([one for one in users["/"][1] + sidecar["/"][1] + metrics["/"][1]],
          ["all denied"] * 3, "what is not named is shut, everywhere")
open_to_all = re.escape("^/(healthz|readyz|api/openapi\\.json)$")
for probe in "startupProbe", "livenessProbe", "readinessProbe":
    get = httpd[probe]["httpGet"]
    tap.ok(ports.get(get["port"]) == 8080 and re.fullmatch(
        r"/(healthz|readyz)", get["path"]), f"the {probe} asks {get['path']}")
tap.equal((httpd["livenessProbe"]["httpGet"]["path"], httpd["readinessProbe"]["httpGet"]["path"]),
          ("/healthz", "/readyz"), "a database that is away restarts nothing")
tap.ok("/healthz" in sidecar and annotations["dapr.io/app-health-check-path"] == "/healthz",
       "and the sidecar's health check has its route")

service = named(PRODUCTION, "Service", "taskevents")["spec"]
tap.ok(service["ports"][0]["targetPort"] in ports and len(service["ports"]) == 1
       and selects({"matchLabels": service["selector"]}),
       "the Service leads to httpd's port for users and to no other")

# ---- who may come in ---------------------------------------------------------------------

policy = named(PRODUCTION, "NetworkPolicy", "taskevents")["spec"]
tap.ok(selects(policy["podSelector"]) and policy["policyTypes"] == ["Ingress", "Egress"],
       "the network policy is about the pods, both ways")
inward = [(bool(rule.get("from")), port["port"]) for rule in policy["ingress"]
          for port in rule["ports"]]
tap.equal(inward, [(False, "http"), (True, "metrics"), (True, 9090)],
          "users come to one port, Prometheus to two; nobody to the sidecar's routes or API")
outward = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
tap.ok({53, 5432, listener["port"], 50001, 50006, 6500, 443} <= outward,
       "the way out is open to what is needed", outward)
to_kafka, = [rule for rule in policy["egress"] if rule["ports"][0]["port"] == listener["port"]]
tap.ok(selects(to_kafka["to"][0]["podSelector"],
               {"strimzi.io/cluster": kafka["metadata"]["name"], "strimzi.io/kind": "Kafka"}),
       "to the pods of this Kafka")
tap.ok(all(selects(peer["podSelector"]) for peer in listener["networkPolicyPeers"])
       and len(listener["networkPolicyPeers"]) == 1, "which admits these pods and no others")
job = named(PRODUCTION, "Job", "taskevents-migrations")
migrations_policy = named(PRODUCTION, "NetworkPolicy", "taskevents-migrations")["spec"]
tap.ok(selects(migrations_policy["podSelector"], pod_of(job)["metadata"]["labels"])
       and not migrations_policy.get("ingress"), "nobody comes to the migrations")

# ---- how many, and when not ----------------------------------------------------------------

budget = named(PRODUCTION, "PodDisruptionBudget", "taskevents")["spec"]
scaler = named(PRODUCTION, "HorizontalPodAutoscaler", "taskevents")["spec"]
tap.ok(selects(budget["selector"]) and budget["maxUnavailable"] == 1,
       "a drain takes one pod at a time")
tap.ok(scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
       and scaler["metrics"][0]["containerResource"]["container"] == httpd["name"]
       and "cpu" in httpd["resources"]["requests"] and scaler["minReplicas"] >= 2
       and "replicas" not in deployment["spec"],
       "the autoscaler is about httpd and alone says how many")
tap.ok(deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0},
       "a rollout takes no pod away before its successor is ready")
each = int(value("ServerLimit")) * (int(value("TaskEventsPool").split()[2]) + 1)
tap.ok(f"{each} connections" in DOC and f"{scaler['maxReplicas'] * each}" in DOC
       and str(each) in read("k8s/base/autoscaler.yaml")
       and str(scaler["maxReplicas"] * each) in read("k8s/base/autoscaler.yaml"),
       f"the documents name the {each} database connections of a pod, and of all")
tap.ok(all(selects(one["labelSelector"]) for one in pod["spec"]["topologySpreadConstraints"]),
       "pods are spread over nodes and zones")

# ---- the end of a pod -----------------------------------------------------------------------

pause = int(httpd["lifecycle"]["preStop"]["exec"]["command"][1])
finish = int(value("GracefulShutdownTimeout"))
block = seconds(annotations["dapr.io/block-shutdown-duration"])
drain = int(annotations["dapr.io/graceful-shutdown-seconds"])
tap.ok(pause + finish <= block, "the sidecar publishes until httpd has ended")
tap.ok(block + drain < pod["spec"]["terminationGracePeriodSeconds"],
       "and both have ended before they are killed")
tap.equal(re.findall(r"^STOPSIGNAL (\w+)", read("Dockerfile"), re.M), ["SIGWINCH"],
          "httpd is stopped gracefully")

# ---- secrets and variables ---------------------------------------------------------------------


def secrets_of(template):
    """(name, key or None for all of it, optional)"""
    spec = template["spec"]
    for container in spec["containers"]:
        for one in container.get("env", []):
            ref = one.get("valueFrom", {}).get("secretKeyRef")
            if ref:
                yield ref["name"], ref["key"], ref.get("optional", False)
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            yield volume["secret"]["secretName"], None, volume["secret"].get("optional", False)
    for key in "dapr.io/api-token-secret", "dapr.io/app-token-secret":
        if key in template["metadata"].get("annotations", {}):
            yield template["metadata"]["annotations"][key], "token", False


secrets = {one["metadata"]["name"]: one for one in of_kind(LOCAL, "Secret")}
wanted = {ref for one in of_kind(LOCAL, "Deployment", "StatefulSet", "Job")
          for ref in secrets_of(pod_of(one))}
missing = [ref for ref in wanted if not ref[2] and
           (ref[0] not in secrets or ref[1] and ref[1] not in secrets[ref[0]]["data"])]
tap.ok(wanted and not missing, "local: each secret that is named is there, with its key", missing)
tap.ok(not of_kind(PRODUCTION, "Secret"), "production: no secret is in the repository")
for name, key, _ in sorted({ref for one in of_kind(PRODUCTION, "Deployment", "Job")
                            for ref in secrets_of(pod_of(one)) if ref[1]}):
    tap.ok(re.search(rf"create secret generic {name}\b(?:.*\\\n)*.*--from-\w+=?\s*{key}=", DOC)
           , f"docs/kubernetes.md makes {name} with its {key}")

for name, objects in OVERLAYS.items():
    configs = {one["metadata"]["name"]: one["data"] for one in of_kind(objects, "ConfigMap")}
    for workload in of_kind(objects, "Deployment", "Job"):
        for container in pod_of(workload)["spec"]["containers"]:
            refs = [one["configMapRef"]["name"] for one in container.get("envFrom", [])]
            tap.ok(refs and all(ref in configs for ref in refs),
                   f"{name}: {container['name']} has its variables")
    given = {key for config in configs.values() for key in config} | \
        {one["name"] for one in pod_of(named(objects, "Deployment", "taskevents"))
         ["spec"]["containers"][0]["env"]}
    auth, = {config["TASKEVENTS_AUTH"] for config in configs.values()}
    needed = set(re.findall(r"\$\{(\w+)\}", read("docker/httpd.conf")
                            + read(f"docker/auth-{auth}.conf")))
    tap.ok(needed <= given, f"{name}: httpd gets every variable that it reads", needed - given)
    unread = {key for key in given if key.startswith("TASKEVENTS_")} - variables()
    tap.ok(not unread, f"{name}: and none that it does not", unread)

defaults = set(re.findall(r"(\w+)=", " ".join(re.findall(
    r"^ENV ((?:.*\\\n)*.*)", read("Dockerfile"), re.M))))
tap.ok(variables() - {"TASKEVENTS_JWT_KEY"} <= defaults,
       "the image has a default for each variable but the secret", variables() - defaults)

mounts = {one["mountPath"]: one["name"] for one in httpd["volumeMounts"]}
volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
for directive, annotation in (("TaskEventsDaprTokenFile", "dapr.io/api-token-secret"),
                              ("TaskEventsAppTokenFile", "dapr.io/app-token-secret")):
    folder, file = os.path.split(os.path.join(value("ServerRoot"), value(directive)))
    secret = volumes[mounts[folder]]["secret"]
    tap.ok(secret["secretName"] == annotations[annotation] and file == "token"
           and secret["defaultMode"] == 0o440 and pod["spec"]["securityContext"]["fsGroup"],
           f"{directive} is the secret that the sidecar has too")
for place in value("DefaultRuntimeDir"), os.path.dirname(value("PidFile")), "/tmp":
    tap.ok("emptyDir" in volumes[mounts[place]], f"httpd can write to {place}")

# ---- as little as possible ----------------------------------------------------------------------

for name, objects in OVERLAYS.items():
    for workload in of_kind(objects, "Deployment", "StatefulSet", "Job"):
        spec = pod_of(workload)["spec"]
        secure = spec["securityContext"]
        what = f"{name}: {workload['metadata']['name']}"
        tap.ok(secure["runAsNonRoot"] is True and secure["runAsUser"] > 0
               and secure["seccompProfile"] == {"type": "RuntimeDefault"}, f"{what} is not root")
        tap.ok(spec["automountServiceAccountToken"] is False
               and spec["enableServiceLinks"] is False, f"{what} has no token of the API server")
        for container in spec["containers"]:
            tap.equal({key: container["securityContext"][key] for key in
                       ("allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities")},
                      {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                       "capabilities": {"drop": ["ALL"]}}, f"{what} can do nothing else")
            limits, requests = container["resources"]["limits"], container["resources"]["requests"]
            tap.ok("memory" in limits and {"cpu", "memory"} <= set(requests),
                   f"{what} says what it needs")
            tap.ok(re.search(r":[\w.-]*\d[\w.-]*$", container["image"]), f"{what} is pinned")
            if container["image"].split(":")[0].split("/")[-1].startswith("taskevents"):
                tap.equal(container["image"].rsplit(":", 1)[1], VERSION, f"{what} is this version")
tap.ok(named(PRODUCTION, "ServiceAccount", "taskevents")["automountServiceAccountToken"] is False
       and pod["spec"]["serviceAccountName"] == "taskevents", "the account is for no rights")
spaces = {one["metadata"].get("namespace") for one in PRODUCTION if one["kind"] != "Namespace"}
tap.equal(spaces, {"taskevents"}, "all of it is in one namespace")
tap.equal(named(PRODUCTION, "Namespace", "taskevents")["metadata"]["labels"]
          ["pod-security.kubernetes.io/enforce"], "restricted", "which admits restricted pods only")

tap.done()
