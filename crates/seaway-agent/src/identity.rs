//! Which process is which: a process id alone is reused, so it always comes with its start time; and every
//! process that Seaway starts carries marks in its environment, by which it and its children are found even when
//! the record of them was lost.

use std::{fs, path::Path};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use crate::environment;

/// A process, told apart from a later one with the same id by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: i32,
    /// When it started, in whatever unit the system keeps (Linux: clock ticks since boot). Only compared.
    pub started: String,
}

impl ProcessIdentity {
    /// The process that has this id now; `None` when there is none or it is a zombie.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        start_time(pid).map(|started| Self { pid, started })
    }

    /// The calling process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of(Pid::this().as_raw())
    }

    /// Whether this very process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Sends a signal to the process if it still runs; a process that is gone is no error.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        if self.is_alive() {
            ignore_gone(kill(Pid::from_raw(self.pid), signal))
        } else {
            Ok(())
        }
    }

    /// Sends a signal to the process group that this process leads.
    ///
    /// The group outlives its leader: call this only while the leader runs or right after its end, before its id
    /// can be in use again.
    pub fn signal_group(&self, signal: Signal) -> Result<(), Errno> {
        ignore_gone(killpg(Pid::from_raw(self.pid), signal))
    }
}

fn ignore_gone(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::ESRCH) => Ok(()),
        // macOS answers EPERM for a group that consists of zombies only.
        Err(Errno::EPERM) if cfg!(target_os = "macos") => Ok(()),
        other => other,
    }
}

/// The start time of a process that runs; `None` for zombies.
#[cfg(target_os = "linux")]
fn start_time(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
    let state = fields.next()?;
    // `starttime` is field 22 of the line; the state is field 3.
    let started = fields.nth(18)?;
    (!matches!(state, "Z" | "X" | "x")).then(|| started.to_owned())
}

/// The start time of a process that runs; `None` for zombies.
#[cfg(not(target_os = "linux"))]
fn start_time(pid: i32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, started) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// Identifies the current boot of the machine: no process of an earlier one can run.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(
        |_| {
            std::process::Command::new("sysctl")
                .args(["-n", "kern.boottime"])
                .output()
                .ok()
                .and_then(|output| String::from_utf8(output.stdout).ok())
                .unwrap_or_default()
                .trim()
                .to_owned()
        },
        |text| text.trim().to_owned(),
    )
}

/// The name of this machine, which tells its processes from those of others that share a home folder with it.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| String::new(), |name| name.to_string_lossy().into_owned())
}

/// A process found by the marks in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The process.
    pub process: ProcessIdentity,
    /// Whether it leads its process group.
    pub leads_group: bool,
    /// Which start of which task it belongs to.
    pub start_id: String,
}

/// All processes of an instance, by the marks they carry. The calling process is left out.
///
/// Empty where the system does not show environments (macOS); process groups are all there is then.
#[must_use]
pub fn marked(instance_id: &str) -> Vec<Marked> {
    let own = Pid::this().as_raw();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mark = format!("{}={instance_id}", environment::INSTANCE_ID);
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own)
        .filter_map(|pid| {
            let environ = fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).ok()?;
            let mut variables = environ.split(|byte| *byte == 0);
            variables
                .clone()
                .any(|variable| variable == mark.as_bytes())
                .then_some(())?;
            let start_id = variables
                .find_map(|variable| {
                    variable
                        .strip_prefix(environment::START_ID.as_bytes())?
                        .strip_prefix(b"=")
                })
                .map_or_else(String::new, |id| String::from_utf8_lossy(id).into_owned());
            let process = ProcessIdentity::of(pid)?;
            let group = nix::unistd::getpgid(Some(Pid::from_raw(pid))).ok()?;
            Some(Marked {
                process,
                leads_group: group.as_raw() == pid,
                start_id,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command};

    use super::*;

    #[test]
    fn a_process_is_itself_until_it_is_reaped() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let identity = ProcessIdentity::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(identity.is_alive());
        let later = ProcessIdentity {
            started: "1".into(),
            ..identity.clone()
        };
        assert!(!later.is_alive(), "another start time is another process");
        identity.signal_group(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
        identity.signal(Signal::SIGKILL).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn marked_processes_are_found_with_their_children() {
        let instance = format!("test-{}", std::process::id());
        let mut child = Command::new("sh")
            .args(["-c", "sleep 61 & wait"])
            .env(environment::INSTANCE_ID, &instance)
            .env(environment::START_ID, "s1")
            .process_group(0)
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut found = Vec::new();
        while found.len() < 2 && std::time::Instant::now() < deadline {
            found = marked(&instance);
            std::thread::yield_now();
        }
        assert_eq!(found.len(), 2, "the shell and its child");
        assert_eq!(found.iter().filter(|process| process.leads_group).count(), 1);
        assert!(found.iter().all(|process| process.start_id == "s1"));
        let leader = ProcessIdentity::of(i32::try_from(child.id()).unwrap()).unwrap();
        leader.signal_group(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
    }
}
