//! Taking an instance down: out of the directories first, then the tasks, dependents before those they depend on,
//! then every file, and the record last, when all of it is confirmed gone.

use std::time::Duration;

use nix::sys::signal::Signal;
use seaway_agent::identity;
use seaway_model::{Name, status::Target};
use tokio::time::Instant;

use super::{Key, Supervisor, WITHDRAW_WITHIN, run::cgroup_prefix, task::Phase};
use crate::local::cgroup::{self, Cgroup};

/// Longest time for processes to disappear after SIGKILL. One that takes longer waits in the kernel for a device.
const GONE_WITHIN: Duration = Duration::from_secs(10);

impl Supervisor {
    /// One step of taking the instance down; whether it is gone.
    pub(super) async fn take_down(&mut self, now: Instant) -> bool {
        self.cancel_preparation();
        if !self.withdrawn {
            if self.announced.is_empty() {
                // An earlier supervisor may have announced what this one never did.
                self.tell_directories(Vec::new());
            }
            for failure in self.announcer.withdraw(WITHDRAW_WITHIN).await {
                tracing::warn!(directory = failure.directory, error = %failure.error, "could not be withdrawn");
            }
            self.announced.clear();
            self.withdrawn = true;
        }
        let forced = self.record.target == Target::ForcedDown;
        let keys: Vec<Key> = self.tasks.keys().cloned().collect();
        for key in &keys {
            let free = forced || !self.has_running_dependents(&key.0);
            let ladder = self.role(&key.0).map(|role| role.stop).unwrap_or_default();
            let Some(task) = self.tasks.get_mut(key) else {
                continue;
            };
            if !matches!(task.phase, Phase::Running(_)) {
                self.forget(key);
                continue;
            }
            if free {
                task.stop(&ladder, forced, false, now);
            }
            task.climb(&ladder, now);
        }
        self.tasks.is_empty() && self.vanish().await
    }

    /// Removes what control groups of the instance there are, also those that an earlier supervisor made and that
    /// nobody remembers; whether none is left.
    fn remove_cgroups(&mut self) -> bool {
        self.cgroups_left.clear();
        let Ok(place) = cgroup::available() else {
            return true;
        };
        let Ok(entries) = std::fs::read_dir(place.folder()) else {
            return true;
        };
        let prefix = cgroup_prefix(&self.record.id);
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .all(|entry| Cgroup::open(entry.path()).is_ok_and(|cgroup| cgroup.remove().is_ok()))
    }

    /// Whether a task of a role that depends on this one still runs.
    fn has_running_dependents(&self, role: &Name) -> bool {
        self.plan()
            .roles
            .iter()
            .filter(|other| other.after.iter().any(|dependency| dependency.role() == role))
            .any(|other| {
                self.tasks
                    .values()
                    .any(|task| task.record.role == other.name && task.run().is_some())
            })
    }

    /// Ends what is left, removes the files and then the record; `false` when that has to be tried again.
    async fn vanish(&mut self) -> bool {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let left = identity::marked(&self.record.id);
            if left.is_empty() && self.remove_cgroups() {
                break;
            }
            for process in &left {
                let _ = process.process.signal(Signal::SIGKILL);
            }
            if Instant::now() > deadline {
                if left.is_empty() {
                    // Control groups cost nothing; processes are what must not stay.
                    tracing::warn!("control groups could not be removed");
                    break;
                }
                let ids: Vec<i32> = left.iter().map(|marked| marked.process.pid).collect();
                self.notes.insert(
                    "left",
                    format!("processes {ids:?} do not end although they were killed"),
                );
                tracing::error!(?ids, "processes do not end although they were killed");
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Err(error) = std::fs::remove_dir_all(self.files.root())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(%error, "the instance's folder could not be removed");
            return false;
        }
        let name = self.record.name.as_str().to_owned();
        let id = self.record.id.clone();
        match self
            .store
            .transaction(|records| records.remove_instance(&name, &id))
        {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the instance's record could not be removed");
                false
            }
        }
    }
}
