//! The supervisor of one instance: a process of its own that makes what runs equal to what is wanted.
//!
//! It is level-triggered. Each turn of its loop reads what is wanted, looks at what is, does what brings one
//! nearer to the other, writes what it saw, and sleeps until something ends, answers, is due, or somebody nudges
//! it (SIGUSR1). It can be killed at any moment: the next `seaway` command starts another one, which adopts the
//! tasks. What a task's process is called is written before and after it is started, and the process carries the
//! same mark in its environment, so that there is no moment at which a process exists that nobody can find.

mod addresses;
mod adopt;
mod announce;
mod explain;
mod files;
mod housekeeping;
mod look;
mod prepare;
mod reach;
mod resolve;
mod retire;
mod run;
mod task;
mod teardown;
mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::PathBuf,
    time::Duration,
};

use seaway_agent::{Exit, ProcessIdentity, probe};
use seaway_discovery::{Announcer, Defaults};
use seaway_model::{
    Endpoint, Name,
    discovery::DirectorySpec,
    plan::{Dependency, Plan, Role},
    status::{Target, TaskState},
};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};

use self::{
    files::lock,
    housekeeping::HOUSEKEEPING,
    reach::Reach,
    resolve::Context,
    task::{Phase, Task},
};
use super::{
    cgroup::Cgroup,
    environment,
    paths::{InstancePaths, Paths},
    python::Prepared,
    roster,
    store::{InstanceRecord, PortRecord, ScaleRecord, Store, StoreError, TaskTarget},
};

/// Why a supervisor could not do its work.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// There is nothing to supervise.
    #[error("there is no instance `{0}`")]
    NotFound(String),
    /// A file or folder cannot be used.
    #[error("`{}` cannot be used: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A directory in the plan is not usable.
    #[error("the instance cannot be announced: {0}")]
    Directory(#[from] seaway_discovery::Error),
}

/// A task's role and index.
type Key = (Name, u32);

/// What happens outside the loop.
enum Event {
    /// A process ended.
    Ended { key: Key, start_id: String, exit: Exit },
    /// A question was answered, or not.
    Answered {
        question: probe::Question,
        askers: Vec<(Key, String)>,
        answer: Result<probe::Answer, probe::NotReady>,
    },
    /// A task that retires was asked to hand over, and said what it still holds.
    Drained {
        key: Key,
        start_id: String,
        left: Result<crate::drain::Load, String>,
    },
    /// The load of all tasks of a role.
    Loads {
        role: Name,
        loads: Result<BTreeMap<Key, crate::drain::Load>, String>,
    },
    /// What the preparation of an environment is doing.
    Preparing(String),
    /// The environments are there, or cannot be had.
    Prepared(Result<BTreeMap<Name, Prepared>, String>),
    /// A directory is away from this machine.
    Away(String),
}

/// Lines kept of a process that ended.
const LAST_LINES: usize = 20;
/// Time that directories get to forget an instance.
const WITHDRAW_WITHIN: Duration = Duration::from_secs(1);

struct Supervisor {
    files: InstancePaths,
    cache: PathBuf,
    store: Store,
    seen: Option<i64>,
    record: InstanceRecord,
    record_changed: bool,
    scales: Vec<ScaleRecord>,
    ports: Vec<PortRecord>,
    environment: BTreeMap<OsString, OsString>,
    prepared: Option<BTreeMap<Name, Prepared>>,
    preparation: Option<JoinHandle<()>>,
    tasks: BTreeMap<Key, Task>,
    /// Roles whose load is being asked for.
    asking_load: BTreeSet<Name>,
    defaults: Defaults,
    announcer: Announcer,
    /// What the announcer's directories were opened from, in its order.
    directories: Vec<DirectorySpec>,
    announced: Vec<Endpoint>,
    reach: Reach,
    withdrawn: bool,
    events: mpsc::UnboundedSender<Event>,
    housekeeping_at: Instant,
    /// Control groups of tasks that ended, which still held something when they were to be removed.
    cgroups_left: Vec<Cgroup>,
    /// Notes by topic, so that each is there once and goes when its cause goes.
    notes: BTreeMap<&'static str, String>,
}

/// Supervises an instance until it is taken down. Returns at once when another supervisor does.
///
/// The caller has made the process the leader of a session of its own.
pub async fn supervise(paths: &Paths, name: &str) -> Result<(), SupervisorError> {
    // Before anybody can learn of this process: the first nudge must not end it.
    let mut nudge = signal(SignalKind::user_defined1()).map_err(SupervisorError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SupervisorError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SupervisorError::Signals)?;

    let store = Store::open(&paths.store())?;
    let record = store
        .records()
        .instance(name)?
        .ok_or_else(|| SupervisorError::NotFound(name.to_owned()))?;
    let files = paths.instance(name, &record.id);
    let Some(_lock) = lock(&files)? else {
        tracing::info!("another supervisor is at work");
        return Ok(());
    };
    let (events, mut happened) = mpsc::unbounded_channel();
    let mut supervisor = Supervisor::new(paths, files, store, record, events)?;
    supervisor.adopt()?;
    if supervisor.record.followed != supervisor.record.generation {
        // Asked for while nobody was there to see it.
        supervisor.try_again();
    }
    supervisor.write();
    supervisor.take_office()?;
    loop {
        let now = Instant::now();
        if !supervisor.turn(now).await {
            return Ok(());
        }
        let wake = supervisor.next_wake(Instant::now());
        tokio::select! {
            Some(event) = happened.recv() => {
                supervisor.handle(event, Instant::now());
                while let Ok(event) = happened.try_recv() {
                    supervisor.handle(event, Instant::now());
                }
            }
            _ = nudge.recv() => supervisor.seen = None,
            _ = terminate.recv() => supervisor.asked_to_stop(),
            _ = interrupt.recv() => supervisor.asked_to_stop(),
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

impl Supervisor {
    fn new(
        paths: &Paths,
        files: InstancePaths,
        store: Store,
        record: InstanceRecord,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, SupervisorError> {
        let environment = environment::read(&files.environment());
        let defaults = Defaults {
            state_directory: paths.state.clone(),
            // Those of who brought the instance up, whoever starts the supervisor again later.
            variables: environment
                .iter()
                .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)))
                .collect(),
        };
        let directories = record.plan.discovery.clone();
        let supervisor = Self {
            cache: paths.cache.clone(),
            scales: store.records().scales(record.name.as_str())?,
            ports: store.records().ports(record.name.as_str())?,
            files,
            store,
            seen: None,
            record,
            record_changed: true,
            environment,
            prepared: None,
            preparation: None,
            tasks: BTreeMap::new(),
            asking_load: BTreeSet::new(),
            announcer: Announcer::sharing(announce::open(&directories, &defaults)?),
            defaults,
            directories,
            announced: Vec::new(),
            reach: Reach::default(),
            withdrawn: false,
            events,
            housekeeping_at: Instant::now(),
            cgroups_left: Vec::new(),
            notes: BTreeMap::new(),
        };
        supervisor.lay_out()?;
        Ok(supervisor)
    }

    /// Tells everybody who looks after the instance now. What it found is written already.
    fn take_office(&mut self) -> Result<(), StoreError> {
        self.record.supervisor = ProcessIdentity::own();
        if let Some(own) = &self.record.supervisor {
            self.store
                .records()
                .set_supervisor(self.record.name.as_str(), own)?;
        }
        Ok(())
    }

    /// One turn of the loop; `false` when the instance is gone.
    async fn turn(&mut self, now: Instant) -> bool {
        if let Err(error) = self.read_wanted() {
            tracing::warn!(%error, "what is wanted could not be read; going on with what was wanted before");
        }
        if self.record.target == Target::Up {
            self.keep_house(now);
            self.bring_up(now);
            self.look(now);
            self.follow_directories().await;
            self.look_at_reach();
            self.announce();
        } else if self.take_down(now).await {
            return false;
        }
        if self.record.followed != self.record.generation {
            self.record.followed = self.record.generation;
            self.record_changed = true;
        }
        self.publish_notes();
        self.write();
        true
    }

    /// Somebody ends this process in the usual way (a logout, `kill`): the instance goes with it.
    fn asked_to_stop(&mut self) {
        tracing::info!("asked to stop: taking the instance down");
        self.seen = None;
        if let Err(error) = self
            .store
            .records()
            .set_target(self.record.name.as_str(), Target::Down)
        {
            tracing::warn!(%error, "could not note that the instance is to stop");
            self.record.target = Target::Down;
        }
    }

    fn plan(&self) -> &Plan {
        &self.record.plan
    }

    fn role(&self, name: &Name) -> Option<&Role> {
        self.plan().role(name.as_str())
    }

    /// Makes the instance's tasks what they should be.
    fn bring_up(&mut self, now: Instant) {
        let ready_to_start = self.prepare();
        self.adjust_numbers();
        for key in &self.keys_in_order() {
            self.adjust(key, ready_to_start, now);
        }
        if !self.record.was_ready && self.is_complete() {
            self.record.was_ready = true;
            self.record_changed = true;
        }
    }

    /// The tasks in the plan's order of roles: what others depend on gets the processor first.
    fn keys_in_order(&self) -> Vec<Key> {
        let position = |name: &Name| self.plan().roles.iter().position(|role| role.name == *name);
        let mut keys: Vec<Key> = self.tasks.keys().cloned().collect();
        keys.sort_by_key(|(name, index)| (position(name).unwrap_or(usize::MAX), *index));
        keys
    }

    /// Whether as many tasks of each role are ready as are wanted.
    fn is_complete(&self) -> bool {
        self.scales.iter().all(|scale| {
            let ready = self
                .tasks
                .values()
                .filter(|task| task.record.role == scale.role && task.is_ready());
            ready.count() >= scale.desired as usize
        })
    }

    /// Whether everything that a role depends on is there.
    fn dependencies(&self, role: &Role) -> Result<(), String> {
        for dependency in &role.after {
            let Dependency::Ready(on) = dependency else {
                continue;
            };
            let mut tasks = self
                .tasks
                .values()
                .filter(|task| task.record.role == *on && task.is_wanted())
                .peekable();
            if tasks.peek().is_none() || tasks.any(|task| !task.is_ready()) {
                return Err(format!("waits for {on} to be ready"));
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Ended { key, start_id, exit } => self.ended(&key, &start_id, exit, now),
            Event::Answered {
                question,
                askers,
                answer,
            } => self.answered(&question, &askers, &answer, now),
            Event::Drained { key, start_id, left } => self.drained(&key, &start_id, left, now),
            Event::Loads { role, loads } => self.choose_to_retire(&role, loads),
            Event::Away(directory) => self.found_away(directory),
            Event::Preparing(line) => {
                if self.preparation.is_some() {
                    self.set_preparing(Some(line));
                }
            }
            Event::Prepared(result) => {
                self.preparation = None;
                self.set_preparing(None);
                match result {
                    Ok(prepared) => self.prepared = Some(prepared),
                    Err(reason) => {
                        tracing::error!(reason, "the environment cannot be prepared");
                        self.record.blocked = Some(reason);
                        self.record_changed = true;
                    }
                }
            }
        }
    }

    /// Passes the notes on to who asks for the status.
    fn publish_notes(&mut self) {
        if !self.notes.values().eq(&self.record.notes) {
            self.record.notes = self.notes.values().cloned().collect();
            self.record_changed = true;
        }
    }

    fn context<'a>(&'a self, prepared: &'a BTreeMap<Name, Prepared>) -> Context<'a> {
        Context {
            plan: &self.record.plan,
            paths: &self.files,
            instance_id: &self.record.id,
            ports: &self.ports,
            environment: &self.environment,
            prepared,
        }
    }

    /// Writes what has changed. What cannot be written now is written by a later turn.
    fn write(&mut self) {
        let Self {
            store,
            tasks,
            record,
            record_changed,
            ..
        } = self;
        if !*record_changed && !tasks.values().any(|task| task.changed) {
            return;
        }
        let written = store.transaction(|records| {
            // An instance that is gone keeps no rows.
            if records.wanted(record.name.as_str(), &record.id)?.is_none() {
                return Ok(());
            }
            if *record_changed {
                records.set_observed(record)?;
            }
            for task in tasks.values().filter(|task| task.changed) {
                records.put_task(record.name.as_str(), &task.record)?;
            }
            Ok::<_, StoreError>(())
        });
        match written {
            Ok(()) => {
                *record_changed = false;
                for task in tasks.values_mut() {
                    task.changed = false;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "what was seen could not be written; it will be tried again");
            }
        }
    }

    /// The earliest moment at which something is due.
    fn next_wake(&self, now: Instant) -> Instant {
        let mut wake = self.housekeeping_at.min(now + HOUSEKEEPING);
        for task in self.tasks.values() {
            match &task.phase {
                Phase::BackOff(until) => wake = wake.min(*until),
                Phase::Running(run) => {
                    if let Some((_, at)) = run.stop.and_then(|stop| stop.next) {
                        wake = wake.min(at);
                    } else if !run.probing && self.record.target == Target::Up {
                        wake = wake.min(run.probe_at);
                    }
                    if task.record.target == TaskTarget::Retire && run.stop.is_none() {
                        wake = wake.min(run.drain_at);
                    }
                }
                Phase::Idle | Phase::GivenUp => {}
            }
        }
        // Never busy: a moment in the past that nobody acted upon is looked at again a little later.
        wake.max(now + Duration::from_millis(5))
    }
}

/// Words for a task that waits.
fn waiting(task: &mut Task, reason: impl Into<String>) {
    task.say(TaskState::Waiting, reason);
}
