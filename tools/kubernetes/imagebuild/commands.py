"""The commands of `tools/images`."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from testcluster.locks import locked
from testcluster.programs import Packaged, cache, cached, in_path
from testcluster.say import Failure, say

from . import base, binary, builder

PROGRAMS = {"buildah": "usr/bin/buildah", "debootstrap": "usr/sbin/debootstrap"}
PACKAGES = Packaged("builder", PROGRAMS, fits=r"buildah version 1\.(2[4-9]|[3-9]\d)\.", packages=tuple(PROGRAMS))
# How many archives of an image are kept; older ones are deleted when a new one is made.
KEPT = 3


def place():
    return cache() / "images"


def archive_of(name, base_key, quick=False):
    return place() / f"{builder.reference(name).replace(':', '-')}-{builder.key(name, base_key, quick)}.tar"


def base_archive():
    return place() / f"base-{base.recipe()}.tar"


def base_key(arguments):
    """What stands for the base: the content of a given one, the recipe of ours."""
    if not arguments.base:
        return base.recipe()
    try:
        return base.digest(arguments.base)
    except OSError as error:
        raise Failure(f"the base {arguments.base}: {error.strerror}", "`docker save IMAGE -o FILE` writes one") from error


def chosen(given):
    """The images of these names, with or without `seaway-` before them; all when there are none."""
    known = builder.names()
    names = list(dict.fromkeys(name.removeprefix("seaway-") for name in given)) or known
    for name in names:
        if name not in known:
            raise Failure(f"there is no image `{name}`", f"there are {', '.join(known)}")
    return names


def build_command(arguments):
    names = chosen(arguments.names)
    check_requirements()
    if any(builder.uses_binary(name) for name in names):
        binary.build(arguments.quick)
    builder.put_programs(names)
    standing = base_key(arguments)
    archives = {name: archive_of(name, standing, arguments.quick) for name in names}
    if missing := [name for name in names if not archives[name].exists()]:
        with locked(cache() / "images.lock", "the images"):
            make([name for name in missing if not archives[name].exists()], archives, arguments)
    for archive in archives.values():
        # What is used is kept longer.
        os.utime(archive)
    for name, archive in archives.items():
        print(put(archive, builder.reference(name), arguments.into) if arguments.into else archive)
    return 0


def make(names, archives, arguments):
    given = arguments.base
    if os.geteuid() != 0:
        raise Failure(
            "building images needs root here, for a folder to become a root file system",
            "run it as root, or use the Dockerfiles with docker or podman (docs/images.md)",
        )
    place().mkdir(parents=True, exist_ok=True)
    # What a killed run left; the lock is ours now.
    for left in place().glob("part-*"):
        delete(left)
    buildah = in_path(PACKAGES, "buildah") or cached(PACKAGES, ["buildah"])["buildah"]
    with folder() as part:
        if not given and not base_archive().exists():
            debootstrap = cached(PACKAGES, ["debootstrap"])["debootstrap"]
            base.bootstrap(debootstrap, part, base_archive())
        store = builder.Store(buildah, part)
        for name in names:
            began = time.monotonic()
            reference = builder.reference(name)
            say(f"building {reference}")
            with binary.telling(reference):
                store.build(name, Path(given).absolute() if given else base_archive(), archives[name], arguments.quick)
            say(f"built {reference} in {time.monotonic() - began:.0f} s, {archives[name].stat().st_size / 1e6:.0f} MB")
            forget(reference)


@contextlib.contextmanager
def folder():
    part = Path(tempfile.mkdtemp(prefix="part-", dir=place()))
    try:
        yield part
    finally:
        delete(part)


def delete(part):
    # A store has a hundred thousand files, for which Python takes minutes. Mounts ended with their commands.
    subprocess.run(["rm", "-rf", "--one-file-system", part], stderr=subprocess.DEVNULL, check=False)


def forget(reference):
    """Deletes all but the archives of an image, of whatever version, that were used last."""
    name = reference.split(":")[0]
    found = [file for file in place().glob("*.tar") if re.fullmatch(rf"{re.escape(name)}-\d.*", file.name)]
    for file in sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)[KEPT:]:
        file.unlink(missing_ok=True)


def put(archive, reference, into):
    """Puts an archive into a folder, as NAME-VERSION.tar; without a copy where the disk is the same."""
    target = Path(into).absolute() / f"{reference.replace(':', '-')}.tar"
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(archive, part)
        except OSError:
            shutil.copyfile(archive, part)
        part.replace(target)
        # Two names of the same file: `replace` leaves both.
        part.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{target}: {error.strerror}") from error
    return target


def list_command(arguments):
    check_requirements()
    standing = base_key(arguments)
    for name in builder.names():
        if builder.uses_binary(name) and not (binary.ROOT / binary.BINARY).exists():
            archive = None
        elif any(not (binary.ROOT / path).exists() for path in builder.programs_in(name)):
            archive = None
        else:
            archive = archive_of(name, standing)
        if archive and archive.exists():
            print(f"{builder.reference(name):24} {archive.stat().st_size / 1e6:6.0f} MB  {archive}")
        else:
            print(f"{builder.reference(name):24} not built")
    return 0


def binary_command(_):
    print(binary.build())
    return 0


def check_requirements():
    """The Dask image must have what Seaway installs on a machine."""
    engine = binary.ROOT / "crates/seaway-engines/src/dask.rs"
    match = re.search(r"(?s)const REQUIREMENTS: .*? = \[(.*?)\];", engine.read_text(encoding="utf-8"))
    wanted = re.findall(r'"([^"]+)"', match[1]) if match else []
    file = builder.FOLDER / "dask/requirements.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if found != wanted:
        raise Failure(
            f"images/dask/requirements.txt says {', '.join(found)}, and crates/seaway-engines/src/dask.rs {', '.join(wanted) or 'nothing'}",
            "change the one that is out of date",
        )
