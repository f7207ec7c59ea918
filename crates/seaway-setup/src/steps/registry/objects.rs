//! The objects of the registry.

use serde_json::{Value, json};

use super::{Generated, PORT, encoded};
use crate::{Registry, pki::Pair};

/// Where the registry finds its settings, its certificate and its users.
const FOLDER: &str = "/etc/seaway-registry";
/// Where it keeps images.
const STORE: &str = "/var/lib/registry";

/// Name of the Secret with the login and the authority.
pub(super) fn secret_name(name: &str) -> String {
    format!("{name}-auth")
}

/// Name of the Secret with the certificate.
pub(super) fn certificate_name(name: &str) -> String {
    format!("{name}-tls")
}

fn metadata(asked: &Registry, name: &str) -> Value {
    json!({ "name": name, "labels": labels(asked) })
}

fn labels(asked: &Registry) -> Value {
    json!({ "app.kubernetes.io/name": "registry", "app.kubernetes.io/instance": asked.name })
}

pub(super) fn secret(asked: &Registry, generated: &Generated) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(asked, &secret_name(&asked.name)),
        "type": "Opaque",
        "data": {
            "username": encoded(&asked.user),
            "password": encoded(&generated.password),
            "htpasswd": encoded(&format!("{}\n", generated.hash)),
            "seal": encoded(&generated.seal),
            "ca.crt": encoded(&generated.authority.certificate),
            "ca.key": encoded(&generated.authority.key),
        },
    })
}

pub(super) fn certificate(asked: &Registry, server: &Pair, authority: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(asked, &certificate_name(&asked.name)),
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": encoded(&server.certificate),
            "tls.key": encoded(&server.key),
            "ca.crt": encoded(authority),
        },
    })
}

pub(super) fn service(asked: &Registry) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(asked, &asked.name),
        "spec": {
            "type": "ClusterIP",
            "selector": labels(asked),
            "ports": [{ "name": "registry", "port": PORT, "targetPort": "registry", "protocol": "TCP" }],
        },
    })
}

/// Its own settings, so that every image of the registry behaves the same.
pub(super) fn settings(asked: &Registry) -> Value {
    let text = format!(
        "version: 0.1\n\
         log:\n  level: info\n\
         storage:\n  filesystem:\n    rootdirectory: {STORE}\n  delete:\n    enabled: true\n\
         http:\n  addr: :{PORT}\n  tls:\n    certificate: {FOLDER}/tls/tls.crt\n    key: {FOLDER}/tls/tls.key\n\
         auth:\n  htpasswd:\n    realm: {}\n    path: {FOLDER}/auth/htpasswd\n",
        asked.name
    );
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(asked, &asked.name),
        "data": { "config.yml": text },
    })
}

pub(super) fn claim(asked: &Registry) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(asked, &asked.name),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": asked.storage } },
        },
    });
    if let Some(class) = &asked.storage_class {
        object["spec"]["storageClassName"] = class.as_str().into();
    }
    object
}

pub(super) fn deployment(asked: &Registry, digest: &str) -> Value {
    let store = if asked.storage.is_some() {
        json!({ "name": "store", "persistentVolumeClaim": { "claimName": asked.name } })
    } else {
        json!({ "name": "store", "emptyDir": {} })
    };
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    let probe =
        json!({ "httpGet": { "path": "/", "port": "registry", "scheme": "HTTPS" }, "periodSeconds": 2 });
    let mut pod_labels = labels(asked);
    pod_labels["app.kubernetes.io/managed-by"] = "seaway".into();
    pod_labels["app.kubernetes.io/part-of"] = "seaway-setup".into();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(asked, &asked.name),
        "spec": {
            "replicas": 1,
            // Two pods must not write into one claim.
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels(asked) },
            "template": {
                "metadata": { "labels": pod_labels, "annotations": { "seaway.dev/digest": digest } },
                "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 1000,
                        "runAsGroup": 1000,
                        "fsGroup": 1000,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "containers": [{
                        "name": "registry",
                        "image": asked.image,
                        "imagePullPolicy": "IfNotPresent",
                        // Said in full, for images have different entry points.
                        "command": ["registry", "serve", format!("{FOLDER}/settings/config.yml")],
                        "env": [
                            {
                                "name": "REGISTRY_HTTP_SECRET",
                                "valueFrom": { "secretKeyRef": { "name": secret_name(&asked.name), "key": "seal" } },
                            },
                            { "name": "OTEL_TRACES_EXPORTER", "value": "none" },
                        ],
                        "ports": [{ "name": "registry", "containerPort": PORT, "protocol": "TCP" }],
                        "readinessProbe": probe,
                        "livenessProbe": {
                            "httpGet": { "path": "/", "port": "registry", "scheme": "HTTPS" },
                            "periodSeconds": 10,
                            "failureThreshold": 6,
                        },
                        "resources": {
                            "requests": { "cpu": "50m", "memory": "64Mi" },
                            "limits": { "memory": "512Mi" },
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": { "drop": ["ALL"] },
                        },
                        "volumeMounts": [
                            { "name": "store", "mountPath": STORE },
                            { "name": "tmp", "mountPath": "/tmp" },
                            mount("settings", &format!("{FOLDER}/settings")),
                            mount("tls", &format!("{FOLDER}/tls")),
                            mount("auth", &format!("{FOLDER}/auth")),
                        ],
                    }],
                    "volumes": [
                        store,
                        { "name": "tmp", "emptyDir": {} },
                        { "name": "settings", "configMap": { "name": asked.name } },
                        { "name": "tls", "secret": { "secretName": certificate_name(&asked.name),
                            "items": [{ "key": "tls.crt", "path": "tls.crt" }, { "key": "tls.key", "path": "tls.key" }] } },
                        // The registry sees the hash, not the password and not the authority's key.
                        { "name": "auth", "secret": { "secretName": secret_name(&asked.name),
                            "items": [{ "key": "htpasswd", "path": "htpasswd" }] } },
                    ],
                },
            },
        },
    })
}

/// Where a node's containerd finds the registry: nodes do not ask the cluster's DNS, but they reach Services.
pub(super) fn hosts_toml(host: &str, address: &str) -> String {
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    format!(
        "server = \"https://{host}\"\n\n[host.\"https://{address}:{PORT}\"]\n  capabilities = [\"pull\", \"resolve\"]\n  \
         ca = \"/etc/containerd/certs.d/{host}/ca.crt\"\n"
    )
}
