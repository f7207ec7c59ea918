//! What the rows of the store say.

use jiff::Timestamp;
use seaway_agent::ProcessIdentity;
use seaway_model::{
    Name,
    plan::Plan,
    status::{AnnouncementStatus, MemoryKeeper, Target, TaskState},
};

/// What is wanted of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskTarget {
    /// It should run.
    Run,
    /// It should go once it holds nothing.
    Retire,
    /// It should go now.
    Remove,
}

impl TaskTarget {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Retire => "retire",
            Self::Remove => "remove",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "retire" => Self::Retire,
            "remove" => Self::Remove,
            _ => Self::Run,
        }
    }
}

/// An instance as the store has it.
#[derive(Debug, Clone)]
pub struct InstanceRecord {
    /// Its name.
    pub name: Name,
    /// Random id of this incarnation.
    pub id: String,
    /// The document it was made from, as JSON.
    pub document: serde_json::Value,
    /// The plan made from that.
    pub plan: Plan,
    /// Grows with every change of the plan or of the wanted numbers.
    pub generation: i64,
    /// What is wanted.
    pub target: Target,
    /// When it was brought up.
    pub created: Timestamp,
    /// The machine that its processes run on.
    pub host: String,
    /// The boot of the machine in which its processes run.
    pub boot: String,
    /// Its supervisor.
    pub supervisor: Option<ProcessIdentity>,
    /// Whether it has been ready once.
    pub was_ready: bool,
    /// What is being done before the first task can start.
    pub preparing: Option<String>,
    /// Why nothing can start.
    pub blocked: Option<String>,
    /// The generation that the supervisor has seen and acted upon. What it wrote is about this one.
    pub followed: i64,
    /// Things to know.
    pub notes: Vec<String>,
    /// Where it is announced.
    pub announcements: Vec<AnnouncementStatus>,
}

/// How many tasks of a role are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleRecord {
    /// The role.
    pub role: Name,
    /// The number.
    pub desired: u32,
    /// Whether tasks may be stopped although they hold work or data.
    pub forced: bool,
}

/// A task as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its role.
    pub role: Name,
    /// Its index within the role.
    pub index: u32,
    /// What is wanted.
    pub target: TaskTarget,
    /// Random id of its last start; written before the process exists.
    pub start_id: Option<String>,
    /// Its process; written after the process exists.
    pub process: Option<ProcessIdentity>,
    /// Digest of what it was started with.
    pub revision: Option<String>,
    /// Its control group.
    pub cgroup: Option<String>,
    /// Who keeps its memory limit.
    pub memory_keeper: MemoryKeeper,
    /// How it is.
    pub state: TaskState,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last process ended.
    pub last_exit: Option<String>,
    /// The last lines of its last process.
    pub last_log: Vec<String>,
}

impl TaskRecord {
    /// A task that was never started.
    #[must_use]
    pub fn new(role: Name, index: u32) -> Self {
        Self {
            role,
            index,
            target: TaskTarget::Run,
            start_id: None,
            process: None,
            revision: None,
            cgroup: None,
            memory_keeper: MemoryKeeper::Nobody,
            state: TaskState::Waiting,
            reason: "waits for its supervisor".into(),
            since: Timestamp::now(),
            restarts: 0,
            last_exit: None,
            last_log: Vec::new(),
        }
    }

    /// The task's name: `worker-0`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.role, self.index)
    }
}

/// A port that belongs to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRecord {
    /// The task's role.
    pub role: Name,
    /// The task's index.
    pub index: u32,
    /// The port's name.
    pub name: Name,
    /// The address it binds.
    pub host: String,
    /// Its number.
    pub port: u16,
}
