"""Builds a Dockerfile with buildah, without a daemon, into a docker-archive."""

import hashlib
import json
import os
import platform
import re
import shutil
from pathlib import Path

from testcluster.programs import cache, cached_program
from testcluster.say import Failure

from . import client
from .binary import BINARY, QUICK, ROOT, version
from .contained import list_libraries, run

FOLDER = ROOT / "images"
BASE = "localhost/seaway-base"
# Where programs of `tools/programs` are put for Dockerfiles.
PROGRAMS = Path("target/static/programs")
# Another number when this module builds the same Dockerfile in another way.
WAY = "1"


def names():
    """Every folder in images/ that has a Dockerfile; `seaway` first."""
    found = sorted(file.parent.name for file in FOLDER.glob("*/Dockerfile"))
    return sorted(found, key=lambda name: name != "seaway")


def reference(name):
    """The name and the tag of an image."""
    return f"{'seaway' if name == 'seaway' else f'seaway-{name}'}:{version()}"


def dockerfile(name):
    return FOLDER / name / "Dockerfile"


def inputs(name):
    """The files of the repository that the Dockerfile copies."""
    text = re.sub(r"\\\n", " ", dockerfile(name).read_text(encoding="utf-8"))
    found = []
    for line in re.findall(r"(?m)^COPY +(.*)$", text):
        words = line.split()
        if not any(word.startswith("--from=") for word in words):
            found += [Path(word) for word in words if not word.startswith("--")][:-1]
    return found


def source(path, quick):
    """Where a file that a Dockerfile copies is taken from."""
    return ROOT / (QUICK if quick and path == BINARY else path)


def uses_binary(name):
    return BINARY in inputs(name)


def programs_in(name):
    """Programs of `tools/programs` that the Dockerfile copies, by the path it copies them from."""
    return {path: path.name for path in inputs(name) if path.parent == PROGRAMS}


def put_programs(names):
    """Puts the programs where the Dockerfiles copy them from; built here, so that they are static."""
    for path, program in {path: program for name in names for path, program in programs_in(name).items()}.items():
        source, target = cached_program(program), ROOT / path
        content = source.read_bytes()
        if target.exists() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{os.getpid()}")
        part.write_bytes(content)
        part.replace(target)


def key(name, base, quick=False):
    """A hash of all that decides what is in the image; `base` stands for the base's content."""
    parts = [WAY, platform.machine(), reference(name), base, dockerfile(name).read_text(encoding="utf-8")]
    for path in inputs(name):
        try:
            parts.append(f"{path} {hashlib.sha256(source(path, quick).read_bytes()).hexdigest()}")
        except FileNotFoundError as error:
            raise Failure(f"images/{name}/Dockerfile copies {path}, which is not there") from error
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


class Store:
    """A store of images in a folder that is deleted afterwards, with settings that are not the machine's."""

    def __init__(self, buildah, part):
        self.buildah = buildah
        self.part = part
        self.base = False
        self.policy = ["--signature-policy", part / "policy.json"]
        (part / "policy.json").write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}), encoding="utf-8")
        for file in ("containers.conf", "registries.conf"):
            (part / file).touch()
        (part / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{part}/store"\nrunroot = "{part}/run"\n', encoding="utf-8"
        )
        (part / "tmp").mkdir()
        self.libraries = list_libraries(buildah.parent.parent, part) if buildah.is_relative_to(cache()) else None
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(part / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(part / "registries.conf"),
            "CONTAINERS_STORAGE_CONF": str(part / "storage.conf"),
            "TMPDIR": str(part / "tmp"),
        }

    def run(self, command, what, *arguments, hint=None):
        return run([self.buildah, command, *arguments], what, self.environment, hint, self.libraries)

    def take_base(self, archive):
        if not self.base:
            pulled = self.run(
                "pull", f"reading the base {archive}", "--quiet", *self.policy, f"docker-archive:{archive}", hint="is it a docker-archive?"
            )
            self.run("tag", "naming the base", pulled.split()[-1], BASE)
            self.base = True

    def build(self, name, base, archive, quick=False):
        """Builds the image, and moves its docker-archive to `archive` when it is complete."""
        self.take_base(base)
        # Only what the Dockerfile copies: no builder has to read the whole repository.
        context = self.part / f"context-{name}"
        for path in inputs(name):
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source(path, quick), context / path)
        context.mkdir(exist_ok=True)
        self.run(
            "bud", f"building images/{name}/Dockerfile", "--isolation", "chroot", "--network", "host", "--pull-never", "--format", "docker",
            *self.policy, "--build-arg", f"BASE={BASE}", "--build-arg", f"VERSION={version()}", *client.secrets(self.part),
            "--file", dockerfile(name), "--iidfile", self.part / f"{name}.id", context,
        )
        # By its id: a name given here would stand in the archive beside the right one.
        image = (self.part / f"{name}.id").read_text(encoding="utf-8").strip()
        made = self.part / f"{name}.tar"
        self.run("push", f"writing {reference(name)}", "--quiet", *self.policy, image, f"docker-archive:{made}:{reference(name)}")
        made.replace(archive)
