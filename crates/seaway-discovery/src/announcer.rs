//! Keeps one entry alive in several directories at once.
//!
//! One small task for each directory, so that one that hangs holds up no other. Each task compares what is wanted
//! with what it last achieved and does the one thing that is missing: nothing is remembered that could be missed.

mod counts;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{Directory, Entry, Error};

use counts::Counts;
pub use counts::{DirectoryCounts, DirectoryReport, Monitor};

/// First pause after a failure; it doubles up to the longest one, which is a third of the lease but at least this.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long one attempt may take. Directories end by themselves much earlier; this is for one that does not.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

/// The renewals of a process happen in steps of this part of the time between them: those of many entries then wake the
/// process up together, and travel together.
const STEPS: u32 = 100;

/// How an entry is doing in one directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
pub enum DirectoryState {
    /// Nothing has been achieved or has failed yet.
    Pending,
    /// It is there.
    Registered {
        /// Since when, without interruption as far as is known here.
        since: Timestamp,
        /// When that was last confirmed.
        renewed: Timestamp,
    },
    /// It could not be put there or renewed.
    Failed {
        /// Why the last attempt failed.
        reason: String,
        /// What to do about it, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        /// Whether another owner holds the entry.
        held: bool,
        /// Since when every attempt has failed.
        since: Timestamp,
        /// How many attempts have failed since then.
        attempts: u32,
        /// When it is tried next; absent when the directory has been given up.
        #[serde(skip_serializing_if = "Option::is_none")]
        next_try: Option<Timestamp>,
    },
    /// It was taken out, or left alone because another owner holds it.
    Withdrawn,
    /// It could not be taken out, and stays until its lease runs out or it is withdrawn again.
    NotWithdrawn {
        /// Why it could not.
        reason: String,
        /// What to do about it, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// A directory and how the entry is doing in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryStatus {
    /// Kind of directory.
    pub kind: &'static str,
    /// Where it is, in words.
    pub directory: String,
    /// How the entry is doing.
    #[serde(flatten)]
    pub state: DirectoryState,
}

/// Why an entry could not be taken out of a directory. Where there are leases it goes when its lease has run out.
#[derive(Debug)]
pub struct WithdrawFailure {
    /// Kind of directory.
    pub kind: &'static str,
    /// Where it is, in words.
    pub directory: String,
    /// What went wrong.
    pub error: Error,
}

/// Announces one entry in several directories and keeps it there.
///
/// It works in tasks of the Tokio runtime it is used in, any kind of one; they sleep except for a moment at each
/// renewal. Dropping it stops them without taking anything out of the directories, as a crash would: what should go
/// is withdrawn first.
pub struct Announcer {
    directories: Vec<Arc<dyn Directory>>,
    wanted: watch::Sender<Option<Arc<Entry>>>,
    status: watch::Sender<Vec<DirectoryStatus>>,
    counts: Counts,
    gives_up: bool,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer")
            .field("status", &*self.status.borrow())
            .finish_non_exhaustive()
    }
}

impl Announcer {
    /// An announcer for these directories, which does nothing yet.
    #[must_use]
    pub fn new(directories: Vec<Box<dyn Directory>>) -> Self {
        Self::sharing(directories.into_iter().map(Arc::from).collect())
    }

    /// The same with directories that other announcers of this process use too: many entries then share connections.
    #[must_use]
    pub fn sharing(directories: Vec<Arc<dyn Directory>>) -> Self {
        let status = directories.iter().map(|directory| DirectoryStatus {
            kind: directory.kind(),
            directory: directory.describe(),
            state: DirectoryState::Pending,
        });
        Self {
            status: watch::Sender::new(status.collect()),
            counts: Counts::new(directories.len()),
            wanted: watch::Sender::new(None),
            gives_up: false,
            tasks: JoinSet::new(),
            directories,
        }
    }

    /// The same announcer, but a directory that does not take the entry at the first attempt is given up until another
    /// entry is announced, or the same one after it was withdrawn. What a directory once took is renewed in any case.
    #[must_use]
    pub fn giving_up(mut self) -> Self {
        self.gives_up = true;
        self
    }

    /// The directories, in the order they were given.
    #[must_use]
    pub fn directories(&self) -> &[Arc<dyn Directory>] {
        &self.directories
    }

    /// Announces the entry, or what has become of it since, and keeps it announced. Returns at once; how it goes is
    /// in the [status](Self::status).
    ///
    /// An entry of another name or owner is another entry: withdraw the present one first.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn announce(&mut self, entry: Entry) {
        self.wanted.send_replace(Some(Arc::new(entry)));
        if self.tasks.is_empty() {
            for (index, directory) in self.directories.iter().enumerate() {
                set(&self.status, index, DirectoryState::Pending);
                let keeper = Keeper {
                    directory: Arc::clone(directory),
                    wanted: self.wanted.subscribe(),
                    status: self.status.clone(),
                    counts: self.counts.clone(),
                    gives_up: self.gives_up,
                    index,
                };
                self.tasks.spawn(keeper.keep());
            }
        }
    }

    /// How the entry is doing in each directory, in the order they were given; it can be watched.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Vec<DirectoryStatus>> {
        self.status.subscribe()
    }

    /// The status with everything that is counted, to be looked at from elsewhere.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor {
            status: self.status.subscribe(),
            counts: self.counts.clone(),
            leases: self.directories.iter().map(|one| one.lease()).collect(),
        }
    }

    /// Waits until each directory has taken the entry or failed to, and says how it went.
    pub async fn settled(&self) -> Vec<DirectoryStatus> {
        let mut status = self.status.subscribe();
        let settled = |all: &Vec<DirectoryStatus>| all.iter().all(|one| one.state != DirectoryState::Pending);
        // It cannot be closed: the sender is ours.
        status
            .wait_for(settled)
            .await
            .map(|all| all.clone())
            .unwrap_or_default()
    }

    /// Takes the entry out of all directories at once, each within this time, and says where that failed; it can be
    /// called again for those. Nothing is renewed any more from the moment this is called.
    ///
    /// Where another owner holds the entry nothing is asked: some servers would take that one's out.
    pub async fn withdraw(&mut self, within: Duration) -> Vec<WithdrawFailure> {
        // What is under way may be waiting for a server that hangs; it is given up, so that it cannot come after.
        self.tasks.shutdown().await;
        let Some(entry) = self.wanted.borrow().clone() else {
            return Vec::new();
        };
        let states: Vec<_> = self
            .status
            .borrow()
            .iter()
            .map(|status| status.state.clone())
            .collect();
        let all = self.directories.iter().zip(states).map(|(directory, state)| {
            let entry = Arc::clone(&entry);
            async move {
                if matches!(
                    state,
                    DirectoryState::Withdrawn | DirectoryState::Failed { held: true, .. }
                ) {
                    return Ok(false);
                }
                let late = |_| Error::Deadline {
                    directory: directory.describe(),
                    after: within,
                };
                timeout(within, directory.withdraw(&entry))
                    .await
                    .map_err(late)?
                    .map(|()| true)
            }
        });
        let results = join_all(all).await;
        let mut failures = Vec::new();
        for (index, (directory, result)) in self.directories.iter().zip(results).enumerate() {
            let state = match result {
                Ok(withdrawn) => {
                    self.counts.of(index, |counts| {
                        counts.withdrawals += u64::from(withdrawn);
                        counts.confirmed = None;
                    });
                    DirectoryState::Withdrawn
                }
                Err(error) => {
                    self.counts.failed(index, error.kind());
                    let (kind, described) = (directory.kind(), directory.describe());
                    tracing::warn!(name = %entry.name, directory = described, "not withdrawn: {error}");
                    let state = DirectoryState::NotWithdrawn {
                        reason: error.to_string(),
                        hint: error.hint(),
                    };
                    failures.push(WithdrawFailure {
                        kind,
                        directory: described,
                        error,
                    });
                    state
                }
            };
            set(&self.status, index, state);
        }
        if failures.is_empty() {
            self.wanted.send_replace(None);
        }
        failures
    }
}

fn set(status: &watch::Sender<Vec<DirectoryStatus>>, index: usize, state: DirectoryState) {
    status.send_modify(|all| {
        if let Some(one) = all.get_mut(index) {
            one.state = state;
        }
    });
}

/// The last step of the process up to this time.
fn in_step(at: Instant, period: Duration) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = at.saturating_duration_since(*FIRST.get_or_init(Instant::now));
    let over = since.as_nanos() % (period / STEPS).as_nanos().max(1);
    at - Duration::from_nanos(u64::try_from(over).unwrap_or_default())
}

/// What keeps the entry in one directory.
struct Keeper {
    directory: Arc<dyn Directory>,
    wanted: watch::Receiver<Option<Arc<Entry>>>,
    status: watch::Sender<Vec<DirectoryStatus>>,
    counts: Counts,
    /// Whether a failure of the first attempt is the last one.
    gives_up: bool,
    index: usize,
}

impl Keeper {
    async fn keep(mut self) {
        let mut taken: Option<Entry> = None;
        let mut pauses = None;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let next = match wanted {
                None => None,
                Some(entry) => {
                    let begun = Instant::now();
                    match self.attempt(&entry, taken.as_ref()).await {
                        Ok((announced, renewed)) => {
                            self.succeeded(&entry);
                            self.counts.of(self.index, |counts| {
                                if renewed {
                                    counts.renewals += 1;
                                } else {
                                    counts.registrations += 1;
                                }
                                counts.confirmed = Some(begun);
                            });
                            taken = Some(announced);
                            pauses = None;
                            // A little earlier at random, so that many do not come all at once. Counted from the
                            // beginning of the attempt, before which the lease cannot have begun.
                            let early = rand::random_range(0.92..=1.0);
                            self.directory
                                .lease()
                                .map(|lease| in_step(begun + (lease / 3).mul_f64(early), lease / 3))
                        }
                        Err(error) if self.gives_up && taken.is_none() => {
                            self.failed(&entry, &error, None);
                            None
                        }
                        Err(error) => {
                            let pauses = pauses.get_or_insert_with(|| self.pauses());
                            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
                            let pause = pause.max(error.retry_after().unwrap_or_default());
                            self.failed(&entry, &error, Some(pause));
                            Some(Instant::now() + pause)
                        }
                    }
                }
            };
            let changed = match next {
                Some(next) => tokio::time::timeout_at(next, self.wanted.changed()).await,
                None => Ok(self.wanted.changed().await),
            };
            // The announcer is gone; nobody wants anything any more.
            if matches!(changed, Ok(Err(_))) {
                return;
            }
        }
    }

    /// Gives back what has been announced, the entry with this machine's address in it, and whether it was only renewed.
    async fn attempt(&self, entry: &Entry, taken: Option<&Entry>) -> Result<(Entry, bool), Error> {
        let late = |_| Error::Deadline {
            directory: self.directory.describe(),
            after: LONGEST_ATTEMPT,
        };
        let work = async {
            // Asked each time: a machine that moves to another network has another address there.
            let entry = if entry.lacks_address() {
                entry.at(self.directory.own_address().await?)
            } else {
                entry.clone()
            };
            let renew = taken.is_some_and(|taken| taken.announces_the_same(&entry));
            if renew {
                self.directory.renew(&entry).await?;
            } else {
                self.directory.register(&entry).await?;
            }
            Ok((entry, renew))
        };
        timeout(LONGEST_ATTEMPT, work).await.map_err(late)?
    }

    /// Growing pauses, with jitter.
    fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let third = self.directory.lease().map_or(LONGEST_PAUSE, |lease| lease / 3);
        ExponentialBuilder::new()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(third.clamp(FIRST_PAUSE, LONGEST_PAUSE))
            .without_max_times()
            .with_jitter()
            // Without a seed every process would have the same jitter, which is none.
            .with_jitter_seed(rand::random())
            .build()
    }

    fn state(&self) -> DirectoryState {
        self.status
            .borrow()
            .get(self.index)
            .map_or(DirectoryState::Pending, |status| status.state.clone())
    }

    fn succeeded(&self, entry: &Entry) {
        let renewed = Timestamp::now();
        let since = if let DirectoryState::Registered { since, .. } = self.state() {
            since
        } else {
            tracing::info!(name = %entry.name, directory = self.directory.describe(), "registered");
            renewed
        };
        set(
            &self.status,
            self.index,
            DirectoryState::Registered { since, renewed },
        );
    }

    fn failed(&self, entry: &Entry, error: &Error, pause: Option<Duration>) {
        self.counts.failed(self.index, error.kind());
        let now = Timestamp::now();
        let reason = error.to_string();
        let (since, attempts, held, said) = match self.state() {
            DirectoryState::Failed {
                since,
                attempts,
                held,
                reason: said,
                ..
            } => {
                // Once held by another it is that one's until we get it, whatever fails in between.
                (
                    since,
                    attempts.saturating_add(1),
                    held || error.is_conflict(),
                    said == reason,
                )
            }
            _ => (now, 1, error.is_conflict(), false),
        };
        // Once for each reason: a directory that is down for a night is not to fill the log.
        if !said {
            tracing::warn!(name = %entry.name, directory = self.directory.describe(), "not announced: {reason}");
        }
        let next_try = pause.map(|pause| now.checked_add(pause).unwrap_or(Timestamp::MAX));
        let hint = error.hint();
        let state = DirectoryState::Failed {
            reason,
            hint,
            held,
            since,
            attempts,
            next_try,
        };
        set(&self.status, self.index, state);
    }
}
