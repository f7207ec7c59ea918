"""A cluster with nodes: what runs in each node, and the order in which all starts."""

import datetime
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path

from . import control, host
from .api import Api, write_kubeconfig
from .images import COREDNS, PAUSE, own_images
from .processes import ENTER, environment, launch, running, wait_until
from .say import Failure, say

SOCKET = "/run/containerd/containerd.sock"
MANIFESTS = Path(__file__).resolve().parent.parent / "coredns.json"
# The paths of sockets have at most 107 letters; the longest of the kubelet's takes 41 of them below the folder.
LONGEST = 66
# Connections that a partition cut are given up after 8 s instead of 45.
RECONNECT = {"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "3"}


def start_full(cluster, programs, arguments):
    if not 1 <= arguments.nodes <= host.MOST_NODES:
        raise Failure(f"--nodes {arguments.nodes}: 1 to {host.MOST_NODES} can be had")
    for what, place in (("the clusters' folder", cluster.folder), ("the programs", programs["kubelet"])):
        if str(place.resolve()).startswith("/run/"):
            raise Failure(f"{what} cannot be in /run ({place}): nodes have a /run of their own", "set SEAWAY_CLUSTERS or SEAWAY_PROGRAMS")
    if len(str(cluster.folder)) > LONGEST:
        raise Failure(
            f"the cluster's folder is called {cluster.folder}: {len(str(cluster.folder))} letters; {LONGEST} are the most, for the kubelet's sockets",
            "set SEAWAY_CLUSTERS to a shorter path",
        )
    cluster.record.update({"mode": "full", "with": [control.CONTROLLERS, control.SCHEDULER]})
    host.allocate(cluster, arguments.nodes)
    record = cluster.record
    control.choose_ports(cluster)
    # A node that says nothing for this long is NotReady; nodes report every 2 s (see the lease in the kubelet's settings).
    record["controller-flags"] = [
        f"--cluster-cidr={record['pods']}", f"--service-cluster-ip-range={record['services']}",
        "--node-monitor-period=1s", f"--node-monitor-grace-period={arguments.grace}s",
    ]
    others = [(("kube-proxy", "system:kube-proxy"), {})]
    for node in record["nodes"]:
        issued = {"addresses": [node["address"]], "names": [node["name"]], "usage": "clientAuth,serverAuth"}
        others.append(((node["name"], f"system:node:{node['name']}", ["system:nodes"]), issued))
    control.make_certificates(cluster, others)
    write_kubeconfig(cluster, cluster.folder / "kube-proxy.kubeconfig", "kube-proxy", inline=False)
    control.describe(cluster, programs)
    for node in record["nodes"]:
        describe(cluster, node, programs)
    cluster.save()

    # The nodes' containerd and its images need no API server: they start while it does.
    problems = []
    stopped = threading.Event()
    early = threading.Thread(target=prepare, args=(cluster, programs, problems, stopped))
    early.start()
    try:
        control.start(cluster, programs)
    except BaseException:
        stopped.set()
        raise
    finally:
        early.join()
    if problems:
        raise problems[0]
    for node in record["nodes"]:
        start_kubelet(cluster, node)
    create_dns(cluster)
    for node in record["nodes"]:
        wait_ready(cluster, node)
    say(f"{len(record['nodes'])} node{'s' if len(record['nodes']) > 1 else ''} ready")
    api = Api(cluster)
    watched = [f"kubelet@{node['name']}" for node in record["nodes"]]
    wait_until(cluster, "cluster DNS to be ready", lambda: dns_ready(api, len(record["nodes"])), 90, watched)
    control.wait_for(cluster, control.CONTROLLERS)


def prepare(cluster, programs, problems, stopped):
    nodes = cluster.record["nodes"]
    try:
        for node in nodes:
            if not stopped.is_set():
                start_node(cluster, node)
        for data in own_images(programs):
            for node in nodes:
                if not stopped.is_set():
                    load(cluster, node, data)
    except BaseException as error:  # told by the thread that waits for this one
        problems.append(error)


def inside(cluster, node, command, **options):
    """Runs a command in a node's namespaces."""
    process = cluster.record["processes"].get(node["name"])
    if not running(process):
        raise Failure(f"{node['name']} is not running", f"`tools/cluster start {node['name']}`")
    path = cluster.record["components"][f"containerd@{node['name']}"]["path"]
    return subprocess.run(
        [sys.executable, "-IS", ENTER, str(process["pid"]), *command], env=environment(cluster, path), check=False, **options
    )


def describe(cluster, node, programs):
    """Writes the settings of a node's components, and records how they are started."""
    record, files = cluster.record, cluster.certificates
    name = node["name"]
    folder = cluster.folder / name
    # CNI's settings must be there before containerd starts.
    (folder / "cni").mkdir(parents=True)
    (folder / "cni/10-seaway.conflist").write_text(json.dumps({
        "cniVersion": "0.4.0",
        "name": "seaway",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": node["pods"]}]], "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }, indent=1) + "\n", encoding="utf-8")
    (folder / "containerd.toml").write_text(f"""version = 2
root = "{folder}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Without CAP_SYS_RESOURCE every pod would fail.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    # How registries are reached and trusted; read at each pull.
    config_path = "{folder}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{programs["cni-plugins"]}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
""", encoding="utf-8")
    settings = {
        "kubelet": {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "0.0.0.0",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(files / "ca.crt")}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(files / f"{name}.crt"),
            "tlsPrivateKeyFile": str(files / f"{name}.key"),
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "cgroupDriver": "cgroupfs",
            # No groups for classes of service, which would be the same for all nodes; limits of containers still hold.
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            # It needs those groups: without them, Kubernetes 1.34's kubelet crashes when a pod ends at a certain moment.
            "featureGates": {"InPlacePodVerticalScaling": False},
            "failSwapOn": False,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"},
            # Images that were loaded by hand cannot be pulled again.
            "imageGCHighThresholdPercent": 100,
            "clusterDomain": "cluster.local",
            "clusterDNS": [record["dns"]],
            "resolvConf": "/dev/null",
            "nodeLeaseDurationSeconds": 8,
            "nodeStatusUpdateFrequency": "2s",
            "podLogsDir": f"{folder}/pods",
            "volumePluginDir": f"{folder}/plugins",
            "shutdownGracePeriod": "0s",
        },
        "kube-proxy": {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "hostnameOverride": name,
            "clusterCIDR": record["pods"],
            "bindAddress": "0.0.0.0",
            "healthzBindAddress": "0.0.0.0:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "clientConnection": {"kubeconfig": str(cluster.folder / "kube-proxy.kubeconfig")},
            "iptables": {"minSyncPeriod": "0s"},
            # These settings of the kernel may be read-only.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        },
    }
    for program, values in settings.items():
        (folder / f"{program}.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    write_kubeconfig(cluster, folder / "kubelet.kubeconfig", name, inline=False)
    path = f"{programs['containerd'].parent}:{os.defpath}:/usr/sbin:/sbin"
    components = record["components"]
    components[name] = {"holder": True, "command": []}
    components[f"containerd@{name}"] = {
        "node": name, "path": path, "command": [str(programs["containerd"]), "--config", str(folder / "containerd.toml")],
    }
    components[f"kubelet@{name}"] = {
        "node": name, "path": path, "environment": RECONNECT,
        "command": [
            str(programs["kubelet"]), f"--config={folder}/kubelet.json", f"--kubeconfig={folder}/kubelet.kubeconfig",
            f"--hostname-override={name}", f"--node-ip={node['address']}", f"--root-dir={folder}/kubelet",
        ],
    }
    components[f"kube-proxy@{name}"] = {
        "node": name, "path": path, "environment": RECONNECT,
        "command": [str(programs["kube-proxy"]), f"--config={folder}/kube-proxy.json"],
    }


def start_node(cluster, node):
    """Makes a node's namespaces and network, and starts containerd there."""
    name, link = node["name"], node["link"]
    # What a loss of power left: the kubelet would wait seconds for each container that is not there any more.
    for folder in host.group_folders(cluster, [node]):
        host.remove_group(folder)
    launch(cluster, name)
    host.ip("link", "delete", link, check=False)
    process = cluster.record["processes"][name]
    host.ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(process["pid"]))
    host.ip("link", "set", link, "master", host.bridge(cluster), "up")
    node["partitioned"] = False
    others = [other for other in cluster.record["nodes"] if other is not node]
    # No way out of the machine: what is not known is unreachable at once. Services have a route so that the node's own
    # packets to them get as far as kube-proxy's rules.
    script = [
        "ip link set lo up",
        f"ip address add {node['address']}/24 dev eth0",
        "ip link set eth0 up",
        f"ip route add {cluster.record['services']} dev eth0",
        *(f"ip route add {other['pods']} via {other['address']}" for other in others),
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        # Else answers between pods of one node pass by kube-proxy's rules. The file is missing where it is always so.
        "for file in /proc/sys/net/bridge/bridge-nf-call-iptables; do [ ! -e $file ] || echo 1 > $file; done",
    ]
    done = inside(cluster, node, ["/bin/sh", "-ec", "\n".join(script)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failure(f"the network of {name} cannot be set up: {done.stderr.strip()}")
    cluster.save()
    launch(cluster, f"containerd@{name}")
    wait_for(cluster, f"containerd@{name}")


def start_kubelet(cluster, node):
    launch(cluster, f"kubelet@{node['name']}")
    launch(cluster, f"kube-proxy@{node['name']}")


def load(cluster, node, data):
    """Imports a docker-archive: bytes or an open file."""
    command = ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import", "-"]
    given = {"input": data} if isinstance(data, bytes) else {"stdin": data}
    done = inside(cluster, node, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **given)
    if done.returncode:
        raise Failure(f"the image cannot be imported into {node['name']}: {done.stdout.decode(errors='replace').strip()[-1000:]}")
    return done.stdout.decode(errors="replace")


def create_dns(cluster):
    values = {"{replicas}": min(2, len(cluster.record["nodes"])), "{image}": COREDNS, "{address}": cluster.record["dns"]}
    text = MANIFESTS.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(json.dumps(name), json.dumps(value))
    api = Api(cluster)
    for manifest in json.loads(text):
        api.create(manifest["path"], manifest["body"])


def dns_ready(api, nodes):
    status = api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")["status"]
    return status.get("readyReplicas", 0) >= min(2, nodes)


def wait_ready(cluster, node, since=""):
    """Waits until a node is Ready, and has reported itself after `since`: before, what is known of it is old."""
    api = Api(cluster)
    name = node["name"]

    def ready():
        if since and api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")["spec"]["renewTime"] < since:
            return False
        status = api.get(f"/api/v1/nodes/{name}")["status"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))

    wait_until(cluster, f"{name} to be Ready", ready, 90, [f"containerd@{name}", f"kubelet@{name}", f"kube-proxy@{name}"])


def ask(cluster, node, port, path, secured):
    """What a component of a node answers; None when it says that something is wrong."""
    if secured:
        context = ssl.create_default_context(cafile=cluster.certificates / "ca.crt")
        context.load_cert_chain(cluster.certificates / "kubelet-client.crt", cluster.certificates / "kubelet-client.key")
        connection = http.client.HTTPSConnection(node["address"], port, timeout=2, context=context)
    else:
        connection = http.client.HTTPConnection(node["address"], port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def kubelet_works(cluster, node):
    """Whether the kubelet is healthy and knows the node's pods: before that it answers `exec` as if there were none."""
    if ask(cluster, node, 10250, "/healthz", True) is None:
        return False
    try:
        wanted = Api(cluster).get(f"/api/v1/pods?fieldSelector=spec.nodeName={node['name']}")["items"]
    except OSError:
        return True  # without the API server it learns of none
    known = {pod["metadata"]["uid"] for pod in json.loads(ask(cluster, node, 10250, "/pods", True) or b"{}").get("items") or []}
    return all(pod["metadata"]["uid"] in known for pod in wanted if pod["status"].get("phase") in ("Pending", "Running"))


def wait_for(cluster, name, seconds=60):
    """Waits until a component of a node works."""
    program, _, place = name.partition("@")
    node = node_of(cluster, place)
    version = ["ctr", "--address", SOCKET, "--connect-timeout", "1s", "version"]
    checks = {
        "containerd": lambda: inside(cluster, node, version, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0,
        "kubelet": lambda: kubelet_works(cluster, node),
        "kube-proxy": lambda: ask(cluster, node, 10256, "/healthz", False) is not None,
    }
    wait_until(cluster, f"{name} to answer", checks[program], seconds, [name])


def node_of(cluster, name):
    for node in cluster.record["nodes"]:
        if node["name"] == name:
            return node
    known = ", ".join(node["name"] for node in cluster.record["nodes"]) or "none: it is a control plane only"
    raise Failure(f"the cluster `{cluster.name}` has no node `{name}`", f"its nodes: {known}")


def start_component(cluster, name, no_wait):
    """Starts a component of a node, or a whole node again."""
    if not cluster.record["components"][name].get("holder"):
        launch(cluster, name)
        if not no_wait:
            wait_for(cluster, name)
        return
    node = node_of(cluster, name)
    since = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    start_node(cluster, node)
    start_kubelet(cluster, node)
    if not no_wait:
        for program in ("kubelet", "kube-proxy"):
            wait_for(cluster, f"{program}@{name}")
        wait_ready(cluster, node, since)


def connect(cluster, node, up):
    """Ends or begins a partition: the node's link, as if its cable were pulled."""
    host.ip("link", "set", node["link"], "up" if up else "down")
    node["partitioned"] = not up
    cluster.save()
