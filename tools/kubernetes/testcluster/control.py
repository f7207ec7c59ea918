"""The control plane: etcd, the API server, and on request the controllers and the scheduler. All run on the host."""

import random
import shutil
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from .api import Api, write_kubeconfig
from .certificates import Authority, make_key, openssl
from .down import stop_components
from .processes import launch, wait_until
from .say import Failure, say

ETCD, SERVER = "etcd", "kube-apiserver"
CONTROLLERS, SCHEDULER = "kube-controller-manager", "kube-scheduler"
# Below those which the kernel hands out by itself: a port stays free while its server is down, for `start`.
PORTS = range(20000, 30000)


def free_ports(count, address):
    found = []
    for _ in range(1000):
        port = random.choice(PORTS)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((address, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
        if len(found) == count:
            return found
    raise Failure(f"no free port between {PORTS.start} and {PORTS.stop} on {address}")


def make_certificates(cluster, others=()):
    """`others`: more certificates, as arguments of `Authority.issue`."""
    folder = cluster.certificates
    authority, store = Authority(folder), Authority(folder, "etcd-ca")
    services = cluster.record["services"].rsplit(".", 2)[0]
    names = [".".join(["kubernetes", "default", "svc", "cluster", "local"][:count]) for count in (1, 2, 3, 5)]
    addresses = dict.fromkeys(["127.0.0.1", cluster.record["address"], f"{services}.0.1"])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.create(), (authority, store)))
        jobs = [
            pool.submit(authority.issue, "server", "kube-apiserver", addresses=addresses, names=[*names, "localhost"], usage="serverAuth"),
            pool.submit(authority.issue, "admin", "admin", ["system:masters"]),
            pool.submit(authority.issue, "kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"]),
            # etcd has an authority of its own: whoever has a client certificate of the cluster must not read its store.
            pool.submit(store.issue, "etcd", "etcd", addresses=["127.0.0.1"], names=["localhost"], usage="serverAuth,clientAuth"),
            pool.submit(make_key, folder / "accounts.key"),
        ]
        for program in (CONTROLLERS, SCHEDULER):
            jobs.append(pool.submit(authority.issue, program, f"system:{program}"))
        jobs += [pool.submit(authority.issue, *arguments[0], **arguments[1]) for arguments in others]
        for job in jobs:
            job.result()
    openssl("pkey", "-in", folder / "accounts.key", "-pubout", "-out", folder / "accounts.pub")


def write_kubeconfigs(cluster):
    write_kubeconfig(cluster, cluster.kubeconfig, "admin")
    for program in (CONTROLLERS, SCHEDULER):
        write_kubeconfig(cluster, cluster.folder / f"{program}.kubeconfig", program, inline=False)


def choose_ports(cluster):
    store, peer = free_ports(2, "127.0.0.1")
    (server,) = free_ports(1, cluster.record["address"])
    cluster.record["ports"] = {"etcd": store, "etcd-peer": peer, "kube-apiserver": server}
    cluster.record["server"] = f"https://{cluster.record['address']}:{server}"


def describe(cluster, programs):
    """Records how the components of the control plane are started."""
    record, folder, files = cluster.record, cluster.folder, cluster.certificates
    ports = record["ports"]
    peer = f"https://127.0.0.1:{ports['etcd-peer']}"
    client = f"https://127.0.0.1:{ports['etcd']}"
    components = record["components"]
    components[ETCD] = {
        "command": [
            str(programs["etcd"]), "--name=default", f"--data-dir={folder}/etcd", "--log-level=warn",
            # Data of tests need not survive the machine; without this every write waits for the disk.
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}", "--client-cert-auth",
            f"--trusted-ca-file={files}/etcd-ca.crt", f"--cert-file={files}/etcd.crt", f"--key-file={files}/etcd.key",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--peer-client-cert-auth", f"--peer-trusted-ca-file={files}/etcd-ca.crt",
            f"--peer-cert-file={files}/etcd.crt", f"--peer-key-file={files}/etcd.key",
        ],
    }
    if cluster.full():
        own = []
    else:
        # No pod comes to the API server here, so `kubernetes.default` needs no address, which could not be a loopback one.
        own = ["--endpoint-reconciler-type=none"]
        if CONTROLLERS not in record["with"]:
            # Nobody makes the service accounts that this plugin looks for. It would refuse every pod.
            own.append("--disable-admission-plugins=ServiceAccount")
    components[SERVER] = {
        "command": [
            str(programs[SERVER]),
            f"--etcd-servers={client}", f"--etcd-cafile={files}/etcd-ca.crt", f"--etcd-certfile={files}/etcd.crt", f"--etcd-keyfile={files}/etcd.key",
            f"--bind-address={record['address']}", f"--advertise-address={record['address']}", f"--secure-port={ports[SERVER]}",
            f"--tls-cert-file={files}/server.crt", f"--tls-private-key-file={files}/server.key", f"--client-ca-file={files}/ca.crt",
            f"--kubelet-certificate-authority={files}/ca.crt",
            f"--kubelet-client-certificate={files}/kubelet-client.crt", f"--kubelet-client-key={files}/kubelet-client.key",
            # Else `exec` and `logs` look for the node by its name.
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={files}/accounts.pub", f"--service-account-signing-key-file={files}/accounts.key",
            f"--service-cluster-ip-range={record['services']}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", *own,
        ],
    }
    if CONTROLLERS in record["with"]:
        components[CONTROLLERS] = {
            "command": [
                str(programs[CONTROLLERS]), f"--kubeconfig={folder}/{CONTROLLERS}.kubeconfig", "--use-service-account-credentials",
                f"--service-account-private-key-file={files}/accounts.key", f"--root-ca-file={files}/ca.crt",
                f"--cluster-signing-cert-file={files}/ca.crt", f"--cluster-signing-key-file={files}/ca.key",
                # One only, so there is nobody to elect; port 0: nobody asks it anything.
                "--leader-elect=false", "--secure-port=0",
                # Each controller asks for a token first; at the usual rate that takes five seconds.
                "--kube-api-qps=500", "--kube-api-burst=1000",
                # Else it makes this folder below /usr.
                f"--flex-volume-plugin-dir={folder}/plugins",
                *record.get("controller-flags", []),
            ],
        }
    if SCHEDULER in record["with"]:
        components[SCHEDULER] = {
            "command": [str(programs[SCHEDULER]), f"--kubeconfig={folder}/{SCHEDULER}.kubeconfig", "--leader-elect=false", "--secure-port=0"],
        }


def etcd_answers(cluster):
    files = cluster.certificates
    context = ssl.create_default_context(cafile=files / "etcd-ca.crt")
    context.load_cert_chain(files / "etcd.crt", files / "etcd.key")
    with socket.create_connection(("127.0.0.1", cluster.record["ports"]["etcd"]), timeout=2) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            secured.sendall(b"GET /health HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := secured.recv(4096):
                answer += part
    return b'"health":"true"' in answer


def controllers_work(api):
    """The first thing they do that can be seen: every namespace gets a service account and the authority's certificate."""
    account = api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0]
    return account == 200 and api.request("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")[0] == 200


def wait_for(cluster, name, seconds=60):
    """Waits until a component of the control plane works."""
    api = Api(cluster)
    if name == ETCD:
        wait_until(cluster, "etcd to answer", lambda: etcd_answers(cluster), seconds, [ETCD])
    elif name == SERVER:
        wait_until(cluster, "the API server to be ready", api.ready, seconds, [SERVER])
    elif name == CONTROLLERS:
        wait_until(cluster, "the controllers to work", lambda: controllers_work(api), seconds, [CONTROLLERS])


def start(cluster, programs):
    """Starts etcd and the API server, then what else is wanted of the control plane."""
    for again in (True, True, False):
        with cluster.saving:
            describe(cluster, programs)
            cluster.save()
        write_kubeconfigs(cluster)
        try:
            launch(cluster, ETCD)
            wait_for(cluster, ETCD)
            launch(cluster, SERVER)
            wait_for(cluster, SERVER)
            break
        except Failure as failure:
            # Another process took the port between the look and the start. With nodes, all have been told the port already.
            if not again or cluster.full() or "address already in use" not in str(failure):
                raise
            say("a port was taken by another process; trying others")
            stop_components(cluster, keep="watchdog")
            shutil.rmtree(cluster.folder / "etcd", ignore_errors=True)
            choose_ports(cluster)
    say(f"the API server is ready: {cluster.record['server']}")
    for name in (CONTROLLERS, SCHEDULER):
        if name in cluster.record["components"]:
            launch(cluster, name)
