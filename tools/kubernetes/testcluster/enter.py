"""A node's namespaces: making them, and starting programs in them. A program of its own, as it changes itself.

    enter.py --hold NAME                 makes them; their first process keeps them. Prints its id.
    enter.py --detach PID COMMAND...     starts a command there, in the background. Prints its id.
    enter.py PID COMMAND...              runs a command there and ends as it does.

A node has process ids, network, mounts and a host name of its own. All its processes die with the first one, and with
the last one go all its mounts, links, addresses and rules: there is nothing left to be cleaned up.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE, MS_SHARED = 0x4000, 1 << 18, 1 << 20
# Places that programs write to whatever their settings say: containerd's sockets, CNI's cache, the kubelet's sockets for
# devices and its links to logs.
OWN = ("/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def mount(source, target, kind, flags=0):
    call("mount", source.encode(), target.encode(), kind.encode(), flags, None)


def hold(name):
    call("unshare", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNET)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(2, 1)
        # First away from the host's mounts, then shared among ourselves, as volumes with mount propagation need it.
        mount("none", "/", "none", MS_REC | MS_PRIVATE)
        mount("none", "/", "none", MS_REC | MS_SHARED)
        mount("proc", "/proc", "proc")
        for place in OWN:
            mount("seaway", place, "tmpfs")
        for place in ("/run/lock", "/run/netns"):
            os.mkdir(place)
        call("sethostname", name.encode(), len(name))
        os.write(writing, b"ready")
        os.close(writing)
        # A shell as the first process: it collects ended processes that lost their parents.
        os.execv("/bin/sh", ["sh", "-c", "while :; do sleep 86400; done"])
    os.close(writing)
    if os.read(reading, 16) != b"ready":
        sys.exit(1)
    print(pid, flush=True)


def enter(target, command, detach):
    # All are opened first: behind the new mounts /proc shows other processes.
    handles = [os.open(f"/proc/{target}/ns/{kind}", os.O_RDONLY) for kind in ("pid", "uts", "net", "mnt")]
    for handle in handles:
        call("setns", handle, 0)
        os.close(handle)
    if not detach:
        # Ctrl-C is for the command; its end is ours.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The new process ids hold for children only.
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if detach:
            os.setsid()
            os.dup2(2, 1)
        os.chdir("/")
        try:
            os.execvp(command[0], command)
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    if detach:
        print(pid, flush=True)
        return 0
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "--hold":
        hold(words[1])
    elif words[0] == "--detach":
        sys.exit(enter(int(words[1]), words[2:], True))
    else:
        sys.exit(enter(int(words[0]), words[1:], False))
