//! What the agent does with directories, and what it says about them.

use std::time::Duration;

use futures_util::future::join_all;
use seaway_discovery::{DirectoryState, Entry, Error};
use tokio::time::Instant;

use super::{Agent, Said, Stale};
use crate::run::{
    Event, OnDirectoryError, RunError, Then,
    claim::{Claim, Run},
};

/// How often to try to become the one agent of the name while another one is.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

impl<T: FnMut(Event) + Send> Agent<T> {
    /// Tries to become the one agent of the name; gives back what an earlier one was doing when it was killed.
    pub(super) fn take_name(&mut self) -> Option<Run> {
        let configuration = &self.configuration;
        let taken = Claim::take(
            &configuration.state_directory,
            &configuration.name,
            configuration.owner.as_ref(),
        );
        // Written at once: whatever is announced from now on must be found by the next agent.
        match taken
            .and_then(|(claim, before)| claim.write(Some(self.record.clone())).map(|()| (claim, before)))
        {
            Ok((claim, before)) => {
                self.claim = Some(claim);
                self.claim_again = None;
                before
            }
            Err(error) => {
                let reason = error.to_string();
                if self.configuration.on_directory_error == OnDirectoryError::Fail {
                    self.failure = Some(RunError::NotAnnounced {
                        directory: None,
                        reason,
                        hint: error.hint(),
                    });
                    return None;
                }
                if self.claim_said.as_ref() != Some(&reason) {
                    let hint = error.hint();
                    (self.tell)(Event::NotAnnounced {
                        directory: None,
                        reason: reason.clone(),
                        hint,
                        then: Then::Retry,
                    });
                    self.claim_said = Some(reason);
                }
                None
            }
        }
    }

    /// Takes out what an earlier agent of the same owner left in directories: nothing is behind it any more, and the
    /// command may take its time to become ready.
    pub(super) async fn remove_stale(&mut self) {
        if !self.claim.as_ref().is_some_and(Claim::is_inherited) {
            return;
        }
        let Some(entry) = self.entry() else { return };
        self.stale = Stale::Gone;
        let within = self.configuration.times.withdraw;
        let all = self.announcer.directories().iter().map(|directory| async {
            let late = |_| Error::Deadline {
                directory: directory.describe(),
                after: within,
            };
            let result = tokio::time::timeout(within, directory.withdraw(&entry))
                .await
                .map_err(late);
            (directory.describe(), result.and_then(|result| result))
        });
        for (directory, result) in join_all(all).await {
            if let Err(error) = result {
                self.stale = Stale::Perhaps;
                (self.tell)(Event::NotWithdrawn {
                    directory,
                    reason: error.to_string(),
                });
            }
        }
    }

    pub(super) fn entry(&self) -> Option<Entry> {
        let configuration = &self.configuration;
        let owner = self.claim.as_ref()?.owner().clone();
        let endpoints = configuration.endpoints.clone();
        let mut entry = Entry::new(
            configuration.name.clone(),
            configuration.kind.clone(),
            owner,
            endpoints,
        );
        entry.labels.clone_from(&configuration.labels);
        Some(entry)
    }

    /// Announces the endpoints, as soon as the name is ours.
    pub(super) fn announce(&mut self) {
        self.claim_again = None;
        if self.said.is_empty() || !self.ready || self.stopping.is_some() {
            return;
        }
        if self.claim.is_none() {
            self.take_name();
        }
        match self.entry() {
            Some(entry) => {
                self.announced = true;
                self.not_withdrawn.clear();
                self.announcer.announce(entry);
            }
            None => self.claim_again = Some(Instant::now() + CLAIM_AGAIN),
        }
    }

    pub(super) async fn withdraw(&mut self) {
        self.claim_again = None;
        if !self.announced {
            return;
        }
        // What was announced until now is told first, so that the lines stand in order.
        self.tell_directories();
        let failures = self.announcer.withdraw(self.configuration.times.withdraw).await;
        self.announced = !failures.is_empty();
        self.stale = Stale::Gone;
        for failure in failures {
            // It is tried once more at the end, which is no news.
            if self.not_withdrawn.insert(failure.directory.clone()) {
                (self.tell)(Event::NotWithdrawn {
                    directory: failure.directory,
                    reason: failure.error.to_string(),
                });
            }
        }
        self.tell_directories();
    }

    /// Tells what has changed in directories; each failure once, however often it is tried.
    pub(super) fn tell_directories(&mut self) {
        let all = self.directories.borrow_and_update().clone();
        let counts = self.monitor.report().into_iter().map(|report| report.counts);
        for ((status, counts), said) in all.into_iter().zip(counts).zip(&mut self.said) {
            let (now, event) = match status.state {
                DirectoryState::Registered { .. } => (
                    Said::Announced,
                    Event::Announced {
                        directory: status.directory,
                    },
                ),
                DirectoryState::Failed {
                    reason,
                    hint,
                    held,
                    next_try,
                    ..
                } => {
                    let policy = self.configuration.on_directory_error;
                    let then = if next_try.is_none() {
                        Then::GiveUp
                    } else if policy == OnDirectoryError::Fail && counts.registrations == 0 {
                        Then::Stop
                    } else {
                        // What a directory once took is tried again in any case.
                        Then::Retry
                    };
                    if then == Then::Stop {
                        if self.failure.is_none() {
                            self.failure = Some(RunError::NotAnnounced {
                                directory: Some(status.directory),
                                reason,
                                hint,
                            });
                        }
                        continue;
                    }
                    let now = if held {
                        Said::Held
                    } else {
                        Said::Failed(reason.clone())
                    };
                    (
                        now,
                        Event::NotAnnounced {
                            directory: Some(status.directory),
                            reason,
                            hint,
                            then,
                        },
                    )
                }
                DirectoryState::Withdrawn => {
                    *said = None;
                    continue;
                }
                DirectoryState::Pending | DirectoryState::NotWithdrawn { .. } => continue,
            };
            if said.as_ref() != Some(&now) {
                *said = Some(now);
                (self.tell)(event);
            }
        }
    }

    pub(super) fn release(&mut self) {
        if let Some(claim) = self.claim.take() {
            claim.release(!self.announced && self.stale == Stale::Gone);
        }
    }
}
