"""The static binary: no shared library, no path of this machine in it."""

import contextlib
import os
import re
import shutil
import struct
import subprocess
import threading
import time
from pathlib import Path

from testcluster.locks import locked
from testcluster.programs import tell
from testcluster.say import Failure, say

ROOT = Path(__file__).resolve().parent.parent.parent.parent
# A target folder of its own: other flags would make every other build begin anew, and wait for its lock.
TARGET = Path("target/static")
BINARY = TARGET / "seaway"
# One that is compiled in a fraction of the time, for tests; the profile of that name in Cargo.toml.
QUICK = TARGET / "seaway-quick"


def version():
    """The version of the workspace."""
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'(?ms)^\[workspace\.package\].*?^version = "([^"]+)"', text)[1]


def build(quick=False):
    """Builds the binary, if anything it is made of changed. Returns its path."""
    binary, profile = (QUICK, "quick") if quick else (BINARY, "release")
    with locked(ROOT / TARGET / f"{binary.name}.lock", "the static binary"):
        triple = host()
        began = time.monotonic()
        say(f"building {binary} ({'a few' if quick else 'many'} minutes the first time)")
        # With `--target`, flags hold for the binary and not for build scripts and macros, which cannot be static.
        command = ["cargo", "build", "--locked", "--profile", profile, "--package", "seaway", "--bin", "seaway"]
        command += ["--target", triple, "--target-dir", TARGET, "--message-format", "short"]
        with telling(str(binary)):
            done = subprocess.run(
                [*nice(), *command], cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace",
            )
        if done.returncode:
            raise Failure(f"building the static binary failed:\n{done.stdout.strip()[-3000:]}", "does `cargo build --release` pass?")
        built = ROOT / TARGET / triple / profile / "seaway"
        check(built)
        final = ROOT / binary
        part = final.with_name(f"{final.name}.part")
        shutil.copy2(built, part)
        part.replace(final)
        say(f"{binary} is ready after {time.monotonic() - began:.1f} s, {final.stat().st_size / 1e6:.1f} MB")
    return final


@contextlib.contextmanager
def telling(what):
    """Says every half minute that it still goes on."""
    done = threading.Event()
    threading.Thread(target=tell, args=(what, time.monotonic(), done), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def nice():
    return ["nice"] if shutil.which("nice") else []


def host():
    try:
        text = subprocess.run(["rustc", "-vV"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure("Rust is needed to build the binary, and `rustc` does not work", "https://rustup.rs") from error
    triple = re.search(r"(?m)^host: (\S+)$", text)[1]
    if "-linux-" not in triple:
        raise Failure(f"images are for Linux, and this is {triple}")
    return triple


def environment():
    """The environment of the build: static, and without this machine's paths in messages of the program."""
    places = {cargo_home(): "/cargo", ROOT: "/seaway"}
    flags = ["-C", "target-feature=+crt-static", *(f"--remap-path-prefix={place}={name}" for place, name in places.items())]
    values = {name: value for name, value in os.environ.items() if name not in ("RUSTFLAGS", "CARGO_BUILD_TARGET")}
    values["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(flags)
    values["CARGO_TERM_COLOR"] = "never"
    return values


def cargo_home():
    return Path(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")).absolute()


def check(binary):
    """The binary must run in an empty image, and tell nobody where it was built."""
    content = binary.read_bytes()
    if interpreter(content):
        raise Failure(
            f"{binary.relative_to(ROOT)} is not static: it asks for a dynamic loader",
            "is the C library there for static linking (on Debian: the package libc6-dev)?",
        )
    for place in (str(cargo_home()), str(ROOT), os.path.expanduser("~")):
        # `/` and `/root` stand in many texts without meaning this machine.
        if place.count("/") >= 2 and place.encode() in content:
            raise Failure(f"{binary.relative_to(ROOT)} contains the path {place}", "does a dependency write it down? See `strings`.")


def interpreter(content):
    """Whether an ELF program of 64 bits, little-endian, names a dynamic loader."""
    if content[:6] != b"\x7fELF\x02\x01":
        raise Failure("the binary is not an ELF program of 64 bits")
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    return any(struct.unpack_from("<I", content, table + size * index)[0] == 3 for index in range(count))
