//! The agent at work: one loop that waits for the command, for signals, for probes and for directories.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use seaway_discovery::{Announcer, Directory, DirectoryState, DirectoryStatus, Entry, Error};
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

/// How often to try to become the one agent of the name while another one is.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

/// How long what the command left behind may take to end by itself.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// How long a stop of this process may take to come about. It does not come when nobody could end it.
const SUSPENSION: Duration = Duration::from_millis(200);

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

    /// Tries to become the one agent of the name; gives back what an earlier one was doing when it was killed.
    fn take_name(&mut self) -> Option<Run> {
        let taken = Claim::take(&self.configuration.state_directory, &self.configuration.name);
        // Written at once: whatever is announced from now on must be found by the next agent.
        match taken
            .and_then(|(claim, before)| claim.write(Some(self.record.clone())).map(|()| (claim, before)))
        {
            Ok((claim, before)) => {
                self.claim = Some(claim);
                self.claim_again = None;
                before
            }
            Err(error) => {
                let reason = error.to_string();
                if self.claim_said.as_ref() != Some(&reason) {
                    let hint = error.hint();
                    (self.tell)(Event::NotAnnounced {
                        directory: None,
                        reason: reason.clone(),
                        hint,
                    });
                    self.claim_said = Some(reason);
                }
                None
            }
        }
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

    /// Takes out what an earlier agent of the same owner left in directories: nothing is behind it any more, and the
    /// command may take its time to become ready.
    async fn remove_stale(&mut self, directories: &[Box<dyn Directory>]) {
        if !self.claim.as_ref().is_some_and(Claim::is_inherited) {
            return;
        }
        let Some(entry) = self.entry() else { return };
        let within = self.configuration.times.withdraw;
        let all = directories.iter().map(|directory| async {
            let late = |_| Error::Deadline {
                directory: directory.describe(),
                after: within,
            };
            let result = tokio::time::timeout(within, directory.withdraw(&entry))
                .await
                .map_err(late);
            (directory.describe(), result.and_then(|result| result))
        });
        for (directory, result) in join_all(all).await {
            if let Err(error) = result {
                self.stale = true;
                (self.tell)(Event::NotWithdrawn {
                    directory,
                    reason: error.to_string(),
                });
            }
        }
    }

    fn entry(&self) -> Option<Entry> {
        let configuration = &self.configuration;
        let owner = self.claim.as_ref()?.owner().clone();
        let endpoints = configuration.endpoints.clone();
        let mut entry = Entry::new(
            configuration.name.clone(),
            configuration.kind.clone(),
            owner,
            endpoints,
        );
        entry.labels.clone_from(&configuration.labels);
        Some(entry)
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

    /// Announces the endpoints, as soon as the name is ours.
    fn announce(&mut self) {
        self.claim_again = None;
        if self.said.is_empty() || !self.ready || self.stopping.is_some() {
            return;
        }
        if self.claim.is_none() {
            self.take_name();
        }
        match self.entry() {
            Some(entry) => {
                self.announced = true;
                self.announcer.announce(entry);
            }
            None => self.claim_again = Some(Instant::now() + CLAIM_AGAIN),
        }
    }

    async fn withdraw(&mut self) {
        self.claim_again = None;
        if !self.announced {
            return;
        }
        // What was announced until now is told first, so that the lines stand in order.
        self.tell_directories();
        let failures = self.announcer.withdraw(self.configuration.times.withdraw).await;
        self.announced = !failures.is_empty();
        self.stale = false;
        for failure in failures {
            let reason = failure.error.to_string();
            (self.tell)(Event::NotWithdrawn {
                directory: failure.directory,
                reason,
            });
        }
        self.tell_directories();
    }

    /// Tells what has changed in directories; each failure once, however often it is tried.
    fn tell_directories(&mut self) {
        let all = self.directories.borrow_and_update().clone();
        for (status, said) in all.into_iter().zip(&mut self.said) {
            let (now, event) = match status.state {
                DirectoryState::Registered { .. } => (
                    Said::Announced,
                    Event::Announced {
                        directory: status.directory,
                    },
                ),
                DirectoryState::Failed {
                    reason, hint, held, ..
                } => {
                    let now = if held {
                        Said::Held
                    } else {
                        Said::Failed(reason.clone())
                    };
                    (
                        now,
                        Event::NotAnnounced {
                            directory: Some(status.directory),
                            reason,
                            hint,
                        },
                    )
                }
                DirectoryState::Withdrawn => {
                    *said = None;
                    continue;
                }
                DirectoryState::Pending | DirectoryState::NotWithdrawn { .. } => continue,
            };
            if said.as_ref() != Some(&now) {
                *said = Some(now);
                (self.tell)(event);
            }
        }
    }

    async fn signal(&mut self, signal: Signal, process: &ProcessIdentity) {
        match signal {
            Signal::SIGCHLD => {
                if self.terminal.is_some() && self.stopping.is_none() && has_stopped(process) {
                    self.suspend(process).await;
                }
            }
            Signal::SIGCONT => self.resume(process),
            signal if asks_to_stop(signal) => self.stop(signal, process).await,
            signal => forward(process, signal),
        }
    }

    /// Asks the command to end, or asks more strongly.
    async fn stop(&mut self, signal: Signal, process: &ProcessIdentity) {
        let Some(stopping) = &mut self.stopping else {
            (self.tell)(Event::Stopping(signal));
            self.prober = None;
            self.start_by = None;
            self.withdraw().await;
            forward(process, signal);
            // A stopped process acts on nothing until it is woken.
            forward(process, Signal::SIGCONT);
            let deadline = Instant::now() + self.configuration.times.stop;
            self.stopping = Some(Stopping {
                first: signal,
                strongest: signal,
                deadline,
            });
            return;
        };
        if stopping.first == signal {
            self.escalate(process);
        } else {
            forward(process, signal);
            if signal == Signal::SIGTERM && stopping.strongest != Signal::SIGKILL {
                stopping.strongest = signal;
                stopping.deadline = Instant::now() + self.configuration.times.stop;
            }
        }
    }

    fn escalate(&mut self, process: &ProcessIdentity) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        let stronger = match stopping.strongest {
            Signal::SIGTERM | Signal::SIGKILL => Signal::SIGKILL,
            _ => Signal::SIGTERM,
        };
        stopping.strongest = stronger;
        stopping.deadline = Instant::now() + self.configuration.times.stop;
        forward(process, stronger);
        (self.tell)(Event::Escalated(stronger));
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

    /// The command was stopped from the keyboard: the shell gets the terminal back, as without an agent.
    async fn suspend(&mut self, process: &ProcessIdentity) {
        // It answers nobody until it is woken.
        self.withdraw().await;
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
        // To the whole group, as the keyboard would: others of the same pipeline or script belong to the same job.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), Signal::SIGTSTP);
        // The stop may come a moment later; work goes on when it is over, or when it does not come because there is
        // no shell that could end it.
        let woken = self.signals.next_of(|signal| signal == Signal::SIGCONT);
        let _ = tokio::time::timeout(SUSPENSION, woken).await;
        self.resume(process);
        self.announce();
    }

    fn resume(&mut self, process: &ProcessIdentity) {
        if let Some(terminal) = &mut self.terminal {
            terminal.hand_over(process.pid);
        }
        forward(process, Signal::SIGCONT);
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

    fn release(&mut self) {
        if let Some(claim) = self.claim.take() {
            claim.release(!self.announced && !self.stale);
        }
    }
}

/// Sends a signal to the command's process group. Nothing is to be done about one that is gone.
fn forward(process: &ProcessIdentity, signal: Signal) {
    let _ = process.signal_group(signal);
}

/// Whether the command has been stopped since this was last asked. Its end is left for others to see.
fn has_stopped(process: &ProcessIdentity) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return false;
    };
    let status = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
    matches!(status, Ok(Some(status)) if status.stopped())
}
