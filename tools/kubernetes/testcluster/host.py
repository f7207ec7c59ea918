"""What a cluster with nodes has on the host: a bridge, routes, control groups, empty folders to mount on.

The bridge's number decides all addresses, so clusters with different numbers do not collide:
    10.89.N.0/24              the host (.1) and the nodes (.11 and so on)
    10.88.(16 N + K).0/24     the pods of node K
    10.(96 + N).0.0/16        Services; .0.10 is the cluster's DNS
"""

import hashlib
import ipaddress
import json
import os
import signal
import subprocess
from pathlib import Path

from .enter import OWN
from .locks import locked
from .processes import identity, send, wait_for_end
from .say import Failure

MOST_CLUSTERS = 16
MOST_NODES = 8
GROUPS = Path("/sys/fs/cgroup")
# The group that containerd puts containers of Kubernetes into.
CONTAINERS = "k8s.io"
MADE = Path("/run/seaway-clusters")


def ip(*arguments, check=True):
    path = {**os.environ, "PATH": os.defpath + ":/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, env=path, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise Failure(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout if done.returncode == 0 else None


def lock():
    """Bridges belong to the machine, not to a user's folder: numbers are given out to one at a time."""
    return locked(Path("/run/lock/seaway-clusters.lock"), "the numbers of clusters", remove=True)


def bridge(cluster):
    return f"seaway{cluster.record['index']}"


def mark(cluster):
    """Says on the bridge whose it is."""
    return "seaway-cluster " + hashlib.sha256(os.fsencode(cluster.folder)).hexdigest()[:24]


def owner(name):
    """What stands on a bridge; None when there is none of this name, "" when nothing does (yet)."""
    text = ip("-json", "-details", "link", "show", name, check=False)
    return json.loads(text)[0].get("ifalias", "") if text else None


def ours(cluster):
    """Whether what has this cluster's number is this cluster's, for callers that hold the lock.

    Another cluster may have taken the number only if the start of this one ended before it made its bridge. Then the
    bridge carries the other's mark: numbers are given out, and bridges marked, under the lock.
    """
    return owner(bridge(cluster)) in (mark(cluster), "", None)


def networks(index):
    return {
        "nodes": ipaddress.ip_network(f"10.89.{index}.0/24"),
        "pods": ipaddress.ip_network(f"10.88.{16 * index}.0/20"),
        "services": ipaddress.ip_network(f"10.{96 + index}.0.0/16"),
    }


def allocate(cluster, nodes):
    """Chooses a number whose networks nobody uses on this machine, and makes the bridge."""
    with lock():
        used = []
        for route in json.loads(ip("-json", "-4", "route", "show", "table", "all")):
            try:
                used.append(ipaddress.ip_network(route["dst"]))
            except ValueError:
                pass  # `default`
        for index in range(MOST_CLUSTERS):
            wanted = networks(index)
            taken = any(one.overlaps(other) for one in wanted.values() for other in used if other.prefixlen)
            if not taken and owner(f"seaway{index}") is None:
                break
        else:
            raise Failure(
                f"all {MOST_CLUSTERS} sets of addresses for clusters are in use (10.88.0.0/16, 10.89.0.0/16 and 10.96.0.0/12)",
                "`tools/cluster status` shows the clusters, `ip route` the routes",
            )
        record = cluster.record
        record["index"] = index
        record["address"] = str(wanted["nodes"][1])
        record["services"] = str(wanted["services"])
        record["pods"] = str(wanted["pods"])
        record["dns"] = str(wanted["services"][10])
        record["nodes"] = [
            {
                "name": f"node{number}",
                "number": number,
                "address": str(wanted["nodes"][10 + number]),
                "pods": f"10.88.{16 * index + number}.0/24",
                "link": f"seaway{index}n{number}",
                "partitioned": False,
            }
            for number in range(1, nodes + 1)
        ]
        cluster.save()
        new = [place for place in OWN if not os.path.isdir(place)]
        if new:
            MADE.write_text("\n".join([*made(), *new]) + "\n", encoding="utf-8")
        for place in new:
            os.makedirs(place, exist_ok=True)
        name = bridge(cluster)
        # An address of its own, or it would change with each node that joins and leaves.
        ip("link", "add", name, "address", f"02:5e:a0:00:{index:02x}:01", "type", "bridge")
        ip("link", "set", name, "alias", mark(cluster))
        ip("address", "add", f"{record['address']}/24", "dev", name)
        ip("link", "set", name, "up")
        # Before anything is asked: without these, packets to pods and Services would leave the machine.
        for node in record["nodes"]:
            ip("route", "add", node["pods"], "via", node["address"], "dev", name)
        ip("route", "add", record["services"], "via", record["nodes"][0]["address"], "dev", name)


def made():
    """The folders of `OWN` that were not there before the first cluster; the last one removes them."""
    try:
        return MADE.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []


def group_folders(cluster, nodes):
    """The control groups of the nodes' containers, in each hierarchy.

    They lie where those of other clusters do. containerd's folder, which outlives its processes, says which are ours.
    """
    names = set()
    for node in nodes:
        root = cluster.folder / node["name"] / "containerd"
        for kind in ("io.containerd.runtime.v2.task/k8s.io", "io.containerd.grpc.v1.cri/sandboxes", "io.containerd.grpc.v1.cri/containers"):
            if (root / kind).is_dir():
                names.update(os.listdir(root / kind))
    found = [root / CONTAINERS / name for root in hierarchies() for name in names]
    return [folder for folder in found if folder.is_dir()]


def hierarchies():
    """Where control groups are mounted: one place, or one for each controller."""
    return [GROUPS, *(entry for entry in GROUPS.iterdir() if entry.is_dir())] if GROUPS.is_dir() else []


def remove_group(folder):
    """Ends what is in a control group and removes it with all below it."""
    for place, _, _ in os.walk(folder, topdown=False):
        for _ in range(100):
            try:
                pids = (Path(place) / "cgroup.procs").read_text(encoding="ascii").split()
                ended = [identity(int(pid)) for pid in pids]
                for process in ended:
                    send(process, signal.SIGKILL)
                wait_for_end(ended, 2)
                os.rmdir(place)
                break
            except FileNotFoundError:
                break
            except OSError:
                continue


def links(cluster):
    """The host's ends of the links to the nodes, and the bridge, as far as they are there."""
    names = [*(node["link"] for node in cluster.record["nodes"]), bridge(cluster)]
    return [name for name in names if os.path.exists(f"/sys/class/net/{name}")]


def remove(cluster):
    """Removes all this; the processes have ended. The bridge goes last: it is what says that the rest is ours."""
    with lock():
        if ours(cluster):
            for folder in group_folders(cluster, cluster.record["nodes"]):
                remove_group(folder)
            for name in links(cluster):
                ip("link", "delete", name, check=False)
        # Nodes of another cluster may have mounted on these; removing them would take their mounts away.
        if not any(name.startswith("seaway") for name in os.listdir("/sys/class/net")):
            for place in (*reversed(made()), *(root / CONTAINERS for root in hierarchies())):
                try:
                    os.rmdir(place)
                except OSError:
                    pass  # not there, or somebody else uses it
            MADE.unlink(missing_ok=True)


def left_over(cluster):
    with lock():
        if not ours(cluster):
            return []
    found = [f"link {name}" for name in links(cluster)]
    return found + [f"control group {folder}" for folder in group_folders(cluster, cluster.record["nodes"])]
