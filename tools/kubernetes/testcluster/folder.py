"""The folder of a cluster, and the record in it: all that is needed to look after the cluster and to remove it."""

import json
import os
import re
import threading
from pathlib import Path

from .locks import locked
from .say import Failure


def clusters():
    """Where the clusters of this user are."""
    place = os.environ.get("SEAWAY_CLUSTERS")
    if not place:
        place = os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "seaway-clusters")
    return Path(place).absolute()


def existing():
    """The names of the clusters that have a folder."""
    place = clusters()
    return sorted(entry.name for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith(".")) if place.is_dir() else []


class Cluster:
    """A cluster by its name. Things are recorded before they are made, so that `down` knows of half-made ones too."""

    def __init__(self, name):
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", name):
            raise Failure(f"`{name}` cannot be a cluster's name", "take at most 30 of a-z, 0-9 and -, beginning and ending with a letter or digit")
        self.name = name
        self.folder = clusters() / name
        self.certificates = self.folder / "certificates"
        self.logs = self.folder / "logs"
        self.kubeconfig = self.folder / "kubeconfig"
        self.saving = threading.RLock()
        self.record = {}

    def lock(self):
        """One command at a time changes a cluster. The file is not in the folder, which comes and goes."""
        clusters().mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(clusters() / f".{self.name}.lock", f"the cluster `{self.name}`", remove=True)

    def exists(self):
        return self.folder.is_dir()

    def load(self):
        """Reads the record; without one, what can be known without it."""
        try:
            self.record = json.loads((self.folder / "cluster.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.record = {"name": self.name, "complete": False}
        for key in ("components", "processes", "ports"):
            self.record.setdefault(key, {})
        self.record.setdefault("nodes", [])
        return self

    def need(self):
        if not self.exists():
            raise Failure(f"there is no cluster `{self.name}`", f"`tools/cluster up --name {self.name}` starts one")
        return self.load()

    def save(self):
        with self.saving:
            file = self.folder / "cluster.json"
            part = self.folder / "cluster.json.part"
            part.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")
            part.replace(file)

    def create(self):
        self.folder.mkdir(mode=0o700)
        self.load()
        self.save()
        self.certificates.mkdir()
        self.logs.mkdir()

    def full(self):
        return self.record.get("mode") == "full"


def write_private(path, text):
    """Writes a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
