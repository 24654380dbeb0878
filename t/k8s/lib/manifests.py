"""The manifests as kustomize makes them, and the schemas that they have to
keep: Kubernetes' own, Dapr's CRDs, Strimzi's classes. All are strict: a field
that they do not name is refused, as `kubectl apply` does it for a typing
error."""
import copy
import functools
import json
import os
import subprocess

import jsonschema
import kubernetes_validate.utils
import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
TOOLS = os.environ["TASKEVENTS_K8S_TOOLS"]
# From the oldest that docs/kubernetes.md promises.
KUBERNETES = [v for v in kubernetes_validate.utils.all_versions()
              if tuple(map(int, v.split(".")[:2])) >= (1, 30)]


def path(*names):
    return os.path.join(ROOT, *names)


def read(*names):
    with open(path(*names), encoding="utf-8") as file:
        return file.read()


def tool(name, *arguments, **more):
    return subprocess.run([os.path.join(TOOLS, name), *arguments], check=True,
                          text=True, capture_output=True, **more).stdout


@functools.lru_cache(maxsize=None)
def _built(folder):
    return tool("kustomize", "build", folder)


def build(folder):
    """What `kubectl apply -k` would send."""
    return [one for one in yaml.safe_load_all(_built(path(folder))) if one]


def load(*names):
    return [one for one in yaml.safe_load_all(read(*names)) if one]


def named(objects, kind, name):
    found = [one for one in objects
             if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
    exact = [one for one in found if one["metadata"]["name"] == name]
    return (exact or found or [None])[0]


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def pod_of(workload):
    return workload["spec"]["template"]


# ---- schemas -------------------------------------------------------------------------

METADATA = {"type": "object", "additionalProperties": False, "required": ["name"],
            "properties": {"name": {"type": "string"}, "namespace": {"type": "string"},
                           "labels": {"type": "object",
                                      "additionalProperties": {"type": "string"}},
                           "annotations": {"type": "object",
                                           "additionalProperties": {"type": "string"}}}}


def closed(schema):
    """A CRD's schema, with every object of named fields closed."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema \
            and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema["additionalProperties"] = False
    return schema


@functools.lru_cache(maxsize=1)
def dapr():
    """apiVersion and kind -> schema"""
    found = {}
    folder = os.path.join(TOOLS, "crds")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            for crd in filter(None, yaml.safe_load_all(file)):
                spec = crd["spec"]
                for version in spec["versions"]:
                    if version["served"]:
                        schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
                        schema["properties"].update(
                            apiVersion={"type": "string"}, kind={"type": "string"},
                            metadata=METADATA)
                        key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                        found[key] = closed(schema)
    return found


@functools.lru_cache(maxsize=1)
def strimzi():
    with open(os.environ["TASKEVENTS_STRIMZI_SCHEMAS"], encoding="utf-8") as file:
        schemas = json.load(file)
    return {("kafka.strimzi.io/v1", kind): {**schema, "$defs": schemas["$defs"]}
            for kind, schema in schemas.items() if kind != "$defs"}


def faults(one, versions=None):
    """What is wrong with it, in words; nothing when it is right."""
    key = one["apiVersion"], one["kind"]
    schema = dapr().get(key) or strimzi().get(key)
    if schema:
        return [f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
                for error in jsonschema.Draft202012Validator(schema).iter_errors(one)]
    found = []
    for version in versions or KUBERNETES:
        try:
            kubernetes_validate.utils.validate(one, version, strict=True)
        except (kubernetes_validate.utils.ValidationError,
                kubernetes_validate.utils.SchemaNotFoundError) as error:
            found.append(f"Kubernetes {version}: {error.message}")
    return found
