//! Says so when an instance is announced where nobody can reach it: endpoints on the loopback address, in a directory
//! that other machines read.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use seaway_discovery::Directory;
use seaway_model::Name;
use tokio::task::JoinSet;

use super::{Event, Supervisor};
use crate::local::endpoints::Bound;

/// Pause before a directory whose name is not known at the moment is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What is known of who can reach the instance.
#[derive(Default)]
pub(super) struct Reach {
    /// The endpoints on the loopback address that were looked at.
    loopback: Vec<Name>,
    /// Directories away from this machine, in words.
    away: BTreeSet<String>,
    /// Finds out where the directories are; ends when this is dropped.
    searches: JoinSet<()>,
}

impl Supervisor {
    /// Looks where the directories are, whenever there are other directories or other endpoints on the loopback
    /// address. Long before the instance is ready, so that who brings it up hears of it.
    pub(super) fn look_at_reach(&mut self) {
        let loopback: Vec<Name> = self
            .bound_endpoints()
            .filter(Bound::is_loopback)
            .map(|bound| bound.name().clone())
            .collect();
        if loopback == self.reach.loopback {
            return;
        }
        self.reach = Reach::default();
        if !loopback.is_empty() {
            for directory in self.announcer.directories() {
                let (directory, events) = (Arc::clone(directory), self.events.clone());
                self.reach.searches.spawn(async move {
                    if is_away(directory.as_ref()).await {
                        let _ = events.send(Event::Away(directory.describe()));
                    }
                });
            }
        }
        self.reach.loopback = loopback;
        self.note_reach();
    }

    /// A directory is away from this machine.
    pub(super) fn found_away(&mut self, directory: String) {
        // The plan may have changed since it was looked for.
        let mut directories = self.announcer.directories().iter();
        if directories.any(|one| one.describe() == directory) {
            self.reach.away.insert(directory);
            self.note_reach();
        }
    }

    fn note_reach(&mut self) {
        let Reach { loopback, away, .. } = &self.reach;
        if loopback.is_empty() || away.is_empty() {
            self.notes.remove("reach");
            return;
        }
        let join = |words: Vec<String>| words.join(", ");
        let names = join(loopback.iter().map(Name::to_string).collect());
        let settings = loopback
            .iter()
            .map(|name| format!("spec.endpoints.{name}.host: 0.0.0.0"))
            .collect();
        self.notes.insert(
            "reach",
            format!(
                "{names}: only this machine reaches the loopback address, and others find it in {}; set {}",
                join(away.iter().cloned().collect()),
                join(settings)
            ),
        );
    }
}

/// Whether the way to a directory leads out of this machine.
async fn is_away(directory: &dyn Directory) -> bool {
    loop {
        match directory.own_address().await {
            Ok(address) => return !address.is_loopback(),
            Err(error) => tracing::debug!(directory = directory.describe(), %error, "no way to it is known"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
