//! The kinds of object that are read and written, and where they are.

use http::Method;
use seaway_model::Name;

/// The one field manager of everything that Seaway writes.
pub const FIELD_MANAGER: &str = "seaway";

/// Kinds of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are called what Kubernetes calls them")]
pub enum Resource {
    CertificateSigningRequest,
    ClusterRole,
    ClusterRoleBinding,
    ConfigMap,
    Deployment,
    EndpointSlice,
    Endpoints,
    Event,
    Lease,
    Namespace,
    NetworkPolicy,
    Node,
    PersistentVolumeClaim,
    Pod,
    ReplicaSet,
    Role,
    RoleBinding,
    Secret,
    Service,
    ServiceAccount,
    StatefulSet,
    /// Asks what we may do.
    AccessReview,
    /// Asks who we are.
    SelfReview,
    /// What the API server is; no object.
    Version,
}

/// All that can be looked up by its kind.
const OBJECTS: [Resource; 21] = [
    Resource::CertificateSigningRequest,
    Resource::ClusterRole,
    Resource::ClusterRoleBinding,
    Resource::ConfigMap,
    Resource::Deployment,
    Resource::EndpointSlice,
    Resource::Endpoints,
    Resource::Event,
    Resource::Lease,
    Resource::Namespace,
    Resource::NetworkPolicy,
    Resource::Node,
    Resource::PersistentVolumeClaim,
    Resource::Pod,
    Resource::ReplicaSet,
    Resource::Role,
    Resource::RoleBinding,
    Resource::Secret,
    Resource::Service,
    Resource::ServiceAccount,
    Resource::StatefulSet,
];

impl Resource {
    /// API group with version, kind, and name in URLs.
    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::CertificateSigningRequest => (
                "certificates.k8s.io/v1",
                "CertificateSigningRequest",
                "certificatesigningrequests",
            ),
            Self::ClusterRole => ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"),
            Self::ClusterRoleBinding => (
                "rbac.authorization.k8s.io/v1",
                "ClusterRoleBinding",
                "clusterrolebindings",
            ),
            Self::ConfigMap => ("v1", "ConfigMap", "configmaps"),
            Self::Deployment => ("apps/v1", "Deployment", "deployments"),
            Self::EndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
            Self::Endpoints => ("v1", "Endpoints", "endpoints"),
            Self::Event => ("v1", "Event", "events"),
            Self::Lease => ("coordination.k8s.io/v1", "Lease", "leases"),
            Self::Namespace => ("v1", "Namespace", "namespaces"),
            Self::NetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
            Self::Node => ("v1", "Node", "nodes"),
            Self::PersistentVolumeClaim => ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::Pod => ("v1", "Pod", "pods"),
            Self::ReplicaSet => ("apps/v1", "ReplicaSet", "replicasets"),
            Self::Role => ("rbac.authorization.k8s.io/v1", "Role", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
            Self::Secret => ("v1", "Secret", "secrets"),
            Self::Service => ("v1", "Service", "services"),
            Self::ServiceAccount => ("v1", "ServiceAccount", "serviceaccounts"),
            Self::StatefulSet => ("apps/v1", "StatefulSet", "statefulsets"),
            Self::AccessReview => (
                "authorization.k8s.io/v1",
                "SelfSubjectAccessReview",
                "selfsubjectaccessreviews",
            ),
            Self::SelfReview => (
                "authentication.k8s.io/v1",
                "SelfSubjectReview",
                "selfsubjectreviews",
            ),
            Self::Version => ("v1", "Version", "version"),
        }
    }

    /// The resource of an object, if it is one that is known here.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        OBJECTS
            .into_iter()
            .find(|resource| resource.api_version() == api_version && resource.kind() == kind)
    }

    /// API group; empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// Its name in URLs and permissions.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.names().2
    }

    /// `Deployment`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        self.names().1
    }

    /// `apps/v1`.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        self.names().0
    }

    /// Whether its objects are in namespaces.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        !matches!(
            self,
            Self::CertificateSigningRequest
                | Self::ClusterRole
                | Self::ClusterRoleBinding
                | Self::Namespace
                | Self::Node
                | Self::AccessReview
                | Self::SelfReview
        )
    }
}

/// What a request is about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The kind of object.
    pub resource: Resource,
    /// Which of them.
    pub what: What,
}

/// Which objects of a kind.
#[derive(Debug, Clone)]
pub enum What {
    /// A new one.
    New,
    /// The one of this name, to be read, changed or deleted.
    Named(String),
    /// The one of this name, ours to apply.
    Applied(String),
    /// The one of this name, as it would be when applied; nothing is written.
    Tried(String),
    /// A part of the one of this name: `approval`, `token`.
    Part(String, &'static str),
    /// Those with these labels, from this continuation on.
    Selected(String, Option<String>),
    /// Those whose fields are so: `type=helm.sh/release.v1`. All of them when empty.
    Fields(String),
    /// What happens to those with these labels after this version, for so many seconds.
    Changes(String, String, u64),
}

impl Target {
    /// The object of this name, to be read, changed or deleted.
    pub fn named(resource: Resource, name: impl Into<String>) -> Self {
        Self {
            resource,
            what: What::Named(name.into()),
        }
    }

    /// The object of this name, ours to apply.
    pub fn applied(resource: Resource, name: impl Into<String>) -> Self {
        Self {
            resource,
            what: What::Applied(name.into()),
        }
    }

    /// Path and query of its URL.
    pub(super) fn path(&self, namespace: &str) -> String {
        let resource = self.resource;
        if resource == Resource::Version {
            return "/version".to_owned();
        }
        let root = if resource.group().is_empty() {
            "/api/"
        } else {
            "/apis/"
        };
        let namespace = if resource.is_namespaced() {
            format!("namespaces/{namespace}/")
        } else {
            String::new()
        };
        let base = format!(
            "{root}{}/{namespace}{}",
            resource.api_version(),
            resource.plural()
        );
        match &self.what {
            What::New => format!("{base}?fieldManager={FIELD_MANAGER}"),
            What::Named(name) => format!("{base}/{name}?fieldManager={FIELD_MANAGER}"),
            What::Applied(name) => format!("{base}/{name}?fieldManager={FIELD_MANAGER}&force=true"),
            What::Tried(name) => format!("{base}/{name}?fieldManager={FIELD_MANAGER}&force=true&dryRun=All"),
            What::Part(name, part) => format!("{base}/{name}/{part}?fieldManager={FIELD_MANAGER}"),
            What::Selected(labels, from) => {
                let from = from
                    .as_deref()
                    .map(|from| format!("&continue={}", encode(from)))
                    .unwrap_or_default();
                format!("{base}?limit=500&labelSelector={}{from}", encode(labels))
            }
            What::Fields(fields) => format!("{base}?limit=500&fieldSelector={}", encode(fields)),
            What::Changes(labels, version, seconds) => format!(
                "{base}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={}&labelSelector={}",
                encode(version),
                encode(labels)
            ),
        }
    }

    /// The permission that the request needs, as `kubectl auth can-i` names it: `patch services`.
    pub(super) fn permission(&self, method: &Method) -> String {
        let verb = match (method, &self.what) {
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            (_, What::Selected(..) | What::Fields(_)) => "list",
            (_, What::Changes(..)) => "watch",
            _ => "get",
        };
        let group = self.resource.group();
        let dot = if group.is_empty() { "" } else { "." };
        let part = match &self.what {
            What::Part(_, part) => format!("/{part}"),
            _ => String::new(),
        };
        format!("{verb} {}{dot}{group}{part}", self.resource.plural())
    }
}

/// Name of the Lease of an entry: apart from the Leases that others may have made under the instance's own name.
pub(in super::super) fn lease_name(name: &Name) -> String {
    format!("seaway-{name}")
}

/// A text as it stands in the query of a URL.
fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_permissions() {
        let target = Target::named(Resource::Lease, "seaway-a");
        assert_eq!(
            target.path("x"),
            "/apis/coordination.k8s.io/v1/namespaces/x/leases/seaway-a?fieldManager=seaway"
        );
        assert_eq!(target.permission(&Method::GET), "get leases.coordination.k8s.io");
        let target = Target {
            resource: Resource::Service,
            what: What::Selected("a/b=c,d".into(), Some("x=".into())),
        };
        assert_eq!(
            target.path("x"),
            "/api/v1/namespaces/x/services?limit=500&labelSelector=a%2Fb%3Dc%2Cd&continue=x%3D"
        );
        assert_eq!(target.permission(&Method::GET), "list services");
    }
}
