//! More or fewer tasks of a role.
//!
//! A StatefulSet takes its last pods away. Before it may, they are asked to hand over what they hold, through the API
//! server, by whoever looks at the instance meanwhile.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use seaway_agent::http;
use seaway_discovery::kubernetes::api::Resource;
use seaway_model::{
    Name,
    plan::{AddressPart, Drain, Plan, Reference, Role, Template},
    status::Target,
};
use seaway_render::kubernetes::{object_name, port_number};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    KubernetesPlatform, SCALE,
    observe::{Seen, target_of},
    reach::{self, Pods},
    task,
};
use crate::{
    PlatformError,
    drain::{Load, Questions},
};

/// Time between two requests to a task that retires.
const AGAIN: Duration = Duration::from_millis(250);
/// Longest time for one answer. Handing data over takes as long as it takes, within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A number of tasks that is being reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Number {
    pub(super) desired: u32,
    /// Whether tasks are stopped although they hold something.
    #[serde(default)]
    pub(super) forced: bool,
}

/// The numbers that an inventory says are being reached.
pub(super) fn numbers_of(inventory: &ConfigMap) -> BTreeMap<Name, Number> {
    let annotations = inventory.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| serde_json::from_str(annotations.get(SCALE)?).ok())
        .unwrap_or_default()
}

/// The tasks that hand over what they hold, by instance and role.
#[derive(Default)]
pub(super) struct Drains(RefCell<BTreeMap<(Name, Name), Draining>>);

struct Draining {
    /// Down to how many.
    desired: u32,
    /// What is left, in words, by task index.
    left: Arc<Mutex<BTreeMap<u32, String>>>,
    work: JoinHandle<()>,
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Drains {
    /// What a task that retires still holds, in words.
    pub(super) fn left(&self, instance: &Name, role: &Name, index: u32) -> Option<String> {
        let all = self.0.borrow();
        let draining = all.get(&(instance.clone(), role.clone()))?;
        let left = draining.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(&index).cloned()
    }
}

impl KubernetesPlatform {
    /// Notes the wanted number of tasks of a role, and begins with it.
    pub(super) async fn set_scale(
        &self,
        name: &str,
        role: &str,
        replicas: u32,
        forced: bool,
    ) -> Result<(), PlatformError> {
        let Some(inventory) = self.inventory(name).await? else {
            return Err(self.not_found(name).await);
        };
        let Some(observation) = self.look(name).await? else {
            return Err(self.not_found(name).await);
        };
        let plan = observation.plan;
        if target_of(&inventory) != Target::Up {
            return Err(PlatformError::Busy {
                name: plan.instance,
                doing: "is going down".into(),
            });
        }
        let found = check_scalable(&plan, role)?;
        let mut numbers = numbers_of(&inventory);
        numbers.insert(
            found.name.clone(),
            Number {
                desired: replicas,
                forced,
            },
        );
        self.note_numbers(&plan.instance, &numbers).await?;
        self.look(name).await?;
        Ok(())
    }

    async fn note_numbers(
        &self,
        instance: &Name,
        numbers: &BTreeMap<Name, Number>,
    ) -> Result<(), PlatformError> {
        let value = if numbers.is_empty() {
            Value::Null
        } else {
            json!(numbers).to_string().into()
        };
        let patch = json!({"metadata": {"annotations": {SCALE: value}}});
        let inventory = seaway_render::kubernetes::Inventory::object_name(instance);
        self.cluster
            .merge(Resource::ConfigMap, &inventory, &patch)
            .await?;
        Ok(())
    }

    /// Brings the numbers of pods nearer to what is wanted. A number that is reached is taken out of `numbers`.
    pub(super) async fn carry_on_scaling(
        &self,
        plan: &Plan,
        seen: &Seen,
        numbers: &mut BTreeMap<Name, Number>,
    ) -> Result<(), PlatformError> {
        let mut reached = Vec::new();
        for (name, number) in &*numbers {
            let set = plan.role(name.as_str()).map(|role| {
                let set = object_name(&plan.instance, role.name.as_str());
                let found = seen
                    .sets
                    .iter()
                    .find(|one| one.metadata.name.as_deref() == Some(&set));
                (role, found)
            });
            let Some((role, Some(set))) = set else {
                reached.push(name.clone());
                continue;
            };
            let current = set
                .spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or_default();
            let current = u32::try_from(current).unwrap_or_default();
            if current == number.desired {
                reached.push(name.clone());
                continue;
            }
            if current < number.desired || number.forced || self.is_drained(plan, role, seen, number.desired)
            {
                let object = set.metadata.name.as_deref().unwrap_or_default();
                let patch = json!({"spec": {"replicas": number.desired}});
                self.cluster.merge(Resource::StatefulSet, object, &patch).await?;
            }
        }
        if !reached.is_empty() {
            let mut left = numbers.clone();
            for name in &reached {
                left.remove(name);
                self.drains
                    .0
                    .borrow_mut()
                    .remove(&(plan.instance.clone(), name.clone()));
            }
            self.note_numbers(&plan.instance, &left).await?;
        }
        Ok(())
    }

    /// Whether the tasks above a number hold nothing any more. Sets out to make it so.
    fn is_drained(&self, plan: &Plan, role: &Role, seen: &Seen, desired: u32) -> bool {
        let Some(drain) = &role.drain else { return true };
        let going: Vec<(u32, &Pod)> = seen
            .pods_of(role)
            .filter_map(|pod| {
                let name = pod.metadata.name.as_deref()?;
                let index: u32 = name.rsplit_once('-')?.1.parse().ok()?;
                // One that is not ready cannot be asked, and is given nothing.
                (index >= desired && task::is_ready(pod)).then_some((index, pod))
            })
            .collect();
        if going.is_empty() {
            return true;
        }
        let key = (plan.instance.clone(), role.name.clone());
        let mut all = self.drains.0.borrow_mut();
        if let Some(draining) = all.get(&key)
            && draining.desired == desired
        {
            return draining.work.is_finished();
        }
        let asked: Vec<(u32, Questions)> = going
            .into_iter()
            .filter_map(|(index, pod)| {
                let questions = Questions::of(drain, |template| resolve(plan, role, index, pod, template));
                Some((index, questions.ok()?))
            })
            .collect();
        let left = Arc::new(Mutex::new(BTreeMap::new()));
        let work = tokio::spawn(hand_over(
            self.pods(),
            asker(plan, drain),
            asked,
            Arc::clone(&left),
            self.watches.nudge(&self.cluster),
        ));
        all.insert(key, Draining { desired, left, work });
        false
    }
}

/// Where the questions are asked: the labels of the pod, and its port.
fn asker(plan: &Plan, drain: &Drain) -> Option<(String, u16)> {
    let role = plan.role(drain.at.role.as_ref()?.as_str())?;
    let port = role.port(drain.at.port.as_str())?;
    Some((reach::pods_of_role(plan, role), port_number(port)))
}

/// Asks tasks to hand over what they hold, until they hold nothing.
async fn hand_over(
    pods: Pods,
    at: Option<(String, u16)>,
    mut asked: Vec<(u32, Questions)>,
    left: Arc<Mutex<BTreeMap<u32, String>>>,
    nudge: impl Fn(),
) {
    let say = |index: u32, words: Option<String>| {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match words {
            Some(words) => left.insert(index, words.clone()).as_ref() != Some(&words),
            None => left.remove(&index).is_some(),
        };
        drop(left);
        if changed {
            nudge();
        }
    };
    let Some((labels, port)) = at else { return };
    loop {
        let mut still = Vec::new();
        for (index, questions) in asked {
            match release(&pods, &labels, port, &questions).await {
                Ok(load) if load.is_nothing() => say(index, None),
                Ok(load) => {
                    say(index, Some(load.words()));
                    still.push((index, questions));
                }
                // Without the one that gives out work and knows the data, the task holds nothing that could be saved.
                Err(Unasked::NoPod) => say(index, None),
                Err(Unasked::Other(reason)) => {
                    say(index, Some(format!("cannot be asked what it holds: {reason}")));
                    still.push((index, questions));
                }
            }
        }
        asked = still;
        if asked.is_empty() {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    nudge();
}

/// Why a task could not be asked.
enum Unasked {
    /// There is no pod that could be asked about it.
    NoPod,
    Other(String),
}

async fn release(pods: &Pods, labels: &str, port: u16, questions: &Questions) -> Result<Load, Unasked> {
    let other = |error: &dyn std::fmt::Display| Unasked::Other(error.to_string());
    let ask = async |path: &str, body: Option<String>| {
        let pod = pods.find(labels).await.map_err(|error| other(&error))?;
        let pod = pod.ok_or(Unasked::NoPod)?;
        let stream = pods.connect(&pod, port).await.map_err(|error| other(&error))?;
        http::request_over(stream, &pod, path, body, PATIENCE)
            .await
            .map_err(|error| other(&error))
    };
    ask(&questions.release_path, Some(questions.release_body.clone())).await?;
    let answer = ask(&questions.load_path, None).await?;
    let document: Value = serde_json::from_slice(&answer).map_err(|error| other(&error))?;
    Ok(questions.load(&document))
}

/// A text about a task whose pod is known.
fn resolve(plan: &Plan, role: &Role, index: u32, pod: &Pod, template: &Template) -> Result<String, String> {
    template.resolve(|reference| match reference {
        Reference::Instance => Ok(plan.instance.to_string()),
        Reference::Task => Ok(format!("{}-{index}", role.name)),
        Reference::TaskIndex => Ok(index.to_string()),
        Reference::Port {
            role: None,
            port,
            part,
        } => {
            let port = role
                .port(port.as_str())
                .map(port_number)
                .ok_or_else(|| reference.to_string())?;
            let ip = pod
                .status
                .as_ref()
                .and_then(|status| status.pod_ip.clone())
                .ok_or_else(|| "its pod has no address".to_owned())?;
            Ok(match part {
                AddressPart::Port => port.to_string(),
                AddressPart::Address if ip.contains(':') => format!("[{ip}]:{port}"),
                AddressPart::Address => format!("{ip}:{port}"),
                AddressPart::Host | AddressPart::Listen => ip,
            })
        }
        other => Err(other.to_string()),
    })
}

/// The role of that name, if its number of tasks may change.
fn check_scalable<'p>(plan: &'p Plan, role: &str) -> Result<&'p Role, PlatformError> {
    let found = plan.role(role).ok_or_else(|| PlatformError::NoRole {
        instance: plan.instance.clone(),
        role: role.to_owned(),
        known: plan.roles.iter().map(|role| role.name.to_string()).collect(),
    })?;
    if found.scalable {
        return Ok(found);
    }
    Err(PlatformError::NotScalable {
        instance: plan.instance.clone(),
        role: role.to_owned(),
        scalable: plan
            .roles
            .iter()
            .filter(|role| role.scalable)
            .map(|role| role.name.to_string())
            .collect(),
    })
}
