"""The Dockerfile as instructions, stage by stage."""
import json
import re
import shlex

from manifests import read


class Stage:
    def __init__(self, base, name):
        self.base, self.name = base, name
        self.steps = []             # (RUN or COPY, text, environment, folder)
        self.env, self.folder = {}, "/"
        self.user = self.entrypoint = self.command = self.health = None

    def all_of(self, word):
        return [step for step in self.steps if step[0] == word]


def instructions(text):
    """(word, rest) of each, lines that go on joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line.split(None, 1) for line in joined.splitlines() if line.strip()]


def stages(text=None):
    found = []
    for word, rest in instructions(text or read("Dockerfile")):
        if word == "FROM":
            base, _, name = rest.split()
            found.append(Stage(base, name))
            continue
        stage = found[-1]
        if word in ("RUN", "COPY"):
            stage.steps.append((word, rest, dict(stage.env), stage.folder))
        elif word == "ENV":
            stage.env.update(one.split("=", 1) for one in shlex.split(rest))
        elif word == "WORKDIR":
            stage.folder = rest
        elif word == "USER":
            stage.user = rest
        elif word == "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        elif word == "CMD":
            stage.command = json.loads(rest)
        elif word == "HEALTHCHECK":
            stage.health = json.loads(rest.split("CMD ", 1)[1])
        elif word not in ("EXPOSE", "STOPSIGNAL"):
            raise ValueError(f"the Dockerfile says {word}, which these tests do not know")
    return {stage.name: stage for stage in found}
