//! The agent at work: one loop that waits for the command, for signals, for probes and for directories.

mod announcing;
mod stopping;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use seaway_discovery::{Announcer, Directory, DirectoryStatus};
use tokio::{sync::watch, time::Instant};

use super::{
    Event, Leftovers, RunConfiguration, RunError,
    claim::{Claim, Run},
    readiness::{Prober, answers_already},
    signals::{Signals, asks_to_stop},
    stragglers::Family,
    terminal::Terminal,
};
use crate::{
    Exit, ProcessIdentity, environment,
    process::{Launch, Output, Process, search_path},
};

/// How long what the command left behind may take to end by itself.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Where programs are looked for when nothing says where.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

struct Agent<T> {
    configuration: RunConfiguration,
    tell: T,
    signals: Signals,
    announcer: Announcer,
    directories: watch::Receiver<Vec<DirectoryStatus>>,
    /// What was last said of each directory.
    said: Vec<Option<Said>>,
    claim: Option<Claim>,
    /// Why the name could not be claimed, as it was told.
    claim_said: Option<String>,
    claim_again: Option<Instant>,
    /// What is written down about this run.
    record: Run,
    prober: Option<Prober>,
    terminal: Option<Terminal>,
    ready: bool,
    /// Whether the entry may be in a directory.
    announced: bool,
    /// Whether an earlier agent's entry may still be in a directory.
    stale: bool,
    started: Instant,
    /// Until when the command has time to become ready; absent when that is told already.
    start_by: Option<Instant>,
    stopping: Option<Stopping>,
    /// Why the command is stopped for not being ready.
    unready: Option<String>,
}

#[derive(PartialEq, Eq)]
enum Said {
    Announced,
    Held,
    Failed(String),
}

/// The command has been told to end.
struct Stopping {
    first: Signal,
    strongest: Signal,
    deadline: Instant,
}

/// What happened next.
enum Step {
    Ended(Exit),
    Signal(Signal),
    Probed,
    Directories,
    Late,
}

/// What became of the leftovers of an earlier agent.
enum Before {
    Nothing,
    Adopted(Process),
    Interrupted(Signal),
}

pub(super) async fn run(
    mut configuration: RunConfiguration,
    tell: impl FnMut(Event) + Send,
) -> Result<Exit, RunError> {
    let signals = Signals::new().map_err(RunError::Signals)?;
    let announcer = Announcer::new(Vec::new());
    let directories = std::mem::take(&mut configuration.directories);
    let agent = Agent {
        record: Run {
            agent: ProcessIdentity::own(),
            instance: random(),
            process: None,
            command: configuration.command.clone(),
        },
        said: directories.iter().map(|_| None).collect(),
        directories: announcer.status(),
        announcer,
        configuration,
        tell,
        signals,
        claim: None,
        claim_said: None,
        claim_again: None,
        prober: None,
        terminal: None,
        ready: false,
        announced: false,
        stale: false,
        started: Instant::now(),
        start_by: None,
        stopping: None,
        unready: None,
    };
    agent.run(directories).await
}

fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl<T: FnMut(Event) + Send> Agent<T> {
    async fn run(mut self, directories: Vec<Box<dyn Directory>>) -> Result<Exit, RunError> {
        let before = if directories.is_empty() {
            None
        } else {
            self.take_name()
        };
        let before = match before {
            Some(before) => self.clear(before).await,
            None => Before::Nothing,
        };
        if let Before::Interrupted(signal) = before {
            return Ok(Exit::Signal(signal as i32));
        }
        let adopted = if let Before::Adopted(process) = before {
            Some(process)
        } else {
            None
        };
        if adopted.is_some() {
            // What stands in directories is right, and is taken over when the probes have answered.
            self.stale = true;
        } else {
            self.remove_stale(&directories).await;
        }
        self.announcer = Announcer::new(directories);
        self.directories = self.announcer.status();
        let (environment, path) = self.environment();
        let mut process = match adopted {
            Some(process) => process,
            None => match self.start(&environment, &path).await {
                Ok(process) => process,
                Err(error) => {
                    self.release();
                    return Err(error);
                }
            },
        };
        self.record.process = Some(process.identity().clone());
        if let Some(claim) = &self.claim {
            // Only leftovers are found a little later without it, by their marks.
            let _ = claim.write(Some(self.record.clone()));
        }
        self.started = Instant::now();
        self.start_by = Some(self.started + self.configuration.times.start);
        let interval = self.configuration.times.probe;
        self.prober = Some(Prober::start(
            self.configuration.probes.clone(),
            interval,
            environment,
            path,
        ));
        loop {
            match self.next(&mut process).await {
                Step::Ended(exit) => return self.end(exit, process.identity()).await,
                Step::Signal(signal) => self.signal(signal, process.identity()).await,
                Step::Probed => self.probed().await,
                Step::Directories => self.tell_directories(),
                Step::Late => self.late(process.identity()).await,
            }
        }
    }

    /// Waits for whatever comes next.
    async fn next(&mut self, process: &mut Process) -> Step {
        let stop_by = self.stopping.as_ref().map(|stopping| stopping.deadline);
        let deadline = [self.start_by, stop_by, self.claim_again]
            .into_iter()
            .flatten()
            .min();
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let probed = async {
            match &mut self.prober {
                Some(prober) => prober.changed().await,
                None => std::future::pending().await,
            }
        };
        let directories = async {
            if self.directories.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            exit = process.wait() => Step::Ended(exit),
            signal = self.signals.next() => Step::Signal(signal),
            () = probed => Step::Probed,
            () = directories => Step::Directories,
            () = late => Step::Late,
        }
    }

    fn environment(&self) -> (BTreeMap<OsString, OsString>, Vec<PathBuf>) {
        let mut all: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        for name in environment::ALL {
            all.remove(std::ffi::OsStr::new(name));
        }
        let name = self.configuration.name.as_str();
        let marks = [
            (environment::INSTANCE_ID, self.record.instance.as_str()),
            (environment::START_ID, &random()),
            (environment::INSTANCE, name),
            (environment::TASK, "command"),
        ]
        .map(|(key, value)| (key.into(), value.into()));
        all.extend(marks);
        let path = all
            .get(std::ffi::OsStr::new("PATH"))
            .map_or(DEFAULT_PATH.as_ref(), OsString::as_os_str);
        let path = search_path(path);
        (all, path)
    }

    async fn start(
        &mut self,
        environment: &BTreeMap<OsString, OsString>,
        path: &[PathBuf],
    ) -> Result<Process, RunError> {
        if let Some(address) = answers_already(&self.configuration.probes).await {
            (self.tell)(Event::AnswersAlready(address));
        }
        let process = Process::start(&Launch {
            command: self.configuration.command.clone(),
            environment: environment.clone(),
            path: path.to_vec(),
            working_directory: None,
            output: Output::Inherit,
            inherit_input: true,
        })?;
        self.terminal = Terminal::of_standard_input();
        if let Some(terminal) = &mut self.terminal {
            terminal.hand_over(process.identity().pid);
        }
        Ok(process)
    }

    /// Deals with what an earlier agent left running.
    async fn clear(&mut self, before: Run) -> Before {
        let family = Family {
            instance: &before.instance,
            group: None,
        };
        let processes = family.processes();
        if processes.is_empty() {
            return Before::Nothing;
        }
        let numbers = processes.iter().map(|process| process.pid).collect();
        let leader = before.process.filter(|leader| processes.contains(leader));
        let leftovers = self.configuration.leftovers;
        if before.command != self.configuration.command || leftovers == Leftovers::Ignore {
            (self.tell)(Event::LeftoversIgnored(numbers));
            return Before::Nothing;
        }
        if leftovers == Leftovers::Adopt
            && let Some(process) = leader.and_then(Process::adopt)
        {
            (self.tell)(Event::LeftoverAdopted(process.identity().pid));
            // Their mark is ours from now on.
            self.record.instance = before.instance;
            return Before::Adopted(process);
        }
        let interrupted = tokio::select! {
            _ = family.end(self.configuration.times.stop) => None,
            signal = self.signals.next_of(asks_to_stop) => Some(signal),
        };
        if let Some(signal) = interrupted {
            family.end(Duration::ZERO).await;
            self.stale = true;
            self.release();
            return Before::Interrupted(signal);
        }
        (self.tell)(Event::LeftoversStopped(numbers));
        Before::Nothing
    }

    async fn probed(&mut self) {
        let Some(state) = self.prober.as_ref().map(Prober::state) else {
            return;
        };
        if state.ready == self.ready {
            return;
        }
        self.ready = state.ready;
        if state.ready {
            self.start_by = None;
            (self.tell)(Event::Ready {
                after: self.started.elapsed(),
            });
            self.announce();
        } else {
            self.withdraw().await;
            (self.tell)(Event::Unready {
                reason: state.reason.unwrap_or_default(),
            });
        }
    }

    /// Some time is up.
    async fn late(&mut self, process: &ProcessIdentity) {
        let now = Instant::now();
        let is_up = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_up(self.claim_again) {
            self.announce();
        }
        if is_up(self.stopping.as_ref().map(|stopping| stopping.deadline)) {
            self.escalate(process);
        }
        if is_up(self.start_by) {
            self.start_by = None;
            let reason = self.prober.as_ref().and_then(|prober| prober.state().reason);
            let reason = reason.unwrap_or_else(|| "the first probe has not been answered yet".to_owned());
            let (after, stopping) = (self.configuration.times.start, self.configuration.fail_unready);
            (self.tell)(Event::NotReadyInTime {
                after,
                reason: reason.clone(),
                stopping,
            });
            if stopping {
                self.unready = Some(reason);
                self.stop(Signal::SIGTERM, process).await;
            }
        }
    }

    /// The command has ended.
    async fn end(mut self, exit: Exit, process: &ProcessIdentity) -> Result<Exit, RunError> {
        self.prober = None;
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
        self.withdraw().await;
        if !exit.success() && self.stopping.is_none() {
            (self.tell)(Event::Ended(exit));
        }
        let killed = self
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.strongest == Signal::SIGKILL);
        let grace = if killed { Duration::ZERO } else { STRAGGLERS };
        let count = Family {
            instance: &self.record.instance,
            group: Some(process),
        }
        .end(grace)
        .await;
        if count > 0 {
            (self.tell)(Event::StragglersStopped(count));
        }
        self.release();
        match self.unready.take() {
            Some(reason) => Err(RunError::Unready {
                after: self.configuration.times.start,
                reason,
            }),
            None => Ok(exit),
        }
    }
}
