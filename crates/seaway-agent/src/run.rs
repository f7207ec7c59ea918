//! `seaway run -- COMMAND`: runs one command as if it were run without an agent, and keeps it on the map while it is
//! ready. `seaway agent`: does the same for a process that it did not start, or for endpoints alone.
//!
//! What [`run`] promises:
//!
//! - **Transparent.** The command has the agent's standard streams, gets the terminal when there is one, and every
//!   signal that is sent to the agent; the agent ends as the command did, and says nothing on standard output.
//! - **Ready means ready.** The endpoints are announced when every probe answers, withdrawn when probes fail
//!   [`FAILURES_IN_A_ROW`] times in a row, and announced again when they answer.
//! - **Withdrawn first.** When the agent is told to stop the endpoints are withdrawn before the command hears of it,
//!   and when the command ends they are withdrawn before the agent does. A directory that does not answer delays
//!   that by no more than [`Times::withdraw`].
//! - **One owner.** Of several agents of one name, user and host only one announces, and the others take its place
//!   when it ends. One that is started again after a crash is the same owner, and takes over at once what the crash
//!   left in directories; entries of others are left alone while they are live.
//! - **Nothing is left.** When the command has ended, what is left of its process group, and every process that
//!   carries its marks, is asked to end and then killed.
//! - **Announcing never stands in the way.** A directory that is down, or a name in use, is told and tried again; the
//!   command keeps running. [`OnDirectoryError`] has other ways for the first attempt; a renewal that fails never
//!   stops anything.
//! - **What was not started here is not touched.** A process that is only watched gets no signal.
//! - **Nothing waits for who looks.** Metrics and health are told by a server of its own, with limits on everything.

mod agent;
mod claim;
mod event;
mod health;
mod metrics;
pub mod options;
mod readiness;
mod server;
mod signals;
mod stragglers;
mod subject;
mod terminal;

use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf, time::Duration};

use seaway_discovery::{Directory, Owner};
use seaway_model::{Endpoint, Name};
use thiserror::Error;

use crate::{Exit, ProcessIdentity, probe::Probe, process::StartError};

pub use event::{Event, Then};
pub use readiness::FAILURES_IN_A_ROW;
pub use terminal::undisturbed;

/// What to run, when it is ready, and where to announce it.
#[derive(Debug)]
pub struct RunConfiguration {
    /// Name under which it is announced.
    pub name: Name,
    /// What it is, for directories: `Command`.
    pub kind: String,
    /// What is announced while it is ready.
    pub subject: Subject,
    /// Where clients reach it. An endpoint without a host is announced with the address that is seen from each
    /// directory.
    pub endpoints: Vec<Endpoint>,
    /// Free words about it, for directories.
    pub labels: BTreeMap<String, String>,
    /// Questions that are all to be answered before it is ready. With none, a command that runs is ready.
    pub probes: Vec<Probe>,
    /// Where to announce it. With none, nothing is kept in the state folder either.
    pub directories: Vec<Box<dyn Directory>>,
    /// What to do when a directory does not take it.
    pub on_directory_error: OnDirectoryError,
    /// Who announces it, for directories; made up and written down in the state folder when absent.
    pub owner: Option<Owner>,
    /// Where to serve metrics and health; nowhere when absent. Port 0 is any free one.
    pub listen: Option<SocketAddr>,
    /// Seaway's state folder, where agents of one name keep each other apart.
    pub state_directory: PathBuf,
    /// Times and limits.
    pub times: Times,
    /// Whether a command that is not ready in time is stopped; otherwise that is only told.
    pub fail_unready: bool,
    /// What to do with what an earlier agent of this name left running.
    pub leftovers: Leftovers,
}

impl RunConfiguration {
    /// A subject without endpoints, probes and directories, with the usual times.
    #[must_use]
    pub fn new(name: Name, subject: Subject, state_directory: PathBuf) -> Self {
        Self {
            name,
            kind: "Command".to_owned(),
            subject,
            endpoints: Vec::new(),
            labels: BTreeMap::new(),
            probes: Vec::new(),
            directories: Vec::new(),
            on_directory_error: OnDirectoryError::default(),
            owner: None,
            listen: None,
            state_directory,
            times: Times::default(),
            fail_unready: false,
            leftovers: Leftovers::default(),
        }
    }
}

/// What is announced while it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Program and arguments: started here, and ended with the agent.
    Command(Vec<String>),
    /// A process that somebody else started: watched, and never sent a signal. The agent ends when it ends.
    Process(ProcessIdentity),
    /// Whatever answers the probes, until the agent is told to stop.
    Endpoints,
}

impl Subject {
    /// The command that is started here.
    #[must_use]
    pub fn command(&self) -> Option<&[String]> {
        match self {
            Self::Command(command) => Some(command),
            Self::Process(_) | Self::Endpoints => None,
        }
    }
}

/// What to do when a directory does not take the entry at the first attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDirectoryError {
    /// Stop the command, and end with an error.
    Fail,
    /// Tell it once, and leave the directory alone until the probes have failed and answer again.
    Warn,
    /// Tell it once, and try again and again.
    #[default]
    Retry,
}

/// Times and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long the command may take to become ready before that is told.
    pub start: Duration,
    /// How often a ready command is asked whether it still is; also the longest time for an answer, up to 5 s.
    pub probe: Duration,
    /// How long the command may take to end after a signal before a stronger one is sent.
    pub stop: Duration,
    /// How long withdrawing may take.
    pub withdraw: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            probe: Duration::from_secs(5),
            stop: Duration::from_secs(10),
            withdraw: Duration::from_secs(1),
        }
    }
}

/// What to do with processes that an earlier agent of the same name left running because it was killed. They are
/// known by the marks they carry; those of another command line are always left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leftovers {
    /// End them, then start the command anew.
    #[default]
    Stop,
    /// Take the command over as it runs. Its exit code is then not known, and is told as 1.
    Adopt,
    /// Leave them alone and start the command beside them.
    Ignore,
}

/// Why a command did not run, or was not let run.
#[derive(Debug, Error)]
pub enum RunError {
    /// It could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system does not let the agent receive signals.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// Nothing can listen at the address for metrics and health.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The process to watch is not there.
    #[error("there is no process {0}, or it has ended")]
    NoProcess(i32),
    /// It was not ready in time; a command was stopped for it.
    #[error("not ready within {} ms: {reason}", after.as_millis())]
    Unready {
        /// The time given.
        after: Duration,
        /// Why the last probe was not answered.
        reason: String,
    },
    /// It could not be announced, and is to be announced or not to run at all.
    #[error("not announced{}: {reason}", directory.as_ref().map_or_else(String::new, |place| format!(" in {place}")))]
    NotAnnounced {
        /// Which directory, in words; absent when it is not a matter of one directory.
        directory: Option<String>,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl RunError {
    /// The exit code for it, as shells have it: 127 for a command that is not found, 126 for one that cannot be
    /// executed, otherwise 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Start(StartError::NotFound { .. }) => 127,
            Self::Start(StartError::NotExecutable(_) | StartError::System { .. }) => 126,
            _ => 1,
        }
    }
}

/// Runs the command to its end, and says how it ended. Tells what happens meanwhile.
///
/// What was not started here ends with code 0: when the process has ended, and when `SIGTERM` asks to stop.
///
/// Needs a Tokio runtime with everything enabled. From its first use on, the signals that the agent acts on no
/// longer end this process by themselves.
pub async fn run(configuration: RunConfiguration, tell: impl FnMut(Event) + Send) -> Result<Exit, RunError> {
    agent::run(configuration, tell).await
}
