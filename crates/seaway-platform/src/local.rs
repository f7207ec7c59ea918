//! The local platform: tasks are processes of this machine, each in its own process group, kept by one small
//! supervisor process for each instance.
//!
//! Commands and supervisors meet in the [`store`]: a command writes what is wanted and nudges the supervisor; the
//! supervisor writes what it sees. Whoever dies in between leaves nothing that the next command cannot pick up:
//! it finds that the supervisor is gone, starts another, and that one adopts the tasks that run
//! (see [`supervisor`]).

pub mod cgroup;
pub mod logs;
pub mod paths;
pub mod ports;
pub mod python;
mod roster;
pub mod store;
pub mod supervisor;

use std::{
    cell::{Cell, OnceCell, RefCell, RefMut},
    collections::BTreeMap,
    fs::File,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use seaway_agent::{ProcessIdentity, boot_id, environment, host_name};
use seaway_model::{
    Name,
    document::nearest,
    plan::Plan,
    status::{MemoryKeeper, MemoryStatus, Target, TaskState, TaskStatus},
};

pub use self::paths::Paths;
use self::{
    paths::private_folder,
    store::{InstanceRecord, ScaleRecord, Store, TaskRecord},
};
use crate::{Applied, LogSource, Observation, ObservedRole, Platform, PlatformError};

/// How a supervisor is started: the program and its arguments, to which the instance's name is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorCommand {
    /// The program.
    pub program: PathBuf,
    /// Arguments before the instance's name.
    pub arguments: Vec<String>,
}

/// Processes of this machine.
#[derive(Debug)]
pub struct LocalPlatform {
    paths: Paths,
    supervisor: SupervisorCommand,
    store: OnceCell<RefCell<Store>>,
    seen: Cell<Option<i64>>,
}

/// How often the store is looked at by a command that waits.
const LOOK: Duration = Duration::from_millis(50);
/// A new instance without a supervisor is left to the command that made it for this long.
const SPAWN_WITHIN: Duration = Duration::from_secs(5);
/// Longest time that a command waits for a new supervisor to have looked around.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(5);
/// Variables of the shell that are of no use to tasks, or wrong for them.
const LEFT_OUT: [&str; 6] = ["_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES"];

impl LocalPlatform {
    /// The platform with its state in `paths`. Nothing is read or made yet.
    #[must_use]
    pub const fn new(paths: Paths, supervisor: SupervisorCommand) -> Self {
        Self {
            paths,
            supervisor,
            store: OnceCell::new(),
            seen: Cell::new(None),
        }
    }

    /// Where the platform keeps things.
    #[must_use]
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    fn store(&self) -> Result<RefMut<'_, Store>, PlatformError> {
        let store = if let Some(store) = self.store.get() {
            store
        } else {
            private_folder(&self.paths.state).map_err(failed(&self.paths.state))?;
            let opened = Store::open(&self.paths.store())?;
            self.store.get_or_init(|| RefCell::new(opened))
        };
        Ok(store.borrow_mut())
    }

    fn record(&self, name: &str) -> Result<InstanceRecord, PlatformError> {
        self.find(name)?.map_or_else(|| Err(self.not_found(name)), Ok)
    }

    fn find(&self, name: &str) -> Result<Option<InstanceRecord>, PlatformError> {
        if self.has_no_store() {
            return Ok(None);
        }
        Ok(self.store()?.records().instance(name)?)
    }

    /// Whether nothing was ever kept here. Who only looks leaves it so.
    fn has_no_store(&self) -> bool {
        self.store.get().is_none() && !self.paths.store().exists()
    }

    /// The record of an instance whose processes are on this machine.
    fn own_record(&self, name: &str) -> Result<InstanceRecord, PlatformError> {
        let record = self.record(name)?;
        if is_elsewhere(&record) {
            Err(elsewhere(record))
        } else {
            Ok(record)
        }
    }

    fn not_found(&self, name: &str) -> PlatformError {
        let names = if self.has_no_store() {
            Vec::new()
        } else {
            let all = self.store().and_then(|store| Ok(store.records().instances()?));
            all.unwrap_or_default()
        };
        let known = names.iter().map(|record| record.name.as_str());
        let nearest = nearest(name, known).and_then(|near| near.parse().ok());
        PlatformError::NotFound {
            name: name.to_owned(),
            nearest,
        }
    }

    /// Makes sure that somebody looks after an instance, and tells it to look at the store now.
    fn wake(&self, record: &InstanceRecord) -> Result<(), PlatformError> {
        match &record.supervisor {
            Some(supervisor) if supervisor.is_alive() => {
                let _ = supervisor.signal(Signal::SIGUSR1);
                Ok(())
            }
            _ => self.start_supervisor(record),
        }
    }

    fn start_supervisor(&self, record: &InstanceRecord) -> Result<(), PlatformError> {
        let files = self.paths.instance(record.name.as_str(), &record.id);
        private_folder(files.root()).map_err(failed(files.root()))?;
        let path = files.supervisor_log();
        let log = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        let errors = log.try_clone().map_err(failed(&path))?;
        let mut command = Command::new(&self.supervisor.program);
        command.args(&self.supervisor.arguments).arg(record.name.as_str());
        // A supervisor that is started from inside another instance does not belong to that one.
        for mark in environment::ALL {
            command.env_remove(mark);
        }
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        command
            .spawn()
            .map(drop)
            .map_err(|error| PlatformError::Supervisor {
                name: record.name.clone(),
                reason: format!("{}: {error}", self.supervisor.program.display()),
            })
    }

    /// Whether an instance lost all its processes because the machine was started anew.
    fn is_of_earlier_boot(record: &InstanceRecord) -> bool {
        !is_elsewhere(record) && record.boot != boot_id()
    }

    /// Starts a supervisor for an instance that has lost its own, and waits until that one has looked around.
    async fn recover(&self, record: InstanceRecord) -> Result<Option<InstanceRecord>, PlatformError> {
        let alive =
            |record: &InstanceRecord| record.supervisor.as_ref().is_some_and(ProcessIdentity::is_alive);
        if alive(&record) || is_elsewhere(&record) || Self::is_of_earlier_boot(&record) {
            return Ok(Some(record));
        }
        let age = Timestamp::now().duration_since(record.created).unsigned_abs();
        if record.supervisor.is_none() && age < SPAWN_WITHIN {
            return Ok(Some(record));
        }
        tracing::info!(instance = %record.name, "its supervisor is gone; starting another");
        self.start_supervisor(&record)?;
        let deadline = Instant::now() + TAKE_OVER_WITHIN;
        let name = record.name.clone();
        loop {
            match self.store()?.records().instance(name.as_str())? {
                Some(new) if alive(&new) || Instant::now() > deadline => return Ok(Some(new)),
                Some(_) => {}
                None => return Ok(None),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Removes what is left of an instance of an earlier boot.
    fn bury(&self, record: &InstanceRecord) -> Result<(), PlatformError> {
        let files = self.paths.instance(record.name.as_str(), &record.id);
        remove_folder(files.root())?;
        self.store()?
            .transaction(|records| records.remove_instance(record.name.as_str(), &record.id))?;
        Ok(())
    }

    /// Removes folders of instances that have no record: their command was killed before it wrote one.
    fn sweep(&self) -> Result<(), PlatformError> {
        let Ok(entries) = std::fs::read_dir(self.paths.instances()) else {
            return Ok(());
        };
        let records = self.store()?.records().instances()?;
        let known: Vec<PathBuf> = records
            .iter()
            .map(|record| {
                self.paths
                    .instance(record.name.as_str(), &record.id)
                    .root()
                    .to_owned()
            })
            .collect();
        for folder in entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| !known.contains(path))
        {
            let old = folder
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > SPAWN_WITHIN));
            let free = File::open(folder.join("lock")).map_or(true, |lock| lock.try_lock().is_ok());
            if old && free {
                remove_folder(&folder)?;
            }
        }
        Ok(())
    }

    /// Writes the record of an instance, or changes it.
    fn write_record(
        &self,
        document: &serde_json::Value,
        plan: &Plan,
        id: &str,
    ) -> Result<Applied, PlatformError> {
        let name = plan.instance.as_str();
        self.store()?.transaction(|records| {
            let Some(existing) = records.instance(name)? else {
                records.insert_instance(&InstanceRecord {
                    name: plan.instance.clone(),
                    id: id.to_owned(),
                    document: document.clone(),
                    plan: plan.clone(),
                    generation: 1,
                    target: Target::Up,
                    created: Timestamp::now(),
                    host: host_name(),
                    boot: boot_id(),
                    supervisor: None,
                    was_ready: false,
                    preparing: None,
                    blocked: None,
                    followed: 0,
                    notes: Vec::new(),
                    announcements: Vec::new(),
                })?;
                roster::follow(records, name, None, plan)?;
                return Ok(Applied::Created);
            };
            if is_elsewhere(&existing) {
                return Err(elsewhere(existing));
            }
            if existing.target != Target::Up {
                let doing = "is going down".to_owned();
                return Err(PlatformError::Busy {
                    name: existing.name,
                    doing,
                });
            }
            let failed = existing.blocked.is_some()
                || records
                    .tasks(name)?
                    .iter()
                    .any(|task| task.state == TaskState::Failed);
            if !existing.was_ready && !failed {
                let since = existing.created.strftime("%H:%M:%S UTC");
                let doing = format!("is already coming up: another `seaway up` began it at {since}");
                return Err(PlatformError::Busy {
                    name: existing.name,
                    doing,
                });
            }
            if existing.document == *document && existing.plan == *plan && !failed {
                return Ok(Applied::Unchanged);
            }
            records.change_plan(name, document, plan)?;
            roster::follow(records, name, Some(&existing.plan), plan)?;
            Ok(Applied::Changed)
        })
    }

    fn observation(&self, record: InstanceRecord) -> Result<Observation, PlatformError> {
        let store = self.store()?;
        let records = store.records();
        let name = record.name.as_str();
        let ended = Self::is_of_earlier_boot(&record);
        let here = !is_elsewhere(&record);
        let scales = records.scales(name)?;
        let mut tasks: BTreeMap<Name, Vec<TaskRecord>> = BTreeMap::new();
        for task in records.tasks(name)? {
            tasks.entry(task.role.clone()).or_default().push(task);
        }
        let files = self.paths.instance(name, &record.id);
        let endpoints = supervisor::endpoints(&record.plan, &records.ports(name)?, &files);
        let roles = record
            .plan
            .roles
            .iter()
            .map(|role| {
                let tasks = tasks.remove(&role.name).unwrap_or_default();
                let keeper = tasks
                    .first()
                    .map_or(MemoryKeeper::Nobody, |task| task.memory_keeper);
                let desired = scales.iter().find(|scale| scale.role == role.name);
                let observed = ObservedRole {
                    desired: desired.map_or(role.replicas, |scale| scale.desired),
                    memory: role.resources.memory.map(|limit| MemoryStatus {
                        limit,
                        kept_by: keeper,
                    }),
                    tasks: if ended {
                        Vec::new()
                    } else {
                        tasks.into_iter().map(|task| status(task, here)).collect()
                    },
                };
                (role.name.clone(), observed)
            })
            .collect();
        let mut notes = record.notes;
        if record.host != host_name() {
            notes.push(format!(
                "runs on `{}`; this is what was last written there",
                record.host
            ));
        }
        // Looked at here too: a supervisor cannot write what it sees on a disk that is full.
        if let Some(full) = disk_is_full(&self.paths.state)
            && !notes.contains(&full)
        {
            notes.push(full);
        }
        Ok(Observation {
            document: record.document,
            plan: record.plan,
            target: record.target,
            created: record.created,
            was_ready: record.was_ready,
            followed: ended || record.followed == record.generation,
            preparing: record.preparing,
            blocked: if ended {
                Some("the machine was started anew".to_owned())
            } else {
                record.blocked
            },
            ended,
            notes,
            announcements: record.announcements,
            endpoints: endpoints.into_iter().map(|(_, endpoint)| endpoint).collect(),
            roles,
        })
    }
}

/// A task as it is now. What its supervisor wrote may be of before: a moment ago, or longer on a disk that is full.
fn status(task: TaskRecord, here: bool) -> TaskStatus {
    let gone = here && task.process.as_ref().is_some_and(|process| !process.is_alive());
    let (state, reason) = if gone && task.state == TaskState::Ready {
        (TaskState::NotReady, "its process has ended".to_owned())
    } else {
        (task.state, task.reason.clone())
    };
    TaskStatus {
        name: task.name(),
        pid: task.process.filter(|_| !gone).map(|process| process.pid),
        state,
        reason,
        since: task.since,
        restarts: task.restarts,
        last_exit: task.last_exit,
        last_log: task.last_log,
    }
}

/// Whether an instance's processes are on another machine that shares the state folder (a home on a cluster).
fn is_elsewhere(record: &InstanceRecord) -> bool {
    record.host != host_name()
}

fn elsewhere(record: InstanceRecord) -> PlatformError {
    PlatformError::Elsewhere {
        name: record.name,
        host: record.host,
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> PlatformError {
    let path = path.to_owned();
    |source| PlatformError::File { path, source }
}

fn remove_folder(folder: &Path) -> Result<(), PlatformError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(folder)(source)),
        _ => Ok(()),
    }
}

/// What to say when the disk that holds a folder has no room left.
#[must_use]
pub fn disk_is_full(folder: &Path) -> Option<String> {
    // Below this, a write of any size can fail.
    const NOTHING: u64 = 1 << 20;
    let disk = rustix::fs::statvfs(folder).ok()?;
    (disk.f_bavail.saturating_mul(disk.f_frsize) < NOTHING).then(|| {
        format!(
            "the disk that holds `{}` is full: output of tasks may be lost",
            folder.display()
        )
    })
}

/// The environment that tasks get: the caller's, without what belongs to its shell or to another instance.
fn environment_of_caller() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()) && !environment::ALL.contains(&name.as_str()))
        .collect()
}

#[async_trait(?Send)]
impl Platform for LocalPlatform {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn check(&self, plan: &Plan) -> Result<(), PlatformError> {
        for data in &plan.data {
            if !data.path.is_dir() {
                return Err(PlatformError::Unsupported {
                    platform: "local",
                    what: format!(
                        "data directory `{}` (spec.data): `{}` is not a folder",
                        data.name,
                        data.path.display()
                    ),
                });
            }
        }
        for role in &plan.roles {
            if let Some(folder) = &role.working_directory
                && !folder.is_dir()
            {
                return Err(PlatformError::Unsupported {
                    platform: "local",
                    what: format!(
                        "the directory of role `{}`: `{}` is not a folder",
                        role.name,
                        folder.display()
                    ),
                });
            }
        }
        Ok(())
    }

    async fn apply(&self, document: &serde_json::Value, plan: &Plan) -> Result<Applied, PlatformError> {
        let name = plan.instance.as_str();
        self.sweep()?;
        let existing = self.store()?.records().instance(name)?;
        if let Some(existing) = existing {
            if Self::is_of_earlier_boot(&existing) {
                self.bury(&existing)?;
            } else {
                self.recover(existing).await?;
            }
        }
        let id = hex::encode(rand::random::<[u8; 16]>());
        let files = self.paths.instance(name, &id);
        // There before the record: a supervisor that somebody else starts for this record finds its environment.
        private_folder(files.root()).map_err(failed(files.root()))?;
        let applied = write_environment(&files.environment())
            .map_err(failed(&files.environment()))
            .and_then(|()| self.write_record(document, plan, &id));
        if !matches!(applied, Ok(Applied::Created)) {
            remove_folder(files.root())?;
        }
        let applied = applied?;
        if applied != Applied::Unchanged {
            let record = self.record(name)?;
            self.wake(&record)?;
        }
        Ok(applied)
    }

    async fn observe(&self, name: &str) -> Result<Option<Observation>, PlatformError> {
        let Some(record) = self.find(name)? else {
            return Ok(None);
        };
        let Some(record) = self.recover(record).await? else {
            return Ok(None);
        };
        self.observation(record).map(Some)
    }

    async fn list(&self) -> Result<Vec<Name>, PlatformError> {
        if self.has_no_store() {
            return Ok(Vec::new());
        }
        Ok(self
            .store()?
            .records()
            .instances()?
            .into_iter()
            .map(|record| record.name)
            .collect())
    }

    async fn changed(&self, longest: Duration) -> Result<(), PlatformError> {
        let deadline = Instant::now() + longest;
        loop {
            let version = self.store()?.version()?;
            if self.seen.replace(Some(version)) != Some(version) || Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(LOOK.min(longest)).await;
        }
    }

    async fn scale(&self, name: &str, role: &str, replicas: u32, forced: bool) -> Result<(), PlatformError> {
        let record = self.own_record(name)?;
        if record.target != Target::Up {
            return Err(PlatformError::Busy {
                name: record.name,
                doing: "is going down".into(),
            });
        }
        let roles = &record.plan.roles;
        let Some(found) = record.plan.role(role) else {
            return Err(PlatformError::NoRole {
                instance: record.name,
                role: role.to_owned(),
                known: roles.iter().map(|role| role.name.to_string()).collect(),
            });
        };
        if !found.scalable {
            return Err(PlatformError::NotScalable {
                instance: record.name.clone(),
                role: role.to_owned(),
                scalable: roles
                    .iter()
                    .filter(|role| role.scalable)
                    .map(|role| role.name.to_string())
                    .collect(),
            });
        }
        let scale = ScaleRecord {
            role: found.name.clone(),
            desired: replicas,
            forced,
        };
        self.store()?
            .transaction(|records| records.set_scale(name, &scale))?;
        self.wake(&record)
    }

    async fn remove(&self, name: &str, forced: bool) -> Result<(), PlatformError> {
        let record = self.record(name)?;
        // By force also one of another machine is forgotten, for when that machine is no more.
        if is_elsewhere(&record) && !forced {
            return Err(elsewhere(record));
        }
        if is_elsewhere(&record) || Self::is_of_earlier_boot(&record) {
            return self.bury(&record);
        }
        let target = if forced { Target::ForcedDown } else { Target::Down };
        // A forced end is never taken back to a gentle one.
        if record.target != Target::ForcedDown && record.target != target {
            self.store()?
                .transaction(|records| records.set_target(name, target))?;
        }
        self.wake(&record)
    }

    async fn logs(&self, name: &str, only: Option<&str>) -> Result<Vec<LogSource>, PlatformError> {
        let record = self.record(name)?;
        let files = self.paths.instance(name, &record.id);
        let tasks = self.store()?.records().tasks(name)?;
        let mut sources: Vec<LogSource> = tasks
            .iter()
            .filter(|task| only.is_none_or(|only| only == task.role.as_str() || only == task.name()))
            .map(|task| LogSource {
                task: task.name(),
                path: files.log(&task.name()),
            })
            .collect();
        if only == Some("supervisor") {
            sources.push(LogSource {
                task: "supervisor".into(),
                path: files.supervisor_log(),
            });
        }
        if sources.is_empty()
            && let Some(only) = only
        {
            let mut known: Vec<String> = record
                .plan
                .roles
                .iter()
                .map(|role| role.name.to_string())
                .collect();
            known.extend(tasks.iter().map(TaskRecord::name));
            known.push("supervisor".into());
            return Err(PlatformError::NoRole {
                instance: record.name,
                role: only.to_owned(),
                known,
            });
        }
        Ok(sources)
    }
}

fn write_environment(path: &Path) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&serde_json::to_vec(&environment_of_caller())?)
}
