"""Where the programs for tests come from, and the cache that keeps them.

A program in PATH is taken when its version fits. Else Go programs are built from pinned modules, and the others come
from Debian's packages. Each group lies in a folder whose name has a hash of all that decides what is in it. A program
appears there complete, by a rename, or not at all.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from .locks import locked
from .packages import Apt, link, release
from .say import Failure, say

MODULES = Path(__file__).resolve().parent.parent / "modules"
KUBERNETES = "1.34.4"
COREDNS = "1.12.4"
HELM = "3.19.0"
REGISTRY = "3.1.2"
GO = (1, 24)


def kubernetes_flags():
    # Without these the programs call themselves v0.0.0, and clients misjudge what they can.
    major, minor, _ = KUBERNETES.split(".")
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean", "gitCommit": "unknown"}
    return " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())


def helm_flags():
    # The version of Kubernetes that `helm template` assumes, as Helm's own Makefile sets it.
    major, minor, _ = KUBERNETES.split(".")
    values = {"helm.sh/helm/v3/internal/version.version": f"v{HELM}"}
    for package in ("helm.sh/helm/v3/pkg/lint/rules", "helm.sh/helm/v3/pkg/chartutil"):
        values |= {f"{package}.k8sVersionMajor": major, f"{package}.k8sVersionMinor": minor}
    return " ".join(f"-X {key}={value}" for key, value in values.items())


@dataclass
class Group:
    """Programs that come from one place. `fits` is what the version of one in PATH must match."""

    name: str
    programs: dict = field(default_factory=dict)
    fits: str = ""
    version: tuple = ("--version",)


@dataclass
class Built(Group):
    """Go programs: name and package, of a module in `modules/NAME`, or of a published one with its version."""

    flags: str = ""
    published: str = ""


@dataclass
class Packaged(Group):
    """Programs of Debian packages: name and path in the package."""

    packages: tuple = ()
    suite: str = ""
    dependencies: bool = True


GROUPS = [
    Packaged(
        "redis",
        {"redis-server": "usr/bin/redis-server", "redis-sentinel": "usr/bin/redis-sentinel", "redis-cli": "usr/bin/redis-cli"},
        fits=r"v=[67]\.|redis-cli [67]\.",
        packages=("redis-server", "redis-sentinel", "redis-tools"),
    ),
    # The last Debian release that has Consul. Its dependencies are all in later ones too.
    Packaged(
        "consul", {"consul": "usr/bin/consul"}, fits=r"Consul v1\.([89]|\d\d)\.", version=("version",),
        packages=("consul",), suite="bullseye", dependencies=False,
    ),
    Built("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, fits=r"etcd Version: 3\.[56]\."),
    Built(
        "kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
        },
        fits=r"Kubernetes v1\.34\.\d+$",
        flags=kubernetes_flags(),
    ),
    Built(
        "kubernetes", {"kubectl": "k8s.io/kubernetes/cmd/kubectl"}, fits=r"Client Version: v1\.3[345]\.\d+$",
        version=("version", "--client"), flags=kubernetes_flags(),
    ),
    Built(
        "coredns", {"coredns": "github.com/coredns/coredns"}, fits=r"CoreDNS-1\.1[1-9]\.", version=("-version",),
        published=f"v{COREDNS}",
    ),
    Built(
        "helm", {"helm": "helm.sh/helm/v3/cmd/helm"}, fits=r"^v3\.(1[4-9]|[2-9]\d)\.", version=("version", "--short"),
        published=f"v{HELM}", flags=helm_flags(),
    ),
    # The registry that `seaway setup kubernetes --own-registry` runs, for images/registry.
    Built(
        "registry", {"registry": "github.com/distribution/distribution/v3/cmd/registry"}, fits=r"distribution/v3 v?3\.",
        published=f"v{REGISTRY}", flags=f"-X github.com/distribution/distribution/v3/version.version=v{REGISTRY}",
    ),
    # What a node needs, always from the packages: nodes get this folder's `programs` as their PATH, and its plugins.
    Packaged(
        "node",
        {
            "containerd": "usr/bin/containerd", "containerd-shim-runc-v2": "usr/bin/containerd-shim-runc-v2", "ctr": "usr/bin/ctr",
            "runc": "usr/sbin/runc", "conntrack": "usr/sbin/conntrack", "socat": "usr/bin/socat", "busybox": "bin/busybox",
            "cni-plugins": "usr/lib/cni",
            **{
                f"{version}{action}": f"usr/sbin/{version}-nft{action}"
                for version in ("iptables", "ip6tables") for action in ("", "-save", "-restore")
            },
        },
        packages=("containerd", "runc", "containernetworking-plugins", "iptables", "conntrack", "socat", "busybox-static"),
    ),
]
NAMES = [name for group in GROUPS for name in group.programs]


def cache():
    place = os.environ.get("SEAWAY_PROGRAMS")
    if not place:
        place = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "seaway-programs")
    return Path(place).absolute()


def programs(names):
    """Makes sure that the programs exist. Returns {name: path}."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise Failure(f"no program is called `{unknown[0]}`", f"these are known: {', '.join(NAMES)}")
    found = {}
    for group in GROUPS:
        wanted = [name for name in group.programs if name in names]
        if not isinstance(group, Packaged) or group.name != "node":
            for name in wanted:
                path = in_path(group, name)
                if path:
                    found[name] = path
        missing = [name for name in wanted if name not in found]
        if missing:
            found.update(cached(group, missing))
    return {name: found[name] for name in dict.fromkeys(names)}


def cached_program(name):
    """The program as it is built here, whatever is in PATH."""
    (group,) = [group for group in GROUPS if name in group.programs]
    return cached(group, [name])[name]


def in_path(group, name):
    path = shutil.which(name)
    if not path:
        return None
    try:
        done = subprocess.run([path, *group.version], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    fits = done.returncode == 0 and re.search(group.fits, done.stdout, re.MULTILINE)
    return Path(path).absolute() if fits else None


def key(group):
    """A hash of what decides what is built or unpacked."""
    parts = [platform.machine(), group.name]
    if isinstance(group, Packaged):
        parts += [release().get("VERSION_CODENAME", ""), group.suite, *group.packages, str(sorted(group.programs.items()))]
    else:
        parts += [group.flags, group.published]
        if not group.published:
            parts += [(MODULES / group.name / file).read_text(encoding="utf-8") for file in ("go.mod", "go.sum")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def cached(group, names):
    folder = cache() / f"{group.name}-{key(group)}"
    if isinstance(group, Packaged):
        paths = {name: folder / "programs" / name for name in names}
    else:
        paths = {name: folder / name for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    place = cache()
    place.mkdir(parents=True, exist_ok=True)
    with locked(place / f"{group.name}.lock", f"the programs of `{group.name}`"):
        # What a killed run left; its lock is ours now.
        for left in place.glob(f"{group.name}.part-*"):
            shutil.rmtree(left, ignore_errors=True)
        missing = [name for name, path in paths.items() if not path.exists()]
        if missing:
            part = Path(tempfile.mkdtemp(prefix=f"{group.name}.part-", dir=place))
            try:
                (unpack if isinstance(group, Packaged) else build)(group, missing, part, folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return paths


def unpack(group, names, part, folder):
    # apt's lists are shared between groups.
    with locked(cache() / "apt.lock", "Debian's packages"):
        Apt(cache() / "apt", group.suite or None).unpack(list(group.packages), part, group.dependencies)
    if group.name == "redis" and not os.path.lexists(part / "usr/bin/redis-sentinel"):
        (part / "usr/bin/redis-sentinel").symlink_to("redis-server")
    link(part, folder, group.programs)
    part.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def build(group, names, part, folder):
    check_go()
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOBIN": str(part)}
    for name in ("GOOS", "GOARCH", "GOEXPERIMENT"):
        environment.pop(name, None)
    # `-trimpath`: no path of this machine in a program. Two at once: more only swap where memory is short.
    command = ["-p", "2", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {group.flags}".strip()]
    packages = [group.programs[name] for name in names]
    if group.published:
        command = ["go", "install", *command, *(f"{package}@{group.published}" for package in packages)]
        place = None
    else:
        # A package's folder may not be called as its program is; one at a time can be named.
        output = part / names[0] if len(names) == 1 else f"{part}/"
        command = ["go", "build", "-mod=readonly", *command, "-o", str(output), *packages]
        place = MODULES / group.name
    text = ", ".join(names)
    began = time.monotonic()
    say(f"building {text} (minutes, when Go's cache is empty)")
    done = threading.Event()
    watcher = threading.Thread(target=tell, args=(text, began, done), daemon=True)
    watcher.start()
    if shutil.which("nice"):
        command = ["nice", *command]
    result = subprocess.run(
        command, cwd=place, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    )
    done.set()
    if result.returncode:
        raise Failure(f"building {text} failed:\n{result.stdout.strip()[-3000:]}", "is the Go module proxy there, and enough disk?")
    say(f"built {text} in {time.monotonic() - began:.0f} s")
    folder.mkdir(exist_ok=True)
    for name in names:
        (part / name).rename(folder / name)


def tell(text, began, done):
    while not done.wait(30):
        say(f"still building {text}, for {time.monotonic() - began:.0f} s")


def check_go():
    try:
        text = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        text = ""
    match = re.match(r"go(\d+)\.(\d+)", text)
    if not match or (int(match[1]), int(match[2])) < GO:
        raise Failure(
            f"Go {GO[0]}.{GO[1]} or later is needed to build this, and {text.strip() or 'none'} is in PATH",
            "install Go, or put the programs into PATH",
        )
