//! From a plan to the objects that make it exist in a cluster. Nothing here asks anything.
//!
//! A role of one task is a Deployment, any other a StatefulSet, whose pods keep the names and numbers of tasks. Each
//! role has a Service; the one of a StatefulSet is headless and gives each pod a name of its own. The plan's files are
//! a ConfigMap, its secrets a Secret. One more ConfigMap, the inventory, says what the instance is and what it has.

mod announcer;
mod claims;
mod labels;
mod network;
mod pod;
mod record;
mod resolve;
mod services;
mod strategic;
mod volumes;
mod workload;

use std::collections::BTreeMap;

use seaway_model::{
    Name,
    plan::{Plan, Role},
};
use serde_json::{Map, Value};
use thiserror::Error;

pub use self::{
    labels::{COMPONENT, INSTANCE, KEEP, MANAGER},
    record::{INVENTORY, Inventory, InventoryError, ObjectReference},
    services::number as port_number,
};

/// The port on which a sidecar serves `/metrics` and `/readyz`.
pub const AGENT_PORT: u16 = 9464;

/// The name of the container with the engine.
pub const MAIN: &str = "main";

/// The name of the container with the agent.
pub const AGENT: &str = "agent";

/// The name of the container that announces the endpoints.
pub const ANNOUNCER: &str = "announcer";

/// The most characters that the name of a Service or of a pod can have.
const LONGEST: usize = 63;

/// The most characters that the name of a StatefulSet can have: its pods have a label with it and a hash of ten digits.
const LONGEST_SET: usize = 52;

/// Why a plan cannot be had as Kubernetes objects.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// A name is too long for what is made from it.
    #[error("metadata.name: `{name}` is too long: `{made}` would have more than {most} characters")]
    TooLong {
        /// The instance's name.
        name: Name,
        /// What would be called so.
        made: String,
        /// The most that it can have.
        most: usize,
    },
    /// Names of Services begin with a letter.
    #[error("metadata.name: `{0}` begins with a digit, and the name of a Service cannot")]
    Digit(Name),
    /// Something that Kubernetes cannot do.
    #[error("{field}: {why}")]
    Unsupported {
        /// The field of the document, or the part of the plan.
        field: String,
        /// Why.
        why: String,
    },
    /// No image to run.
    #[error("role `{0}` has no image; give one in spec.kubernetes.image")]
    NoImage(Name),
    /// A secret without a value.
    #[error("the secret `{0}` has no value")]
    NoSecret(Name),
    /// A patch of the pod template does not fit.
    #[error("{field}: {why}")]
    Patch {
        /// Where the patch stands in the document.
        field: String,
        /// Why it does not fit.
        why: String,
    },
}

/// What the objects of a plan depend on beside the plan.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    /// The namespace.
    pub namespace: &'a Name,
    /// The document that the plan was made from.
    pub document: &'a Value,
    /// The values of the plan's secrets.
    pub secrets: &'a BTreeMap<Name, String>,
    /// The image with `seaway` in it that this release has.
    pub agent_image: &'a str,
}

/// One object, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `v1`, `apps/v1`, …
    pub api_version: &'static str,
    /// `Service`, `Deployment`, …
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// All of it.
    pub body: Value,
}

impl Object {
    /// `kind/name`, as `kubectl` writes it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }
}

/// The objects of a plan, in the order in which they are to be made; the inventory is the first.
pub fn objects(plan: &Plan, setting: &Setting<'_>) -> Result<Vec<Object>, RenderError> {
    if plan
        .instance
        .as_str()
        .starts_with(|first: char| first.is_ascii_digit())
    {
        return Err(RenderError::Digit(plan.instance.clone()));
    }
    let scope = Scope { plan, setting };
    let mut objects = Vec::new();
    objects.extend(scope.files());
    objects.extend(scope.secrets()?);
    objects.extend(scope.claims()?);
    objects.extend(scope.network_policy());
    for role in &plan.roles {
        objects.push(scope.service(role)?);
    }
    objects.extend(scope.aliases()?);
    for role in &plan.roles {
        objects.push(scope.workload(role)?);
    }
    let inventory = scope.inventory(&objects);
    objects.insert(0, inventory);
    Ok(objects)
}

/// The name of an object of an instance: `<instance>-<part>`.
#[must_use]
pub fn object_name(instance: &Name, part: &str) -> String {
    format!("{instance}-{part}")
}

/// Whether the tasks of a role are numbered pods of a StatefulSet; the one task of any other role is the pod of a
/// Deployment.
#[must_use]
pub const fn is_numbered(role: &Role) -> bool {
    role.scalable || role.replicas != 1
}

/// A plan with what its objects depend on.
#[derive(Debug, Clone, Copy)]
struct Scope<'a> {
    plan: &'a Plan,
    setting: &'a Setting<'a>,
}

impl Scope<'_> {
    /// The name of a part, short enough for every object that can be called so.
    fn name_of(&self, part: &str) -> Result<String, RenderError> {
        let made = object_name(&self.plan.instance, part);
        self.check_length(made, LONGEST)
    }

    fn check_length(&self, made: String, most: usize) -> Result<String, RenderError> {
        if made.len() > most {
            return Err(RenderError::TooLong {
                name: self.plan.instance.clone(),
                made,
                most,
            });
        }
        Ok(made)
    }

    /// An object with the labels of the instance, and those of a role when it belongs to one.
    fn object(
        &self,
        (api_version, kind): (&'static str, &'static str),
        name: String,
        role: Option<&Role>,
        rest: Value,
    ) -> Object {
        let mut body = Map::new();
        body.insert("apiVersion".into(), api_version.into());
        body.insert("kind".into(), kind.into());
        body.insert(
            "metadata".into(),
            serde_json::json!({
                "name": name,
                "namespace": self.setting.namespace,
                "labels": labels::of(self.plan, role),
            }),
        );
        if let Value::Object(rest) = rest {
            body.extend(rest);
        }
        Object {
            api_version,
            kind,
            name,
            body: Value::Object(body),
        }
    }
}
