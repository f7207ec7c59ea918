//! Names of the environment variables that the binary reads; the reference is made from this table.

use seaway_discovery::variables as discovery;

/// Filter for logs.
pub(crate) const LOG: &str = "SEAWAY_LOG";
/// Password of a container registry.
pub(crate) const REGISTRY_PASSWORD: &str = "SEAWAY_REGISTRY_PASSWORD";
/// Platform where none is named.
pub(crate) const ON: &str = "SEAWAY_ON";
/// See <https://no-color.org>.
pub(crate) const NO_COLOR: &str = "NO_COLOR";

/// Name, port and target port of the Service for clients; as Arkouda's integration has them.
pub(crate) const EXTERNAL_SERVICE: [&str; 3] = [
    "EXTERNAL_SERVICE_NAME",
    "EXTERNAL_SERVICE_PORT",
    "EXTERNAL_SERVICE_TARGET_PORT",
];
/// Name, port and target port of the Service for metrics; as Arkouda's integration has them.
pub(crate) const METRICS_SERVICE: [&str; 3] = [
    "METRICS_SERVICE_NAME",
    "METRICS_SERVICE_PORT",
    "METRICS_SERVICE_TARGET_PORT",
];
/// Port that an Arkouda server listens on for metrics.
pub(crate) const METRICS_SERVER_PORT: &str = "METRICS_SERVER_PORT";
/// Name of the `Endpoints` in the older form of Arkouda's integration.
pub(crate) const ENDPOINT_NAME: &str = "ENDPOINT_NAME";

/// Looks a variable up.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub(crate) fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Name, who sets it, meaning.
pub(crate) const TABLE: &[(&str, &str, &str)] = &[
    (
        LOG,
        "you",
        "Filter for Seaway's own log on standard error, such as `debug` or `seaway_platform=trace`.",
    ),
    (
        REGISTRY_PASSWORD,
        "you",
        "Password of the registry for `seaway setup kubernetes`, where no file is given.",
    ),
    (
        ON,
        "you",
        "Where instances run when `--on` does not say: `local` or `kubernetes`.",
    ),
    (NO_COLOR, "you", "When not empty, output has no colours."),
    (
        "XDG_STATE_HOME",
        "you",
        "Where the store and the files of instances are; `~/.local/state` when not set.",
    ),
    (
        "XDG_CACHE_HOME",
        "you",
        "Where Python environments are made; `~/.cache` when not set.",
    ),
    (
        "HOME",
        "the system",
        "Used when the two above are not set, and for `~` in documents.",
    ),
    (
        "PATH",
        "the system",
        "Where `uv`, `python3` and the programs of tasks are looked for.",
    ),
    ("SEAWAY_INSTANCE", "Seaway", "In every task: the instance's name."),
    (
        "SEAWAY_TASK",
        "Seaway",
        "In every task: the task's name, such as `worker-0`.",
    ),
    (
        "SEAWAY_INSTANCE_ID",
        "Seaway",
        "In every task: the random id by which all processes of the instance are found.",
    ),
    (
        "SEAWAY_START_ID",
        "Seaway",
        "In every task: the random id of this start of the task.",
    ),
    (
        "DASK_SCHEDULER_ADDRESS, ARL_DASK_SCHEDULER",
        "Seaway",
        "In workers, notebooks and their kernels: where the Dask scheduler is, so that `Client()` finds it.",
    ),
];

/// Variables of directories: name, meaning. Options and documents win over them.
pub(crate) const DIRECTORIES: &[(&str, &str)] = &[
    (
        "EXTERNAL_SERVICE_NAME",
        "kubernetes: name of the Service for clients. Without --name also the name it is announced under.",
    ),
    (
        "EXTERNAL_SERVICE_PORT",
        "kubernetes: port of that Service; 5555 when not set.",
    ),
    (
        "EXTERNAL_SERVICE_TARGET_PORT",
        "kubernetes: port that the engine listens on for clients; that of --ServerPort of an Arkouda server, or 5555, \
         when not set.",
    ),
    (
        "METRICS_SERVICE_NAME",
        "kubernetes: name of the Service for metrics.",
    ),
    (
        "METRICS_SERVICE_PORT",
        "kubernetes: port of that Service; 5556 when not set.",
    ),
    (
        "METRICS_SERVICE_TARGET_PORT",
        "kubernetes: port that the engine listens on for metrics; METRICS_SERVER_PORT, or 5556, when not set.",
    ),
    (
        METRICS_SERVER_PORT,
        "kubernetes: port that an Arkouda server listens on for metrics.",
    ),
    (
        ENDPOINT_NAME,
        "kubernetes: has no effect: an EndpointSlice is named after its Service.",
    ),
    (discovery::K8S_HOST, "kubernetes: URL of the API server."),
    (
        discovery::KUBECONFIG,
        "kubernetes: files that say how to reach clusters, separated by colons; `~/.kube/config` when not set.",
    ),
    (discovery::NAMESPACE, "kubernetes: the namespace."),
    (
        discovery::CACERT_FILE,
        "kubernetes: PEM file with the authorities of the API server.",
    ),
    (
        discovery::CERT_FILE,
        "kubernetes: PEM file with a client certificate.",
    ),
    (
        discovery::KEY_FILE,
        "kubernetes: PEM file with the key of the client certificate.",
    ),
    (
        discovery::SSL_TOKEN,
        "kubernetes: bearer token. A secret; --k8s-token-file is safer.",
    ),
    (
        discovery::KUBERNETES_SERVICE_HOST,
        "kubernetes: address of the API server; set in every pod.",
    ),
    (
        discovery::KUBERNETES_SERVICE_PORT,
        "kubernetes: port of the API server; set in every pod.",
    ),
    (
        discovery::POD_NAME,
        "kubernetes: name of the pod this runs in; its host name when not set.",
    ),
    (
        discovery::CONSUL_HTTP_ADDR,
        "consul: address of the agent, `host:port` or a URL; `127.0.0.1:8500` when not set.",
    ),
    (discovery::CONSUL_HTTP_TOKEN, "consul: ACL token. A secret."),
    (
        discovery::CONSUL_HTTP_TOKEN_FILE,
        "consul: file with the ACL token.",
    ),
    (
        discovery::CONSUL_HTTP_SSL,
        "consul: `true` for HTTPS where the address does not say.",
    ),
    (
        discovery::CONSUL_CACERT,
        "consul: PEM file with the authorities of the agent.",
    ),
    (
        discovery::CONSUL_CLIENT_CERT,
        "consul: PEM file with a client certificate.",
    ),
    (
        discovery::CONSUL_CLIENT_KEY,
        "consul: PEM file with the key of the client certificate.",
    ),
    (
        discovery::CONSUL_NAMESPACE,
        "consul: namespace, in the enterprise edition.",
    ),
    (
        discovery::REDIS_URL,
        "redis: URL of the server; `redis://127.0.0.1:6379` when not set. A secret, when it has a password in it.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_told_of() {
        let told: Vec<_> = DIRECTORIES
            .iter()
            .map(|row| row.0)
            .chain(TABLE.iter().map(|row| row.0))
            .collect();
        let all = discovery::ALL
            .iter()
            .chain(&EXTERNAL_SERVICE)
            .chain(&METRICS_SERVICE);
        for name in all {
            assert!(told.contains(name), "{name}");
        }
    }
}
