//! One process: started in a group of its own, or adopted from a supervisor that died.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use thiserror::Error;
use tokio::sync::oneshot;

use crate::{Exit, ProcessIdentity};

/// Why a process could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// No such program in the environment or on `PATH`.
    #[error("command not found: `{program}` is not in {}", places(.searched))]
    NotFound {
        /// The program's name.
        program: String,
        /// The folders looked into.
        searched: Vec<PathBuf>,
    },
    /// There is such a file, but it may not be executed.
    #[error("`{}` cannot be executed: permission denied", .0.display())]
    NotExecutable(PathBuf),
    /// The working directory is not there.
    #[error("working directory `{}` does not exist", .0.display())]
    WorkingDirectory(PathBuf),
    /// The log file cannot be opened.
    #[error("log file `{}` cannot be opened: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system refuses (too many processes, no memory, a broken interpreter line).
    #[error("`{}` cannot be started: {source}", program.display())]
    System {
        /// The program's file.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl StartError {
    /// Whether trying again can help without anybody changing anything.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::System { .. } | Self::Log { .. })
    }
}

fn places(searched: &[PathBuf]) -> String {
    let shown: Vec<_> = searched
        .iter()
        .take(4)
        .map(|path| path.display().to_string())
        .collect();
    match searched.len() {
        0 => "the empty PATH".to_owned(),
        n if n > 4 => format!("{} or {} more folders", shown.join(", "), n - 4),
        _ => shown.join(", "),
    }
}

/// Where a process's standard output and error go.
#[derive(Debug, Clone)]
pub enum Output {
    /// To the agent's own.
    Inherit,
    /// Both to the end of a file with mode 0600, directly: the supervisor is not in the way, so its death
    /// neither blocks the process nor loses its last words.
    File(PathBuf),
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Program and arguments; a program without a slash is searched in `path`.
    pub command: Vec<String>,
    /// The whole environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Folders searched for the program, in order.
    pub path: Vec<PathBuf>,
    /// Working directory; the agent's own when absent.
    pub working_directory: Option<PathBuf>,
    /// Where output goes.
    pub output: Output,
    /// Whether standard input is the agent's own (else it is empty).
    pub inherit_input: bool,
}

/// The folders of a `PATH`.
#[must_use]
pub fn search_path(path: &std::ffi::OsStr) -> Vec<PathBuf> {
    std::env::split_paths(path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect()
}

/// Finds a program: a path with a slash as it is, another name in the folders given.
pub fn find_program(program: &str, folders: &[PathBuf]) -> Result<PathBuf, StartError> {
    let executable = |path: &Path| {
        path.metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|meta| meta.permissions().mode() & 0o111 != 0)
    };
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![PathBuf::from(program)]
    } else {
        folders.iter().map(|folder| folder.join(program)).collect()
    };
    let mut forbidden = None;
    for candidate in candidates {
        match executable(&candidate) {
            Some(true) => return Ok(candidate),
            Some(false) => forbidden = Some(candidate),
            None => {}
        }
    }
    Err(forbidden.map_or_else(
        || StartError::NotFound {
            program: program.to_owned(),
            searched: folders.to_vec(),
        },
        StartError::NotExecutable,
    ))
}

/// A process that was started or adopted.
#[derive(Debug)]
pub struct Process {
    identity: ProcessIdentity,
    child: Option<tokio::process::Child>,
    /// Tells of the end of a process that is not a child; kept, because there is a thread behind it.
    end: Option<oneshot::Receiver<()>>,
}

impl Process {
    /// Starts a process as the leader of a new process group. Needs a tokio runtime.
    pub fn start(launch: &Launch) -> Result<Self, StartError> {
        let program = launch.command.first().map_or("", String::as_str);
        let file = find_program(program, &launch.path)?;
        let mut command = Command::new(&file);
        if let Some(directory) = &launch.working_directory {
            if !directory.is_dir() {
                return Err(StartError::WorkingDirectory(directory.clone()));
            }
            command.current_dir(directory);
        }
        command
            .args(&launch.command[1..])
            .env_clear()
            .envs(&launch.environment);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        if !launch.inherit_input {
            command.stdin(Stdio::null());
        }
        if let Output::File(path) = &launch.output {
            let open = |file: std::io::Result<File>| {
                file.map_err(|source| StartError::Log {
                    path: path.clone(),
                    source,
                })
            };
            let log = open(File::options().append(true).create(true).mode(0o600).open(path))?;
            command.stderr(open(log.try_clone())?).stdout(log);
        }
        let system = |source| StartError::System {
            program: file.clone(),
            source,
        };
        let child = tokio::process::Command::from(command).spawn().map_err(system)?;
        let gone = || system(std::io::Error::other("it ended before it could be looked at"));
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .ok_or_else(gone)?;
        // A child that has ended is a zombie until it is waited for, so that its id is still its own; its start
        // time is then taken as unknown, which equals no later process's.
        let identity = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity {
            pid,
            started: String::from("ended"),
        });
        Ok(Self {
            identity,
            child: Some(child),
            end: None,
        })
    }

    /// Takes over a process that another supervisor started; `None` when it is gone.
    #[must_use]
    pub fn adopt(identity: ProcessIdentity) -> Option<Self> {
        identity.is_alive().then_some(Self {
            end: end_of(&identity),
            identity,
            child: None,
        })
    }

    /// Which process it is.
    #[must_use]
    pub const fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Waits for the end. May be dropped and called again.
    pub async fn wait(&mut self) -> Exit {
        if let Some(child) = &mut self.child {
            return child.wait().await.map_or(Exit::Unseen, Exit::from);
        }
        if let Some(end) = &mut self.end {
            let told = end.await.is_ok();
            self.end = None;
            if told {
                return Exit::Unseen;
            }
        }
        while self.identity.is_alive() {
            tokio::time::sleep(LOOK).await;
        }
        Exit::Unseen
    }
}

/// How often an adopted process is looked at where the system cannot tell of its end.
const LOOK: Duration = Duration::from_millis(500);

/// Waits for the end of a process on a thread of its own: a pidfd becomes readable then, and there is no safe way
/// to give one to the runtime. The thread has a small stack and ends with the process.
#[cfg(target_os = "linux")]
fn end_of(identity: &ProcessIdentity) -> Option<oneshot::Receiver<()>> {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        io::Errno,
        process::{Pid, PidfdFlags, pidfd_open},
    };
    let descriptor = pidfd_open(Pid::from_raw(identity.pid)?, PidfdFlags::empty()).ok()?;
    // Looked at after the descriptor was opened, so that a reused id is not waited for.
    if !identity.is_alive() {
        return None;
    }
    let (tell, told) = oneshot::channel();
    let wait = move || {
        let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
        loop {
            match poll(&mut descriptors, None) {
                Err(Errno::INTR) => {}
                Ok(_) => {
                    // Nobody listens any more when the waiting was given up.
                    let _ = tell.send(());
                    return;
                }
                // Without an answer the caller looks for itself.
                Err(_) => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("wait".into())
        .stack_size(64 << 10)
        .spawn(wait)
        .ok()?;
    Some(told)
}

/// There is nothing that tells of it; it is looked for.
#[cfg(not(target_os = "linux"))]
fn end_of(_: &ProcessIdentity) -> Option<oneshot::Receiver<()>> {
    None
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;

    use super::*;

    fn launch(command: &[&str]) -> Launch {
        let path = std::env::var_os("PATH").unwrap();
        Launch {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            environment: BTreeMap::from([("PATH".into(), path.clone())]),
            path: search_path(&path),
            working_directory: None,
            output: Output::Inherit,
            inherit_input: false,
        }
    }

    #[tokio::test]
    async fn codes_and_signals_are_seen() {
        let mut process = Process::start(&launch(&["sh", "-c", "exit 7"])).unwrap();
        assert_eq!(process.wait().await, Exit::Code(7));
        let mut process = Process::start(&launch(&["sleep", "60"])).unwrap();
        process.identity().signal_group(Signal::SIGKILL).unwrap();
        assert_eq!(process.wait().await, Exit::Signal(9));
    }

    #[tokio::test]
    async fn an_adopted_process_is_watched_to_its_end() {
        let mut child = Process::start(&launch(&["sleep", "60"])).unwrap();
        let mut adopted = Process::adopt(child.identity().clone()).unwrap();
        child.identity().signal(Signal::SIGTERM).unwrap();
        // Reaped by its parent, as init does for orphans.
        assert_eq!(child.wait().await, Exit::Signal(15));
        assert_eq!(adopted.wait().await, Exit::Unseen);
        assert!(Process::adopt(child.identity().clone()).is_none());
    }

    #[tokio::test]
    async fn what_cannot_start_says_why() {
        let message = |launch: &Launch| Process::start(launch).unwrap_err();
        let missing = message(&launch(&["no-such-program-here"]));
        assert!(
            missing
                .to_string()
                .starts_with("command not found: `no-such-program-here`")
        );
        assert!(!missing.is_passing());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("text");
        std::fs::write(&file, "no program").unwrap();
        assert!(
            message(&launch(&[file.to_str().unwrap()]))
                .to_string()
                .contains("permission denied")
        );
        let mut elsewhere = launch(&["true"]);
        elsewhere.working_directory = Some(folder.path().join("nowhere"));
        assert!(message(&elsewhere).to_string().contains("does not exist"));
    }

    #[tokio::test]
    async fn output_goes_to_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        for _ in 0..2 {
            let mut launch = launch(&["sh", "-c", "echo out; echo err >&2"]);
            launch.output = Output::File(log.clone());
            assert!(Process::start(&launch).unwrap().wait().await.success());
        }
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nerr\nout\nerr\n");
        assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
