"""Certificates, made with openssl. Keys are elliptic (P-256): they are made in no time."""

import secrets
import subprocess
import tempfile
import time
from pathlib import Path

from .say import Failure

YEAR = 365 * 24 * 3600
# Of certificates that begin in the past, for clocks that differ a little.
EARLIER = 3600


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failure(f"openssl {arguments[0]} failed: {done.stderr.strip()[-1000:]}")


def quoted(text):
    """A value for openssl's configuration."""
    if "\n" in text or "\0" in text:
        raise Failure(f"a name in a certificate cannot have more than one line: {text!r}")
    return '"' + "".join("\\" + letter if letter in '"\\$#' else letter for letter in text) + '"'


def make_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    path.chmod(0o600)


class Authority:
    """A certificate authority: NAME.crt and NAME.key in a folder."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.certificate = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"

    def create(self):
        make_key(self.key)
        openssl(
            "req", "-x509", "-new", "-key", self.key, "-out", self.certificate, "-days", "3650", "-subj", f"/CN=seaway test {self.key.stem}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
        )

    def issue(self, file, name, groups=(), addresses=(), names=(), usage="clientAuth", lasts=YEAR):
        """Makes FILE.key and FILE.crt. `lasts` is in seconds; below 0: expired so long ago."""
        key, certificate = self.folder / f"{file}.key", self.folder / f"{file}.crt"
        now = time.time()
        until = now + lasts
        start = min(now, until) - EARLIER
        others = [f"IP:{address}" for address in addresses] + [f"DNS:{other}" for other in names]
        subject = [f"{number}.O = {quoted(group)}" for number, group in enumerate(groups)] + [f"CN = {quoted(name)}"]
        make_key(key)
        with tempfile.TemporaryDirectory(dir=self.folder) as temporary:
            place = Path(temporary)
            (place / "index").touch()
            (place / "serial").write_text(secrets.token_hex(16), encoding="ascii")
            lines = [
                "[req]", "prompt = no", "utf8 = yes", "distinguished_name = subject", "[subject]", *subject,
                "[ca]", "default_ca = own",
                "[own]", f"database = {place}/index", f"serial = {place}/serial", f"new_certs_dir = {place}", "default_md = sha256", "policy = any",
                "[any]", "organizationName = optional", "commonName = supplied",
                "[extensions]", "basicConstraints = critical,CA:FALSE", "keyUsage = critical,digitalSignature", f"extendedKeyUsage = {usage}",
                *([f"subjectAltName = {','.join(others)}"] if others else []),
            ]
            settings, request = place / "settings", place / "request"
            settings.write_text("\n".join(lines) + "\n", encoding="utf-8")
            openssl("req", "-new", "-config", settings, "-key", key, "-out", request)
            openssl(
                "ca", "-batch", "-notext", "-utf8", "-preserveDN", "-config", settings, "-extensions", "extensions",
                "-cert", self.certificate, "-keyfile", self.key, "-startdate", stamp(start), "-enddate", stamp(until),
                "-in", request, "-out", certificate,
            )
        return key, certificate


def stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))
