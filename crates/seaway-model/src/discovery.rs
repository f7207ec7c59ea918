//! Where an instance is announced: the `spec.discovery` part of a document. What a directory does is the
//! business of `seaway-discovery`; this is only how one is named and configured.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Name, Period};

/// One directory to announce the endpoints in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum DirectorySpec {
    /// A folder with one JSON file for each instance.
    File(FileDirectory),
    /// One JSON line on standard output for each change; for scripts that read it.
    Stdout(StdoutDirectory),
    /// Any HTTP server: a request when the instance is ready, another when it goes.
    Http(HttpDirectory),
    /// A Kubernetes namespace: a Service that clients in the cluster reach by its name, and a Lease.
    Kubernetes(KubernetesDirectory),
    /// Consul: a service with a check for each endpoint, through an agent.
    Consul(ConsulDirectory),
    /// Redis: keys that end with their lease, and a message for each change.
    Redis(RedisDirectory),
}

impl DirectorySpec {
    /// The kind of directory: `file`, `stdout`, `http`, `kubernetes`, `consul`, `redis`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::Http(_) => "http",
            Self::Kubernetes(_) => "kubernetes",
            Self::Consul(_) => "consul",
            Self::Redis(_) => "redis",
        }
    }
}

/// A folder of JSON files, written atomically with mode 0600.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileDirectory {
    /// The folder; `directory` in Seaway's state folder when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// How long an entry is to be believed without being renewed; 30 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
}

/// Standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StdoutDirectory {}

/// A request to an HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpDirectory {
    /// Where to announce. `{name}` in it stands for the instance's name.
    pub url: String,
    /// Method used to announce and to renew.
    #[serde(default)]
    pub method: HttpMethod,
    /// Method used to withdraw.
    #[serde(default = "delete")]
    pub withdraw_method: HttpMethod,
    /// Where to withdraw, when it is not `url`. `{name}` stands for the instance's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw_url: Option<String>,
    /// Form of the body: `json` (the entry) or `text` (one `name=url` line for each endpoint).
    #[serde(default)]
    pub format: HttpFormat,
    /// File with a bearer token; read again for every request, so that it can be rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Longest time for one request; 10 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How often a failed request is tried again before the error is told; 4 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long the server may believe the entry without being told again; it is told again at a third of this
    /// time. Once, and never again, when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
}

impl HttpDirectory {
    /// What a document asks for that names nothing but the URL.
    #[must_use]
    pub const fn at(url: String) -> Self {
        Self {
            url,
            method: HttpMethod::Post,
            withdraw_method: delete(),
            withdraw_url: None,
            format: HttpFormat::Json,
            token_file: None,
            certificate_file: None,
            key_file: None,
            ca_file: None,
            timeout: None,
            retries: None,
            lease: None,
        }
    }
}

const fn delete() -> HttpMethod {
    HttpMethod::Delete
}

/// The methods an HTTP directory can use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

/// The forms of body an HTTP directory can send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpFormat {
    /// The whole entry as a JSON object.
    #[default]
    Json,
    /// One `name=url` line for each endpoint.
    Text,
}

/// A Kubernetes namespace.
///
/// Without `kubeconfig`, `context` and `server` the variables `K8S_HOST` and `KUBECONFIG` say which cluster is meant,
/// then the service account of the pod this runs in, then `~/.kube/config`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesDirectory {
    /// File that says how to reach the cluster and who we are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Context in that file; its current one when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// URL of the API server, instead of a kubeconfig.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The namespace; that of the context or of the pod, or `default`, when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// File with a bearer token; read again when it has been rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Where the engine runs: in a pod of this cluster, or outside. Found out when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<KubernetesPlacement>,
    /// Labels of the engine's pod, for the Service of an engine inside. When not given the pod this runs in is
    /// labelled, and selected by that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// Service and port for an endpoint, where they are not the instance's name and the port it listens on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<Name, KubernetesService>,
    /// Writes the old `Endpoints` beside the Service instead of an `EndpointSlice`, for clients that read nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_endpoints: bool,
    /// How long an entry is to be believed without being renewed; 30 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
    /// Longest time for one request; 10 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
}

/// Where an engine runs, as seen from a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KubernetesPlacement {
    /// In a pod of the cluster: the Service selects the pod, and goes with it.
    Inside,
    /// Elsewhere (Slurm, bare metal, another cluster): the Service has no selector, and addresses of its own.
    Outside,
}

/// The Service of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesService {
    /// Name of the Service; the instance's name when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Port of the Service; the port that the engine listens on when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A Consul agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConsulDirectory {
    /// URL of the agent; `CONSUL_HTTP_ADDR`, or `http://127.0.0.1:8500`, when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name of the Consul service; the instance's name when not given. Its endpoints are told apart by tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Tags for every endpoint, beside the endpoint's own name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Datacenter; the agent's own when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// Namespace, in the enterprise edition; the community edition has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// File with an ACL token; read again for every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long an entry is to be believed without being renewed; 30 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
    /// After how long without renewal Consul itself removes the service, at least 1 min; 1 min when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deregister_after: Option<Period>,
    /// Longest time for one request; 10 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
}

/// A Redis server, a group of them under Sentinel, or a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisDirectory {
    /// `redis://`, `rediss://` (TLS), `redis-sentinel://` or `redis-cluster://`, then host, port and database;
    /// `REDIS_URL`, or `redis://127.0.0.1:6379`, when not given. A password belongs in `passwordFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// ACL user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// File with the password; read again for every connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Part of every key, so that several groups of users can share a server; `default` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// PEM file with the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long an entry is to be believed without being renewed; 30 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
    /// Longest time for one command; 10 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
}
