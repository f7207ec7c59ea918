"""Debian packages without installing them: downloaded with apt, unpacked into the cache.

Nothing of the system changes, no service starts, and no root is needed. apt gets sources and lists of its own, made
from the machine's Debian sources, so that mirrors, proxies and keys are the machine's, while sources of other
projects that may not answer play no part.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from .say import Failure, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# How old lists may be before they are fetched again; a download that fails renews them at once.
LISTS_LAST = 24 * 3600


def release():
    """The names in /etc/os-release."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return dict((key, value.strip('"')) for key, _, value in (line.partition("=") for line in lines) if value)


def machine_sources(codename):
    """The machine's sources of packages of the Debian release `codename`, as paragraphs of fields."""
    folder = Path("/etc/apt")
    wanted = {codename, f"{codename}-updates", f"{codename}-security"}
    found = []
    lists = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    for file in lists:
        if not file.is_file():
            continue
        for line in file.read_text(encoding="utf-8").splitlines():
            match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
            if match and match[3] in wanted:
                options = dict(option.split("=", 1) for option in (match[1] or "").split() if "=" in option)
                fields = {"URIs": match[2], "Suites": match[3], "Components": match[4].strip()}
                names = {"signed-by": "Signed-By", "trusted": "Trusted", "arch": "Architectures"}
                fields.update((names[key], value) for key, value in options.items() if key in names)
                found.append(fields)
    for file in sorted((folder / "sources.list.d").glob("*.sources")):
        text = re.sub(r"(?m)^#.*\n?", "", file.read_text(encoding="utf-8"))
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            fields = dict(re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)", paragraph))
            suites = " ".join(suite for suite in fields.get("Suites", "").split() if suite in wanted)
            if not suites or "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes") == "no":
                continue
            keep = ("URIs", "Components", "Signed-By", "Trusted", "Architectures")
            found.append({"Suites": suites, **{key: fields[key] for key in keep if key in fields}})
    return found


class Apt:
    """apt with its own sources and lists, in `folder`; `suite` is another Debian release than the machine's."""

    def __init__(self, folder, suite=None):
        self.codename = release().get("VERSION_CODENAME", "")
        self.suite = suite or self.codename
        self.folder = folder / self.suite

    def check(self, packages):
        names = " ".join(packages)
        if release().get("ID") != "debian" or not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise Failure(
                f"the Debian packages {names} are needed, and this is no Debian",
                "install these programs so that they are found in PATH",
            )

    def prepare(self):
        sources = machine_sources(self.codename)
        if self.suite != self.codename:
            sources = [self.moved(fields) for fields in sources if self.codename in fields["Suites"].split()][:1]
        if not sources:
            raise Failure(
                f"no source of Debian {self.codename} is in /etc/apt/sources.list or /etc/apt/sources.list.d",
                "add one, as Debian's manual page sources.list(5) shows",
            )
        for name in ("parts", "lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        text = "\n\n".join(
            "\n".join(f"{key}: {value}" for key, value in {"Types": "deb", **fields}.items()) for fields in sources
        )
        file = self.folder / "parts/debian.sources"
        if not file.exists() or file.read_text(encoding="utf-8") != text + "\n":
            file.write_text(text + "\n", encoding="utf-8")
            (self.folder / "renewed").unlink(missing_ok=True)

    def moved(self, fields):
        """The same source for the other release. A mirror that signs by itself keeps its own key."""
        key = fields.get("Signed-By", "")
        if os.path.exists(KEYRING) and (not key or "/debian-archive-" in key):
            key = KEYRING
        kept = {name: fields[name] for name in ("URIs", "Trusted", "Architectures") if name in fields}
        return {**kept, "Suites": self.suite, "Components": "main", **({"Signed-By": key} if key else {})}

    def command(self, *arguments):
        options = {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": self.folder / "parts",
            "Dir::State::lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "Dir::Cache::archives": self.folder / "cache/archives",
            "APT::Update::Error-Mode": "any",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            # The lock of `tools/programs` is held; apt's own would need root.
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "root",
        }
        return ["apt-get", "-q", "-y", *(part for key, value in options.items() for part in ("-o", f"{key}={value}")), *arguments]

    def run(self, *arguments, cwd=None):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            self.command(*arguments), cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )

    def update(self):
        say(f"fetching Debian's list of packages ({self.suite})")
        done = self.run("update")
        if done.returncode:
            raise Failure(f"apt-get update failed for {self.suite}:\n{done.stdout.strip()[-2000:]}", "is the network there?")
        (self.folder / "renewed").touch()

    def unpack(self, packages, target, dependencies=True):
        """Unpacks `packages` into `target`, with those of their dependencies that this machine lacks."""
        self.check(packages)
        self.prepare()
        archives = self.folder / "cache/archives"
        renewed = self.folder / "renewed"
        fresh = renewed.exists() and time.time() - renewed.stat().st_mtime < LISTS_LAST
        if not fresh:
            self.update()
        for again in (fresh, False):
            shutil.rmtree(archives, ignore_errors=True)
            (archives / "partial").mkdir(parents=True)
            say(f"downloading {' '.join(packages)}")
            if dependencies:
                # `--reinstall`: one that is installed already would not be downloaded.
                done = self.run("install", "--no-install-recommends", "--download-only", "--reinstall", *packages)
            else:
                done = self.run("download", *packages, cwd=archives)
            if done.returncode == 0:
                break
            if not again:
                raise Failure(f"apt-get cannot download {' '.join(packages)}:\n{done.stdout.strip()[-2000:]}")
            self.update()
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg", "-x", file, target], check=True)
        shutil.rmtree(archives, ignore_errors=True)


def lacking(program, library_path=""):
    """The shared libraries that `program` does not find."""
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path, "LC_ALL": "C"}
    done = subprocess.run(["ldd", program], env=environment, capture_output=True, text=True)
    return re.findall(r"(\S+) => not found", done.stdout)


def link(root, final, names):
    """Makes `root/programs/NAME` for each NAME: path in `names`: a link, or a script where libraries lie in `root`.

    `final` is where `root` will be once it is complete.
    """
    folders = sorted({str(file.parent.relative_to(root)) for file in (root / "usr/lib").glob("*-linux-gnu*/*.so*")})
    (root / "programs").mkdir(exist_ok=True)
    for name, path in names.items():
        program = root / path
        entry = root / "programs" / name
        if not program.exists():
            found = shutil.which(name)
            if not found:
                raise Failure(f"`{name}` is not in the Debian package it should be in")
            entry.symlink_to(found)
            continue
        settings = {}
        if lacking(program):
            settings["LD_LIBRARY_PATH"] = ":".join(str(final / folder) for folder in folders)
            here = ":".join(str(root / folder) for folder in folders)
            if missing := lacking(program, here):
                raise Failure(f"`{name}` needs {', '.join(missing)}, which no package brought")
        modules = next((root / "usr/lib").glob("*/xtables"), None)
        if modules and "iptables" in name or modules and "ip6tables" in name:
            settings["XTABLES_LIBDIR"] = str(final / modules.relative_to(root))
        if not settings:
            entry.symlink_to(os.path.relpath(program, entry.parent))
            continue
        lines = "".join(f"export {key}='{value}'\n" for key, value in settings.items())
        entry.write_text(f"#!/bin/sh\n{lines}exec '{final / path}' \"$@\"\n", encoding="utf-8")
        entry.chmod(0o755)
