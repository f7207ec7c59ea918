//! What is seen of an instance at one moment.

use std::collections::BTreeMap;

use seaway_agent::host_name;
use seaway_model::{
    Name,
    status::{MemoryKeeper, MemoryStatus, TaskState, TaskStatus},
};

use super::{
    LocalPlatform, disk_is_full,
    endpoints::{self, Bound},
    is_elsewhere,
    store::{InstanceRecord, TaskRecord},
};
use crate::{Observation, ObservedRole, PlatformError};

impl LocalPlatform {
    /// What the store says of an instance, and what can be seen without its supervisor.
    pub(super) fn observation(&self, record: InstanceRecord) -> Result<Observation, PlatformError> {
        let store = self.store()?;
        let records = store.records();
        let name = record.name.as_str();
        let ended = Self::is_of_earlier_boot(&record);
        let here = !is_elsewhere(&record);
        let scales = records.scales(name)?;
        let mut tasks: BTreeMap<Name, Vec<TaskRecord>> = BTreeMap::new();
        for task in records.tasks(name)? {
            tasks.entry(task.role.clone()).or_default().push(task);
        }
        let files = self.paths.instance(name, &record.id);
        let endpoints = endpoints::bound(&record.plan, &records.ports(name)?, &files);
        let roles = record
            .plan
            .roles
            .iter()
            .map(|role| {
                let tasks = tasks.remove(&role.name).unwrap_or_default();
                let keeper = tasks
                    .first()
                    .map_or(MemoryKeeper::Nobody, |task| task.memory_keeper);
                let desired = scales.iter().find(|scale| scale.role == role.name);
                let observed = ObservedRole {
                    desired: desired.map_or(role.replicas, |scale| scale.desired),
                    memory: role.resources.memory.map(|limit| MemoryStatus {
                        limit,
                        kept_by: keeper,
                    }),
                    tasks: if ended {
                        Vec::new()
                    } else {
                        tasks.into_iter().map(|task| status(task, here)).collect()
                    },
                };
                (role.name.clone(), observed)
            })
            .collect();
        let mut notes = record.notes;
        if record.host != host_name() {
            notes.push(format!(
                "runs on `{}`; this is what was last written there",
                record.host
            ));
        }
        // Looked at here too: a supervisor cannot write what it sees on a disk that is full.
        if let Some(full) = disk_is_full(&self.paths.state)
            && !notes.contains(&full)
        {
            notes.push(full);
        }
        Ok(Observation {
            document: record.document,
            plan: record.plan,
            target: record.target,
            created: record.created,
            was_ready: record.was_ready,
            followed: ended || record.followed == record.generation,
            preparing: record.preparing,
            blocked: if ended {
                Some("the machine was started anew".to_owned())
            } else {
                record.blocked
            },
            ended,
            notes,
            announcements: record.announcements,
            endpoints: endpoints.into_iter().map(Bound::for_this_machine).collect(),
            roles,
        })
    }
}

/// A task as it is now. What its supervisor wrote may be of before: a moment ago, or longer on a disk that is full.
fn status(task: TaskRecord, here: bool) -> TaskStatus {
    let gone = here && task.process.as_ref().is_some_and(|process| !process.is_alive());
    let (state, reason) = if gone && task.state == TaskState::Ready {
        (TaskState::NotReady, "its process has ended".to_owned())
    } else {
        (task.state, task.reason.clone())
    };
    TaskStatus {
        name: task.name(),
        pid: task.process.filter(|_| !gone).map(|process| process.pid),
        state,
        reason,
        since: task.since,
        restarts: task.restarts,
        last_exit: task.last_exit,
        last_log: task.last_log,
    }
}
