//! Keeping the directories at what is true.

use std::sync::Arc;

use futures_util::future::join_all;
use seaway_discovery::{Announcer, Defaults, Directory, DirectoryState, Entry};
use seaway_model::{Endpoint, discovery::DirectorySpec, status::AnnouncementStatus};
use tokio::time::timeout;

use super::{Supervisor, WITHDRAW_WITHIN, reach::Reach};
use crate::local::endpoints::{self, Bound};

/// Opens the directories of a plan.
pub(super) fn open(
    specs: &[DirectorySpec],
    defaults: &Defaults,
) -> Result<Vec<Arc<dyn Directory>>, seaway_discovery::Error> {
    specs
        .iter()
        .map(|spec| seaway_discovery::open(spec, defaults).map(Arc::from))
        .collect()
}

impl Supervisor {
    /// Keeps the directories at what is true: endpoints whose task answers, from the first time that the whole
    /// instance was ready.
    pub(super) fn announce(&mut self) {
        let endpoints = if self.record.was_ready {
            self.ready_endpoints()
        } else {
            Vec::new()
        };
        if endpoints != self.announced {
            self.announced.clone_from(&endpoints);
            self.tell_directories(endpoints);
        }
        let statuses = self.announcer.status();
        let announcements: Vec<AnnouncementStatus> = statuses
            .borrow()
            .iter()
            .map(|status| AnnouncementStatus {
                directory: status.directory.clone(),
                announced: matches!(status.state, DirectoryState::Registered { .. }),
                reason: state_in_words(&status.state),
            })
            .collect();
        if announcements != self.record.announcements {
            self.record.announcements = announcements;
            self.record_changed = true;
        }
    }

    /// Goes over to the directories of a plan that changed: the instance leaves those that the plan does not name any
    /// more, and those that it still names keep what they have.
    pub(super) async fn follow_directories(&mut self) {
        if self.directories == self.plan().discovery {
            return;
        }
        let wanted = self.plan().discovery.clone();
        let directories = match open(&wanted, &self.defaults) {
            Ok(directories) => directories,
            Err(error) => {
                // The command that changed the plan has opened them; the next one that does makes this good.
                self.notes
                    .insert("directories", format!("it cannot be announced: {error}"));
                return;
            }
        };
        self.notes.remove("directories");
        let before = std::mem::replace(&mut self.announcer, Announcer::sharing(directories));
        let left: Vec<Arc<dyn Directory>> = self
            .directories
            .iter()
            .zip(before.directories())
            .filter(|(spec, _)| !wanted.contains(spec))
            .map(|(_, directory)| Arc::clone(directory))
            .collect();
        // What it has under way ends here, so that it cannot come after the withdrawal.
        drop(before);
        self.directories = wanted;
        self.reach = Reach::default();
        let announced = std::mem::take(&mut self.announced);
        let Some(entry) = self.entry(announced) else {
            return;
        };
        let withdrawals = left.iter().map(|directory| async {
            let directory_name = directory.describe();
            match timeout(WITHDRAW_WITHIN, directory.withdraw(&entry)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(directory = directory_name, %error, "could not be withdrawn");
                }
                Err(_) => tracing::warn!(
                    directory = directory_name,
                    "could not be withdrawn: no answer in time"
                ),
            }
        });
        join_all(withdrawals).await;
    }

    pub(super) fn tell_directories(&mut self, endpoints: Vec<Endpoint>) {
        if let Some(entry) = self.entry(endpoints) {
            self.announcer.announce(entry);
        }
    }

    fn entry(&self, endpoints: Vec<Endpoint>) -> Option<Entry> {
        // The incarnation owns the entry: a supervisor that takes over takes the entry over with the rest.
        let owner = self.record.id.parse().ok()?;
        let mut entry = Entry::new(
            self.record.name.clone(),
            self.plan().kind.clone(),
            owner,
            endpoints,
        );
        entry.labels.clone_from(&self.plan().labels);
        Some(entry)
    }

    fn ready_endpoints(&self) -> Vec<Endpoint> {
        self.bound_endpoints()
            .filter(|bound| {
                self.tasks
                    .values()
                    .any(|task| task.record.role == bound.role && task.is_ready())
            })
            .map(Bound::for_directories)
            .collect()
    }

    pub(super) fn bound_endpoints(&self) -> impl Iterator<Item = Bound> {
        endpoints::bound(self.plan(), &self.ports, &self.files).into_iter()
    }
}

/// How an entry is doing in a directory, without anything that changes all the time.
fn state_in_words(state: &DirectoryState) -> String {
    match state {
        DirectoryState::Pending => "is being announced".to_owned(),
        DirectoryState::Registered { since, .. } => format!("since {}", since.strftime("%Y-%m-%dT%H:%M:%SZ")),
        DirectoryState::Failed { reason, hint, .. } => match hint {
            Some(hint) => format!("{reason} ({hint})"),
            None => reason.clone(),
        },
        DirectoryState::Withdrawn => "withdrawn".to_owned(),
        DirectoryState::NotWithdrawn { reason, .. } => format!("could not be withdrawn: {reason}"),
    }
}
