//! What may be done in a namespace, and what must be allowed for Seaway's work there. `seaway rbac` prints it, `seaway
//! doctor kubernetes` asks for it, and the tests run with nothing more.

use http::Method;
use seaway_model::{Name, discovery::KubernetesPlacement};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    KubernetesDirectory,
    api::Form,
    api::{Resource, Target, What},
};
use crate::Result;

/// What is to be done in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Announcing entries.
    Announce {
        /// Where the engine runs.
        placement: KubernetesPlacement,
        /// Whether the old `Endpoints` are written instead of an `EndpointSlice`.
        legacy_endpoints: bool,
        /// Whether the document says which labels the engine's pod has; otherwise the agent labels its pod.
        selector: bool,
    },
    /// Finding entries.
    Discover,
    /// Removing entries whose lease has run out.
    Collect,
    /// Bringing instances up and down, and using them from outside of the cluster.
    Run,
}

/// What must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, as in URLs.
    pub resource: &'static str,
    /// What is done with it.
    pub verbs: Vec<&'static str>,
    /// What for.
    pub why: &'static str,
}

/// Applying what is not there yet needs `create` beside `patch`.
const APPLY: &[&str] = &["get", "list", "create", "patch", "delete"];

/// What the platform makes, and looks at until it is gone.
const KEPT: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const SEEN: &[&str] = &["get", "list", "watch"];

/// What the Kubernetes platform does: API group, resource, verbs, what for.
const RUN: [(&str, &str, &[&str], &str); 15] = [
    ("", "configmaps", KEPT, "files of instances, and what they are"),
    ("", "secrets", KEPT, "tokens of instances"),
    ("", "services", KEPT, "the names of tasks"),
    ("", "persistentvolumeclaims", KEPT, "volumes with data"),
    (
        "networking.k8s.io",
        "networkpolicies",
        KEPT,
        "who reaches an instance",
    ),
    ("apps", "deployments", KEPT, "roles of one task"),
    ("apps", "statefulsets", KEPT, "roles of several tasks"),
    (
        "apps",
        "replicasets",
        &["list", "delete"],
        "what a Deployment leaves",
    ),
    (
        "",
        "pods",
        &["get", "list", "watch", "delete"],
        "the tasks: how they are, and their end",
    ),
    ("", "pods/log", &["get"], "what tasks write"),
    ("", "pods/exec", &["create", "get"], "commands in tasks"),
    (
        "",
        "pods/portforward",
        &["create", "get"],
        "endpoints at addresses of this machine",
    ),
    ("", "events", SEEN, "why a task is not there"),
    ("", "endpoints", &["list"], "what is left of a Service"),
    (
        "discovery.k8s.io",
        "endpointslices",
        &["list"],
        "what is left of a Service",
    ),
];

/// Adds a permission, or its verbs to those of the same resource.
fn add(
    needed: &mut Vec<Permission>,
    (group, resource): (&'static str, &'static str),
    verbs: &[&'static str],
    why: &'static str,
) {
    let known = needed
        .iter_mut()
        .find(|known| known.resource == resource && known.group == group);
    match known {
        Some(known) => {
            for verb in verbs {
                if !known.verbs.contains(verb) {
                    known.verbs.push(verb);
                }
            }
        }
        None => needed.push(Permission {
            group,
            resource,
            verbs: verbs.to_vec(),
            why,
        }),
    }
}

/// The least that must be allowed, in one namespace.
#[must_use]
pub fn needed(all: &[Work]) -> Vec<Permission> {
    let mut needed: Vec<Permission> = Vec::new();
    if all.contains(&Work::Run) {
        for (group, resource, verbs, why) in RUN {
            add(&mut needed, (group, resource), verbs, why);
        }
    }
    let mut need = |resource: Resource, verbs: &[&'static str], why: &'static str| {
        add(&mut needed, (resource.group(), resource.plural()), verbs, why);
    };
    for work in all {
        match work {
            Work::Announce {
                placement,
                legacy_endpoints,
                selector,
            } => {
                need(
                    Resource::Lease,
                    &["get", "create", "update", "patch", "delete"],
                    "who holds an entry, and until when",
                );
                need(Resource::Service, APPLY, "the name that clients use");
                match (placement, legacy_endpoints) {
                    (KubernetesPlacement::Inside, _) => need(
                        Resource::Pod,
                        if *selector { &["get"] } else { &["get", "patch"] },
                        "the pod of the engine, which the Service selects and goes with",
                    ),
                    (KubernetesPlacement::Outside, true) => {
                        need(Resource::Endpoints, APPLY, "addresses outside of the cluster");
                    }
                    (KubernetesPlacement::Outside, false) => {
                        need(Resource::EndpointSlice, APPLY, "addresses outside of the cluster");
                    }
                }
            }
            Work::Discover => need(
                Resource::Lease,
                &["get", "list", "watch"],
                "who holds an entry, and until when",
            ),
            // See above.
            Work::Run => {}
            Work::Collect => {
                need(
                    Resource::Lease,
                    &["list", "delete"],
                    "who holds an entry, and until when",
                );
                need(
                    Resource::Service,
                    &["list", "delete"],
                    "the name that clients use",
                );
                need(
                    Resource::EndpointSlice,
                    &["list", "delete"],
                    "addresses outside of the cluster",
                );
            }
        }
    }
    needed
}

/// The Role and the RoleBinding that allow this to a service account of the same namespace, as Kubernetes objects.
#[must_use]
pub fn role(name: &str, namespace: &str, service_account: &str, all: &[Work]) -> Vec<Value> {
    let rules: Vec<Value> = needed(all)
        .into_iter()
        .map(|permission| {
            json!({
                "apiGroups": [permission.group],
                "resources": [permission.resource],
                "verbs": permission.verbs,
            })
        })
        .collect();
    let metadata = json!({
        "name": name,
        "namespace": namespace,
        "labels": { super::MANAGED_BY: super::MANAGER },
    });
    vec![
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": rules,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            // The same name as above: a binding to a role that is not there grants nothing, and nobody says so.
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": service_account, "namespace": namespace }],
        }),
    ]
}

/// Which cluster it is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// URL of the API server.
    pub server: String,
    /// Its version: `v1.34.4`.
    pub version: String,
    /// The namespace that is used.
    pub namespace: String,
    /// Our name there; absent where the API server does not say.
    pub user: Option<String>,
}

/// One verb of a permission, and whether we have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, as in URLs.
    pub resource: &'static str,
    /// What would be done with it.
    pub verb: &'static str,
    /// What for.
    pub why: &'static str,
    /// Whether it is allowed.
    pub allowed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionInfo {
    git_version: String,
}

#[derive(Debug, Deserialize)]
struct Review {
    status: ReviewStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewStatus {
    #[serde(default)]
    allowed: bool,
    user_info: Option<UserInfo>,
}

#[derive(Debug, Deserialize)]
struct UserInfo {
    username: Option<String>,
}

impl KubernetesDirectory {
    /// Where this directory announces by default, as work that needs permissions.
    #[must_use]
    pub fn announcing(&self) -> Work {
        Work::Announce {
            placement: self.placement(),
            legacy_endpoints: self.spec.legacy_endpoints,
            selector: !self.spec.selector.is_empty(),
        }
    }

    /// The namespace that is used, as files and the environment say. Asks nobody.
    pub async fn namespace(&self) -> Result<Name> {
        let session = self.connection.session().await?;
        session
            .namespace
            .parse()
            .map_err(|error| super::configuration("namespace", format!("`{}`: {error}", session.namespace)))
    }

    /// Which cluster it is, and who we are there.
    pub async fn cluster(&self) -> Result<Cluster> {
        let session = self.connection.session().await?;
        let target = |resource| Target {
            resource,
            what: What::New,
        };
        let answer = self
            .connection
            .send(Method::GET, &target(Resource::Version), None, &[])
            .await?;
        let version: VersionInfo = answer.read("the version of the API server")?;
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
        // Older API servers cannot be asked that, and some do not let everybody ask.
        let user = self
            .connection
            .send(
                Method::POST,
                &target(Resource::SelfReview),
                Some((Form::Json, &body)),
                &[],
            )
            .await
            .and_then(|answer| answer.read::<Review>("the answer to who we are"))
            .ok()
            .and_then(|review| review.status.user_info)
            .and_then(|user| user.username);
        Ok(Cluster {
            server: session.url.clone(),
            version: version.git_version,
            namespace: session.namespace.clone(),
            user,
        })
    }

    /// Asks the API server for each verb whether we may.
    pub async fn access(&self, all: &[Work]) -> Result<Vec<Access>> {
        let namespace = self.connection.session().await?.namespace.clone();
        let mut found = Vec::new();
        for permission in needed(all) {
            for verb in permission.verbs {
                let (resource, part) = permission
                    .resource
                    .split_once('/')
                    .unwrap_or((permission.resource, ""));
                let body = json!({
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectAccessReview",
                    "spec": { "resourceAttributes": {
                        "namespace": namespace,
                        "group": permission.group,
                        "resource": resource,
                        "subresource": part,
                        "verb": verb,
                    } },
                });
                let target = Target {
                    resource: Resource::AccessReview,
                    what: What::New,
                };
                let answer = self
                    .connection
                    .send(Method::POST, &target, Some((Form::Json, &body)), &[])
                    .await?;
                let review: Review = answer.read("the answer to what we may do")?;
                found.push(Access {
                    group: permission.group,
                    resource: permission.resource,
                    verb,
                    why: permission.why,
                    allowed: review.status.allowed,
                });
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Work = Work::Announce {
        placement: KubernetesPlacement::Outside,
        legacy_endpoints: false,
        selector: false,
    };

    #[test]
    fn each_work_needs_its_own_and_together_each_once() {
        let verbs = |all: &[Work], resource: &str| -> Vec<&'static str> {
            needed(all)
                .into_iter()
                .filter(|permission| permission.resource == resource)
                .flat_map(|permission| permission.verbs)
                .collect()
        };
        assert_eq!(verbs(&[Work::Discover], "leases"), ["get", "list", "watch"]);
        assert!(verbs(&[Work::Discover], "services").is_empty());
        assert!(verbs(&[OUTSIDE], "pods").is_empty());
        let inside = Work::Announce {
            placement: KubernetesPlacement::Inside,
            legacy_endpoints: false,
            selector: true,
        };
        assert_eq!(verbs(&[inside], "pods"), ["get"]);
        assert!(verbs(&[inside], "endpointslices").is_empty());
        let together = verbs(&[OUTSIDE, Work::Discover, Work::Collect], "leases");
        assert_eq!(
            together,
            ["get", "create", "update", "patch", "delete", "list", "watch"]
        );
    }

    #[test]
    fn the_binding_names_the_role_that_is_there() {
        let objects = role("r", "n", "s", &[OUTSIDE]);
        assert_eq!(objects[1]["roleRef"]["name"], objects[0]["metadata"]["name"]);
        assert_eq!(objects[1]["subjects"][0]["name"], "s");
        assert!(
            objects[0]["rules"]
                .as_array()
                .unwrap()
                .iter()
                .all(|rule| { rule["verbs"].as_array().unwrap().iter().all(|verb| verb != "*") })
        );
    }
}
