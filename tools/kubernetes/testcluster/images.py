"""Images made by hand: a docker-archive with one layer, without a registry, a daemon or a build."""

import hashlib
import io
import json
import platform
import subprocess
import tarfile

PAUSE = "seaway.test/pause:1"
BUSYBOX = "seaway.test/busybox:1"
COREDNS = "seaway.test/coredns:1"


def add(archive, name, content=None, mode=0o644, target=None):
    """A file, a link when `target` is given, or a folder."""
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if target:
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        archive.addfile(entry)
    elif content is None:
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
    else:
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def archive(tags, layer, command, entrypoint=()):
    """The bytes of a docker-archive with the tar `layer`."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    settings = {
        "architecture": machine,
        "os": "linux",
        "config": {"Cmd": list(command), "Entrypoint": list(entrypoint), "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": list(tags), "Layers": ["layer.tar"]}]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as outer:
        add(outer, "config.json", json.dumps(settings).encode())
        add(outer, "layer.tar", layer)
        add(outer, "manifest.json", json.dumps(manifest).encode())
    return made.getvalue()


def busybox_layer(busybox):
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as layer:
        for folder in ("bin", "etc", "root"):
            add(layer, folder, mode=0o755)
        add(layer, "tmp", mode=0o1777)
        add(layer, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        add(layer, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        add(layer, "bin/busybox", busybox.read_bytes(), 0o755)
        for applet in applets:
            # The list names `busybox` too, which must not become a link to itself.
            if applet != "busybox":
                add(layer, f"bin/{applet}", target="busybox")
    return made.getvalue()


def coredns_layer(coredns):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as layer:
        add(layer, "coredns", coredns.read_bytes(), 0o755)
    return made.getvalue()


def own_images(programs):
    """The archives that every node gets."""
    layer = busybox_layer(programs["busybox"])
    yield archive([PAUSE], layer, ["/bin/sleep", "2147483647"])
    yield archive([BUSYBOX], layer, ["/bin/sh"])
    yield archive([COREDNS], coredns_layer(programs["coredns"]), [], ["/coredns"])
