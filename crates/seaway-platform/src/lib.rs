//! Seaway's platforms: where the tasks of a plan run.
//!
//! A platform makes the tasks of a [`Plan`] exist, watches them, says why one is not up, and removes them. It
//! knows nothing of engines. [`Platform`] is the contract; [`local`] carries it out with processes of this
//! machine, [`kubernetes`] with pods of a cluster. The contract is level-triggered: a caller says what should be and looks at what is, and whatever was
//! interrupted is picked up by the next look.

mod difference;
mod drain;
pub mod kubernetes;
pub mod local;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use seaway_model::{
    Endpoint, Name,
    plan::Plan,
    status::{AnnouncementStatus, MemoryStatus, Target, TaskStatus},
};
use thiserror::Error;

pub use self::difference::{Action, Difference, FieldDifference};

/// Why a platform could not do what was asked.
#[derive(Debug, Error)]
pub enum PlatformError {
    /// No instance of that name.
    #[error("there is no instance `{name}`")]
    NotFound {
        /// The name asked for.
        name: String,
        /// The nearest name that exists.
        nearest: Option<Name>,
    },
    /// The name is in use by an instance that is coming up or going down.
    #[error("instance `{name}` {doing}")]
    Busy {
        /// The name.
        name: Name,
        /// What it is doing.
        doing: String,
    },
    /// The instance's processes are on another machine that shares the state folder.
    #[error("instance `{name}` runs on `{host}`")]
    Elsewhere {
        /// The name.
        name: Name,
        /// The machine.
        host: String,
    },
    /// The plan needs something that the platform does not have.
    #[error("the {platform} platform cannot do this: {what}")]
    Unsupported {
        /// The platform.
        platform: &'static str,
        /// What it cannot do, naming the field.
        what: String,
    },
    /// No such role.
    #[error("instance `{instance}` has no role `{role}`; its roles are {}", known.join(", "))]
    NoRole {
        /// The instance.
        instance: Name,
        /// The role asked for.
        role: String,
        /// The roles there are.
        known: Vec<String>,
    },
    /// The role has a fixed number of tasks.
    #[error("role `{role}` of `{instance}` cannot be scaled; these can: {}", scalable.join(", "))]
    NotScalable {
        /// The instance.
        instance: Name,
        /// The role asked for.
        role: String,
        /// The roles that can.
        scalable: Vec<String>,
    },
    /// The cluster refused, or was not reached.
    #[error("{0}")]
    Cluster(seaway_discovery::Error),
    /// What says which cluster is meant cannot be right.
    #[error("{field} of the cluster: {reason}")]
    ClusterSettings {
        /// What of it: `namespace`, `kubeconfig`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The namespace is being deleted.
    #[error("the namespace `{0}` is being deleted, and takes nothing new")]
    NamespaceEnds(Name),
    /// The plan cannot be had as objects of a cluster.
    #[error(transparent)]
    Render(#[from] seaway_render::kubernetes::RenderError),
    /// An object of that name is there and is not the instance's.
    #[error("{object} is there already and is not of instance `{instance}`")]
    Occupied {
        /// `Deployment/lab-scheduler`.
        object: String,
        /// The instance.
        instance: Name,
    },
    /// No such task, or it has no pod.
    #[error("instance `{instance}` has no task `{task}`{}", known_text(known))]
    NoTask {
        /// The instance.
        instance: Name,
        /// The task asked for.
        task: String,
        /// The tasks there are.
        known: Vec<String>,
    },
    /// A directory that the plan names cannot be used.
    #[error("it cannot be announced: {0}")]
    Directory(#[from] seaway_discovery::Error),
    /// A port cannot be had.
    #[error(transparent)]
    Port(#[from] local::ports::PortError),
    /// Neither `HOME` nor the variable is set.
    #[error("neither HOME nor {0} is set, so there is no folder to keep state in")]
    NoHome(&'static str),
    /// A file or folder of the platform cannot be used.
    #[error("`{}` cannot be used: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A secret that the user gives cannot be taken.
    #[error(transparent)]
    Secret(#[from] seaway_model::plan::SecretError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] local::store::StoreError),
    /// Nothing could be started that makes an instance of a cluster reachable from here.
    #[error("`{name}` cannot be reached from this machine: {reason}")]
    Forwarder {
        /// The instance.
        name: String,
        /// Why.
        reason: String,
    },
    /// A supervisor cannot be started.
    #[error("the supervisor of `{name}` cannot be started: {reason}")]
    Supervisor {
        /// The instance.
        name: Name,
        /// Why.
        reason: String,
    },
}

impl PlatformError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::NotFound { nearest: None, .. } => "`seaway ls` lists the instances".into(),
            Self::Busy { name, .. } => {
                format!(
                    "wait for it (`seaway status {name} --watch`), take it down (`seaway down {name}`), or choose \
                         another name (`--name`)"
                )
            }
            Self::Directory(error) => return error.hint(),
            Self::Cluster(error) => return kubernetes::hint(error),
            Self::ClusterSettings {
                field: "namespace", ..
            } => "`seaway setup kubernetes --namespace NAME` makes one; `--namespace` chooses another".into(),
            Self::NamespaceEnds(_) => {
                "wait until it is gone and make it anew, or choose another (`--namespace`)".into()
            }
            Self::Occupied { .. } => {
                "give the instance another name (`--name`), or remove the object if nobody needs it".into()
            }
            Self::Port(local::ports::PortError::Taken { .. }) => {
                "choose another port under spec.endpoints, or none for a free one".into()
            }
            Self::Port(local::ports::PortError::Bind { .. }) => {
                "the host under spec.endpoints must be an address of this machine".into()
            }
            Self::Store(local::store::StoreError::DiskFull) => "make room on the disk that holds it".into(),
            Self::Elsewhere { name, host } => {
                format!(
                    "run `seaway` there, or set XDG_STATE_HOME to a folder of this machine; if `{host}` is no more, \
                         `seaway down {name} --force` forgets the instance"
                )
            }
            Self::NoHome(_) => "set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME, to absolute paths".into(),
            _ => return None,
        })
    }
}

/// What applying a plan did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The instance did not exist and comes up.
    Created,
    /// It existed and rolls over to the new plan.
    Changed,
    /// It existed just so; nothing was written.
    Unchanged,
}

/// What a platform sees of an instance at one moment.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The document the instance was made from, as JSON.
    pub document: serde_json::Value,
    /// The plan it follows.
    pub plan: Plan,
    /// What is wanted of it.
    pub target: Target,
    /// When it was brought up.
    pub created: Timestamp,
    /// Whether it has been ready once.
    pub was_ready: bool,
    /// Whether what is wanted now has been taken up; until then the rest is about what was wanted before.
    pub followed: bool,
    /// What is being done before the first task can start.
    pub preparing: Option<String>,
    /// Why nothing can start, or why everything ended.
    pub blocked: Option<String>,
    /// Whether it was ended from outside and nothing of it runs any more.
    pub ended: bool,
    /// Things to know that belong to no task.
    pub notes: Vec<String>,
    /// Where it is announced.
    pub announcements: Vec<AnnouncementStatus>,
    /// Endpoints whose addresses are known.
    pub endpoints: Vec<Endpoint>,
    /// The roles by name: how many tasks are wanted, who keeps their memory limit, the tasks.
    pub roles: BTreeMap<Name, ObservedRole>,
}

/// What a platform sees of a role.
#[derive(Debug, Clone)]
pub struct ObservedRole {
    /// Tasks wanted.
    pub desired: u32,
    /// The memory limit with who keeps it.
    pub memory: Option<MemoryStatus>,
    /// The tasks in the order of their indexes.
    pub tasks: Vec<TaskStatus>,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRequest<'a> {
    /// A role or a task, or a part of the platform that has a log (`supervisor`); all tasks when absent.
    pub only: Option<&'a str>,
    /// How many of the last lines of each task to begin with.
    pub tail: usize,
    /// Whether to go on with what is written from now on, until the instance is gone.
    pub follow: bool,
}

/// A line that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The task, or the part of the platform.
    pub task: String,
    /// The line, with nothing in it that could take hold of a terminal.
    pub text: String,
}

/// Log lines as they come.
#[async_trait(?Send)]
pub trait LogStream {
    /// The tasks whose lines come, as far as they are known now.
    fn tasks(&self) -> Vec<String>;

    /// The next line; `None` when no more will come. May be dropped and called again.
    async fn next(&mut self) -> Result<Option<LogLine>, PlatformError>;
}

fn known_text(known: &[String]) -> String {
    if known.is_empty() {
        String::new()
    } else {
        format!("; its tasks are {}", known.join(", "))
    }
}

/// A place where tasks run.
///
/// Every method may be called again after any failure, and by several callers at once; the platform orders them. The
/// conformance suite of the crate `seaway` asks every platform for what is promised here.
///
/// Tasks that end are started again as [`Restart`](seaway_model::plan::Restart) says, and given up after its limit. A
/// cluster's nodes start containers by rules of their own: the pauses are theirs (10 s and longer), and what is given up
/// is told so while they go on trying. A task whose check is [`Running`](seaway_model::plan::Check::Running) is ready
/// as soon as it runs.
#[async_trait(?Send)]
pub trait Platform {
    /// The platform's name: `local`, `kubernetes`.
    fn kind(&self) -> &'static str;

    /// Refuses what the platform cannot do, naming the field, before anything starts.
    fn check(&self, plan: &Plan) -> Result<(), PlatformError>;

    /// Makes the plan's tasks exist, or changes those of an earlier plan of the same instance. Returns when that
    /// is noted and under way, not when it is done: [`observe`](Self::observe) tells how it goes.
    ///
    /// Of several callers that apply at once, one creates the instance. Others with another document are refused with
    /// [`PlatformError::Busy`] for the time that takes, so that tasks of two documents are never mixed. Others with
    /// the same document may be refused too, or help where nothing tells that an instance is being made from that
    /// its making was interrupted (on a cluster).
    async fn apply(&self, document: &serde_json::Value, plan: &Plan) -> Result<Applied, PlatformError>;

    /// What [`apply`](Self::apply) would change. Nothing is written.
    async fn preview(
        &self,
        document: &serde_json::Value,
        plan: &Plan,
    ) -> Result<Vec<Difference>, PlatformError>;

    /// How an instance is; `None` when there is none. Picks up whatever was interrupted.
    async fn observe(&self, name: &str) -> Result<Option<Observation>, PlatformError>;

    /// The names of all instances.
    async fn list(&self) -> Result<Vec<Name>, PlatformError>;

    /// Returns when something may have changed since the last observation, or after `longest`.
    async fn changed(&self, longest: Duration) -> Result<(), PlatformError>;

    /// Sets the wanted number of tasks of a role. Tasks that hold work or the only copy of data are kept until
    /// they do not, unless forced. A task that holds nothing may stay while others of its role hold something: a
    /// cluster takes the last ones away, and all at once.
    async fn scale(&self, name: &str, role: &str, replicas: u32, forced: bool) -> Result<(), PlatformError>;

    /// Takes an instance down. Returns when that is noted and under way; it is done when nothing is observed any
    /// more. Forced means without time for tasks to end well.
    ///
    /// On this machine tasks end before those that they depend on. A cluster is told all at once, so that nobody has to
    /// stay and see to it.
    async fn remove(&self, name: &str, forced: bool) -> Result<(), PlatformError>;

    /// What the tasks of an instance write. Lines of earlier starts of a task come as far as the platform keeps them:
    /// those of a pod's container are kept apart and are not asked for. Who follows sees the lines of every start.
    async fn logs(
        &self,
        name: &str,
        request: LogRequest<'_>,
    ) -> Result<Box<dyn LogStream + '_>, PlatformError>;

    /// Makes the endpoints of an instance reachable from this machine where they are not, and keeps them so until the
    /// instance goes. Returns when they are.
    async fn reach(&self, name: &str) -> Result<(), PlatformError>;
}
