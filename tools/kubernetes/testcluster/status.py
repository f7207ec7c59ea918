"""`tools/cluster status`."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .api import Api
from .folder import Cluster, existing
from .processes import running
from .say import Failure


def memory(pid):
    """Resident memory in bytes."""
    try:
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(match[1]) * 1024 if match else None


def version(command):
    try:
        done = subprocess.run([command[0], "--version"], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v?\d+\.\d+\.\d+\S*", done.stdout)
    return match[0] if done.returncode == 0 and match else None


def condition(node):
    return next((one["status"] == "True" for one in node["status"].get("conditions", []) if one["type"] == "Ready"), False)


def describe(cluster):
    record = cluster.record
    with ThreadPoolExecutor(4) as pool:
        known = pool.map(lambda one: None if one.get("holder") else version(one["command"]), record["components"].values())
        versions = dict(zip(record["components"], known))
    components = []
    for name in record["components"]:
        process = record["processes"].get(name)
        alive = running(process)
        components.append({
            "name": name,
            "running": alive,
            "pid": process["pid"] if alive else None,
            "version": versions[name],
            "rss": memory(process["pid"]) if alive else None,
            "log": str(cluster.logs / f"{name}.log"),
        })
    api = Api(cluster)
    try:
        ready = api.ready()
    except (OSError, KeyError, ValueError):
        ready = False
    nodes = []
    if record["nodes"]:
        try:
            known = {node["metadata"]["name"]: node for node in api.get("/api/v1/nodes")["items"]}
        except (OSError, ValueError):
            known = {}
        for node in record["nodes"]:
            seen = known.get(node["name"])
            nodes.append({
                "name": node["name"], "address": node["address"], "pods": node["pods"], "partitioned": node.get("partitioned", False),
                "ready": condition(seen) if seen else None,
            })
    return {
        "name": cluster.name,
        "mode": record.get("mode"),
        "complete": record["complete"],
        "ready": ready,
        "server": record.get("server"),
        "kubeconfig": str(cluster.kubeconfig),
        "folder": str(cluster.folder),
        "address": record.get("address"),
        "services": record.get("services"),
        "watchdog": running(record["processes"].get("watchdog")),
        "rss": sum(one["rss"] or 0 for one in components),
        "components": components,
        "nodes": nodes,
    }


def status(arguments):
    names = [arguments.name] if arguments.name else existing()
    found = [describe(Cluster(name).need()) for name in names]
    if arguments.output == "json":
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        raise Failure("there is no cluster", "`tools/cluster up` starts one")
    for one in found:
        state = "ready" if one["ready"] else "not ready"
        if not one["complete"]:
            state = "starting, or an unfinished start"
        print(f"{one['name']}: {state}, {one['mode']}, {one['server']}, {one['rss'] >> 20} MiB, KUBECONFIG={one['kubeconfig']}")
        for component in one["components"]:
            running_as = f"{component['pid']:>8}  {(component['rss'] or 0) >> 20:>4} MiB" if component["running"] else "not running       "
            print(f"  {component['name']:<26} {running_as}  {component['version'] or ''}".rstrip())
        for node in one["nodes"]:
            states = {True: "Ready", False: "NotReady", None: "unknown"}
            cut = ", partitioned" if node["partitioned"] else ""
            print(f"  {node['name']:<26} {states[node['ready']]}{cut}  {node['address']}, pods {node['pods']}")
    return 0
