"""docs/openapi.yaml: how it is read, and the C file that it becomes."""
import json
import pathlib

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "docs/openapi.yaml"
TARGET = ROOT / "mod_taskevents/http/openapi_document.c"

# The module looks for this, and puts another prefix in its place.
SERVER = '"url":"/api"'

HEAD = """\
/* Made from docs/openapi.yaml by t/openapi/generate; do not edit. */
#include "openapi_document.h"

const char te_openapi_document[] =
"""
WIDTH = 80


class Loader(yaml.SafeLoader):
    """YAML as JSON has it: a time is text, and no key comes twice."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name} comes twice", node.start_mark)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, match) for tag, match in resolvers
            if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def load(path=SOURCE):
    with path.open(encoding="utf-8") as file:
        return yaml.load(file, Loader)


def compact(document):
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def c_literals(text):
    """Lines of string literals, none split inside an escape."""
    line = ""
    for char in text:
        # two question marks could begin a trigraph
        escaped = "\\" + char if char in '"\\?' else char
        if len('    ""') + len(line) + len(escaped) + len(";") > WIDTH:
            yield f'    "{line}"'
            line = ""
        line += escaped
    yield f'    "{line}"'


def c_file():
    text = compact(load())
    assert text.isascii() and text.isprintable()
    at = text.find('"url":')
    if not text[at:].startswith(SERVER):
        raise SystemExit(f"{SOURCE}: the first url must be that of the server")
    return HEAD + "\n".join(c_literals(text)) + ";\n"
