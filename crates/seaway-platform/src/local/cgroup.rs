//! Control groups: a task's memory limit, kept by the kernel where this machine permits it.
//!
//! Nothing is assumed about who runs Seaway or where groups are mounted: the places are read from
//! `/proc/self/mountinfo` and `/proc/self/cgroup`, and the nearest one that can be written is used. Both versions
//! of control groups are known. Swap counts towards the limit where the kernel keeps account of it, so that a task
//! over its limit is killed instead of swapped out.

mod place;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::io::Errno;
use thiserror::Error;

pub use self::place::{Place, available};

/// Version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One tree for each controller.
    One,
    /// One tree for all of them.
    Two,
}

/// Why no memory limit can be kept here.
#[derive(Debug, Error)]
pub enum Unavailable {
    /// There are no control groups, or none that this process can see.
    #[error("no control groups with a memory controller are mounted")]
    NotMounted,
    /// Groups exist, but the memory controller does not reach the place where Seaway could make one.
    #[error("the memory controller is not handed on to control groups in `{}`", .0.display())]
    NotDelegated(PathBuf),
    /// Groups exist, but this user may not make one.
    #[error("control groups cannot be made in `{}`: {reason}", folder.display())]
    NotWritable {
        /// The nearest place.
        folder: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The group exists already and processes are in it.
    #[error("control group `{}` is in use", .0.display())]
    InUse(PathBuf),
    /// The place looked writable, yet the kernel refuses.
    #[error("control group `{}` cannot be made: {reason}", group.display())]
    Refused {
        /// The group.
        group: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

impl Unavailable {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotDelegated(_) | Self::NotWritable { .. } if cfg!(target_os = "linux") => {
                Some("where systemd runs, start Seaway with `systemd-run --user --scope seaway …`")
            }
            _ => None,
        }
    }
}

/// A control group that limits the memory of the processes in it.
///
/// Dropping it leaves the group alone: tasks outlive the supervisor. [`Cgroup::remove`] takes it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
    version: Version,
}

impl Cgroup {
    /// Makes a group that limits its processes to `memory` bytes together. Its name is made from `label`, which
    /// must be unique on the machine, and begins with `seaway-`; an empty group of that name is replaced.
    pub fn create(label: &str, memory: u64) -> Result<Self, Unavailable> {
        available()?.create(label, memory)
    }

    /// The group at a path that [`Cgroup::path`] gave earlier, for a task that another supervisor started.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let version = if path.join("memory.limit_in_bytes").is_file() {
            Version::One
        } else if path.join("memory.max").is_file() {
            Version::Two
        } else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "`{}` is no control group with a memory controller",
                    path.display()
                ),
            ));
        };
        Ok(Self { path, version })
    }

    /// Where the group is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of control groups that it belongs to.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Moves a process into the group. Its later children follow it; those it has already, and the memory it has
    /// already, do not.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// How many processes the kernel has killed because the group was over its limit; 0 when the group is gone or
    /// the kernel does not count (before 4.13).
    ///
    /// Version 2 kills all processes of the group together and counts each.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// How much memory the group uses, the page cache of files it works with included.
    pub fn current_bytes(&self) -> io::Result<u64> {
        let file = match self.version {
            Version::One => "memory.usage_in_bytes",
            Version::Two => "memory.current",
        };
        let text = fs::read_to_string(self.path.join(file))?;
        text.trim().parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("`{file}` says `{}`", text.trim()),
            )
        })
    }

    /// The processes in the group and in groups they made below it. None when the group is gone.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let mut processes = Vec::new();
        collect(&self.path, &mut processes)?;
        Ok(processes)
    }

    /// Removes the group. An error of the kind `ResourceBusy` says that processes are still in it; a group that is
    /// gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// The groups directly below one; none when it is gone.
fn children(group: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn collect(group: &Path, processes: &mut Vec<i32>) -> io::Result<()> {
    match fs::read_to_string(group.join("cgroup.procs")) {
        Ok(text) => processes.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        // Read after the group was removed: the folder is open, the group is not there.
        Err(error) if error.kind() == io::ErrorKind::NotFound || is(&error, Errno::NODEV) => return Ok(()),
        Err(error) => return Err(error),
    }
    children(group)?
        .iter()
        .try_for_each(|child| collect(child, processes))
}

/// Removes a group after those below it: the kernel removes none that has others in it.
fn remove(group: &Path) -> io::Result<()> {
    for child in children(group)? {
        remove(&child)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        os::unix::process::ExitStatusExt,
        process::{Command, Stdio},
    };

    use super::*;

    /// Makes a group, or says why there is none to be had here.
    fn group(label: &str, memory: u64) -> Option<Cgroup> {
        match Cgroup::create(&format!("test-{label}-{}", std::process::id()), memory) {
            Ok(group) => Some(group),
            Err(error) => {
                println!("skipped: {error}");
                None
            }
        }
    }

    #[test]
    fn a_process_over_the_limit_is_killed_and_counted() {
        let Some(group) = group("kill", 32 << 20) else {
            return;
        };
        assert_eq!(group.oom_kills(), 0);
        // It waits for a word, so that it is in the group before it asks for memory. `tail` keeps a line until its
        // end, and this one has none.
        let mut child = Command::new("sh")
            .args(["-c", "read word; exec tail /dev/zero"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        group.add(pid).unwrap();
        assert_eq!(group.processes().unwrap(), [pid]);
        let busy = group.remove().unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        // As after a restart of the supervisor.
        let opened = Cgroup::open(group.path()).unwrap();
        assert_eq!(opened, group);
        assert_eq!(opened.oom_kills(), 1);
        assert!(opened.current_bytes().unwrap() <= 32 << 20);
        assert!(opened.processes().unwrap().is_empty());
        group.remove().unwrap();
        group.remove().unwrap();
        assert!(group.processes().unwrap().is_empty());
        assert_eq!(
            Cgroup::open(group.path()).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn an_empty_group_is_replaced_and_a_used_one_is_not() {
        let Some(group) = group("twice", 64 << 20) else {
            return;
        };
        let label = group
            .path()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .strip_prefix("seaway-")
            .unwrap();
        let again = Cgroup::create(label, 32 << 20).unwrap();
        assert_eq!(again, group);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        again.add(i32::try_from(child.id()).unwrap()).unwrap();
        let error = Cgroup::create(label, 32 << 20).unwrap_err();
        assert!(matches!(error, Unavailable::InUse(_)), "{error}");
        child.kill().unwrap();
        child.wait().unwrap();
        group.remove().unwrap();
    }

    #[test]
    fn the_limit_counts_swap_and_takes_effect() {
        let Some(group) = group("values", 32 << 20) else {
            return;
        };
        let read = |file: &str| fs::read_to_string(group.path().join(file)).ok();
        match group.version() {
            Version::One => {
                assert_eq!(read("memory.limit_in_bytes").unwrap().trim(), "33554432");
                if let Some(both) = read("memory.memsw.limit_in_bytes") {
                    assert_eq!(both.trim(), "33554432");
                }
            }
            Version::Two => {
                assert_eq!(read("memory.max").unwrap().trim(), "33554432");
                assert_eq!(read("memory.oom.group").unwrap().trim(), "1");
            }
        }
        group.remove().unwrap();
    }
}
