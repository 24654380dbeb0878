#!/usr/bin/env python3
"""What Dapr's own injector makes of the pod: the sidecar has what the module
relies on, and the same settings as the one of the local stack."""
import copy
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
from httpdconf import value
from manifests import (KUBERNETES, build, faults, load, named, of_kind, path, pod_of, read,
                       tool)


def injected(deployment):
    return json.loads(tool("inject", input=json.dumps(deployment)))


def flags(arguments):
    """--a b --c --d=e -> {a: b, c: True, d: e}"""
    found, words = {}, list(arguments)
    while words:
        name, _, text = words.pop(0).lstrip("-").partition("=")
        if not text and words and not words[0].startswith("--"):
            text = words.pop(0)
        found[name] = text or True
    return found


production = build("k8s/overlays/production")
deployment = named(production, "Deployment", "taskevents")
pod = injected(deployment)
httpd, daprd = (next(one for one in pod["spec"]["containers"] if one["name"] == name)
                for name in ("httpd", "daprd"))
has = flags(daprd["args"][1:])

wrong = faults({"apiVersion": "v1", "kind": "Pod", "metadata": pod["metadata"],
                "spec": pod["spec"]}, KUBERNETES[-1:])
tap.ok(not wrong, "the pod with its sidecar is one that Kubernetes takes", wrong)

# ---- as in the local stack -----------------------------------------------------------------

words = re.search(r'CMD=\("\${IN\[@\]}" "\${AS\[@\]}" "\$dir/daprd" (.*?)\)\n',
                  read("t/stack/lib/dapr.sh"), re.S)[1]
local = flags(word.strip('"') for word in words.split())
SAME = ["app-id", "app-channel-address", "enable-app-health-check", "app-health-check-path",
        "app-health-probe-interval", "app-health-probe-timeout", "app-health-threshold"]
tap.equal({name: has.get(name) for name in SAME}, {name: local[name] for name in SAME},
          "app id and health check are those of the local stack's sidecar")
tap.equal(has["dapr-listen-addresses"], local["dapr-listen-addresses"],
          "its API is on loopback")
tap.ok("config" in local and has["config"] ==
       load("k8s/components/configuration.yaml")[0]["metadata"]["name"],
       "it has the Configuration that the local stack's has")

# ---- what httpd relies on --------------------------------------------------------------------

tap.equal(f"http://127.0.0.1:{has['dapr-http-port']}", value("TaskEventsDaprURL"),
          "httpd publishes to its port")
tap.ok(f"127.0.0.1:{has['app-port']}" in read("docker/httpd.conf"),
       "it delivers to httpd's listener on loopback")
tap.ok(has.get("scheduler-host-address"), "it knows the scheduler")
secrets = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in daprd["env"]
           if "secretKeyRef" in one.get("valueFrom", {})}
tap.equal({name: (one["name"], one["key"]) for name, one in secrets.items()},
          {"DAPR_API_TOKEN": ("taskevents-dapr-api-token", "token"),
           "APP_API_TOKEN": ("taskevents-app-token", "token")}, "it has both tokens")
tap.ok([one for one in daprd["env"] if one["name"] == "TASKEVENTS_BROKERS" and one["value"]],
       "and the brokers")
tap.equal((has["dapr-block-shutdown-duration"], has["dapr-graceful-shutdown-seconds"]),
          ("30s", "10"), "it ends after httpd")
tap.ok(has.get("disable-builtin-k8s-secret-store") is True,
       "it does not ask the API server, for which it has no token")
probe = daprd["readinessProbe"]
tap.ok(probe["failureThreshold"] * probe["periodSeconds"] >= 30,
       "a sidecar that answers late takes no httpd out of service")

# ---- admitted to a namespace of the kind "restricted" -------------------------------------------


def refused(*pods):
    """What Kubernetes' own admission has against each of them."""
    return json.loads(tool("restricted", input=json.dumps(pods)))


job = pod_of(named(production, "Job", "taskevents-migrations"))
tap.equal(refused(pod, job), [[], []],
          "pod security admits the pod with its sidecar, and the migrations")
tap.equal(refused(*(pod_of(one) for one in of_kind(build("k8s/overlays/local"), "StatefulSet"))),
          [[]], "and PostgreSQL of the local overlay")
for what, change in (
        ("as root", lambda spec: spec["securityContext"].update(runAsUser=0)),
        ("with capabilities", lambda spec: spec["containers"][0]["securityContext"].pop(
            "capabilities")),
        ("with a folder of the node", lambda spec: spec["volumes"].append(
            {"name": "node", "hostPath": {"path": "/"}}))):
    worse = copy.deepcopy(pod)
    change(worse["spec"])
    tap.ok(refused(worse)[0], f"it does not admit one {what}")
tap.ok({"cpu", "memory"} <= set(daprd["resources"]["requests"])
       and "memory" in daprd["resources"]["limits"], "the sidecar says what it needs")

# ---- what docs/kubernetes.md shows to add to an overlay ----------------------------------------------


def with_block(words):
    """The production overlay with the documents' block that has these words."""
    block, = [one for one in re.findall(r"^```yaml\n(.*?)^```", read("docs/kubernetes.md"),
                                        re.M | re.S) if words in one]
    with tempfile.TemporaryDirectory() as folder:
        k8s = os.path.relpath(path("k8s"), os.path.realpath(folder))
        with open(os.path.join(folder, "kustomization.yaml"), "w", encoding="utf-8") as file:
            file.write(f"resources: [{k8s}/overlays/production]\n"
                       + block.replace("../..", k8s))
        return build(folder)


declared = with_block("declarative")
arguments = flags([one for one in injected(named(declared, "Deployment", "taskevents"))
                   ["spec"]["containers"] if one["name"] == "daprd"][0]["args"][1:])
tap.ok(len(of_kind(declared, "Subscription")) == 3
       and arguments.get("disable-init-endpoints") == "subscribe",
       "declared subscriptions come with the setting that httpd is not asked")
other = pod_of(named(with_block("dapr.io~1env"), "Deployment", "taskevents"))
tap.equal(other["metadata"]["annotations"]["dapr.io/env"],
          "TASKEVENTS_BROKERS=broker-1.example.org:9092", "another Kafka is named as it says")

# ---- the check can fail ------------------------------------------------------------------------------

for what, change in (
        ("a misspelt annotation", {"dapr.io/app-prot": "8081"}),
        ("a pod for which Dapr is not enabled", {"dapr.io/enabled": "false"})):
    broken = copy.deepcopy(deployment)
    broken["spec"]["template"]["metadata"]["annotations"].update(change)
    try:
        injected(broken)
        tap.ok(False, f"{what} is refused")
    except subprocess.CalledProcessError as error:
        tap.ok("inject:" in error.stderr, f"{what} is refused", error.stderr)

tap.done()
