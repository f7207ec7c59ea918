//! The kinds of object that are read and written, and where they are.

use http::Method;
use seaway_model::Name;

/// The one field manager of everything that Seaway writes.
pub(super) const FIELD_MANAGER: &str = "seaway";

/// Kinds of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    Lease,
    Service,
    EndpointSlice,
    Endpoints,
    Pod,
    /// Asks what we may do.
    AccessReview,
    /// Asks who we are.
    SelfReview,
    /// What the API server is; no object.
    Version,
}

impl Resource {
    /// API group; empty for the core group.
    pub(super) const fn group(self) -> &'static str {
        match self {
            Self::Lease => "coordination.k8s.io",
            Self::EndpointSlice => "discovery.k8s.io",
            Self::AccessReview => "authorization.k8s.io",
            Self::SelfReview => "authentication.k8s.io",
            Self::Service | Self::Endpoints | Self::Pod | Self::Version => "",
        }
    }

    /// Its name in URLs and permissions.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Lease => "leases",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::Endpoints => "endpoints",
            Self::Pod => "pods",
            Self::AccessReview => "selfsubjectaccessreviews",
            Self::SelfReview => "selfsubjectreviews",
            Self::Version => "version",
        }
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Lease => "Lease",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Pod => "Pod",
            Self::AccessReview => "SelfSubjectAccessReview",
            Self::SelfReview => "SelfSubjectReview",
            Self::Version => "Version",
        }
    }

    pub(super) const fn api_version(self) -> &'static str {
        match self {
            Self::Lease => "coordination.k8s.io/v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::AccessReview => "authorization.k8s.io/v1",
            Self::SelfReview => "authentication.k8s.io/v1",
            Self::Service | Self::Endpoints | Self::Pod | Self::Version => "v1",
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) resource: Resource,
    pub(super) what: What,
}

/// Which objects of a kind.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A new one.
    New,
    /// The one of this name, to be read, changed or deleted.
    Named(String),
    /// The one of this name, ours to apply.
    Applied(String),
    /// Those with these labels, from this continuation on.
    Selected(String, Option<String>),
    /// What happens to those with these labels after this version, for so many seconds.
    Changes(String, String, u64),
}

impl Target {
    pub(super) fn named(resource: Resource, name: impl Into<String>) -> Self {
        Self {
            resource,
            what: What::Named(name.into()),
        }
    }

    pub(super) fn path(&self, namespace: &str) -> String {
        let root = if self.resource.group().is_empty() {
            "/api/"
        } else {
            "/apis/"
        };
        let namespace = match self.resource {
            Resource::Version => return "/version".to_owned(),
            Resource::AccessReview | Resource::SelfReview => String::new(),
            _ => format!("namespaces/{namespace}/"),
        };
        let base = format!(
            "{root}{}/{namespace}{}",
            self.resource.api_version(),
            self.resource.plural()
        );
        match &self.what {
            What::New => format!("{base}?fieldManager={FIELD_MANAGER}"),
            What::Named(name) => format!("{base}/{name}?fieldManager={FIELD_MANAGER}"),
            What::Applied(name) => format!("{base}/{name}?fieldManager={FIELD_MANAGER}&force=true"),
            What::Selected(labels, from) => {
                let from = from
                    .as_deref()
                    .map(|from| format!("&continue={}", encode(from)))
                    .unwrap_or_default();
                format!("{base}?limit=500&labelSelector={}{from}", encode(labels))
            }
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
            (_, What::Selected(..)) => "list",
            (_, What::Changes(..)) => "watch",
            _ => "get",
        };
        let group = self.resource.group();
        let dot = if group.is_empty() { "" } else { "." };
        format!("{verb} {}{dot}{group}", self.resource.plural())
    }
}

/// Name of the Lease of an entry: apart from the Leases that others may have made under the instance's own name.
pub(super) fn lease_name(name: &Name) -> String {
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
