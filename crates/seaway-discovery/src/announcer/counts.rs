//! What an announcer counts, for metrics.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use super::DirectoryStatus;

/// What has happened with one directory since its announcer was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectoryCounts {
    /// How often the entry was put in, after it had not been there or had been another one.
    pub registrations: u64,
    /// How often it was renewed.
    pub renewals: u64,
    /// How often it was taken out.
    pub withdrawals: u64,
    /// How often something failed, by [kind](crate::Error::kind).
    pub failures: BTreeMap<&'static str, u64>,
    /// Kind and time of the last failure.
    pub last_failure: Option<(&'static str, Timestamp)>,
    /// When the directory last confirmed the entry; absent when it is not known to be there.
    pub confirmed: Option<Instant>,
}

/// How one directory is doing, in words and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryReport {
    /// How the entry is doing in it.
    pub status: DirectoryStatus,
    /// What has happened with it.
    pub counts: DirectoryCounts,
    /// How long the directory believes an entry that is not renewed.
    pub lease: Option<Duration>,
}

/// Looks at an announcer from elsewhere, without ever being in its way.
#[derive(Clone)]
pub struct Monitor {
    pub(super) status: watch::Receiver<Vec<DirectoryStatus>>,
    pub(super) counts: Counts,
    pub(super) leases: Arc<[Option<Duration>]>,
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.report()).finish()
    }
}

impl Monitor {
    /// How each directory is doing now, in the order they were given.
    #[must_use]
    pub fn report(&self) -> Vec<DirectoryReport> {
        let status = self.status.borrow().clone();
        let counts = self.counts.all();
        status
            .into_iter()
            .zip(counts)
            .zip(self.leases.iter())
            .map(|((status, counts), lease)| DirectoryReport {
                status,
                counts,
                lease: *lease,
            })
            .collect()
    }
}

/// The counts of all directories.
#[derive(Debug, Clone)]
pub(super) struct Counts(Arc<Mutex<Vec<DirectoryCounts>>>);

impl Counts {
    pub(super) fn new(directories: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![
            DirectoryCounts::default();
            directories
        ])))
    }

    fn all(&self) -> Vec<DirectoryCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the counts of one directory; held for no longer than that.
    pub(super) fn of(&self, index: usize, change: impl FnOnce(&mut DirectoryCounts)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.get_mut(index) {
            change(counts);
        }
    }

    pub(super) fn failed(&self, index: usize, kind: &'static str) {
        self.of(index, |counts| {
            *counts.failures.entry(kind).or_default() += 1;
            counts.last_failure = Some((kind, Timestamp::now()));
        });
    }
}
