"""Runs a command in a pseudo terminal, as a person would, and prints a JSON object with what happened.

Arguments: the steps as JSON, then the command. Steps: `{"expect": REGEX}`, `{"send": TEXT}`, `{"hang up": true}` (the
terminal goes away), `{"touch": PATH}` (tells another that it has come this far). At the end the command must end by itself.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
PATIENCE = 120

pid, master = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    os.execv(command[0], command)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))

output, seen = "", 0


def read(deadline):
    """Reads what there is; `False` when there will be no more."""
    global output
    ready, _, _ = select.select([master], [], [], max(0.0, min(1.0, deadline - time.monotonic())))
    if not ready:
        return True
    try:
        data = os.read(master, 65536)
    except OSError:
        return False
    output += data.decode(errors="replace")
    return bool(data)


def fail(why):
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    sys.exit(f"{why}; the terminal shows:\n{output}")


for step in steps:
    deadline = time.monotonic() + PATIENCE
    if "expect" in step:
        while not (found := re.search(step["expect"], output[seen:])):
            if not read(deadline):
                fail(f"the command ended before {step['expect']!r}")
            if time.monotonic() > deadline:
                fail(f"no {step['expect']!r}")
        seen += found.end()
    elif "send" in step:
        os.write(master, step["send"].encode())
    elif "touch" in step:
        open(step["touch"], "w").close()
    else:
        os.close(master)
        master = None

deadline = time.monotonic() + PATIENCE
while True:
    if master is not None:
        read(deadline)
    else:
        time.sleep(0.02)
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    if time.monotonic() > deadline:
        fail("the command does not end")
# What it wrote last may still be in the terminal.
while master is not None and read(time.monotonic() + 0.1) and select.select([master], [], [], 0)[0]:
    pass
code = os.waitstatus_to_exitcode(status)
print(json.dumps({"code": code, "output": output}))
