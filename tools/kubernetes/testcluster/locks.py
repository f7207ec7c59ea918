"""Locks between processes. The kernel frees them when their holder ends, however it ends."""

import contextlib
import fcntl
import os
import time

from .say import say


@contextlib.contextmanager
def locked(path, what, remove=False):
    """Holds the lock file `path`; says after a second for `what` it waits. `remove` deletes the file at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = take(path, what)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(file)


def take(path, what):
    began = time.monotonic()
    said = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not said and time.monotonic() - began > 1:
                    say(f"waiting for {what}, which another process is busy with")
                    said = True
                time.sleep(0.05)
        # Its last holder may have deleted the file between `open` and `flock`: then the lock is nobody's.
        try:
            if os.fstat(file).st_ino == os.stat(path).st_ino:
                return file
        except FileNotFoundError:
            pass
        os.close(file)
