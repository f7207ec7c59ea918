"""As much of a client of the API server as starting a cluster needs."""

import base64
import http.client
import json
import ssl

from .folder import write_private
from .say import Failure


class Api:
    def __init__(self, cluster, user="admin"):
        self.cluster = cluster
        self.user = user
        self.context = None

    def request(self, method, path, body=None, limit=5):
        """The status and the body. Raises OSError when there is no answer."""
        server = self.cluster.record["server"]
        host, _, port = server.removeprefix("https://").partition(":")
        if self.context is None:
            folder = self.cluster.certificates
            self.context = ssl.create_default_context(cafile=folder / "ca.crt")
            self.context.load_cert_chain(folder / f"{self.user}.crt", folder / f"{self.user}.key")
        connection = http.client.HTTPSConnection(host, int(port), timeout=limit, context=self.context)
        try:
            data = None if body is None else json.dumps(body).encode()
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            connection.request(method, path, data, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"{server}{path}: {error!r}") from error
        finally:
            connection.close()
        return answer.status, text

    def get(self, path):
        status, text = self.request("GET", path)
        if status != 200:
            raise OSError(f"GET {path}: {status}")
        return json.loads(text)

    def ready(self):
        return self.request("GET", "/readyz")[0] == 200

    def create(self, path, body):
        """Creates a thing; one of the same name that is there already is left as it is."""
        status, text = self.request("POST", path, body, 30)
        if status not in (200, 201, 202, 409):
            raise Failure(f"POST {path}: {status}: {text[:500]}")


def write_kubeconfig(cluster, path, user, inline=True, namespace="default"):
    """A kubeconfig with the certificate USER.crt, as JSON, which is YAML too. `inline`: it works without other files."""
    folder = cluster.certificates

    def material(key, file):
        if inline:
            return {f"{key}-data": base64.b64encode(file.read_bytes()).decode()}
        return {key: str(file)}

    name = f"seaway-{cluster.name}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": cluster.record["server"], **material("certificate-authority", folder / "ca.crt")}}],
        "users": [
            {"name": user, "user": {**material("client-certificate", folder / f"{user}.crt"), **material("client-key", folder / f"{user}.key")}}
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": namespace}}],
        "current-context": name,
    }
    write_private(path, json.dumps(config, indent=1) + "\n")
