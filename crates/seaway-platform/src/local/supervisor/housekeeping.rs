//! Logs are rotated, disks looked at, and what could not be removed is tried again.

use std::{path::PathBuf, time::Duration};

use tokio::time::Instant;

use super::Supervisor;
use crate::local::{
    disk_is_full,
    logs::{self, Rotation},
};

/// Time between two looks at logs, disks and the store when nothing else happens.
pub(super) const HOUSEKEEPING: Duration = Duration::from_secs(2);
/// A log file is rotated when it is larger than this.
const LOG_LIMIT: u64 = 10 << 20;
/// How many rotated log files are kept.
const LOGS_KEPT: usize = 3;

impl Supervisor {
    /// Rotates logs and looks at the disk.
    pub(super) fn keep_house(&mut self, now: Instant) {
        if now < self.housekeeping_at {
            return;
        }
        self.housekeeping_at = now + HOUSEKEEPING;
        let logs: Vec<PathBuf> = self
            .tasks
            .values()
            .map(|task| self.files.log(&task.record.name()))
            .collect();
        let mut lost = None;
        for path in logs.iter().chain(std::iter::once(&self.files.supervisor_log())) {
            match logs::rotate(path, LOG_LIMIT, LOGS_KEPT) {
                Ok(Rotation::CutWithoutCopy { lost: bytes }) => {
                    lost = Some(format!(
                        "the disk is full: {bytes} bytes of `{}` were dropped",
                        path.display()
                    ));
                }
                Ok(Rotation::OlderDropped(_)) => {
                    lost = Some(format!(
                        "the disk is full: older logs of `{}` were dropped",
                        path.display()
                    ));
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "the log could not be rotated"),
            }
        }
        if let Some(lost) = lost {
            self.notes.insert("logs", lost);
        }
        self.cgroups_left.retain(|cgroup| cgroup.remove().is_err());
        match disk_is_full(self.files.root()) {
            Some(full) => {
                self.notes.insert("disk", full);
            }
            None => {
                self.notes.remove("disk");
            }
        }
    }
}
