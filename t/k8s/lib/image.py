"""The stages of the Dockerfile, made by their own commands in trees of a clean
Debian (debootstrap), as root of a mount namespace. What a stage installs first is
kept for the machine; what it copies and builds is made each time."""
import glob
import hashlib
import os
import shutil
import subprocess

from dockerfile import stages
from manifests import path

CACHE = os.environ.get("TASKEVENTS_CACHE", "/nonexistent")
WORK = os.environ.get("TASKEVENTS_IMAGE_WORK", "/nonexistent")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def sh(*words, **more):
    subprocess.run(words, check=True, **more)


def mirror(codename):
    """Where this machine has its packages from, if it is of that release."""
    uris = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
         "Component: main", f"Codename: {codename}"],
        check=True, text=True, capture_output=True).stdout.split()
    return uris[:1]


def clean_tree(codename):
    tree = f"{CACHE}/tree-plain-{codename}"
    if not os.path.exists(f"{tree}/.made"):
        shutil.rmtree(tree, ignore_errors=True)
        sh("debootstrap", "--variant=minbase", codename, tree, *mirror(codename))
        with open(f"{tree}/usr/sbin/policy-rc.d", "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\nexit 101\n")     # as in an image: nothing starts
        os.chmod(f"{tree}/usr/sbin/policy-rc.d", 0o755)
        open(f"{tree}/.made", "w", encoding="utf-8").close()
    return tree


def overlay(lower, upper, root):
    for folder in upper, f"{upper}.work", root:
        os.makedirs(folder, exist_ok=True)
    sh("mount", "-t", "overlay", "overlay", "-o",
       f"lowerdir={lower},upperdir={upper},workdir={upper}.work", root)


def furnish(root):
    """What the container's engine would bring."""
    sh("mount", "-t", "proc", "proc", f"{root}/proc")
    for name in "null", "zero", "full", "random", "urandom", "tty":
        if not os.path.exists(f"{root}/dev/{name}"):
            open(f"{root}/dev/{name}", "w", encoding="utf-8").close()
        sh("mount", "--bind", f"/dev/{name}", f"{root}/dev/{name}")
    os.makedirs(f"{root}/dev/shm", exist_ok=True)
    sh("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/dev/shm")
    if not os.path.exists(f"{root}/dev/fd"):
        os.symlink("/proc/self/fd", f"{root}/dev/fd")
    shutil.copy("/etc/resolv.conf", f"{root}/etc/resolv.conf")


def inside(root, command, env, folder="/"):
    """The words that run a shell command in the tree."""
    return ["chroot", root, "env", "-i", f"PATH={PATH}", "HOME=/root",
            *(f"{key}={value}" for key, value in env.items()),
            "sh", "-c", f"cd {folder} && {command}"]


class Image:
    def __init__(self, name, codename, others=()):
        self.stage, self.name = stages()[name], name
        self.others = {other.name: other for other in others}
        self.root = f"{WORK}/{name}"
        self.log = f"{WORK}/{name}.log"
        first, *rest = self.stage.steps
        lower = self.installed(first, clean_tree(codename))
        overlay(lower, f"{WORK}/{name}.upper", self.root)
        furnish(self.root)
        for step in rest:
            self.do(self.root, *step)

    def installed(self, step, tree):
        """The first command of each stage installs packages: a layer of its own."""
        key = hashlib.sha256(f"{tree} {step[1]}".encode()).hexdigest()[:16]
        layer = f"{CACHE}/layer-{key}"
        if not os.path.exists(f"{layer}.made"):
            for left in layer, f"{layer}.work":
                shutil.rmtree(left, ignore_errors=True)
            root = f"{WORK}/{self.name}.installing"
            overlay(tree, layer, root)
            furnish(root)
            self.do(root, *step)
            sh("umount", "-R", root)
            open(f"{layer}.made", "w", encoding="utf-8").close()
        return f"{layer}:{tree}"

    def do(self, root, word, text, env, folder):
        os.makedirs(root + folder, exist_ok=True)
        if word == "RUN":
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"==== {text}\n")
                log.flush()
                sh(*inside(root, text, env, folder), stdin=subprocess.DEVNULL,
                   stdout=log, stderr=log)
        else:
            self.copy(root, text.split(), folder)

    def copy(self, root, words, folder):
        base = path()
        if words[0].startswith("--from="):
            base = self.others[words.pop(0).removeprefix("--from=")].root
        *sources, target = words
        target = root + os.path.join(folder, target)
        for source in sources:
            for one in glob.glob(os.path.join(base, source.lstrip("/"))):
                if os.path.isdir(one):      # its content, not itself
                    shutil.copytree(one, target, dirs_exist_ok=True, symlinks=True)
                else:
                    folder_of = target if target.endswith("/") else os.path.dirname(target)
                    os.makedirs(folder_of, exist_ok=True)
                    shutil.copy2(one, target)
        # whoever checked the source out, a copy is root's
        sh("chown", "-R", "0:0", target)

    def as_pod(self, words, env, binds=(), writable=("/tmp",)):
        """The words that run it as Kubernetes would: the user of the Dockerfile,
        no capability, nothing to gain, the root read-only, loopback alone, and
        process number 1."""
        uid, gid = self.stage.user.split(":")
        root = self.root
        lines = ["set -e", "ip link set lo up",
                 *(f"mkdir -p {root}{place}" for _, place in binds),
                 f"mount --rbind {root} {root}",
                 f"mount -o remount,ro,bind {root}",
                 *(f"mount -t tmpfs -o mode=1777 tmpfs {root}{place}" for place in writable),
                 *(f"mount --bind {source} {root}{place}" for source, place in binds),
                 f"mount -t proc proc {root}/proc", 'exec "$@"']
        return ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                "sh", "-c", "\n".join(lines), "sh",
                "chroot", root, "env", "-i", f"PATH={PATH}",
                *(f"{key}={value}" for key, value in {**self.stage.env, **env}.items()),
                "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
                "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                "sh", "-c", f'cd {self.stage.folder} && exec "$@"', "sh", *words]
