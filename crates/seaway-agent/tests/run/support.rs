//! Agents as processes of their own, so that they can be sent signals and killed. The process is this very test
//! program, which acts as an agent when [`VARIABLE`] says what to run.

use std::{
    fmt::Debug,
    io::Write,
    net::TcpListener,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seaway_agent::{
    ProcessIdentity,
    run::{Leftovers, OnDirectoryError, RunConfiguration, Subject, Times, options},
};
use seaway_model::discovery::{DirectorySpec, FileDirectory};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// What the agent is to run, as JSON.
const VARIABLE: &str = "SEAWAY_TEST_AGENT";

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an agent is to run.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Job {
    pub(crate) state: PathBuf,
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) probes: Vec<String>,
    pub(crate) directories: Vec<DirectorySpec>,
    pub(crate) start_timeout: u64,
    pub(crate) stop_timeout: u64,
    pub(crate) fail_unready: bool,
    pub(crate) adopt: bool,
    /// Process to watch instead of running the command; 0 for endpoints alone.
    pub(crate) watch: Option<i32>,
    /// `fail` or `warn`; otherwise try again.
    pub(crate) on_error: String,
    pub(crate) owner: Option<String>,
    pub(crate) listen: Option<String>,
}

impl Job {
    /// A command that is announced in the state folder; a lease so long that it never ends within a test.
    pub(crate) fn new(folder: &Path, command: &[&str]) -> Self {
        let file = FileDirectory {
            path: Some(folder.join("directory")),
            lease: Some("10m".parse().unwrap()),
        };
        Self {
            state: folder.join("state"),
            name: "engine".into(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            endpoints: Vec::new(),
            probes: Vec::new(),
            directories: vec![DirectorySpec::File(file)],
            start_timeout: 60_000,
            stop_timeout: 10_000,
            fail_unready: false,
            adopt: false,
            watch: None,
            on_error: String::new(),
            owner: None,
            listen: None,
        }
    }

    pub(crate) fn shell(folder: &Path, script: &str) -> Self {
        Self::new(folder, &["sh", "-c", script])
    }

    pub(crate) fn start(&self) -> Agent {
        // Files rather than pipes: what was written is there at once, and nobody has to read it.
        let file = || tempfile::NamedTempFile::new().unwrap();
        let (output, messages) = (file(), file());
        let mut command = self.command();
        command
            .stdin(Stdio::null())
            .stdout(output.reopen().unwrap())
            .stderr(messages.reopen().unwrap());
        Agent {
            child: command.spawn().unwrap(),
            output,
            messages,
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["agent_process", "--exact", "--ignored", "--nocapture", "--quiet"])
            .env(VARIABLE, serde_json::to_string(self).unwrap());
        command
    }
}

/// Acts as an agent; does not return. Does nothing in a test run that is no agent.
pub(crate) fn act_as_agent() {
    let Ok(job) = std::env::var(VARIABLE) else { return };
    let job: Job = serde_json::from_str(&job).unwrap();
    let defaults = seaway_discovery::Defaults {
        state_directory: job.state.clone(),
        ..Default::default()
    };
    let subject = match job.watch {
        None => Subject::Command(job.command),
        Some(0) => Subject::Endpoints,
        Some(pid) => Subject::Process(ProcessIdentity::of(pid).unwrap()),
    };
    let mut configuration = RunConfiguration::new(job.name.parse().unwrap(), subject, job.state);
    configuration.on_directory_error = match job.on_error.as_str() {
        "fail" => OnDirectoryError::Fail,
        "warn" => OnDirectoryError::Warn,
        _ => OnDirectoryError::Retry,
    };
    configuration.owner = job.owner.map(|owner| owner.parse().unwrap());
    configuration.listen = job.listen.map(|text| options::listen(&text).unwrap());
    configuration.endpoints = job
        .endpoints
        .iter()
        .map(|text| options::endpoint(text).unwrap())
        .collect();
    configuration.probes = if job.probes.is_empty() {
        options::default_probes(&configuration.endpoints)
    } else {
        job.probes
            .iter()
            .map(|text| options::probe(text).unwrap())
            .collect()
    };
    configuration.directories = job
        .directories
        .iter()
        .map(|spec| seaway_discovery::open(spec, &defaults).unwrap())
        .collect();
    configuration.fail_unready = job.fail_unready;
    configuration.leftovers = if job.adopt {
        Leftovers::Adopt
    } else {
        Leftovers::Stop
    };
    configuration.times = Times {
        start: Duration::from_millis(job.start_timeout),
        probe: Duration::from_millis(100),
        stop: Duration::from_millis(job.stop_timeout),
        withdraw: Duration::from_secs(1),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(seaway_agent::run::run(configuration, |event| {
        // In one piece, as the binary does: the command writes to the same place.
        let _ = std::io::stderr().write_all(format!("seaway: {event}\n").as_bytes());
    }));
    std::process::exit(match result {
        Ok(exit) => exit.shell_code(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code().into()
        }
    });
}

/// An agent that runs; it and what it started are killed when the test is over.
pub(crate) struct Agent {
    pub(crate) child: Child,
    output: NamedTempFile,
    messages: NamedTempFile,
}

impl Agent {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// The exit code, as a shell reports it.
    pub(crate) fn end(&mut self) -> i32 {
        let status = until(|| "the agent ends", || self.child.try_wait().unwrap());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// What the agent said until now.
    pub(crate) fn messages(&self) -> String {
        std::fs::read_to_string(self.messages.path()).unwrap()
    }

    /// What the command wrote until now, between what the test program itself writes.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.output.path()).unwrap()
    }

    /// Waits until the agent has said something.
    pub(crate) fn says(&self, text: &str) {
        until(
            || format!("the agent says `{text}`: {}", self.messages()),
            || self.messages().contains(text).then_some(()),
        );
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // It ends its command; an agent that does not is a failure of the test, which is then told anyway.
            self.signal(Signal::SIGTERM);
            let deadline = Instant::now() + Duration::from_secs(5);
            while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
        }
    }
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn until<A, T: Debug + AsRef<str>>(what: impl Fn() -> T, mut ask: impl FnMut() -> Option<A>) -> A {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "not within {PATIENCE:?}: {}",
            what().as_ref()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The folder of one test, with what is in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn entry_path(&self) -> PathBuf {
        self.path().join("directory/engine.json")
    }

    /// The entry as it is announced.
    pub(crate) fn entry(&self) -> Option<serde_json::Value> {
        std::fs::read(self.entry_path())
            .ok()
            .map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) fn announced(&self) -> serde_json::Value {
        until(|| "there is an entry", || self.entry())
    }

    pub(crate) fn withdrawn(&self) {
        until(|| "there is no entry", || self.entry().is_none().then_some(()));
    }

    /// Waits for a file that a script writes, and gives its content.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.path().join(name);
        let written = || {
            std::fs::read_to_string(&path)
                .ok()
                .filter(|text| text.ends_with('\n'))
        };
        until(|| format!("there is a file {name}"), written)
            .trim()
            .to_owned()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// Nothing is left of entries, locks and records.
    pub(crate) fn is_clean(&self) -> bool {
        ["directory", "state/agents"]
            .iter()
            .all(|folder| std::fs::read_dir(self.path().join(folder)).map_or(0, Iterator::count) == 0)
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn is_alive(pid: &str) -> bool {
    seaway_agent::ProcessIdentity::of(pid.parse().unwrap()).is_some()
}
