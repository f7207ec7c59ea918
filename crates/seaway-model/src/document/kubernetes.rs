//! How an instance runs on Kubernetes. Other platforms pass this part of a document over.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Memory, Name};

/// The most temporary data of a pod, when nothing is said.
const SCRATCH_SIZE: Memory = Memory::from_mebibytes(10 << 10);

/// How an instance runs on Kubernetes. Everything has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KubernetesSpec {
    /// The namespace; that of the kubeconfig's context when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
    /// The container image with the engine in it; the one that Seaway's release has when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// The container image with `seaway` in it, for the sidecars; that of the release when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub agent_image: Option<String>,
    /// When images are pulled.
    #[serde(skip_serializing_if = "PullPolicy::is_default")]
    pub image_pull_policy: PullPolicy,
    /// Secrets with the credentials of registries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<Name>,
    /// The type of the Services that clients use.
    #[serde(skip_serializing_if = "ServiceType::is_default")]
    pub service_type: ServiceType,
    /// Whether a NetworkPolicy keeps all but the endpoints to the instance itself.
    #[serde(skip_serializing_if = "is_true")]
    pub network_policy: bool,
    /// The most temporary data of a pod (Dask spills there); the pod is evicted when it writes more.
    #[serde(skip_serializing_if = "is_usual_scratch")]
    pub scratch_size: Memory,
    /// Settings of all pods.
    #[serde(skip_serializing_if = "PodSpec::is_default")]
    pub pods: PodSpec,
    /// Settings of the pods of one role, over those of all pods: `worker: {nodeSelector: {…}}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Name, PodSpec>,
}

impl Default for KubernetesSpec {
    fn default() -> Self {
        Self {
            namespace: None,
            image: None,
            agent_image: None,
            image_pull_policy: PullPolicy::default(),
            image_pull_secrets: Vec::new(),
            service_type: ServiceType::default(),
            network_policy: true,
            scratch_size: SCRATCH_SIZE,
            pods: PodSpec::default(),
            roles: BTreeMap::new(),
        }
    }
}

macro_rules! is_default {
    ($($name:ident)*) => {
        $(impl $name {
            /// Whether nothing was set.
            #[must_use]
            pub fn is_default(&self) -> bool {
                *self == Self::default()
            }
        })*
    };
}

is_default!(KubernetesSpec PodSpec PullPolicy ServiceType);

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_usual_scratch(size: &Memory) -> bool {
    *size == SCRATCH_SIZE
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_true(value: &bool) -> bool {
    *value
}

/// When the kubelet pulls an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Each time.
    Always,
    /// Never; the node must have it.
    Never,
}

impl PullPolicy {
    /// The word that Kubernetes uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }
}

/// How a Service is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From within the cluster, and from elsewhere through a port-forward.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// On a port of every node: open to whoever reaches a node.
    NodePort,
    /// Through a load balancer, which may be public.
    LoadBalancer,
}

impl ServiceType {
    /// The word that Kubernetes uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// Settings of pods. Those that are mappings or lists add up: for a role, its own come after those of all pods.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodSpec {
    /// Labels of nodes that pods may run on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that pods tolerate, as Kubernetes writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<BTreeMap<String, Value>>,
    /// Affinity, as Kubernetes writes it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub affinity: BTreeMap<String, Value>,
    /// The ServiceAccount; its token is mounted then, and else no token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Name>,
    /// The PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels beside Seaway's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// More volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<MountSpec>,
    /// A strategic merge patch of the pod template (`metadata` and `spec`), for all the rest. The engine's container
    /// is called `main`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub template: BTreeMap<String, Value>,
}

/// A volume with the place where pods see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MountSpec {
    /// The volume's name, unique in the pod.
    pub name: Name,
    /// Where pods see it.
    #[schemars(length(min = 1))]
    pub path: PathBuf,
    /// Whether pods may only read it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// What it is.
    pub volume: VolumeSpec,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum VolumeSpec {
    /// An empty directory that goes with the pod.
    EmptyDir(EmptyDirVolume),
    /// A PersistentVolumeClaim.
    Claim(ClaimVolume),
    /// A directory of the node. The restricted and baseline Pod Security profiles forbid it.
    HostPath(HostPathVolume),
    /// A directory of an NFS server.
    Nfs(NfsVolume),
    /// The files of a ConfigMap.
    ConfigMap(NamedVolume),
    /// The files of a Secret.
    Secret(NamedVolume),
}

/// An empty directory that goes with the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EmptyDirVolume {
    /// The pod is evicted when it holds more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<Memory>,
}

/// A PersistentVolumeClaim: one that exists (`name`), or one that Seaway makes (`size`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaimVolume {
    /// The name of a claim that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The size of a claim to make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Memory>,
    /// The StorageClass of a claim to make; the cluster's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// The access modes of a claim to make; `ReadWriteMany` when absent, since several pods use it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<AccessMode>,
    /// Whether a claim that Seaway made goes with the instance, and its data with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delete_with_instance: bool,
}

/// Who may mount a volume, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessMode {
    /// One node, reading and writing.
    ReadWriteOnce,
    /// Many nodes, reading.
    ReadOnlyMany,
    /// Many nodes, reading and writing.
    ReadWriteMany,
    /// One pod, reading and writing.
    ReadWriteOncePod,
}

impl AccessMode {
    /// The word that Kubernetes uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadOnlyMany => "ReadOnlyMany",
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
        }
    }
}

/// A directory of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPathVolume {
    /// The directory.
    pub path: String,
}

/// A directory of an NFS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NfsVolume {
    /// The server.
    #[schemars(length(min = 1))]
    pub server: String,
    /// The directory that it exports; `/data` when absent, like the ARL's.
    #[serde(default = "exported")]
    pub path: String,
}

fn exported() -> String {
    "/data".to_owned()
}

/// An object whose entries are files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedVolume {
    /// The object's name.
    pub name: Name,
}
