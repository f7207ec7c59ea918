//! The environment variables that directories take their settings from where a document has none. Their names are those
//! that each system's own tools know, and those that Arkouda's integration knew.

use std::{collections::BTreeMap, fmt};

/// URL of the Kubernetes API server; as Arkouda's integration has it.
pub const K8S_HOST: &str = "K8S_HOST";
/// Kubernetes namespace; as Arkouda's integration has it.
pub const NAMESPACE: &str = "NAMESPACE";
/// PEM file with the authorities of the Kubernetes API server; as Arkouda's integration has it.
pub const CACERT_FILE: &str = "CACERT_FILE";
/// PEM file with a client certificate for Kubernetes; as Arkouda's integration had it.
pub const CERT_FILE: &str = "CERT_FILE";
/// PEM file with the key of the client certificate; as Arkouda's integration had it.
pub const KEY_FILE: &str = "KEY_FILE";
/// Bearer token for Kubernetes; as Arkouda's integration has it. A secret.
pub const SSL_TOKEN: &str = "SSL_TOKEN";
/// Files that say how to reach Kubernetes clusters, separated by colons.
pub const KUBECONFIG: &str = "KUBECONFIG";
/// Home folder, where `.kube/config` is.
pub const HOME: &str = "HOME";
/// Address of the API server, set in every pod.
pub const KUBERNETES_SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Port of the API server, set in every pod.
pub const KUBERNETES_SERVICE_PORT: &str = "KUBERNETES_SERVICE_PORT";
/// Name of the pod this runs in, when its manifest says so; its host name otherwise.
pub const POD_NAME: &str = "POD_NAME";
/// Address of the Consul agent: `host:port`, or a URL.
pub const CONSUL_HTTP_ADDR: &str = "CONSUL_HTTP_ADDR";
/// ACL token for Consul. A secret.
pub const CONSUL_HTTP_TOKEN: &str = "CONSUL_HTTP_TOKEN";
/// File with the ACL token for Consul.
pub const CONSUL_HTTP_TOKEN_FILE: &str = "CONSUL_HTTP_TOKEN_FILE";
/// `true` for HTTPS where the address does not say.
pub const CONSUL_HTTP_SSL: &str = "CONSUL_HTTP_SSL";
/// PEM file with the authorities of the Consul agent.
pub const CONSUL_CACERT: &str = "CONSUL_CACERT";
/// PEM file with a client certificate for Consul.
pub const CONSUL_CLIENT_CERT: &str = "CONSUL_CLIENT_CERT";
/// PEM file with the key of the client certificate for Consul.
pub const CONSUL_CLIENT_KEY: &str = "CONSUL_CLIENT_KEY";
/// Namespace, in Consul's enterprise edition.
pub const CONSUL_NAMESPACE: &str = "CONSUL_NAMESPACE";
/// URL of the Redis server. It may hold a password.
pub const REDIS_URL: &str = "REDIS_URL";

/// All of them.
pub const ALL: [&str; 20] = [
    K8S_HOST,
    NAMESPACE,
    CACERT_FILE,
    CERT_FILE,
    KEY_FILE,
    SSL_TOKEN,
    KUBECONFIG,
    HOME,
    KUBERNETES_SERVICE_HOST,
    KUBERNETES_SERVICE_PORT,
    POD_NAME,
    CONSUL_HTTP_ADDR,
    CONSUL_HTTP_TOKEN,
    CONSUL_HTTP_TOKEN_FILE,
    CONSUL_HTTP_SSL,
    CONSUL_CACERT,
    CONSUL_CLIENT_CERT,
    CONSUL_CLIENT_KEY,
    CONSUL_NAMESPACE,
    REDIS_URL,
];

/// Values of environment variables. Empty ones count as not set. Shown without values, which may be secret.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those of this process, as far as this crate knows them.
    #[must_use]
    pub fn of_process() -> Self {
        ALL.iter()
            .filter_map(|name| Some((*name, std::env::var(name).ok()?)))
            .collect()
    }

    /// The value of a variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Variables {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        Self(
            all.into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .filter(|(_, value): &(String, String)| !value.is_empty())
                .collect(),
        )
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown_and_empty_ones_are_not_set() {
        let variables: Variables = [(SSL_TOKEN, "abc123"), (NAMESPACE, "")].into_iter().collect();
        assert_eq!(variables.get(NAMESPACE), None);
        assert_eq!(variables.get(SSL_TOKEN), Some("abc123"));
        assert_eq!(format!("{variables:?}"), r#"{"SSL_TOKEN"}"#);
    }
}
