//! Fewer tasks without losing work or data: the idlest are chosen, asked to hand over what they hold, and
//! stopped when they hold nothing.

use std::{collections::BTreeMap, time::Duration};

use seaway_agent::http;
use seaway_model::{
    Name,
    plan::{Drain, PortReference, Role, Template},
    status::TaskState,
};
use serde_json::Value;
use tokio::time::Instant;

use super::{Event, Key, Supervisor, roster};
use crate::{
    drain::{Load, Questions},
    local::store::TaskTarget,
};

/// Time between two requests to a task that retires.
const AGAIN: Duration = Duration::from_millis(250);
/// Longest time for one answer. Handing data over takes as long as it takes, within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// The questions about one task, with where they are asked.
struct Asking {
    address: String,
    questions: Questions,
}

impl Supervisor {
    /// Whether tasks of a role may be stopped although they hold something.
    pub(super) fn is_forced(&self, role: &Name) -> bool {
        self.scales
            .iter()
            .any(|scale| scale.role == *role && scale.forced)
    }

    /// Brings the number of tasks of each role to what is wanted.
    pub(super) fn adjust_numbers(&mut self) {
        for scale in self.scales.clone() {
            let Some(role) = self.role(&scale.role).cloned() else {
                continue;
            };
            let wanted = self.wanted_tasks(&scale.role);
            let desired = scale.desired as usize;
            if wanted.len() < desired {
                self.add_tasks(&role, scale.desired);
            } else if wanted.len() > desired {
                self.too_many(&role, &wanted, wanted.len() - desired);
            }
        }
    }

    fn wanted_tasks(&self, role: &Name) -> Vec<Key> {
        self.tasks
            .iter()
            .filter(|(key, task)| key.0 == *role && task.is_wanted())
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn add_tasks(&mut self, role: &Role, desired: u32) {
        let name = self.record.name.as_str().to_owned();
        let added = self
            .store
            .transaction(|records| roster::fill(records, &name, role, desired));
        match added {
            Ok(added) => {
                self.notes.remove("ports");
                for record in added {
                    let key = (record.role.clone(), record.index);
                    self.tasks.insert(key, super::task::Task::new(record));
                }
                if let Ok(ports) = self.store.records().ports(&name) {
                    self.ports = ports;
                }
            }
            Err(error) => {
                self.notes
                    .insert("ports", format!("no task can be added to {}: {error}", role.name));
            }
        }
    }

    /// Chooses tasks to stop. Those that do not run or were never ready hold nothing and go first; among the others
    /// the engine is asked who holds least.
    fn too_many(&mut self, role: &Role, wanted: &[Key], excess: usize) {
        let mut empty: Vec<Key> = wanted
            .iter()
            .filter(|key| self.tasks[*key].run().is_none_or(|run| run.ready_since.is_none()))
            .cloned()
            .collect();
        // The highest indexes go first, so that the lowest stay.
        empty.reverse();
        for key in empty.iter().take(excess) {
            self.retire(key, TaskTarget::Remove);
        }
        if empty.len() >= excess {
            return;
        }
        let Some(drain) = &role.drain else {
            for key in wanted
                .iter()
                .rev()
                .filter(|key| !empty.contains(key))
                .take(excess - empty.len())
            {
                self.retire(key, TaskTarget::Remove);
            }
            return;
        };
        if self.asking_load.contains(&role.name) {
            return;
        }
        let askings: Vec<(Key, Asking)> = wanted
            .iter()
            .filter_map(|key| Some((key.clone(), self.asking(drain, key).ok()?)))
            .collect();
        let Some((address, path)) = askings
            .first()
            .map(|(_, a)| (a.address.clone(), a.questions.load_path.clone()))
        else {
            return;
        };
        self.asking_load.insert(role.name.clone());
        let (name, events) = (role.name.clone(), self.events.clone());
        tokio::spawn(async move {
            let loads = read_load(&address, &path).await.map(|document| {
                askings
                    .iter()
                    .map(|(key, asking)| (key.clone(), asking.questions.load(&document)))
                    .collect()
            });
            if loads.is_err() {
                // Asked again by the next turn, a little later.
                tokio::time::sleep(AGAIN).await;
            }
            let _ = events.send(Event::Loads { role: name, loads });
        });
    }

    fn retire(&mut self, key: &Key, target: TaskTarget) {
        if let Some(task) = self.tasks.get_mut(key) {
            tracing::info!(task = task.record.name(), ?target, "is to go");
            task.aim(target);
            if target == TaskTarget::Retire {
                task.say(TaskState::Retiring, "is asked to hand over what it holds");
            }
        }
    }

    /// The loads of a role's tasks are known: the idlest go.
    pub(super) fn choose_to_retire(&mut self, role: &Name, loads: Result<BTreeMap<Key, Load>, String>) {
        self.asking_load.remove(role);
        let desired = self
            .scales
            .iter()
            .find(|scale| scale.role == *role)
            .map_or(0, |scale| scale.desired as usize);
        let wanted = self.wanted_tasks(role);
        let excess = wanted.len().saturating_sub(desired);
        let mut known = match loads {
            Ok(known) => known,
            // Whoever forces does not mind who goes.
            Err(_) if self.is_forced(role) => BTreeMap::new(),
            Err(reason) => {
                tracing::info!(reason, %role, "the load is not known; nobody is stopped");
                return;
            }
        };
        let mut order: Vec<(Load, std::cmp::Reverse<Key>)> = wanted
            .into_iter()
            .map(|key| (known.remove(&key).unwrap_or_default(), std::cmp::Reverse(key)))
            .collect();
        order.sort_by_key(|(load, key)| {
            (
                load.work,
                load.weight,
                key.0.0.clone(),
                std::cmp::Reverse(key.0.1),
            )
        });
        for (_, std::cmp::Reverse(key)) in order.into_iter().take(excess) {
            self.retire(&key, TaskTarget::Retire);
        }
    }

    fn asking(&self, drain: &Drain, key: &Key) -> Result<Asking, String> {
        let prepared = BTreeMap::new();
        let context = self.context(&prepared);
        let text = |template: &Template| {
            context
                .text(template, &key.0, key.1)
                .map_err(|error| error.to_string())
        };
        Ok(Asking {
            address: context
                .address(&drain.at, &key.0, key.1)
                .map_err(|error| error.to_string())?,
            questions: Questions::of(drain, text)?,
        })
    }

    /// Asks a task that retires to hand over, and how much it still holds.
    pub(super) fn drain(&mut self, key: &Key, role: &Role, now: Instant) {
        let Some(drain) = &role.drain else { return };
        let Some(run) = self.tasks.get(key).and_then(|task| task.run()) else {
            return;
        };
        if run.stop.is_some() || run.drain_at > now {
            return;
        }
        let start_id = run.start_id.clone();
        if !self.runs(&drain.at) {
            // Without the one that gives out work and knows the data, the task holds nothing that could be saved.
            if let Some(task) = self.tasks.get_mut(key) {
                task.stop(&role.stop, false, false, now);
            }
            return;
        }
        let asking = match self.asking(drain, key) {
            Ok(asking) => asking,
            Err(reason) => {
                tracing::warn!(reason, "a task that retires cannot be asked");
                return;
            }
        };
        if let Some(run) = self.tasks.get_mut(key).and_then(|task| task.run_mut()) {
            // Asked again only after the answer; this is for an answer that never comes.
            run.drain_at = now + PATIENCE + AGAIN;
        }
        let (key, events) = (key.clone(), self.events.clone());
        tokio::spawn(async move {
            let left = async {
                http::request(
                    &asking.address,
                    &asking.questions.release_path,
                    Some(asking.questions.release_body.clone()),
                    PATIENCE,
                )
                .await
                .map_err(|error| error.to_string())?;
                read_load(&asking.address, &asking.questions.load_path)
                    .await
                    .map(|document| asking.questions.load(&document))
            };
            let _ = events.send(Event::Drained {
                key,
                start_id,
                left: left.await,
            });
        });
    }

    fn runs(&self, port: &PortReference) -> bool {
        port.role.as_ref().is_none_or(|role| {
            self.tasks
                .values()
                .any(|task| task.record.role == *role && task.run().is_some())
        })
    }

    /// A task that retires said what it still holds.
    pub(super) fn drained(&mut self, key: &Key, start_id: &str, left: Result<Load, String>, now: Instant) {
        let Some(role) = self.role(&key.0).cloned() else {
            return;
        };
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let Some(run) = task
            .run_mut()
            .filter(|run| run.start_id == start_id && run.stop.is_none())
        else {
            return;
        };
        run.drain_at = now + AGAIN;
        match left {
            Ok(Load { work: 0, sole: 0, .. }) => {
                tracing::info!(task = task.record.name(), "holds nothing any more");
                task.stop(&role.stop, false, false, now);
            }
            Ok(load) => task.say(TaskState::Retiring, load.words()),
            Err(reason) => task.say(
                TaskState::Retiring,
                format!("cannot be asked what it holds: {reason}"),
            ),
        }
    }
}

async fn read_load(address: &str, path: &str) -> Result<Value, String> {
    let body = http::request(address, path, None, PATIENCE)
        .await
        .map_err(|error| error.to_string())?;
    serde_json::from_slice(&body)
        .map_err(|error| format!("{address}{path} did not answer with JSON: {error}"))
}
