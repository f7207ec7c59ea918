//! The labels by which the objects of an instance are found.

use std::collections::BTreeMap;

use seaway_model::plan::{Plan, Role};

use super::object_name;

/// Label with the name of the instance, on all its objects and pods.
pub const INSTANCE: &str = "seaway.dev/instance";
/// Label with the role, on what belongs to one.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Label with the name of the object, on what belongs to a role: `dask-scheduler`. The ARL's tools select by it; nothing
/// of Seaway does.
const APP: &str = "k8s-app";
/// Annotation of an object that stays when the instance goes.
pub const KEEP: &str = "seaway.dev/keep";
/// Who made it, as the usual tools show it; and the field manager of what is applied.
pub const MANAGER: &str = "seaway";

/// The labels of an object. The document's own come first, so that none of them hides one that is looked for.
pub(super) fn of(plan: &Plan, role: Option<&Role>) -> BTreeMap<String, String> {
    let mut labels = plan.labels.clone();
    labels.extend(
        [
            ("app.kubernetes.io/name", plan.kind.to_lowercase()),
            ("app.kubernetes.io/instance", plan.instance.to_string()),
            ("app.kubernetes.io/managed-by", MANAGER.to_owned()),
            (INSTANCE, plan.instance.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    if let Some(role) = role {
        labels.insert(COMPONENT.to_owned(), role.name.to_string());
        labels.insert(APP.to_owned(), object_name(&plan.instance, role.name.as_str()));
    }
    labels
}

/// The labels that select the pods of an instance, or of one of its roles. They never change.
pub(super) fn selector(plan: &Plan, role: Option<&Role>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([(INSTANCE.to_owned(), plan.instance.to_string())]);
    if let Some(role) = role {
        labels.insert(COMPONENT.to_owned(), role.name.to_string());
    }
    labels
}
