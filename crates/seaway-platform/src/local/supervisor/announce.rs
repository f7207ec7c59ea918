//! Keeping the directories at what is true.

use seaway_discovery::{DirectoryState, Entry};
use seaway_model::{Endpoint, status::AnnouncementStatus};

use super::{Supervisor, endpoints};

impl Supervisor {
    /// Keeps the directories at what is true: endpoints whose task answers, from the first time that the whole
    /// instance was ready.
    pub(super) fn announce(&mut self) {
        if self.plan().discovery.is_empty() {
            return;
        }
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

    pub(super) fn tell_directories(&mut self, endpoints: Vec<Endpoint>) {
        // The incarnation owns the entry: a supervisor that takes over takes the entry over with the rest.
        let Ok(owner) = self.record.id.parse() else { return };
        let mut entry = Entry::new(
            self.record.name.clone(),
            self.plan().kind.clone(),
            owner,
            endpoints,
        );
        entry.labels.clone_from(&self.plan().labels);
        self.announcer.announce(entry);
    }

    fn ready_endpoints(&self) -> Vec<Endpoint> {
        endpoints(self.plan(), &self.ports, &self.files)
            .into_iter()
            .filter(|(role, _)| {
                self.tasks
                    .values()
                    .any(|task| task.record.role == *role && task.is_ready())
            })
            .map(|(_, endpoint)| endpoint)
            .collect()
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
