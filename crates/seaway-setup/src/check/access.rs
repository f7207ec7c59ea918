//! Roles and bindings.

use serde_json::Value;

use super::{
    Found, meant,
    object::{World, all},
    or_meant,
};

/// Roles that every cluster has.
fn is_built_in(kind: &str, name: &str) -> bool {
    kind == "ClusterRole"
        && (["cluster-admin", "admin", "edit", "view"].contains(&name) || name.starts_with("system:"))
}

pub(super) fn check(found: &mut Found<'_>, world: &World) {
    match found.object.kind() {
        "RoleBinding" | "ClusterRoleBinding" => {
            reference(found, world);
            subjects(found, world);
        }
        "Role" | "ClusterRole" => rules(found),
        "ServiceAccount" => token_secrets(found, world),
        "Secret" => owner_of_token(found, world),
        _ => {}
    }
}

fn reference(found: &mut Found<'_>, world: &World) {
    const NOTHING: &str = "the API server takes the binding, it grants nothing, and nobody says so";
    let object = found.object;
    let reference = &object.value["roleRef"];
    let (kind, name) = (
        reference["kind"].as_str().unwrap_or_default(),
        reference["name"].as_str().unwrap_or_default(),
    );
    let cluster_wide = object.kind() == "ClusterRoleBinding";
    if cluster_wide && kind == "Role" {
        found.add(
            "dangling-role",
            format!("roleRef names the Role `{name}`, and a ClusterRoleBinding can only bind a ClusterRole"),
            NOTHING,
            "make it a RoleBinding in the namespace of the Role",
        );
        return;
    }
    if is_built_in(kind, name) {
        if name == "cluster-admin" {
            found.add(
                "too-much",
                "it binds `cluster-admin`",
                "whoever gets at a pod with this account owns the cluster",
                "bind a Role with what is needed; `seaway rbac` prints one",
            );
        }
        return;
    }
    if !world.has(kind, name) {
        let near = meant(name, world.names(kind));
        let hint = or_meant(
            near,
            "name a role that is there, or add it; `seaway rbac` prints role and binding with one name",
        );
        found.add(
            "dangling-role",
            format!("roleRef names the {kind} `{name}`, and there is none of that name"),
            NOTHING,
            hint,
        );
        return;
    }
    if let Some(role) = world.find(kind, name) {
        let (here, there) = (world.namespace_of(object), world.namespace_of(role));
        if kind == "Role" && here != there {
            found.add(
                "dangling-role",
                format!(
                    "roleRef names the Role `{name}`, which is in {}, and the binding is in {}",
                    place(there),
                    place(here)
                ),
                NOTHING,
                "put both into one namespace",
            );
        }
        if cluster_wide && is_for_one_namespace(&role.value) {
            found.add(
                "cluster-wide",
                format!("it allows what the ClusterRole `{name}` says in every namespace"),
                "an engine in one namespace can read and change what is in all others",
                "make it a RoleBinding in the namespace of the engine; it may name a ClusterRole as well",
            );
        }
    }
}

fn place(namespace: Option<&str>) -> String {
    namespace.map_or_else(
        || "no namespace that is said".to_owned(),
        |name| format!("namespace `{name}`"),
    )
}

/// Whether a role is only about things that live in namespaces, as far as an engine needs them.
fn is_for_one_namespace(role: &Value) -> bool {
    const INSIDE: [&str; 12] = [
        "pods",
        "pods/log",
        "services",
        "endpoints",
        "endpointslices",
        "secrets",
        "configmaps",
        "deployments",
        "statefulsets",
        "jobs",
        "leases",
        "persistentvolumeclaims",
    ];
    let mut resources = all(&role["rules"])
        .flat_map(|rule| all(&rule["resources"]))
        .peekable();
    resources.peek().is_some() && resources.all(|one| one.as_str().is_some_and(|one| INSIDE.contains(&one)))
}

fn subjects(found: &mut Found<'_>, world: &World) {
    let object = found.object;
    for subject in all(&object.value["subjects"]) {
        let name = subject["name"].as_str().unwrap_or_default();
        if subject["kind"] != "ServiceAccount" {
            let with_namespace = subject["namespace"].is_string();
            if with_namespace {
                found.add(
                    "dangling-subject",
                    format!(
                        "the subject `{name}` of kind {} has a namespace",
                        subject["kind"].as_str().unwrap_or("unknown")
                    ),
                    "users and groups have none; a service account is meant, or the API server refuses it",
                    "say `kind: ServiceAccount`, or leave the namespace out",
                );
            }
            continue;
        }
        let Some(namespace) = subject["namespace"].as_str() else {
            found.add(
                "dangling-subject",
                format!("the subject ServiceAccount `{name}` has no namespace"),
                "the API server refuses the binding",
                "add the namespace of the service account",
            );
            continue;
        };
        if name == "default" || is_elsewhere(world, namespace) {
            continue;
        }
        let same_name: Vec<_> = world
            .of_kind("ServiceAccount")
            .filter(|account| account.name() == name)
            .collect();
        let fits = same_name
            .iter()
            .any(|account| world.namespace_of(account) == Some(namespace));
        if fits || world.unknown.contains(&"ServiceAccount") || name.contains(['$', '{']) {
            continue;
        }
        let (what, hint) = if let Some(account) = same_name.first() {
            (
                format!(
                    "the subject is the ServiceAccount `{name}` of namespace `{namespace}`, and that of this name is in {}",
                    place(world.namespace_of(account))
                ),
                format!("put `namespace: {namespace}` into the ServiceAccount, or name its namespace here"),
            )
        } else {
            (
                format!("there is no ServiceAccount `{name}`"),
                or_meant(
                    meant(name, world.names("ServiceAccount")),
                    "name one that is there, or add it",
                ),
            )
        };
        found.add(
            "dangling-subject",
            what,
            "the binding grants nothing, and nobody says so",
            hint,
        );
    }
}

/// Whether it is about a namespace that was not looked at.
fn is_elsewhere(world: &World, namespace: &str) -> bool {
    world.namespace.as_deref().is_some_and(|ours| ours != namespace)
        && !world
            .objects
            .iter()
            .any(|object| object.namespace() == Some(namespace))
}

fn rules(found: &mut Found<'_>) {
    let rules: Vec<_> = all(&found.object.value["rules"]).collect();
    for rule in rules {
        for field in ["verbs", "resources", "apiGroups"] {
            if all(&rule[field]).any(|one| one == "*") {
                found.add(
                    "wildcard",
                    format!("a rule has `*` in its {field}"),
                    "it allows more than is needed, and what later versions of Kubernetes add",
                    "name what is needed; `seaway rbac` prints the least",
                );
            }
        }
    }
}

fn token_secrets(found: &mut Found<'_>, world: &World) {
    let names: Vec<&str> = ["secrets", "imagePullSecrets"]
        .iter()
        .flat_map(|field| all(&found.object.value[*field]))
        .filter_map(|one| one["name"].as_str())
        .collect();
    for name in names {
        super::names::missing(found, world, "Secret", name, "its list of Secrets");
    }
}

/// A Secret with a token is filled only when its service account is there.
fn owner_of_token(found: &mut Found<'_>, world: &World) {
    if found.object.value["type"] != "kubernetes.io/service-account-token" {
        return;
    }
    let owner = found.object.value["metadata"]["annotations"]["kubernetes.io/service-account.name"].as_str();
    let Some(owner) = owner else {
        found.add(
            "missing-name",
            "it has no annotation `kubernetes.io/service-account.name`",
            "no token is put into it",
            "name the service account in that annotation",
        );
        return;
    };
    if owner != "default" && !world.has("ServiceAccount", owner) {
        let hint = or_meant(
            meant(owner, world.names("ServiceAccount")),
            "make the service account first",
        );
        found.add(
            "missing-name",
            format!("its token is for the ServiceAccount `{owner}`, and there is none of that name"),
            "the control plane deletes the Secret within seconds",
            hint,
        );
    }
}
