"""Commands that mount: in namespaces of their own, so that neither a mount nor a process outlives them."""

import shutil
import subprocess

from testcluster.say import Failure

LIBRARIES = "/etc/ld.so.cache"


def run(command, what, environment=None, hint=None, libraries=None):
    """Runs a command as root, and returns what it wrote to standard output.

    `libraries`: a list of shared libraries, made by `list_libraries`, that the command has instead of the machine's.
    """
    if libraries:
        command = ["sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', libraries, LIBRARIES, *command]
    # `--kill-child` with `--pid`: when we are interrupted, all that the command started ends too.
    contained = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
    if shutil.which("nice"):
        contained = ["nice", *contained]
    done = subprocess.run(
        [str(word) for word in contained], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        said = "\n".join(text.strip() for text in (done.stdout, done.stderr) if text.strip())
        raise Failure(f"{what} failed:\n{said[-3000:]}", hint)
    return done.stdout


def list_libraries(root, part):
    """The machine's shared libraries and those of packages unpacked in `root`, as a list for `run`, in the folder `part`.

    LD_LIBRARY_PATH does not do: buildah starts itself anew without it.
    """
    folders = sorted({file.parent for file in root.glob("usr/lib/*-linux-gnu*/*.so*")})
    if not folders:
        return None
    (part / "ld.so.conf").write_text("include /etc/ld.so.conf\n" + "".join(f"{folder}\n" for folder in folders), encoding="utf-8")
    # `-X`: no link of the machine changes.
    run(["/sbin/ldconfig", "-X", "-f", part / "ld.so.conf", "-C", part / "ld.so.cache"], "ldconfig")
    return part / "ld.so.cache"
