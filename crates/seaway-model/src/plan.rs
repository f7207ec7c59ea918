//! The plan: what an engine wants to exist, as data.
//!
//! An engine turns an instance document into a [`Plan`] and starts nothing. A platform makes the plan's tasks
//! exist, watches them and removes them, and knows nothing of engines. Rendering reads the same plan. So nothing
//! here may assume child processes, pods or jobs; what only the platform knows (addresses above all) stands in
//! commands and environments as a [`Reference`].

mod readiness;
mod secret;
mod template;
mod validate;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::{
    readiness::{
        BusySignal, Check, Condition, Drain, Expectation, HttpCheck, NamedExpectation, PortReference, Probe,
        select,
    },
    secret::{SecretError, SecretPlan},
    template::{AddressPart, Reference, Template, TemplateError},
    validate::PlanError,
};
pub use crate::document::Resources;
use crate::{
    Name, Period,
    discovery::DirectorySpec,
    document::{KubernetesSpec, VolumeSpec},
};

/// What one instance consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The instance's name.
    pub instance: Name,
    /// The engine: `Dask`.
    pub kind: String,
    /// The document's labels; put on everything that can carry them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The roles, each after those that it depends on. They stop in the opposite order.
    pub roles: Vec<Role>,
    /// Ports that clients use, by the name they know.
    pub endpoints: Vec<EndpointPlan>,
    /// Secrets that the platform makes once for an instance and keeps until the instance goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretPlan>,
    /// Software that roles run in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<Name, PythonEnvironment>,
    /// Small files that tasks need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PlanFile>,
    /// Directories with the user's data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataDirectory>,
    /// How to tell busy from idle; absent when the engine cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<BusySignal>,
    /// Where the endpoints are announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discovery: Vec<DirectorySpec>,
    /// How it runs on Kubernetes; for that platform and for rendering alone.
    #[serde(default, skip_serializing_if = "KubernetesSpec::is_default")]
    pub kubernetes: KubernetesSpec,
}

/// One kind of process in an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// The role's name: `scheduler`, `worker`, `notebook`. Tasks are called `<role>-<index>`.
    pub name: Name,
    /// How many tasks.
    pub replicas: u32,
    /// Whether the number of tasks may change while the instance runs.
    #[serde(default)]
    pub scalable: bool,
    /// What must be so before a task of this role starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Dependency>,
    /// The container image with the role's programs, for platforms that run containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The environment (see [`Plan::environments`]) whose programs the command finds first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Name>,
    /// Program and arguments. A program without a slash is looked up in the environment, then on `PATH`.
    pub command: Vec<Template>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Template>,
    /// Ports that a task listens on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortPlan>,
    /// What a task may use.
    #[serde(default)]
    pub resources: Resources,
    /// Whether the command itself keeps below the memory limit (by a flag of the engine), so that a platform
    /// which cannot enforce it can say who keeps it.
    #[serde(default)]
    pub keeps_memory_limit: bool,
    /// Working directory; one made for the task when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<PathBuf>,
    /// When a task is ready.
    pub ready: Probe,
    /// How a task that ended is started again.
    #[serde(default)]
    pub restart: Restart,
    /// How a task is asked to end.
    #[serde(default)]
    pub stop: StopLadder,
    /// How tasks are emptied before they are stopped for scaling down; absent when they hold nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
}

/// What must be so before a task starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Dependency {
    /// The role's addresses are assigned. For tasks that wait for each other by themselves: they start side by
    /// side, which is faster.
    Assigned(Name),
    /// Every task of the role is ready.
    Ready(Name),
}

impl Dependency {
    /// The role depended on.
    #[must_use]
    pub const fn role(&self) -> &Name {
        match self {
            Self::Assigned(role) | Self::Ready(role) => role,
        }
    }
}

/// A port that a task listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortPlan {
    /// The port's name within the role.
    pub name: Name,
    /// The number by which the port is commonly known. A platform where tasks have addresses of their own uses
    /// it; one where they share an address takes it when it is free.
    pub usual: u16,
    /// The number the user asked for: this one or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed: Option<u16>,
    /// The address to bind that the user asked for; the platform's safe default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A port that clients use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndpointPlan {
    /// The name clients know.
    pub name: Name,
    /// The role that listens; it has one task.
    pub role: Name,
    /// The role's port.
    pub port: Name,
    /// Scheme of the URL.
    pub scheme: String,
    /// Path of the URL, with its leading `/`; empty for the root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The secret that a client must show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Name>,
}

/// A small file that tasks need, found by `${file.NAME}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanFile {
    /// The name it is referred to by.
    pub name: Name,
    /// Its file name.
    pub file_name: String,
    /// Its text.
    pub content: String,
}

/// A directory with the user's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataDirectory {
    /// The name it is referred to by.
    pub name: Name,
    /// Where it is.
    pub path: PathBuf,
    /// Whether tasks are not meant to write to it.
    #[serde(default)]
    pub read_only: bool,
    /// The volume that a cluster has there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSpec>,
}

/// A Python environment: one to be made, or one that the user has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum PythonEnvironment {
    /// One that the platform makes once and shares among instances with the same list.
    Packages(PythonPackages),
    /// One that the user has, by its root (the folder with `bin/python` in it).
    Existing(PathBuf),
}

/// The packages of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PythonPackages {
    /// Version of Python, `3.12`; any that the packages support when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// PEP 508 requirements.
    pub requirements: Vec<String>,
    /// Exact versions for everything that the requirements may pull in, in the form of a pip constraints file.
    pub constraints: String,
    /// Modules that must be importable, with the requirement that brings them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
}

/// How a task that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// Failures in a row, none of them after having been ready, after which the task is given up.
    pub limit: u32,
    /// Delay before the second start in a row; it doubles with each further one. The first follows at once.
    pub delay: Period,
    /// Longest delay.
    pub longest_delay: Period,
    /// A task that was ready for this long starts again as if it had never failed.
    pub stable_after: Period,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            limit: 5,
            delay: Period::from_millis(500),
            longest_delay: Period::from_secs(30),
            stable_after: Period::from_secs(10),
        }
    }
}

/// How a task is asked to end: a signal, some time, a stronger one. Times are those of dask-gateway's local
/// cluster (facts/field.md 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopLadder {
    /// How long after SIGINT SIGTERM follows; no SIGINT at all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupt: Option<Period>,
    /// How long after SIGTERM SIGKILL follows.
    pub terminate: Period,
}

impl Default for StopLadder {
    fn default() -> Self {
        Self {
            interrupt: Some(Period::from_secs(10)),
            terminate: Period::from_secs(5),
        }
    }
}

impl Plan {
    /// The role of that name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name.as_str() == name)
    }
}

impl Role {
    /// The port of that name.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<&PortPlan> {
        self.ports.iter().find(|port| port.name.as_str() == name)
    }

    /// A digest of everything that a running process was started with. Two plans whose roles have the same digest
    /// need no restart when one follows the other; the number of replicas is not part of it, nor is the image, which
    /// a process does not have.
    #[must_use]
    pub fn revision(&self, plan: &Plan) -> String {
        let mut role = self.clone();
        role.replicas = 0;
        role.image = None;
        let environment = role
            .environment
            .as_ref()
            .and_then(|name| plan.environments.get(name));
        let mut parts = serde_json::json!({
            "role": role, "environment": environment, "files": plan.files, "data": plan.data,
        });
        // A Helm chart makes the same digest of values that its user changed, and its keys are in order.
        parts.sort_all_objects();
        hex::encode(&Sha256::digest(parts.to_string())[..8])
    }
}

#[cfg(test)]
mod tests;
