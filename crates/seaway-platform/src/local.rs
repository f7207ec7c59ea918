//! The local platform: tasks are processes of this machine, each in its own process group, kept by one small
//! supervisor process for each instance.
//!
//! Commands and supervisors meet in the [`store`]: a command writes what is wanted and nudges the supervisor; the
//! supervisor writes what it sees. Whoever dies in between leaves nothing that the next command cannot pick up:
//! it finds that the supervisor is gone, starts another, and that one adopts the tasks that run
//! (see [`supervisor`]).

pub mod cgroup;
mod endpoints;
mod environment;
mod lines;
pub mod logs;
mod observation;
pub mod paths;
pub mod ports;
pub mod python;
mod recovery;
mod roster;
pub mod store;
pub mod supervisor;

use std::{
    cell::{Cell, OnceCell, RefCell, RefMut},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use seaway_agent::{boot_id, host_name};
use seaway_discovery::Defaults;
use seaway_model::{
    Name,
    document::nearest,
    plan::Plan,
    status::{Target, TaskState},
};

pub use self::paths::Paths;
use self::{
    paths::private_folder,
    store::{InstanceRecord, ScaleRecord, Store},
};
use crate::{
    Action, Applied, Difference, LogRequest, LogStream, Observation, Platform, PlatformError, difference,
};

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
        for secret in &plan.secrets {
            secret.given()?;
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
        let defaults = Defaults {
            state_directory: self.paths.state.clone(),
            variables: environment::of_caller()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
        };
        for spec in &plan.discovery {
            seaway_discovery::open(spec, &defaults)?;
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
        let applied = environment::write(&files.environment())
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

    async fn preview(
        &self,
        document: &serde_json::Value,
        plan: &Plan,
    ) -> Result<Vec<Difference>, PlatformError> {
        let existing = self.find(plan.instance.as_str())?;
        let fields = existing.as_ref().map_or_else(Vec::new, |existing| {
            difference::fields(&existing.document, document)
        });
        Ok(vec![Difference {
            object: plan.instance.to_string(),
            action: match existing {
                None => Action::Create,
                Some(existing) if existing.document == *document && existing.plan == *plan => Action::Keep,
                Some(_) => Action::Change,
            },
            fields,
        }])
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

    async fn logs(
        &self,
        name: &str,
        request: LogRequest<'_>,
    ) -> Result<Box<dyn LogStream + '_>, PlatformError> {
        Ok(Box::new(lines::Lines::open(self, name, request)?))
    }

    async fn reach(&self, _name: &str) -> Result<(), PlatformError> {
        // They are addresses of this machine.
        Ok(())
    }
}
