//! The agent at work: one loop that waits for the command, for signals, for probes and for directories.

mod announcing;
mod stopping;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use nix::sys::signal::Signal;
use seaway_discovery::{Announcer, DirectoryStatus, Monitor};
use tokio::{sync::watch, time::Instant};

use super::{
    Event, Leftovers, OnDirectoryError, RunConfiguration, RunError, Subject,
    claim::{Claim, Run},
    health::Health,
    readiness::{Prober, answers_already},
    server::Server,
    signals::{Signals, asks_to_stop},
    stragglers::Family,
    subject::Watched,
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
    monitor: Monitor,
    health: Arc<Health>,
    directories: watch::Receiver<Vec<DirectoryStatus>>,
    /// What was last said of each directory.
    said: Vec<Option<Said>>,
    /// Directories of which it was told that they did not let the entry go, since it was last announced.
    not_withdrawn: BTreeSet<String>,
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
    stale: Stale,
    started: Instant,
    /// Until when the command has time to become ready; absent when that is told already.
    start_by: Option<Instant>,
    stopping: Option<Stopping>,
    /// Why the agent stops by itself, when it does.
    failure: Option<RunError>,
    /// What it ends with, when there is no command to wait for.
    done: Option<Exit>,
}

/// What is known of an entry that an earlier agent left behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stale {
    /// There is none.
    Gone,
    /// There may be one.
    Perhaps,
    /// There may be one, and it is left there until the first probe tells whether it is still right.
    Undecided,
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
    Adopted(Box<Process>),
    Interrupted(Signal),
}

pub(super) async fn run(
    mut configuration: RunConfiguration,
    mut tell: impl FnMut(Event) + Send,
) -> Result<Exit, RunError> {
    let signals = Signals::new().map_err(RunError::Signals)?;
    let mut announcer = Announcer::new(std::mem::take(&mut configuration.directories));
    if configuration.on_directory_error == OnDirectoryError::Warn {
        announcer = announcer.giving_up();
    }
    let monitor = announcer.monitor();
    let health = Arc::new(Health::new(&configuration, monitor.clone()));
    let server = match configuration.listen {
        Some(address) => {
            let failed = |source| RunError::Listen { address, source };
            let server = Server::start(address, Arc::clone(&health))
                .await
                .map_err(failed)?;
            tell(Event::Listening(server.address()));
            Some(server)
        }
        None => None,
    };
    let agent = Agent {
        record: Run {
            agent: ProcessIdentity::own(),
            instance: random(),
            process: None,
            command: configuration.subject.command().unwrap_or_default().to_vec(),
        },
        said: announcer.directories().iter().map(|_| None).collect(),
        directories: announcer.status(),
        announcer,
        monitor,
        health,
        configuration,
        tell,
        signals,
        not_withdrawn: BTreeSet::new(),
        claim: None,
        claim_said: None,
        claim_again: None,
        prober: None,
        terminal: None,
        ready: false,
        announced: false,
        stale: Stale::Gone,
        started: Instant::now(),
        start_by: None,
        stopping: None,
        failure: None,
        done: None,
    };
    let result = agent.run().await;
    drop(server);
    result
}

fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl<T: FnMut(Event) + Send> Agent<T> {
    async fn run(mut self) -> Result<Exit, RunError> {
        let before = if self.said.is_empty() {
            None
        } else {
            self.take_name()
        };
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let before = match before {
            Some(before) => self.clear(before).await,
            None => Before::Nothing,
        };
        let adopted = match before {
            Before::Nothing => None,
            Before::Adopted(process) => Some(process),
            Before::Interrupted(signal) => return Ok(Exit::Signal(signal as i32)),
        };
        if adopted.is_some() || self.configuration.subject.command().is_none() {
            // What stands in directories may well be right, and is taken over when the probes have answered.
            if self.claim.as_ref().is_some_and(Claim::is_inherited) {
                self.stale = Stale::Undecided;
            }
        } else {
            self.remove_stale().await;
        }
        let (environment, path) = self.environment();
        let mut watched = match self.begin(adopted, &environment, &path).await {
            Ok(watched) => watched,
            Err(error) => {
                self.release();
                return Err(error);
            }
        };
        self.record.process = watched.own().cloned();
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
            match self.next(&mut watched).await {
                Step::Ended(exit) => return self.end(exit, watched.own()).await,
                Step::Signal(signal) => self.signal(signal, watched.own()).await,
                Step::Probed => self.probed().await,
                Step::Directories => self.tell_directories(),
                Step::Late => self.late(watched.own()),
            }
            if self.failure.is_some() && self.stopping.is_none() {
                self.stop(Signal::SIGTERM, watched.own()).await;
            }
            if let Some(exit) = self.done {
                return self.end(exit, None).await;
            }
        }
    }

    /// Waits for whatever comes next.
    async fn next(&mut self, watched: &mut Watched) -> Step {
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
            exit = watched.wait() => Step::Ended(exit),
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

    /// Starts the command, or finds what is to be watched.
    async fn begin(
        &mut self,
        adopted: Option<Box<Process>>,
        environment: &BTreeMap<OsString, OsString>,
        path: &[PathBuf],
    ) -> Result<Watched, RunError> {
        if let Some(process) = adopted {
            return Ok(Watched::Own(*process));
        }
        match self.configuration.subject.clone() {
            Subject::Command(command) => self.start(command, environment, path).await.map(Watched::Own),
            Subject::Process(identity) => {
                let gone = RunError::NoProcess(identity.pid);
                Process::adopt(identity).map(Watched::Foreign).ok_or(gone)
            }
            Subject::Endpoints => Ok(Watched::Nothing),
        }
    }

    async fn start(
        &mut self,
        command: Vec<String>,
        environment: &BTreeMap<OsString, OsString>,
        path: &[PathBuf],
    ) -> Result<Process, RunError> {
        if let Some(address) = answers_already(&self.configuration.probes).await {
            (self.tell)(Event::AnswersAlready(address));
        }
        let process = Process::start(&Launch {
            command,
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
        if Some(before.command.as_slice()) != self.configuration.subject.command()
            || leftovers == Leftovers::Ignore
        {
            (self.tell)(Event::LeftoversIgnored(numbers));
            return Before::Nothing;
        }
        if leftovers == Leftovers::Adopt
            && let Some(process) = leader.and_then(Process::adopt)
        {
            (self.tell)(Event::LeftoverAdopted(process.identity().pid));
            // Their mark is ours from now on.
            self.record.instance = before.instance;
            return Before::Adopted(Box::new(process));
        }
        let interrupted = tokio::select! {
            _ = family.end(self.configuration.times.stop) => None,
            signal = self.signals.next_of(asks_to_stop) => Some(signal),
        };
        if let Some(signal) = interrupted {
            family.end(Duration::ZERO).await;
            self.stale = Stale::Perhaps;
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
        self.health.probed(state.clone());
        if self.stale == Stale::Undecided {
            self.stale = Stale::Perhaps;
            if !state.ready {
                self.remove_stale().await;
            }
        }
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
    fn late(&mut self, process: Option<&ProcessIdentity>) {
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
                self.failure = Some(RunError::Unready { after, reason });
            }
        }
    }

    /// It is over: the command has ended, or there is none and nothing is to be waited for any more.
    async fn end(mut self, exit: Exit, process: Option<&ProcessIdentity>) -> Result<Exit, RunError> {
        self.prober = None;
        self.health.stopping();
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
        // Without a command nothing has happened since it was told to stop, and withdrew.
        if process.is_some() || self.done.is_none() {
            self.withdraw().await;
        }
        if self.stale == Stale::Undecided {
            self.remove_stale().await;
        }
        if let Some(process) = process {
            if !exit.success() && self.stopping.is_none() {
                (self.tell)(Event::Ended(exit));
            }
            self.end_stragglers(process).await;
        } else if let Subject::Process(process) = &self.configuration.subject
            && self.stopping.is_none()
        {
            (self.tell)(Event::ProcessEnded(process.pid));
        }
        self.release();
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(exit),
        }
    }

    async fn end_stragglers(&mut self, process: &ProcessIdentity) {
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
    }
}
