"""Starting, watching and ending the processes of a cluster, and no others.

A process is known by its id and start time: an id alone may belong to another process by now. In addition every
process carries the cluster's folder in its environment, so that one which was started but not yet recorded is found.
"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from .say import Failure

MARK = "SEAWAY_CLUSTER_FOLDER"
ENTER = Path(__file__).resolve().parent / "enter.py"


def start_time(pid):
    """When the process began, in ticks since the boot; None when it has ended, also when nobody has asked for its code yet."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name of the program, in brackets, may contain anything.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def boot():
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identity(pid):
    return {"pid": pid, "start": start_time(pid), "boot": boot()}


def running(process):
    return bool(process) and process["boot"] == boot() and process["start"] is not None and start_time(process["pid"]) == process["start"]


def send(process, number):
    """Sends a signal if the process is still the one that was recorded."""
    try:
        handle = os.pidfd_open(process["pid"])
    except OSError:
        return
    try:
        # What the handle points at cannot change any more.
        if running(process):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def wait_for_end(processes, seconds):
    """Waits until all have ended. Returns those that have not."""
    limit = time.monotonic() + seconds
    left = [process for process in processes if running(process)]
    while left and time.monotonic() < limit:
        time.sleep(0.02)
        left = [process for process in left if running(process)]
    return left


def end(process, grace):
    """SIGTERM, and SIGKILL after `grace` seconds."""
    if grace:
        send(process, signal.SIGTERM)
        if not wait_for_end([process], grace):
            return
    send(process, signal.SIGKILL)
    wait_for_end([process], 10)


def marked(folder):
    """The processes that carry the mark of this folder, without this one and its parents."""
    mark = b"%s=%s" % (MARK.encode(), os.fsencode(folder))
    own = set()
    pid = os.getpid()
    while pid > 1:
        own.add(pid)
        try:
            text = Path(f"/proc/{pid}/stat").read_bytes()
            pid = int(text[text.rindex(b")") + 2 :].split()[1])
        except (OSError, ValueError):
            break
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in own:
            continue
        try:
            # In this order: the times match only if both were of the same process.
            process = identity(int(entry))
            variables = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in variables and running(process):
            found.append(process)
    return found


def environment(cluster, path=None):
    """What a component gets: nothing of the caller's, whose proxies and settings are not meant for it."""
    return {MARK: str(cluster.folder), "PATH": path or os.defpath + ":/usr/sbin:/sbin", "HOME": str(cluster.folder), "LC_ALL": "C.UTF-8"}


def launch(cluster, name):
    """Starts a component as it is recorded, and records its process."""
    component = cluster.record["components"][name]
    log = cluster.logs / f"{name}.log"
    variables = environment(cluster, component.get("path")) | component.get("environment", {})
    command = component["command"]
    with open(log, "ab") as output:
        if component.get("node"):
            holder = cluster.record["processes"].get(component["node"])
            if not running(holder):
                raise Failure(f"{component['node']} is not running, so `{name}` cannot start", f"`tools/cluster start {component['node']}`")
            # It starts the program inside of the node, says the id that the program has outside, and ends.
            done = subprocess.run(
                [sys.executable, "-IS", ENTER, "--detach", str(holder["pid"]), *command],
                env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output, check=False,
            )
            if done.returncode:
                raise Failure(f"`{name}` cannot be started in {component['node']}: {tail(log)}")
            pid = int(done.stdout)
        elif component.get("holder"):
            done = subprocess.run(
                [sys.executable, "-IS", ENTER, "--hold", name], env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=output, check=False,
            )
            if done.returncode:
                raise Failure(f"the namespaces of {name} cannot be made: {tail(log)}")
            pid = int(done.stdout)
        else:
            pid = subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/",
                start_new_session=True,
            ).pid
    with cluster.saving:
        cluster.record["processes"][name] = identity(pid)
        cluster.save()


def tail(log, lines=15):
    try:
        text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(text[-lines:]) or "(its log is empty)"


def wait_until(cluster, what, check, seconds, watched=()):
    """Waits until `check()` is true; fails when time is up or one of the watched components has ended."""
    limit = time.monotonic() + seconds
    problem = None
    while True:
        ended = next((name for name in watched if not running(cluster.record["processes"].get(name))), None)
        if ended:
            raise Failure(f"`{ended}` ended while waiting for {what}. Its last lines:\n{tail(cluster.logs / f'{ended}.log')}")
        try:
            if check():
                return
        except (OSError, ValueError, KeyError) as error:
            problem = error
        if time.monotonic() > limit:
            logs = "".join(f"\nThe last lines of {name}:\n{tail(cluster.logs / f'{name}.log')}" for name in watched)
            raise Failure(f"{what}: not so after {seconds} s{f' ({problem})' if problem else ''}{logs}")
        time.sleep(0.05)


def when_ended(pid):
    """Waits for the end of any process of this machine."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    select.select([handle], [], [])
    os.close(handle)
