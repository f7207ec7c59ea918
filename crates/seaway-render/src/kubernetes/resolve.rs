//! What the references of a plan are in a pod.
//!
//! What is known only when the pod runs (its address, its number, a secret) becomes a variable that the kubelet
//! replaces: `$(NAME)` in arguments and in the environment. The user's own dollar signs are doubled, so that the
//! kubelet takes them as they are.

use std::{borrow::Cow, collections::BTreeMap};

use seaway_model::{
    Name,
    plan::{AddressPart, PortPlan, Reference, Role, Template},
};
use serde_json::{Value, json};

use super::{RenderError, Scope, is_numbered, object_name, services::number};

/// Where everything that Seaway mounts is.
const ROOT: &str = "/seaway";
/// Where the plan's files are.
pub(super) const FILES: &str = "/seaway/files";
/// Where the plan's secrets are.
pub(super) const SECRETS: &str = "/seaway/secrets";
/// The home and the working directory.
pub(super) const WORK: &str = "/seaway/home";
/// The directory for temporary data.
pub(super) const SCRATCH: &str = "/seaway/scratch";

const POD_IP: &str = "SEAWAY_POD_IP";
const INDEX: &str = "SEAWAY_INDEX";

/// Resolves the templates of one role, and notes the variables that they need.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    scope: Scope<'a>,
    role: &'a Role,
    variables: BTreeMap<String, Value>,
}

impl<'a> Resolver<'a> {
    pub(super) const fn new(scope: Scope<'a>, role: &'a Role) -> Self {
        Self {
            scope,
            role,
            variables: BTreeMap::new(),
        }
    }

    /// A text for the arguments or the environment of a container.
    pub(super) fn text(&mut self, template: &Template) -> Result<String, RenderError> {
        template.resolve_quoted(quote, |reference| self.reference(reference))
    }

    /// The variables that the texts so far need, to stand before all others.
    pub(super) fn variables(self) -> Vec<Value> {
        self.variables
            .into_iter()
            .map(|(name, source)| json!({"name": name, "valueFrom": source}))
            .collect()
    }

    fn variable(&mut self, name: impl Into<String>, source: Value) -> String {
        let name = name.into();
        let text = format!("$({name})");
        self.variables.insert(name, source);
        text
    }

    fn index(&mut self) -> String {
        if !is_numbered(self.role) {
            return "0".into();
        }
        let label = "metadata.labels['apps.kubernetes.io/pod-index']";
        self.variable(INDEX, json!({"fieldRef": {"fieldPath": label}}))
    }

    fn pod_ip(&mut self) -> String {
        self.variable(POD_IP, json!({"fieldRef": {"fieldPath": "status.podIP"}}))
    }

    fn reference(&mut self, reference: &Reference) -> Result<String, RenderError> {
        let plan = self.scope.plan;
        Ok(match reference {
            Reference::Instance => plan.instance.to_string(),
            Reference::Task => format!("{}-{}", self.role.name, self.index()),
            Reference::TaskIndex => self.index(),
            Reference::Work => WORK.into(),
            Reference::Scratch => SCRATCH.into(),
            Reference::File(_) => FILES.into(),
            Reference::SecretFile(name) => format!("{SECRETS}/{name}"),
            Reference::Secret(name) => {
                let variable = format!("SEAWAY_SECRET_{}", name.as_str().to_uppercase().replace('-', "_"));
                let secret = object_name(&plan.instance, "secrets");
                self.variable(variable, json!({"secretKeyRef": {"name": secret, "key": name}}))
            }
            Reference::Data(name) => {
                let data = plan.data.iter().find(|data| data.name == *name);
                let path = data.map_or_else(String::new, |data| data.path.to_string_lossy().into_owned());
                quote(&path).into_owned()
            }
            Reference::Port { role, port, part } => self.port(role.as_ref(), port, *part)?,
        })
    }

    fn port(&mut self, role: Option<&Name>, port: &Name, part: AddressPart) -> Result<String, RenderError> {
        let missing = || RenderError::Unsupported {
            field: format!("role `{}`", self.role.name),
            why: format!("there is no port `{port}`"),
        };
        let Some(other) = role else {
            let port = self.role.port(port.as_str()).ok_or_else(missing)?;
            return Ok(match part {
                // All addresses of the pod: a port-forward comes in on the loopback one.
                AddressPart::Listen => "0.0.0.0".into(),
                AddressPart::Host => self.pod_ip(),
                AddressPart::Port => number(port).to_string(),
                AddressPart::Address => format!("{}:{}", self.pod_ip(), number(port)),
            });
        };
        let other = self.scope.plan.role(other.as_str()).ok_or_else(missing)?;
        let port = other.port(port.as_str()).ok_or_else(missing)?;
        let tasks = (0..other.replicas.max(1)).map(|index| self.part_of(other, port, index, part));
        Ok(tasks.collect::<Result<Vec<_>, _>>()?.join(","))
    }

    fn part_of(
        &self,
        role: &Role,
        port: &PortPlan,
        index: u32,
        part: AddressPart,
    ) -> Result<String, RenderError> {
        Ok(match part {
            AddressPart::Host | AddressPart::Listen => self.scope.host(role, index)?,
            AddressPart::Port => number(port).to_string(),
            AddressPart::Address => format!("{}:{}", self.scope.host(role, index)?, number(port)),
        })
    }
}

/// Plain text that the kubelet leaves as it is.
fn quote(text: &str) -> Cow<'_, str> {
    if text.contains('$') {
        text.replace('$', "$$").into()
    } else {
        text.into()
    }
}

/// Whether a path is one of those that Seaway mounts.
pub(super) fn is_ours(path: &std::path::Path) -> bool {
    path.starts_with(ROOT)
}
