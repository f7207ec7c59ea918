//! What another command, supervisor or boot of the machine left: picked up or cleared away.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use seaway_agent::{ProcessIdentity, boot_id, environment};

use super::{
    LocalPlatform, failed, is_elsewhere, paths::private_folder, remove_folder, store::InstanceRecord,
};
use crate::PlatformError;

/// A new instance without a supervisor is left to the command that made it for this long.
const SPAWN_WITHIN: Duration = Duration::from_secs(5);
/// Longest time that a command waits for a new supervisor to have looked around.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(5);

impl LocalPlatform {
    /// Makes sure that somebody looks after an instance, and tells it to look at the store now.
    pub(super) fn wake(&self, record: &InstanceRecord) -> Result<(), PlatformError> {
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
    pub(super) fn is_of_earlier_boot(record: &InstanceRecord) -> bool {
        !is_elsewhere(record) && record.boot != boot_id()
    }

    /// Starts a supervisor for an instance that has lost its own, and waits until that one has looked around.
    pub(super) async fn recover(
        &self,
        record: InstanceRecord,
    ) -> Result<Option<InstanceRecord>, PlatformError> {
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
    pub(super) fn bury(&self, record: &InstanceRecord) -> Result<(), PlatformError> {
        let files = self.paths.instance(record.name.as_str(), &record.id);
        remove_folder(files.root())?;
        self.store()?
            .transaction(|records| records.remove_instance(record.name.as_str(), &record.id))?;
        Ok(())
    }

    /// Removes folders of instances that have no record: their command was killed before it wrote one.
    pub(super) fn sweep(&self) -> Result<(), PlatformError> {
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
}
