//! A Dask cluster: a scheduler, workers, and a notebook to use them from.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    common::{Bounded, DataSpec, EndpointSpec, Resources},
    kubernetes::KubernetesSpec,
};
use crate::{Name, discovery::DirectorySpec};

/// What a Dask instance is made of. Everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DaskSpec {
    /// The Python that everything runs in.
    #[serde(skip_serializing_if = "PythonSpec::is_default")]
    pub python: PythonSpec,
    /// The scheduler.
    #[serde(skip_serializing_if = "SchedulerSpec::is_default")]
    pub scheduler: SchedulerSpec,
    /// The workers.
    pub workers: WorkersSpec,
    /// The notebook server.
    #[serde(skip_serializing_if = "NotebookSpec::is_default")]
    pub notebook: NotebookSpec,
    /// Directories of this machine that all tasks see.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataSpec>,
    /// Environment variables of all tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "variables")]
    pub env: BTreeMap<String, String>,
    /// Where the named ports listen: `client` (the scheduler), `dashboard`, `notebook`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "enum": DaskSpec::ENDPOINTS }))]
    pub endpoints: BTreeMap<Name, EndpointSpec>,
    /// Where the endpoints are announced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discovery: Vec<DirectorySpec>,
    /// How it runs on Kubernetes; passed over elsewhere.
    #[serde(skip_serializing_if = "KubernetesSpec::is_default")]
    pub kubernetes: KubernetesSpec,
}

impl DaskSpec {
    /// The endpoints a Dask instance has.
    pub const ENDPOINTS: [&'static str; 3] = ["client", "dashboard", "notebook"];

    /// The roles a Dask instance has.
    pub const ROLES: [&'static str; 3] = ["scheduler", "worker", "notebook"];

    /// The keys of the spec, for whoever writes one of them outside of it.
    pub(super) const KEYS: [&'static str; 9] = [
        "python",
        "scheduler",
        "workers",
        "notebook",
        "data",
        "env",
        "endpoints",
        "discovery",
        "kubernetes",
    ];
}

/// The Python environment of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PythonSpec {
    /// Requirements (PEP 508) to install beside those of the engine, for example `pandas>=2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// An environment that exists already; it is used as it is, so `packages` and `version` cannot be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub environment: Option<PathBuf>,
    /// The version of Python, for example `3.12`; a suitable one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^3(\.[0-9]{1,3}){0,2}$"), extend("type" = ["string", "number", "null"]))]
    pub version: Option<String>,
}

/// The scheduler of a Dask instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SchedulerSpec {
    /// How much of the machine it gets.
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Environment variables of the scheduler, over those of all tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "variables")]
    pub env: BTreeMap<String, String>,
    /// Arguments to add to its command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// The workers of a Dask instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorkersSpec {
    /// How many workers; 0 for a scheduler that waits for them.
    #[serde(deserialize_with = "replicas")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: u32,
    /// Threads of each worker; as many as its cores (rounded up) when absent, or 1 when its cores are not given.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "threads")]
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u32>,
    /// How much of a machine each worker gets.
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Dask's abstract resources of each worker, for example `GPU: 2`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, f64>,
    /// Environment variables of the workers, over those of all tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "variables")]
    pub env: BTreeMap<String, String>,
    /// Arguments to add to their command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

impl Default for WorkersSpec {
    fn default() -> Self {
        Self {
            replicas: 2,
            threads: None,
            resources: Resources::default(),
            tags: BTreeMap::new(),
            env: BTreeMap::new(),
            args: Vec::new(),
        }
    }
}

impl WorkersSpec {
    /// Threads of each worker: as given, else its cores rounded up, else 1.
    #[must_use]
    pub fn effective_threads(&self) -> u32 {
        let cores = self.resources.cpu.map_or(1, crate::Cpu::cores_rounded_up);
        self.threads
            .unwrap_or_else(|| u32::try_from(cores).unwrap_or(u32::MAX).clamp(1, 1024))
    }
}

/// The notebook server of a Dask instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NotebookSpec {
    /// Whether there is one.
    pub enabled: bool,
    /// A file with the token that opens it, which only its owner can read; a random token is made when absent. It is
    /// taken when the instance is made, and kept until the instance goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub token_file: Option<PathBuf>,
    /// The directory it shows; the one in which `seaway up` was called when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub directory: Option<PathBuf>,
    /// How much of the machine it gets.
    #[serde(skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Environment variables of the notebook server, over those of all tasks.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "variables")]
    pub env: BTreeMap<String, String>,
    /// Arguments to add to its command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

impl Default for NotebookSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            token_file: None,
            directory: None,
            resources: Resources::default(),
            env: BTreeMap::new(),
            args: Vec::new(),
        }
    }
}

macro_rules! is_default {
    ($($name:ident)*) => {
        $(impl $name {
            fn is_default(&self) -> bool {
                *self == Self::default()
            }
        })*
    };
}

is_default!(PythonSpec SchedulerSpec NotebookSpec);

fn replicas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Bounded::<0, 1000>::deserialize(deserializer).map(|number| number.0)
}

fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::<Bounded<1, 1024>>::deserialize(deserializer)?.map(|number| number.0))
}

/// Variables in a schema: YAML's numbers and booleans are taken as they are written.
fn variables(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
        "additionalProperties": { "type": ["string", "number", "boolean"] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_follow_the_cores() {
        let mut workers = WorkersSpec::default();
        assert_eq!(workers.effective_threads(), 1);
        workers.resources.cpu = Some("2500m".parse().unwrap());
        assert_eq!(workers.effective_threads(), 3);
        workers.resources.cpu = Some("100000".parse().unwrap());
        assert_eq!(workers.effective_threads(), 1024);
        workers.threads = Some(2);
        assert_eq!(workers.effective_threads(), 2);
    }
}
