"""The base image: Debian with Python, made with debootstrap from Debian's archive, as a docker-archive.

It stands in for `python:3.11-slim-bookworm` where no registry is. Nothing of this machine gets into it: its sources of
packages are Debian's own, its name and name servers are nobody's.
"""

import hashlib
import json
import os
import platform
import shutil
import tarfile
import time
from pathlib import Path

from testcluster.images import add
from testcluster.packages import KEYRING, machine_sources
from testcluster.say import Failure, say

from .contained import run

RELEASE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates")
NAME = "seaway-base:bookworm"
SOURCES = """deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
"""
# What debootstrap leaves or copies from the machine, and what no container reads.
NEEDLESS = (
    "debootstrap", "etc/hostname", "etc/machine-id", "var/cache/apt/*", "var/cache/debconf/*-old", "var/cache/ldconfig/*",
    "var/lib/apt/lists/*", "var/lib/dpkg/*-old", "var/log/*", "run/*", "tmp/*", "usr/share/info/*", "usr/share/locale/*",
    "usr/share/man/*",
)


def recipe():
    """A hash of what decides what is in the base, but for Debian's updates."""
    parts = [platform.machine(), RELEASE, *PACKAGES, SOURCES, *NEEDLESS, "2"]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def mirror():
    """The first source of the release on this machine, or Debian's."""
    for fields in machine_sources(RELEASE):
        if RELEASE in fields["Suites"].split() and "main" in fields["Components"].split():
            return fields["URIs"].split()[0], fields.get("Signed-By", "")
    return "http://deb.debian.org/debian", ""


def bootstrap(debootstrap, part, archive):
    """Makes the base in the folder `part`, and moves it to `archive` when it is complete."""
    began = time.monotonic()
    say(f"making the base image: Debian {RELEASE} with {', '.join(PACKAGES)} (a minute or two)")
    address, key = mirror()
    keyring = key if key.startswith("/") and os.path.exists(key) else KEYRING
    if not os.path.exists(keyring):
        raise Failure(f"Debian's keys are not at {keyring}", "apt-get install debian-archive-keyring")
    root = part / "root"
    # Programs of this machine's PATH mean nothing in the base.
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
        "DEBOOTSTRAP_DIR": str(debootstrap.resolve().parent.parent / "share/debootstrap"),
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
    }
    run(
        [
            debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--extra-suites={RELEASE}-updates", "--force-check-gpg",
            f"--keyring={keyring}", RELEASE, root, address,
        ],
        "debootstrap", environment=environment, hint="is Debian's archive there, and enough disk?",
    )
    clean(root)
    run(
        [
            "tar", "--create", "--file", part / "layer.tar", "--directory", root, "--numeric-owner", "--sort=name", "--one-file-system",
            "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", ".",
        ],
        "tar",
    )
    wrap(part / "layer.tar", part / "base.tar")
    (part / "base.tar").replace(archive)
    say(f"made the base image in {time.monotonic() - began:.0f} s, {archive.stat().st_size / 1e6:.0f} MB")


def clean(root):
    for pattern in NEEDLESS:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    # Licences stay.
    for path in sorted((root / "usr/share/doc").rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != "copyright":
            path.unlink()
    # An empty one, for the runtime to mount over; the machine's name servers are nobody's business.
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").touch()
    (root / "etc/apt/sources.list").write_text(SOURCES, encoding="utf-8")


def wrap(layer, archive):
    """Writes a docker-archive with the one layer."""
    settings = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as outer:
        add(outer, "config.json", json.dumps(settings).encode())
        add(outer, "manifest.json", json.dumps(manifest).encode())
        outer.add(layer, "layer.tar")


def digest(path):
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        found = hashlib.sha256()
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()
