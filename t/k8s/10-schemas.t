#!/usr/bin/env python3
"""Every manifest is one that the API server would take, with no field that it
does not know."""
import copy
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "lib"), os.path.join(HERE, "../faults/lib")]
import tap
from manifests import (KUBERNETES, build, dapr, faults, load, named, of_kind, path,
                       read, strimzi)

OVERLAYS = ["k8s/overlays/local", "k8s/overlays/production"]

tap.note(f"Kubernetes {KUBERNETES[0]} to {KUBERNETES[-1]}")
tap.ok(len(KUBERNETES) >= 8, "there are schemas of many Kubernetes versions")
for kind in "Component", "Resiliency", "Configuration":
    tap.ok(("dapr.io/v1alpha1", kind) in dapr(), f"and of Dapr's {kind}")
tap.ok(("dapr.io/v2alpha1", "Subscription") in dapr(), "and of Dapr's Subscription")
for kind in "Kafka", "KafkaNodePool", "KafkaTopic":
    tap.ok(("kafka.strimzi.io/v1", kind) in strimzi(), f"and of Strimzi's {kind}")

for overlay, versions in zip(OVERLAYS, (KUBERNETES[-1:], KUBERNETES)):
    for one in build(overlay):
        wrong = faults(one, versions)
        tap.ok(not wrong, f"{overlay}: {one['kind']} {one['metadata']['name']}",
               "\n".join(wrong))
for one in load("k8s/declarative/subscriptions.yaml"):
    wrong = faults(one)
    tap.ok(not wrong, f"declarative: {one['metadata']['name']}", "\n".join(wrong))


# ---- the check can fail --------------------------------------------------------------

def broken(one, change):
    one = copy.deepcopy(one)
    change(one)
    return faults(one, KUBERNETES[-1:])


production = build(OVERLAYS[1])
deployment = named(production, "Deployment", "taskevents")
httpd = lambda one: one["spec"]["template"]["spec"]["containers"][0]
MISTAKES = [
    ("a misspelt field of a container", deployment,
     lambda one: httpd(one).update(readynessProbe=httpd(one).pop("readinessProbe"))),
    ("a number that is a word", deployment,
     lambda one: one["spec"].update(revisionHistoryLimit="five")),
    ("a field of the HPA in the wrong place",
     of_kind(production, "HorizontalPodAutoscaler")[0],
     lambda one: one["spec"].update(stabilizationWindowSeconds=3)),
    ("a field of a NetworkPolicy that is none", of_kind(production, "NetworkPolicy")[0],
     lambda one: one["spec"].update(egres=one["spec"].pop("egress"))),
    ("a misspelt field of a Dapr component", named(production, "Component", "kafka-pubsub"),
     lambda one: one["spec"].update(ignoreError=True)),
    ("a component without its type", named(production, "Component", "kafka-pubsub"),
     lambda one: one["spec"].pop("type")),
    ("a misspelt retry policy", named(production, "Resiliency", "taskevents"),
     lambda one: one["spec"]["policies"]["retries"]["delivery"].update(maxRetry=3)),
    ("a Dapr configuration with an API rule without a version",
     named(production, "Configuration", "taskevents"),
     lambda one: one["spec"]["api"]["allowed"][0].pop("version")),
    ("a dead letter topic in the wrong place",
     load("k8s/declarative/subscriptions.yaml")[0],
     lambda one: one["spec"]["routes"].update(deadLetterTopic="x")),
    ("a misspelt field of Kafka", named(production, "Kafka", "taskevents"),
     lambda one: one["spec"]["kafka"].update(listener=[])),
    ("a listener that is of no type", named(production, "Kafka", "taskevents"),
     lambda one: one["spec"]["kafka"]["listeners"][0].update(type="intern")),
    ("a field that Strimzi's v1 has no more", named(production, "Kafka", "taskevents"),
     lambda one: one["spec"]["kafka"].update(replicas=3)),
    ("a node pool without roles", named(production, "KafkaNodePool", "nodes"),
     lambda one: one["spec"].pop("roles")),
    ("a topic of no partition", named(production, "KafkaTopic", "tasks"),
     lambda one: one["spec"].update(partitions=0)),
    ("a misspelt field of a topic", named(production, "KafkaTopic", "tasks"),
     lambda one: one["spec"].update(partition=3)),
]
for what, one, change in MISTAKES:
    tap.ok(one and broken(one, change), f"{what} is refused")

# ---- and they are of the versions that the local stack runs ----------------------------

pinned = [line.split()[1] for file in ("t/k8s/tools/go.mod", "t/stack/runtime/go.mod")
          for line in read(file).splitlines()
          if line.split()[:1] == ["github.com/dapr/dapr"]]
tap.ok(len(pinned) == 2 and pinned[0] == pinned[1],
       "the Dapr whose CRDs these are is the one that the local stack runs", pinned)
kafka = read("t/stack/kafka/pom.xml").split("<kafka.version>")[1].split("<")[0]
tap.equal(named(production, "Kafka", "taskevents")["spec"]["kafka"]["version"], kafka,
          "and so is Kafka's version")
strimzi_version = read("t/k8s/strimzi/pom.xml").split("<artifactId>api</artifactId>")[1] \
    .split("<version>")[1].split("<")[0]
tap.ok(f"Strimzi {strimzi_version}" in read("docs/kubernetes.md"),
       "docs/kubernetes.md installs the Strimzi whose classes these are")

tap.done()
