"""Run by Seaway in an environment it has made: writes the exact versions of all packages, then tries the modules."""

import importlib
import importlib.metadata
import sys

packages = {f"{package.metadata['Name']}=={package.version}\n" for package in importlib.metadata.distributions()}
with open(sys.argv[1], "w", encoding="utf-8") as file:
    file.writelines(sorted(packages, key=str.lower))
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except BaseException as error:  # A module may do anything, exiting included.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"\nSEAWAY-IMPORT {name}: {reason}", flush=True)
        sys.exit(1)
