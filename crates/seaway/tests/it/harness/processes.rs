//! What runs on this machine, from `/proc`.

use std::{fs, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// A process. One that has ended and was not waited for does not count.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Its command line.
    pub(crate) words: Vec<String>,
    environment: Vec<String>,
}

impl Process {
    /// A process by its id.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let strings = |file: &str| -> Option<Vec<String>> {
            let bytes = fs::read(folder.join(file)).ok()?;
            let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
            Some(
                parts
                    .map(|part| String::from_utf8_lossy(part).into_owned())
                    .collect(),
            )
        };
        Some(Self {
            pid,
            words: strings("cmdline")?,
            environment: strings("environ")?,
        })
    }

    /// The value of a variable that it was started with.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .iter()
            .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether it is a supervisor.
    pub(crate) fn is_supervisor(&self) -> bool {
        self.words.get(1).is_some_and(|word| word == "supervise")
    }
}

/// All processes that can be looked into.
pub(crate) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    entries
        .flatten()
        .filter_map(|entry| Process::of(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// Sends a signal; whether there was somebody to get it.
pub(crate) fn signal(pid: i32, signal: Signal) -> bool {
    kill(Pid::from_raw(pid), signal).is_ok()
}

/// Kills a process as `kill -9` does, and returns when it is dead: on a busy machine that takes a moment, in which it
/// still holds its locks.
pub(crate) fn kill_hard(pid: i32) -> bool {
    let was_there = signal(pid, Signal::SIGKILL);
    let dead = super::until(Duration::from_secs(30), || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state stands behind the name, which ends with the last parenthesis.
        match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            None | Some('Z' | 'X') => Ok(()),
            Some(state) => Err(format!("process {pid} is in state {state}")),
        }
    });
    dead.expect("a process that is killed ends");
    was_there
}
