"""The commands of `tools/cluster`."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import control, full
from .api import write_kubeconfig
from .certificates import Authority
from .down import down
from .folder import Cluster, clusters, existing
from .processes import environment, identity, end, launch, running, start_time, when_ended
from .programs import programs
from .say import Failure, say

TOOL = Path(__file__).resolve().parent.parent.parent / "cluster"
ADDRESS = "127.0.0.1"


def user_config():
    """The KUBECONFIG that the user works with; it is not for us to add clusters to theirs."""
    return os.environ.get("KUBECONFIG")


def need_programs(*names):
    packages = {"openssl": "openssl", "ip": "iproute2"}
    missing = [packages[name] for name in names if not shutil.which(name, path=os.defpath + ":/usr/sbin:/sbin")]
    if missing:
        raise Failure(f"programs are missing: {', '.join(missing)}", f"apt-get install {' '.join(missing)}")


def up(arguments):
    if user_config() and not arguments.own:
        say(f"KUBECONFIG is set: tests use {user_config()}; nothing is started (--own starts a cluster all the same)")
        print(user_config())
        return 0
    cluster = Cluster(arguments.name)
    nodes = not arguments.control_plane
    if nodes and arguments.extra:
        raise Failure("--with goes with --control-plane", "a cluster with nodes has all components")
    need_programs("openssl", *(["ip"] if nodes else []))
    if nodes and os.geteuid() != 0:
        raise Failure("nodes need root, for namespaces, mounts and cgroups", "run it as root, or take --control-plane")
    if arguments.watchdog and start_time(arguments.watchdog) is None:
        raise Failure(f"--watchdog: no process has the id {arguments.watchdog}")
    with cluster.lock():
        if cluster.exists():
            cluster.load()
            if cluster.record["complete"]:
                say(f"the cluster `{cluster.name}` is up already")
                print(cluster.kubeconfig)
                return 0
            say(f"removing what an earlier, unfinished start of `{cluster.name}` left")
            down(cluster)
        # Programs first: while they are built there is nothing to clean up.
        wanted = [control.ETCD, control.SERVER]
        wanted += [control.CONTROLLERS, control.SCHEDULER, *NODE_PROGRAMS] if nodes else arguments.extra
        found = programs(wanted)
        cluster.create()
        try:
            if arguments.watchdog:
                watch(cluster, arguments.watchdog)
            if nodes:
                full.start_full(cluster, found, arguments)
            else:
                start_control_plane(cluster, found, arguments)
            cluster.record["complete"] = True
            cluster.save()
        except BaseException as error:
            say("stopping: " + ("interrupted" if isinstance(error, (KeyboardInterrupt, SystemExit)) else "the start failed"))
            # A second Ctrl-C must not leave half of it behind.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            down(cluster)
            raise
    say(f"the cluster `{cluster.name}` is up: export KUBECONFIG={cluster.kubeconfig}")
    print(cluster.kubeconfig)
    return 0


NODE_PROGRAMS = ["kubelet", "kube-proxy", "coredns", "containerd", "cni-plugins", "busybox"]


def start_control_plane(cluster, found, arguments):
    cluster.record.update({"mode": "control-plane", "address": ADDRESS, "services": "10.96.0.0/16", "with": arguments.extra})
    control.choose_ports(cluster)
    control.make_certificates(cluster)
    control.start(cluster, found)
    for name in arguments.extra:
        control.wait_for(cluster, name)


def watch(cluster, pid):
    """Starts a process of its own that removes the cluster when the process `pid` ends, however it ends."""
    with open(cluster.logs / "watchdog.log", "ab") as log:
        # The start time goes with the id, which may be another process's when the watchdog looks.
        process = subprocess.Popen(
            [sys.executable, TOOL, "watch", "--name", cluster.name, str(pid), str(start_time(pid))],
            env={**environment(cluster), "SEAWAY_CLUSTERS": str(clusters())}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd="/", start_new_session=True,
        )
    cluster.record["processes"]["watchdog"] = identity(process.pid)
    cluster.save()


def watch_command(arguments):
    while start_time(arguments.pid) == arguments.start:
        when_ended(arguments.pid)
        # A zombie counts as ended; a look that came too early is repeated.
        time.sleep(0.05)
    cluster = Cluster(arguments.name)
    with cluster.lock():
        # A cluster of the same name that somebody started since is not ours.
        mine = cluster.exists() and cluster.load().record["processes"].get("watchdog", {}).get("pid") == os.getpid()
        if mine:
            down(cluster)
    return 0


def down_command(arguments):
    names = existing() if arguments.all else [arguments.name]
    failures = []
    for name in names:
        cluster = Cluster(name)
        try:
            with cluster.lock():
                if down(cluster):
                    say(f"the cluster `{name}` is gone")
                else:
                    say(f"there is no cluster `{name}`")
        except Failure as failure:
            failures.append(failure)
    if failures:
        raise Failure("\n".join(map(str, failures)), failures[0].hint)
    return 0


def kubeconfig(arguments):
    if user_config() and not arguments.own:
        print(user_config())
        return 0
    print(Cluster(arguments.name).need().kubeconfig)
    return 0


def user(arguments):
    cluster = Cluster(arguments.name).need()
    lasts = arguments.seconds if arguments.seconds is not None else int(arguments.days * 86400)
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in arguments.user)
    # Unique: the same name may be asked for twice, with other groups or times.
    file = f"user-{safe}-{os.getpid()}-{time.time_ns() % 10**9}"
    key, certificate = Authority(cluster.certificates).issue(file, arguments.user, arguments.group, lasts=lasts)
    config = cluster.certificates / f"{file}.kubeconfig"
    write_kubeconfig(cluster, config, file, namespace=arguments.namespace)
    for name, path in (("certificate", certificate), ("key", key), ("authority", cluster.certificates / "ca.crt"), ("kubeconfig", config)):
        print(f"{name}={path}")
    return 0


def full_cluster(name):
    cluster = Cluster(name).need()
    if not cluster.full():
        raise Failure(f"the cluster `{name}` is a control plane and has no nodes", "start one without --control-plane")
    return cluster


def load_command(arguments):
    cluster = full_cluster(arguments.name)

    def load(node):
        with open(arguments.file, "rb") as file:
            text = full.load(cluster, node, file)
        say(f"{node['name']}: {' '.join(text.split())}")

    try:
        with ThreadPoolExecutor() as nodes:
            list(nodes.map(load, cluster.record["nodes"]))
    except OSError as error:
        raise Failure(f"{arguments.file}: {error.strerror}") from error
    return 0


def partition_command(arguments):
    """partition and heal."""
    cluster = full_cluster(arguments.name)
    with cluster.lock():
        cluster.need()
        for name in arguments.nodes:
            full.connect(cluster, full.node_of(cluster, name), arguments.command == "heal")
            say(f"{name} is {'connected' if arguments.command == 'heal' else 'cut off'}")
    return 0


def enter_command(arguments):
    cluster = full_cluster(arguments.name)
    return full.inside(cluster, full.node_of(cluster, arguments.node), arguments.words or ["/bin/sh"]).returncode


def component_of(cluster, name):
    if name in cluster.record["components"]:
        return cluster.record["components"][name]
    known = ", ".join(cluster.record["components"])
    raise Failure(f"the cluster `{cluster.name}` has no component `{name}`", f"it has {known}")


def stop_command(arguments):
    """stop, kill and restart."""
    cluster = Cluster(arguments.name).need()
    with cluster.lock():
        cluster.need()
        for name in arguments.components:
            component = component_of(cluster, name)
            process = cluster.record["processes"].get(name)
            # The init process of a node's namespace does not hear SIGTERM.
            hard = arguments.command == "kill" or component.get("holder")
            if process and running(process):
                end(process, 0 if hard else 20)
                say(f"{name} is stopped")
            if arguments.command == "restart":
                begin(cluster, name, arguments.no_wait)
    return 0


def start_command(arguments):
    cluster = Cluster(arguments.name).need()
    with cluster.lock():
        cluster.need()
        for name in arguments.components:
            component_of(cluster, name)
            if running(cluster.record["processes"].get(name)):
                say(f"{name} is running already")
            else:
                begin(cluster, name, arguments.no_wait)
    return 0


def begin(cluster, name, no_wait):
    component = component_of(cluster, name)
    if component.get("holder") or component.get("node"):
        full.start_component(cluster, name, no_wait)
    else:
        launch(cluster, name)
        if not no_wait:
            control.wait_for(cluster, name)
    say(f"{name} is running")
