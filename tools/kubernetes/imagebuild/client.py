"""This machine's settings for pip, as build secrets: they stand in no layer and no history of an image."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

from testcluster.folder import write_private

# What matters for reaching an index. Places on this machine's disk mean nothing inside a build.
SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "find-links")
BUNDLE = "/run/secrets/certificates.pem"


def secrets(part):
    """The options for buildah, and the files they need in the folder `part`."""
    settings = configured()
    kept = {key: reachable(settings[key]) for key in SETTINGS if settings.get(key)}
    certificates = next(
        (
            path
            for path in (settings.get("cert"), os.environ.get("REQUESTS_CA_BUNDLE"), os.environ.get("CURL_CA_BUNDLE"))
            if path and Path(path).is_file()
        ),
        None,
    )
    options = []
    if certificates:
        kept["cert"] = BUNDLE
        options.append(f"--secret=id=certificates.pem,src={Path(certificates).resolve()}")
    lines = "".join(f"{key} = {value}\n" for key, value in kept.items() if value)
    # An index's address may carry a password.
    write_private(part / "pip.conf", f"[global]\n{lines}")
    return [f"--secret=id=pip.conf,src={part / 'pip.conf'}", *options]


def configured():
    """pip's settings by name: those of its files, then those of the environment, which count more."""
    found = {}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        listed = done.stdout if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        listed = ""
    for section, key, value in re.findall(r"(?m)^(global|install)\.([a-z-]+)=(.*)$", listed):
        try:
            found[key] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return found


def reachable(value):
    """The words of a setting that are not paths of this machine."""
    return " ".join(word for word in value.split() if not word.startswith(("/", ".", "~", "file:")))
