//! How the agent and what it looks after are, for those who look at it over HTTP.

use std::sync::{Mutex, PoisonError};

use seaway_discovery::{DirectoryReport, DirectoryState, Monitor};
use seaway_model::Endpoint;

use super::{OnDirectoryError, RunConfiguration, options::default_probe, readiness::Readiness};

/// What is known, kept by the agent and read by the server.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) name: String,
    /// Each endpoint, with its own probe among the probes where there is one.
    pub(super) endpoints: Vec<(String, Option<usize>)>,
    on_directory_error: OnDirectoryError,
    directories: Monitor,
    now: Mutex<Now>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Now {
    pub(super) readiness: Readiness,
    stopping: bool,
}

impl Health {
    pub(super) fn new(configuration: &RunConfiguration, directories: Monitor) -> Self {
        let probe_of = |endpoint: &Endpoint| {
            let own = default_probe(endpoint);
            let own = own.address()?;
            configuration
                .probes
                .iter()
                .position(|probe| probe.address() == Some(own))
        };
        let endpoints = &configuration.endpoints;
        Self {
            name: configuration.name.to_string(),
            endpoints: endpoints
                .iter()
                .map(|endpoint| (endpoint.name.to_string(), probe_of(endpoint)))
                .collect(),
            on_directory_error: configuration.on_directory_error,
            directories,
            now: Mutex::default(),
        }
    }

    pub(super) fn probed(&self, readiness: Readiness) {
        self.lock().readiness = readiness;
    }

    pub(super) fn stopping(&self) {
        self.lock().stopping = true;
    }

    pub(super) fn now(&self) -> Now {
        self.lock().clone()
    }

    pub(super) fn directories(&self) -> Vec<DirectoryReport> {
        self.directories.report()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why clients should not be sent there now, in words.
    pub(super) fn unready(&self) -> Result<(), String> {
        let now = self.now();
        if now.stopping {
            return Err("stopping".to_owned());
        }
        if !now.readiness.ready {
            let reason = now.readiness.reason;
            let reason = reason.unwrap_or_else(|| "the first probe has not been answered yet".to_owned());
            return Err(format!("not ready: {reason}"));
        }
        if self.on_directory_error == OnDirectoryError::Fail {
            for report in self.directories() {
                if !is_announced(&report) {
                    let why = match report.status.state {
                        DirectoryState::Failed { reason, .. } => format!(": {reason}"),
                        _ => " yet".to_owned(),
                    };
                    return Err(format!("not announced in {}{why}", report.status.directory));
                }
            }
        }
        Ok(())
    }
}

impl Now {
    pub(super) fn is_ready(&self) -> bool {
        self.readiness.ready && !self.stopping
    }
}

/// Whether clients find the entry: the directory confirmed it, and its lease has not run out since.
pub(super) fn is_announced(report: &DirectoryReport) -> bool {
    let held = matches!(report.status.state, DirectoryState::Failed { held: true, .. });
    let believed = |lease| {
        report
            .counts
            .confirmed
            .is_some_and(|confirmed| confirmed.elapsed() < lease)
    };
    !held && report.lease.map_or(report.counts.confirmed.is_some(), believed)
}
