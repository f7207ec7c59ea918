"""Removing a cluster, whatever is left of it, and making sure that nothing is."""

import ctypes
import os
import shutil
import signal
from pathlib import Path

from . import host
from .processes import marked, running, send, wait_for_end
from .say import Failure, say


def stop_components(cluster, keep=None):
    """Ends all processes of the cluster but `keep`. Their data go too, so none is asked to end well."""
    processes, components = cluster.record["processes"], list(cluster.record["components"])
    # This may run in the watchdog itself.
    spared = {os.getpid(), processes[keep]["pid"] if keep in processes else None}
    order = sorted(processes, key=lambda name: components.index(name) if name in components else -1, reverse=True)
    ending = [processes[name] for name in order if processes[name]["pid"] not in spared]
    for process in ending:
        send(process, signal.SIGKILL)
    wait_for_end(ending, 10)
    # What was started and not recorded, and what components started themselves. They may start more meanwhile.
    for _ in range(20):
        found = [process for process in marked(cluster.folder) if process["pid"] not in spared]
        if not found:
            break
        for process in found:
            send(process, signal.SIGKILL)
        wait_for_end(found, 5)
    cluster.record["processes"] = {name: process for name, process in processes.items() if name == keep or running(process)}


def mounts_below(folder):
    """The mounts in a folder, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        place = line.split()[4].replace("\\040", " ").replace("\\134", "\\")
        if place.startswith(f"{folder}/"):
            found.append(place)
    return found[::-1]


def left_over(cluster):
    """What is still there of the cluster, in words."""
    found = [f"process {process['pid']} ({command_of(process)})" for process in marked(cluster.folder)]
    found += [f"mount {place}" for place in mounts_below(cluster.folder)]
    if cluster.record.get("index") is not None:
        found += host.left_over(cluster)
    return found


def command_of(process):
    try:
        return Path(f"/proc/{process['pid']}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return "ended"


def down(cluster):
    """Removes the cluster; the caller holds its lock. Fails, naming what is left, when something is."""
    gone = cluster.folder.with_name(f".{cluster.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if not cluster.exists():
        return False
    cluster.load()
    stop_components(cluster)
    if cluster.record.get("index") is not None:
        host.remove(cluster)
    for place in mounts_below(cluster.folder):
        unmount(place)
    found = left_over(cluster)
    if found:
        raise Failure(
            f"of the cluster `{cluster.name}` there is still:\n  " + "\n  ".join(found),
            f"end or remove these, then `tools/cluster down --name {cluster.name}` again; logs: {cluster.logs}",
        )
    # Nobody may see half a folder; if this is interrupted, the next `down` of this name deletes the rest.
    cluster.folder.rename(gone)
    shutil.rmtree(gone)
    return True


def unmount(place):
    say(f"unmounting {place}")
    # Lazily (2): what a process without the mark still uses must not stop the clean-up.
    ctypes.CDLL(None).umount2(os.fsencode(place), 2)
