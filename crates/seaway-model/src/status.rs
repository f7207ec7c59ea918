//! How an instance is: what `seaway status` shows and what `--output json` promises.
//!
//! Status is computed from what is observed at the moment, never from remembered events: [`overall`] and
//! [`RoleStatus::compute`] are pure functions of it.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Endpoint, Memory, Name};

/// How an instance is as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// It comes up and has not been ready yet, or it comes up again.
    Starting,
    /// Every task of every role answers in its own protocol.
    Ready,
    /// It works in part: some task is missing that should be there.
    Degraded,
    /// Some role was given up; it will not become ready by itself.
    Failed,
    /// It is being taken down, or it was ended from outside (a restart of the machine).
    Stopped,
}

/// How one task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaskState {
    /// Something must be so before it can start: its software, its dependencies.
    Waiting,
    /// Its process runs and does not answer yet.
    Starting,
    /// It answers in its own protocol.
    Ready,
    /// It was ready and does not answer any more.
    NotReady,
    /// It ended and will be started again after a delay.
    BackOff,
    /// It takes no more work and hands its data to others, to be stopped then.
    Retiring,
    /// It was asked to end.
    Stopping,
    /// It was given up.
    Failed,
}

/// Who keeps a task below its memory limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKeeper {
    /// The kernel, by a control group: a task that uses more is killed.
    Cgroup,
    /// The engine, by a flag of its own.
    Engine,
    /// Nobody: the limit is a wish.
    Nobody,
}

/// A memory limit with who keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStatus {
    /// The limit of each task.
    pub limit: Memory,
    /// Who keeps it.
    pub kept_by: MemoryKeeper,
}

/// One task as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// The task's name: `worker-0`.
    pub name: String,
    /// Process id, where tasks are processes of this machine and one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How it is.
    pub state: TaskState,
    /// Why, in words.
    pub reason: String,
    /// Since when it is so.
    pub since: Timestamp,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last process ended, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// The last lines that its last process wrote before it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_log: Vec<String>,
}

/// One role as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// Tasks there should be.
    pub desired: u32,
    /// Tasks that are ready.
    pub ready: u32,
    /// The state of the task that says most about why the role is not complete; `Ready` when it is.
    pub state: TaskState,
    /// Why they are not the same; empty when they are.
    pub reason: String,
    /// Restarts of all its tasks.
    pub restarts: u32,
    /// Since when the role is as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The memory limit of each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
    /// Its tasks, in the order of their indexes.
    pub tasks: Vec<TaskStatus>,
}

/// An endpoint as clients need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// URL, without the token.
    pub url: String,
    /// `host:port`.
    pub address: String,
    /// File (mode 0600) with the token; absent when none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Where an instance is announced, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncementStatus {
    /// The directory, in words.
    pub directory: String,
    /// Whether the entry is there.
    pub announced: bool,
    /// Why not, or since when.
    pub reason: String,
}

/// An instance as it is now. Field names are a contract: scripts read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The instance's name.
    pub name: Name,
    /// The engine.
    pub kind: String,
    /// Where it runs: `local`.
    pub platform: String,
    /// How it is.
    pub state: State,
    /// Why, in words.
    pub reason: String,
    /// When it was brought up.
    pub created: Timestamp,
    /// Where clients reach it, by endpoint name. An endpoint is listed as soon as its address is known.
    pub endpoints: BTreeMap<Name, EndpointStatus>,
    /// Its roles, in starting order.
    #[schemars(with = "BTreeMap<String, RoleStatus>")]
    pub roles: Roles,
    /// Where it is announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<AnnouncementStatus>,
    /// Things that one should know and that belong to no role, such as a full disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Roles by name, kept in starting order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles(pub Vec<(Name, RoleStatus)>);

impl Roles {
    /// The role of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RoleStatus> {
        self.0
            .iter()
            .find_map(|(key, role)| (key.as_str() == name).then_some(role))
    }

    /// The roles with their names, in starting order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &RoleStatus)> {
        self.0.iter().map(|(name, role)| (name, role))
    }
}

impl Serialize for Roles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Roles;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of roles")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Roles, A::Error> {
                let mut roles = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    roles.push(entry);
                }
                Ok(Roles(roles))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What is wanted of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// It should be up.
    Up,
    /// It should go, with time for its tasks to end well.
    Down,
    /// It should go at once.
    ForcedDown,
}

impl Target {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::ForcedDown => "forcedDown",
        }
    }
}

impl From<&Endpoint> for EndpointStatus {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            url: endpoint.url(),
            address: endpoint.address(),
            token_file: endpoint.token_file.clone(),
        }
    }
}

impl RoleStatus {
    /// The role as the sum of its tasks.
    #[must_use]
    pub fn compute(desired: u32, memory: Option<MemoryStatus>, tasks: Vec<TaskStatus>) -> Self {
        let wanted = |task: &&TaskStatus| !matches!(task.state, TaskState::Retiring | TaskState::Stopping);
        let count = |state| {
            u32::try_from(tasks.iter().filter(|task| task.state == state).count()).unwrap_or(u32::MAX)
        };
        let ready = count(TaskState::Ready);
        // The task that says most about why the role is not complete: one that failed before one that waits.
        let severity = |task: &&TaskStatus| match task.state {
            TaskState::Failed => 0,
            TaskState::BackOff => 1,
            TaskState::NotReady => 2,
            TaskState::Starting => 3,
            TaskState::Waiting => 4,
            TaskState::Retiring => 5,
            TaskState::Stopping => 6,
            TaskState::Ready => 7,
        };
        let telling = tasks
            .iter()
            .filter(|task| task.state != TaskState::Ready)
            .min_by_key(severity);
        let absent = (desired as usize).saturating_sub(tasks.len());
        let reason = match telling {
            None if absent == 1 => "1 task is not there yet".to_owned(),
            None if absent > 1 => format!("{absent} tasks are not there yet"),
            None => String::new(),
            Some(task) if tasks.len() == 1 => task.reason.clone(),
            Some(task) => {
                let others = tasks.iter().filter(|t| t.state == task.state).count() - 1;
                let more = if others > 0 {
                    format!(" (and {others} more)")
                } else {
                    String::new()
                };
                format!("{}: {}{more}", task.name, task.reason)
            }
        };
        Self {
            desired,
            ready: ready
                .min(desired.max(u32::try_from(tasks.iter().filter(wanted).count()).unwrap_or(desired))),
            state: telling.map_or(TaskState::Ready, |task| task.state),
            reason,
            restarts: tasks.iter().map(|task| task.restarts).sum(),
            since: tasks.iter().map(|task| task.since).max(),
            memory,
            tasks,
        }
    }

    fn has(&self, state: TaskState) -> bool {
        self.tasks.iter().any(|task| task.state == state)
    }
}

/// The state of the whole, and why, from the states of the roles.
///
/// `blocked` is a reason for which nothing can start at all (software that cannot be installed), and
/// `preparing` what is being done before the first task starts.
#[must_use]
pub fn overall(
    target: Target,
    was_ready: bool,
    blocked: Option<&str>,
    preparing: Option<&str>,
    roles: &Roles,
) -> (State, String) {
    if target != Target::Up {
        let left: usize = roles.iter().map(|(_, role)| role.tasks.len()).sum();
        let reason = match left {
            0 => "stopping".to_owned(),
            1 => "stopping: 1 task is left".to_owned(),
            _ => format!("stopping: {left} tasks are left"),
        };
        return (State::Stopped, reason);
    }
    if let Some(blocked) = blocked {
        return (State::Failed, blocked.to_owned());
    }
    if let Some(preparing) = preparing {
        return (State::Starting, preparing.to_owned());
    }
    let describe = |(name, role): (&Name, &RoleStatus)| format!("{name}: {}", role.reason);
    if let Some(failed) = roles.iter().find(|(_, role)| role.has(TaskState::Failed)) {
        return (State::Failed, describe(failed));
    }
    let complete = |role: &RoleStatus| role.ready >= role.desired;
    // A role that fails says more than one that waits, be it for the one that fails.
    let telling = roles
        .iter()
        .filter(|(_, role)| !complete(role))
        .min_by_key(|(_, role)| !role.has(TaskState::BackOff));
    let Some(incomplete) = telling else {
        return (State::Ready, String::new());
    };
    let state = if was_ready {
        State::Degraded
    } else {
        State::Starting
    };
    (state, describe(incomplete))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str, state: TaskState, reason: &str) -> TaskStatus {
        TaskStatus {
            name: name.into(),
            pid: None,
            state,
            reason: reason.into(),
            since: Timestamp::UNIX_EPOCH,
            restarts: 1,
            last_exit: None,
            last_log: Vec::new(),
        }
    }

    fn roles(tasks: Vec<TaskStatus>) -> Roles {
        let desired = u32::try_from(tasks.len()).unwrap();
        Roles(vec![(
            Name::literal("worker"),
            RoleStatus::compute(desired, None, tasks),
        )])
    }

    #[test]
    fn a_role_that_fails_speaks_for_the_instance() {
        let role = |name, state, reason| {
            let task = task("task-0", state, reason);
            (Name::literal(name), RoleStatus::compute(1, None, vec![task]))
        };
        let seen = |roles| overall(Target::Up, false, None, None, &Roles(roles)).1;
        let waiting = role("scheduler", TaskState::Starting, "does not answer yet");
        let failing = role("worker", TaskState::BackOff, "was killed for memory");
        assert_eq!(
            seen(vec![waiting.clone(), failing]),
            "worker: was killed for memory"
        );
        let other = role("worker", TaskState::Waiting, "it has no pod yet");
        assert_eq!(seen(vec![waiting, other]), "scheduler: does not answer yet");
    }

    #[test]
    fn the_worst_task_speaks_for_its_role() {
        let role = RoleStatus::compute(
            3,
            None,
            vec![
                task("worker-0", TaskState::Ready, ""),
                task("worker-1", TaskState::Starting, "does not answer yet"),
                task("worker-2", TaskState::BackOff, "was killed for memory"),
            ],
        );
        assert_eq!((role.ready, role.restarts), (1, 3));
        assert_eq!(role.reason, "worker-2: was killed for memory");
        let growing = RoleStatus::compute(3, None, vec![task("worker-0", TaskState::Ready, "")]);
        assert_eq!(growing.reason, "2 tasks are not there yet");
    }

    #[test]
    fn states_of_the_whole() {
        let ready = || task("worker-0", TaskState::Ready, "");
        let starting = || task("worker-1", TaskState::Starting, "does not answer yet");
        let state = |target, was_ready, tasks| overall(target, was_ready, None, None, &roles(tasks)).0;
        assert_eq!(
            state(Target::Up, false, vec![ready(), starting()]),
            State::Starting
        );
        assert_eq!(
            state(Target::Up, true, vec![ready(), starting()]),
            State::Degraded
        );
        assert_eq!(state(Target::Up, false, vec![ready()]), State::Ready);
        let failed = task("worker-1", TaskState::Failed, "command not found");
        assert_eq!(
            overall(Target::Up, true, None, None, &roles(vec![ready(), failed])),
            (State::Failed, "worker: worker-1: command not found".into())
        );
        assert_eq!(state(Target::Down, true, vec![ready()]), State::Stopped);
        let nothing = Roles::default();
        assert_eq!(
            overall(Target::Up, false, Some("no Python"), None, &nothing).0,
            State::Failed
        );
        assert_eq!(
            overall(Target::Up, false, None, Some("installing"), &nothing).0,
            State::Starting
        );
    }

    #[test]
    fn roles_keep_their_order_in_json() {
        let status = |_| RoleStatus::compute(0, None, Vec::new());
        let roles = Roles(
            ["scheduler", "notebook", "a"]
                .map(|n| (n.parse().unwrap(), status(n)))
                .to_vec(),
        );
        let text = serde_json::to_string(&roles).unwrap();
        assert!(text.find("scheduler") < text.find("notebook"));
        assert_eq!(serde_json::from_str::<Roles>(&text).unwrap(), roles);
    }
}
