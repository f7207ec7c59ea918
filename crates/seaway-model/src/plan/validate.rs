//! What must hold of a plan before a platform sees it. A broken plan is a defect of an engine, found by the
//! engine's tests and not by a task that does not start.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Check, Plan, Reference, Role, Template};
use crate::Name;

/// Why a plan cannot be carried out by any platform.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Two things of one kind have the same name.
    #[error("{what} `{name}` stands twice in the plan")]
    Twice {
        /// The kind of thing.
        what: &'static str,
        /// The name.
        name: Name,
    },
    /// Something is referred to that is not in the plan.
    #[error("{by} refers to {what} `{name}`, which is not in the plan")]
    Missing {
        /// Who refers.
        by: String,
        /// The kind of thing.
        what: &'static str,
        /// The name.
        name: Name,
    },
    /// A role depends on one that comes later.
    #[error("role `{role}` comes before role `{on}`, on which it depends")]
    Order {
        /// The dependent role.
        role: Name,
        /// The role it depends on.
        on: Name,
    },
    /// Nothing to run.
    #[error("role `{0}` has an empty command")]
    NoCommand(Name),
    /// A secret where others can read it.
    #[error("role `{role}` has secret `{secret}` in its command; secrets go into the environment or a file")]
    SecretInCommand {
        /// The role.
        role: Name,
        /// The secret.
        secret: Name,
    },
    /// An endpoint of a role with several tasks has no single address.
    #[error("endpoint `{endpoint}` belongs to role `{role}`, which can have several tasks")]
    ManyTasks {
        /// The endpoint.
        endpoint: Name,
        /// The role.
        role: Name,
    },
}

impl Plan {
    /// Checks that names are unique, that references lead somewhere, that roles stand in a possible order, and
    /// that no secret is in a command.
    pub fn validate(&self) -> Result<(), PlanError> {
        let mut before = BTreeSet::new();
        for role in &self.roles {
            if before.contains(&role.name) {
                return Err(PlanError::Twice {
                    what: "role",
                    name: role.name.clone(),
                });
            }
            for dependency in &role.after {
                let on = dependency.role();
                if !before.contains(on) {
                    return Err(if self.role(on.as_str()).is_some() {
                        PlanError::Order {
                            role: role.name.clone(),
                            on: on.clone(),
                        }
                    } else {
                        missing(role, "role", on)
                    });
                }
            }
            self.validate_role(role)?;
            before.insert(role.name.clone());
        }
        for endpoint in &self.endpoints {
            let by = || format!("endpoint `{}`", endpoint.name);
            let absent = |what, name: &Name| PlanError::Missing {
                by: by(),
                what,
                name: name.clone(),
            };
            let role = self
                .role(endpoint.role.as_str())
                .ok_or_else(|| absent("role", &endpoint.role))?;
            role.port(endpoint.port.as_str())
                .ok_or_else(|| absent("port", &endpoint.port))?;
            if role.scalable || role.replicas != 1 {
                return Err(PlanError::ManyTasks {
                    endpoint: endpoint.name.clone(),
                    role: role.name.clone(),
                });
            }
            if let Some(token) = &endpoint.token
                && !self.secrets.iter().any(|secret| secret.name == *token)
            {
                return Err(absent("secret", token));
            }
        }
        Ok(())
    }

    fn validate_role(&self, role: &Role) -> Result<(), PlanError> {
        if role.command.is_empty() {
            return Err(PlanError::NoCommand(role.name.clone()));
        }
        let mut ports = BTreeSet::new();
        for port in &role.ports {
            if !ports.insert(&port.name) {
                return Err(PlanError::Twice {
                    what: "port",
                    name: port.name.clone(),
                });
            }
        }
        if let Some(environment) = &role.environment
            && !self.environments.contains_key(environment)
        {
            return Err(missing(role, "environment", environment));
        }
        for template in &role.command {
            for reference in template.references() {
                if let Reference::Secret(secret) = reference {
                    return Err(PlanError::SecretInCommand {
                        role: role.name.clone(),
                        secret: secret.clone(),
                    });
                }
            }
        }
        for template in role.templates() {
            for reference in template.references() {
                self.validate_reference(role, reference)?;
            }
        }
        Ok(())
    }

    fn validate_reference(&self, role: &Role, reference: &Reference) -> Result<(), PlanError> {
        match reference {
            Reference::Secret(name) | Reference::SecretFile(name) => self
                .secrets
                .iter()
                .find(|secret| secret.name == *name)
                .map_or_else(|| Err(missing(role, "secret", name)), |_| Ok(())),
            Reference::Data(name) => self
                .data
                .iter()
                .find(|data| data.name == *name)
                .map_or_else(|| Err(missing(role, "data directory", name)), |_| Ok(())),
            Reference::File(name) => self
                .files
                .iter()
                .find(|file| file.name == *name)
                .map_or_else(|| Err(missing(role, "file", name)), |_| Ok(())),
            Reference::Port {
                role: other, port, ..
            } => {
                let target = match other {
                    None => role,
                    Some(other) => self
                        .role(other.as_str())
                        .ok_or_else(|| missing(role, "role", other))?,
                };
                target
                    .port(port.as_str())
                    .map_or_else(|| Err(missing(role, "port", port)), |_| Ok(()))
            }
            Reference::Instance
            | Reference::Task
            | Reference::TaskIndex
            | Reference::Work
            | Reference::Scratch => Ok(()),
        }
    }
}

fn missing(role: &Role, what: &'static str, name: &Name) -> PlanError {
    PlanError::Missing {
        by: format!("role `{}`", role.name),
        what,
        name: name.clone(),
    }
}

impl Role {
    /// Every template of the role.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let role = self;
        let check: Box<dyn Iterator<Item = &Template>> = match &role.ready.check {
            Check::Command(command) => Box::new(command.iter()),
            Check::Http(http) => Box::new(http.expect.iter().flat_map(|expect| expect.select.iter())),
            Check::Running | Check::Tcp(_) => Box::new(std::iter::empty()),
        };
        let drain = role.drain.iter().flat_map(|drain| {
            drain
                .work
                .iter()
                .chain(&drain.sole)
                .chain(&drain.weight)
                .chain(std::iter::once(&drain.release_body))
        });
        role.command
            .iter()
            .chain(role.env.values())
            .chain(check)
            .chain(drain)
    }
}
