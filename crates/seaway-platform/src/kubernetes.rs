//! The Kubernetes platform: tasks are pods of one namespace, kept by the cluster's own controllers.
//!
//! What an instance is stands in the cluster itself, in its inventory (see [`seaway_render::kubernetes`]), so that
//! whoever looks at the namespace sees the same, whatever made the objects. Nothing runs beside the cluster: a
//! command writes what should be, and every look at an instance carries on what an earlier command began (a removal,
//! a task that hands over its work). Nothing is polled: a change is told by a watch.

mod apply;
mod cluster;
mod exec;
mod lines;
mod observe;
mod reach;
mod remove;
mod scale;
mod task;
mod watch;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::ConfigMap;
use seaway_discovery::Variables;
use seaway_model::{Name, discovery, document::nearest, plan::Plan};
use seaway_render::kubernetes::{INSTANCE, Setting, objects};

use self::{cluster::Cluster, scale::Drains, watch::Watches};
pub use self::{
    cluster::hint,
    exec::ExecRequest,
    reach::{Forwarded, ForwarderCommand},
};
use crate::{Applied, Difference, LogRequest, LogStream, Observation, Platform, PlatformError};

/// Label with who made an object, as the usual tools show it.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation of an inventory: what is wanted of the instance, when it is to go.
const TARGET: &str = "seaway.dev/target";
/// Annotation of an inventory: the instance has been ready once.
const READY: &str = "seaway.dev/ready";
/// Annotation of an inventory: the numbers of tasks that are being reached.
const SCALE: &str = "seaway.dev/scale";

/// What a Kubernetes platform is made from.
#[derive(Debug, Clone)]
pub struct KubernetesOptions {
    /// Which cluster, and which namespace.
    pub cluster: discovery::KubernetesDirectory,
    /// The environment variables that say so where the above does not.
    pub variables: Variables,
    /// The image with `seaway` in it that belongs to this release.
    pub agent_image: String,
    /// Seaway's state folder on this machine, for what makes endpoints reachable from here.
    pub state: PathBuf,
    /// How that is started.
    pub forwarder: ForwarderCommand,
}

/// Pods of a namespace.
pub struct KubernetesPlatform {
    cluster: Cluster,
    options: KubernetesOptions,
    watches: Watches,
    drains: Drains,
    /// What was last seen, for when the API server does not answer for a while.
    last: RefCell<BTreeMap<String, Observation>>,
}

impl KubernetesPlatform {
    /// The platform. Nothing is read or contacted yet.
    pub fn new(options: KubernetesOptions) -> Result<Self, PlatformError> {
        Ok(Self {
            cluster: Cluster::new(&options.cluster, &options.variables)?,
            options,
            watches: Watches::default(),
            drains: Drains::default(),
            last: RefCell::default(),
        })
    }

    /// The namespace, as the options, files and the environment say.
    pub async fn namespace(&self) -> Result<Name, PlatformError> {
        self.cluster.namespace().await
    }

    /// The inventory of an instance.
    async fn inventory(&self, name: &str) -> Result<Option<ConfigMap>, PlatformError> {
        // What cannot be the name of an instance is no instance's.
        let Ok(name) = name.parse::<Name>() else {
            return Ok(None);
        };
        let found: Option<ConfigMap> = self
            .cluster
            .get(
                seaway_discovery::kubernetes::api::Resource::ConfigMap,
                &seaway_render::kubernetes::Inventory::object_name(&name),
            )
            .await?;
        // One of the same name that is somebody else's.
        Ok(found.filter(|map| {
            let labels = map.metadata.labels.as_ref();
            labels.and_then(|labels| labels.get(INSTANCE)).map(String::as_str) == Some(name.as_str())
        }))
    }

    async fn not_found(&self, name: &str) -> PlatformError {
        let known = self.list().await.unwrap_or_default();
        PlatformError::NotFound {
            name: name.to_owned(),
            nearest: nearest(name, known.iter().map(Name::as_str)).and_then(|near| near.parse().ok()),
        }
    }
}

/// The label of all that belongs to some instance, whoever made it: Helm puts its own name beside.
fn ours() -> String {
    INSTANCE.to_owned()
}

/// The labels of what belongs to an instance.
fn of_instance(name: &str) -> String {
    format!("{INSTANCE}={name}")
}

#[async_trait(?Send)]
impl Platform for KubernetesPlatform {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn check(&self, plan: &Plan) -> Result<(), PlatformError> {
        // What the objects will be depends on the namespace and the secrets, but not whether they can be made.
        let secrets = plan
            .secrets
            .iter()
            .map(|secret| (secret.name.clone(), String::new()))
            .collect();
        let setting = Setting {
            namespace: &Name::literal("default"),
            document: &serde_json::Value::Null,
            secrets: &secrets,
            agent_image: &self.options.agent_image,
        };
        objects(plan, &setting)?;
        Ok(())
    }

    async fn apply(&self, document: &serde_json::Value, plan: &Plan) -> Result<Applied, PlatformError> {
        self.apply_plan(document, plan).await
    }

    async fn preview(
        &self,
        document: &serde_json::Value,
        plan: &Plan,
    ) -> Result<Vec<Difference>, PlatformError> {
        self.compare_with_cluster(document, plan).await
    }

    async fn observe(&self, name: &str) -> Result<Option<Observation>, PlatformError> {
        match self.look(name).await {
            Ok(seen) => {
                let mut last = self.last.borrow_mut();
                match &seen {
                    Some(observation) => last.insert(name.to_owned(), observation.clone()),
                    None => last.remove(name),
                };
                Ok(seen)
            }
            // Who looks again and again goes on when the API server is back; who looks once learns it at once.
            Err(PlatformError::Cluster(error)) if cluster::is_passing(&error) => {
                let seen = self.last.borrow().get(name).cloned();
                let Some(mut observation) = seen else {
                    return Err(PlatformError::Cluster(error));
                };
                observation
                    .notes
                    .push(format!("this is what was last seen: {error}"));
                observation.followed = false;
                Ok(Some(observation))
            }
            Err(error) => Err(error),
        }
    }

    async fn list(&self) -> Result<Vec<Name>, PlatformError> {
        let (all, _) = self
            .cluster
            .list::<ConfigMap>(seaway_discovery::kubernetes::api::Resource::ConfigMap, &ours())
            .await?;
        let mut names: Vec<Name> = all
            .into_iter()
            .filter_map(|map| {
                let name: Name = map.metadata.labels?.get(INSTANCE)?.parse().ok()?;
                let inventory = seaway_render::kubernetes::Inventory::object_name(&name);
                (map.metadata.name == Some(inventory)).then_some(name)
            })
            .collect();
        names.sort();
        Ok(names)
    }

    async fn changed(&self, longest: Duration) -> Result<(), PlatformError> {
        self.watches.changed(&self.cluster, longest).await;
        Ok(())
    }

    async fn scale(&self, name: &str, role: &str, replicas: u32, forced: bool) -> Result<(), PlatformError> {
        self.set_scale(name, role, replicas, forced).await
    }

    async fn remove(&self, name: &str, forced: bool) -> Result<(), PlatformError> {
        self.begin_removal(name, forced).await
    }

    async fn logs(
        &self,
        name: &str,
        request: LogRequest<'_>,
    ) -> Result<Box<dyn LogStream + '_>, PlatformError> {
        Ok(Box::new(lines::Lines::open(self, name, request).await?))
    }

    async fn reach(&self, name: &str) -> Result<(), PlatformError> {
        self.ensure_forwarder(name).await
    }
}
