//! Runs an installer's program to its end, or to the end of whoever waits for it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::sys::signal::Signal;
use seaway_agent::{Exit, ProcessIdentity, boot_id};
use serde::{Deserialize, Serialize};
use tokio::{process::Child, time::MissedTickBehavior};

use super::PythonError;

/// How often to look for new output.
const LOOK: Duration = Duration::from_millis(100);

/// How much of the output is looked at when it failed.
const LOOKED_AT: u64 = 256 << 10;

/// A process group that is killed when this is dropped before its leader has ended.
pub(super) struct Group(Option<ProcessIdentity>);

impl Group {
    /// The group that a child leads.
    pub(super) fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        // Until it is waited for the id is the child's, also if it has ended already.
        let identity = pid.map(|pid| {
            ProcessIdentity::of(pid).unwrap_or(ProcessIdentity {
                pid,
                started: "ended".into(),
            })
        });
        Self(identity)
    }

    /// The leader was waited for: its id may be another's from now on.
    pub(super) fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = &self.0 {
            // It cannot be refused: the group is our own.
            let _ = leader.signal_group(Signal::SIGKILL);
        }
    }
}

/// Who makes an environment, written beside it. When Seaway is killed, the installer is not: whoever comes next finds
/// it by this and ends it, instead of waiting for work that is then thrown away.
#[derive(Debug, Serialize, Deserialize)]
struct Builder {
    boot: String,
    seaway: ProcessIdentity,
    installer: ProcessIdentity,
}

/// Ends an installer whose Seaway is gone.
pub(super) fn end_orphan(record: &Path) {
    let Some(builder) = fs::read(record)
        .ok()
        .and_then(|text| serde_json::from_slice::<Builder>(&text).ok())
    else {
        return;
    };
    if builder.boot == boot_id() && !builder.seaway.is_alive() && builder.installer.is_alive() {
        // A group of the same user's, or gone.
        let _ = builder.installer.signal_group(Signal::SIGKILL);
    }
}

/// Where and with what installers run.
pub(super) struct Workshop {
    /// Working folder.
    pub(super) folder: PathBuf,
    /// The file that everything they say is appended to.
    pub(super) log: PathBuf,
    /// The record of who is at work.
    pub(super) record: PathBuf,
    /// The lock on the environment.
    pub(super) lock: File,
}

/// A program to run.
pub(super) struct Step<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: &'a BTreeMap<OsString, OsString>,
}

impl Workshop {
    /// Empties the log, which nobody else may read: settings of users find their way into it.
    pub(super) fn begin_log(&self) -> Result<(), PythonError> {
        let open = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&self.log);
        open.map(drop)
            .map_err(|reason| PythonError::file("write", &self.log, reason))
    }

    /// Runs a program; how it ended, and the end of what it said. `heard` is given each line of it.
    pub(super) async fn run(
        &self,
        step: Step<'_>,
        heard: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(Exit, String), PythonError> {
        let log_failed = |reason| PythonError::file("write", &self.log, reason);
        let log = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(log_failed)?;
        let start = log.metadata().map_err(log_failed)?.len();
        let outputs = log
            .try_clone()
            .and_then(|out| Ok((out, log.try_clone()?)))
            .map_err(log_failed)?;
        // The lock file is the empty input: so the lock holds as long as the installer or something it started
        // works, even when Seaway is killed.
        let input = self.lock.try_clone().map_err(log_failed)?;
        let mut child = tokio::process::Command::new(step.program)
            .args(&step.arguments)
            .env_clear()
            .envs(step.variables)
            .current_dir(&self.folder)
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(outputs.0))
            .stderr(Stdio::from(outputs.1))
            .process_group(0)
            .spawn()
            .map_err(|reason| PythonError::Start {
                program: step.program.to_path_buf(),
                reason,
            })?;
        // Declared after the child, so that the group is killed while the child's id is still its own.
        let mut group = Group::of(&child);
        self.note(&group);
        let mut reader = Reader {
            log,
            position: start,
            line: Vec::new(),
        };
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let exit = loop {
            tokio::select! {
                status = child.wait() => break status.map_or(Exit::Unseen, Exit::from),
                _ = looks.tick() => reader.read(heard),
            }
        };
        group.ended();
        reader.read(heard);
        Ok((exit, reader.end(start)))
    }

    /// Notes who is at work. Without the note an orphan is waited for, which only takes longer.
    fn note(&self, group: &Group) {
        let (Some(installer), Some(seaway)) = (group.0.clone(), ProcessIdentity::own()) else {
            return;
        };
        if let Ok(text) = serde_json::to_vec(&Builder {
            boot: boot_id(),
            seaway,
            installer,
        }) {
            let _ = fs::write(&self.record, text);
        }
    }
}

/// Reads the log as it grows.
struct Reader {
    log: File,
    position: u64,
    line: Vec<u8>,
}

impl Reader {
    fn read(&mut self, heard: &mut (dyn FnMut(&str) + Send)) {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = self.log.read_at(&mut buffer, self.position) {
            self.position += count as u64;
            for byte in &buffer[..count] {
                if *byte == b'\n' {
                    heard(&String::from_utf8_lossy(&self.line));
                    self.line.clear();
                } else if self.line.len() < 4096 {
                    self.line.push(*byte);
                }
            }
        }
    }

    fn end(&self, start: u64) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let end = self.log.metadata()?.len();
            let start = start.max(end.saturating_sub(LOOKED_AT));
            crate::local::logs::read_between(&self.log, start, end)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }
}
