//! How an instance is: a function of what the API server says now.

use std::{collections::BTreeMap, str::FromStr};

use futures_util::future::try_join4;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod},
};
use seaway_discovery::{Error, kubernetes::api::Resource};
use seaway_model::{
    Name,
    discovery::DirectorySpec,
    plan::{Plan, Role},
    status::{MemoryKeeper, MemoryStatus, Target, TaskState, TaskStatus},
};
use seaway_render::kubernetes::{ANNOUNCER, COMPONENT, Inventory, is_numbered, object_name};
use serde_json::json;

use super::{
    KubernetesPlatform, READY, TARGET, of_instance,
    scale::{Drains, Number, numbers_of},
    task,
};
use crate::{Observation, ObservedRole, PlatformError};

/// What is seen of an instance beside its inventory.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) pods: Vec<Pod>,
    deployments: Vec<Deployment>,
    pub(super) sets: Vec<StatefulSet>,
    claims: Vec<PersistentVolumeClaim>,
    events: Vec<Event>,
}

/// What an inventory says is wanted.
pub(super) fn target_of(inventory: &ConfigMap) -> Target {
    let annotations = inventory.metadata.annotations.as_ref();
    match annotations
        .and_then(|annotations| annotations.get(TARGET))
        .map(String::as_str)
    {
        Some("down") => Target::Down,
        Some("forcedDown") => Target::ForcedDown,
        _ => Target::Up,
    }
}

/// Whether a pod is one of a role's.
pub(super) fn of_role(pod: &Pod, role: &Role) -> bool {
    let labels = pod.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(COMPONENT))
        .map(String::as_str)
        == Some(role.name.as_str())
}

/// The controller of a role's pods, as far as it matters here.
#[derive(Debug, Default)]
struct Controller {
    /// Whether the cluster's controllers have taken up what is wanted of it.
    followed: bool,
    /// Pods that it should have.
    replicas: u32,
    /// The revision of its newest pods; empty when all are of the same.
    revision: String,
    /// Pods of the newest revision.
    updated: u32,
    name: String,
}

impl KubernetesPlatform {
    /// Looks at an instance, and carries on what was begun.
    pub(super) async fn look(&self, name: &str) -> Result<Option<Observation>, PlatformError> {
        let Some(inventory) = self.inventory(name).await? else {
            self.end_forwarder(name).await?;
            return Ok(None);
        };
        let target = target_of(&inventory);
        let mut notes = Vec::new();
        if target != Target::Up {
            let swept = self.sweep(name, target == Target::ForcedDown).await;
            if if_allowed(swept, &mut notes)? == Some(true) {
                self.end_forwarder(name).await?;
                return Ok(None);
            }
        }
        let instance: Name = match Name::from_str(name) {
            Ok(name) => name,
            Err(_) => return Ok(None),
        };
        let mut blocked = None;
        let read = Inventory::read(&json!(inventory.data)).unwrap_or_else(|error| {
            if target == Target::Up {
                blocked = Some(format!(
                    "ConfigMap `{}` cannot be read ({error}); `seaway up` makes it anew, `seaway down` removes the rest",
                    Inventory::object_name(&instance)
                ));
            }
            unreadable(instance.clone())
        });
        let mut seen = self.see(name).await?;
        let mut numbers = numbers_of(&inventory);
        if target == Target::Up {
            let carried_on = self.carry_on_scaling(&read.plan, &seen, &mut numbers).await;
            if_allowed(carried_on, &mut notes)?;
        }
        if is_anything_unready(&read.plan, &seen) {
            seen.events = self.events().await?;
        }
        let endpoints = self.endpoints(&read.plan).await?;
        if !endpoints.from_here && target == Target::Up {
            notes.push(format!(
                "its addresses are those of the cluster; `seaway port-forward {name}` gives some of this machine"
            ));
        }
        notes.extend(announcement_notes(&read.plan));
        let now = Timestamp::now();
        let mut followed = true;
        let mut all_ready = true;
        let mut roles = BTreeMap::new();
        for role in &read.plan.roles {
            let controller = seen.controller(&read.plan, role);
            followed &= controller.followed;
            let observed = seen.role(&read.plan, role, &controller, (&numbers, &self.drains), now);
            all_ready &= observed.tasks.iter().all(|task| task.state == TaskState::Ready)
                && observed.tasks.len() >= observed.desired as usize;
            roles.insert(role.name.clone(), observed);
        }
        let was_ready = self
            .note_ready(
                &inventory,
                target == Target::Up && all_ready && !read.plan.roles.is_empty(),
            )
            .await;
        let created = inventory
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(now, |time| time.0);
        Ok(Some(Observation {
            document: read.document,
            plan: read.plan,
            target,
            created,
            was_ready,
            followed,
            preparing: None,
            blocked,
            ended: false,
            notes,
            announcements: Vec::new(),
            endpoints: endpoints.all,
            roles,
        }))
    }

    /// Whether an instance has been ready once. Who sees it ready for the first time notes it, so that later on a task
    /// that is missing is known to have been there.
    async fn note_ready(&self, inventory: &ConfigMap, ready: bool) -> bool {
        let annotations = inventory.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key(READY)) {
            return true;
        }
        if ready {
            let name = inventory.metadata.name.as_deref().unwrap_or_default();
            let patch = json!({"metadata": {"annotations": {READY: "true"}}});
            // Who may only look does not note anything.
            if let Err(error) = self.cluster.merge(Resource::ConfigMap, name, &patch).await {
                tracing::debug!("that {name} is ready is not noted: {error}");
            }
        }
        ready
    }

    async fn see(&self, name: &str) -> Result<Seen, PlatformError> {
        let labels = of_instance(name);
        let (pods, deployments, sets, claims) = try_join4(
            self.cluster.list::<Pod>(Resource::Pod, &labels),
            self.cluster.list::<Deployment>(Resource::Deployment, &labels),
            self.cluster.list::<StatefulSet>(Resource::StatefulSet, &labels),
            self.cluster
                .list::<PersistentVolumeClaim>(Resource::PersistentVolumeClaim, &labels),
        )
        .await?;
        Ok(Seen {
            pods: pods.0,
            deployments: deployments.0,
            sets: sets.0,
            claims: claims.0,
            events: Vec::new(),
        })
    }

    /// What controllers and nodes said lately. Who may not read that is told less.
    async fn events(&self) -> Result<Vec<Event>, PlatformError> {
        match self.cluster.fields(Resource::Event, "").await {
            Err(PlatformError::Cluster(Error::Forbidden { .. })) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// What was carried on, if we may. Who may only look is shown how it is, and told that somebody else has to.
fn if_allowed<T>(
    result: Result<T, PlatformError>,
    notes: &mut Vec<String>,
) -> Result<Option<T>, PlatformError> {
    match result {
        Err(PlatformError::Cluster(error @ Error::Forbidden { .. })) => {
            notes.push(format!(
                "what was begun is not carried on by who looks now: {error}"
            ));
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Whether some task is not there or not ready, so that the reason is looked for.
fn is_anything_unready(plan: &Plan, seen: &Seen) -> bool {
    plan.roles.iter().any(|role| {
        let pods: Vec<&Pod> = seen.pods_of(role).collect();
        let wanted = seen.controller(plan, role).replicas;
        pods.len() < wanted as usize || pods.iter().any(|pod| !task::is_ready(pod))
    })
}

/// What is to be known of the directories of a plan.
fn announcement_notes(plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    let mut outside = Vec::new();
    for directory in &plan.discovery {
        match directory {
            DirectorySpec::File(_) | DirectorySpec::Stdout(_) => notes.push(format!(
                "the directory `{}` of spec.discovery is of one machine, and is left out on a cluster",
                directory.kind()
            )),
            // Services say themselves where they lead.
            DirectorySpec::Kubernetes(_) => {}
            DirectorySpec::Http(_) | DirectorySpec::Consul(_) | DirectorySpec::Redis(_) => {
                outside.push(directory.kind());
            }
        }
    }
    if !outside.is_empty() {
        notes.push(format!(
            "an agent in its pods announces it ({}); `seaway logs {} {ANNOUNCER}` shows how that goes",
            outside.join(", "),
            plan.instance
        ));
    }
    notes
}

/// An inventory that says nothing, for one that cannot be read.
fn unreadable(instance: Name) -> Inventory {
    Inventory {
        document: serde_json::Value::Null,
        plan: Plan {
            instance,
            kind: "unknown".into(),
            labels: BTreeMap::new(),
            roles: Vec::new(),
            endpoints: Vec::new(),
            secrets: Vec::new(),
            environments: BTreeMap::new(),
            files: Vec::new(),
            data: Vec::new(),
            busy: None,
            discovery: Vec::new(),
            kubernetes: seaway_model::document::KubernetesSpec::default(),
        },
        objects: Vec::new(),
    }
}

impl Seen {
    /// The pods of a role.
    pub(super) fn pods_of<'s>(&'s self, role: &'s Role) -> impl Iterator<Item = &'s Pod> {
        self.pods.iter().filter(|pod| of_role(pod, role))
    }

    fn controller(&self, plan: &Plan, role: &Role) -> Controller {
        let name = object_name(&plan.instance, role.name.as_str());
        if is_numbered(role) {
            let set = self
                .sets
                .iter()
                .find(|set| set.metadata.name.as_deref() == Some(&name));
            return set.map_or_else(
                || Controller {
                    name: name.clone(),
                    ..Controller::default()
                },
                of_set,
            );
        }
        let deployment = self
            .deployments
            .iter()
            .find(|deployment| deployment.metadata.name.as_deref() == Some(&name));
        deployment.map_or_else(
            || Controller {
                name: name.clone(),
                ..Controller::default()
            },
            of_deployment,
        )
    }

    fn role(
        &self,
        plan: &Plan,
        role: &Role,
        controller: &Controller,
        (numbers, drains): (&BTreeMap<Name, Number>, &Drains),
        now: Timestamp,
    ) -> ObservedRole {
        let desired = numbers
            .get(&role.name)
            .map_or(controller.replicas, |number| number.desired);
        let context = task::Context {
            events: &self.events,
            claims: &self.claims,
            restart: role.restart,
            now,
        };
        let tasks = if is_numbered(role) {
            self.numbered(plan, role, controller, desired, drains, &context)
        } else {
            self.single(role, controller, &context)
        };
        ObservedRole {
            desired,
            memory: role.resources.memory.map(|limit| MemoryStatus {
                limit,
                kept_by: MemoryKeeper::Cgroup,
            }),
            tasks,
        }
    }

    /// The tasks of a StatefulSet: their pods have their numbers.
    fn numbered(
        &self,
        plan: &Plan,
        role: &Role,
        controller: &Controller,
        desired: u32,
        drains: &Drains,
        context: &task::Context<'_>,
    ) -> Vec<TaskStatus> {
        let prefix = format!("{}-", object_name(&plan.instance, role.name.as_str()));
        let mut pods: BTreeMap<u32, &Pod> = self
            .pods_of(role)
            .filter_map(|pod| {
                let number = pod
                    .metadata
                    .name
                    .as_deref()?
                    .strip_prefix(&prefix)?
                    .parse()
                    .ok()?;
                Some((number, pod))
            })
            .collect();
        let most = controller
            .replicas
            .max(desired)
            .max(pods.keys().last().map_or(0, |last| last + 1));
        (0..most)
            .filter_map(|index| {
                let name = format!("{}-{index}", role.name);
                let Some(pod) = pods.remove(&index) else {
                    return (index < desired).then(|| task::missing(&name, &controller.name, context));
                };
                let mut status = task::status(&name, pod, context);
                let revision = pod
                    .metadata
                    .labels
                    .as_ref()
                    .and_then(|labels| labels.get("controller-revision-hash"));
                if index >= desired && status.state != TaskState::Stopping {
                    status.state = TaskState::Retiring;
                    status.reason = drains
                        .left(&plan.instance, &role.name, index)
                        .unwrap_or_else(|| "hands over what it holds, then it is stopped".to_owned());
                } else if !controller.revision.is_empty()
                    && revision != Some(&controller.revision)
                    && status.state == TaskState::Ready
                {
                    status.state = TaskState::Starting;
                    "runs what the earlier document said, and is replaced in its turn"
                        .clone_into(&mut status.reason);
                }
                Some(status)
            })
            .collect()
    }

    /// The one task of a Deployment: its newest pod.
    fn single(&self, role: &Role, controller: &Controller, context: &task::Context<'_>) -> Vec<TaskStatus> {
        let name = format!("{}-0", role.name);
        let going = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
        let newest = self
            .pods_of(role)
            // One that was evicted or lost stays for a while beside the one that took its place.
            .max_by_key(|pod| {
                (
                    !going(pod),
                    !task::has_ended(pod),
                    pod.metadata.creation_timestamp.clone(),
                )
            });
        if controller.replicas == 0 && newest.is_none() {
            return Vec::new();
        }
        let Some(pod) = newest else {
            return vec![task::missing(&name, &controller.name, context)];
        };
        let mut status = task::status(&name, pod, context);
        if controller.updated == 0 && status.state == TaskState::Ready {
            status.state = TaskState::Starting;
            "runs what the earlier document said, and is replaced".clone_into(&mut status.reason);
        }
        vec![status]
    }
}

fn of_set(set: &StatefulSet) -> Controller {
    let (Some(spec), status) = (&set.spec, set.status.as_ref()) else {
        return Controller::default();
    };
    let number = |number: Option<i32>| u32::try_from(number.unwrap_or_default()).unwrap_or_default();
    Controller {
        followed: status.and_then(|status| status.observed_generation) >= set.metadata.generation,
        replicas: number(spec.replicas),
        revision: status
            .and_then(|status| status.update_revision.clone())
            .unwrap_or_default(),
        updated: number(status.and_then(|status| status.updated_replicas)),
        name: set.metadata.name.clone().unwrap_or_default(),
    }
}

fn of_deployment(deployment: &Deployment) -> Controller {
    let (Some(spec), status) = (&deployment.spec, deployment.status.as_ref()) else {
        return Controller::default();
    };
    let number = |number: Option<i32>| u32::try_from(number.unwrap_or_default()).unwrap_or_default();
    Controller {
        followed: status.and_then(|status| status.observed_generation) >= deployment.metadata.generation,
        replicas: number(spec.replicas),
        revision: String::new(),
        updated: number(status.and_then(|status| status.updated_replicas)),
        name: deployment.metadata.name.clone().unwrap_or_default(),
    }
}
