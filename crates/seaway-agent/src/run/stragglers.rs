//! Finds and ends what is left of a command: the rest of its process group, and whatever carries its marks.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::time::Instant;

use crate::{
    ProcessIdentity,
    identity::{Marked, marked},
};

/// How often to look whether they are gone.
const LOOK: Duration = Duration::from_millis(20);

/// How long the system may take to end what was killed.
const KILLED: Duration = Duration::from_secs(2);

/// Mark of the commands that are run as probes, which are no part of what the command leaves behind.
pub(super) const PROBE_START: &str = "probe";

/// The processes of one run of a command.
pub(super) struct Family<'a> {
    /// The mark they carry.
    pub(super) instance: &'a str,
    /// The leader of the process group, when its id cannot have been used again.
    pub(super) group: Option<&'a ProcessIdentity>,
}

impl Family<'_> {
    fn marked(&self) -> Vec<Marked> {
        marked(self.instance)
    }

    fn group_lives(&self) -> bool {
        self.group
            .is_some_and(|leader| killpg(Pid::from_raw(leader.pid), None).is_ok())
    }

    /// Process ids of those that carry the mark, without probes.
    pub(super) fn processes(&self) -> Vec<ProcessIdentity> {
        let own = self
            .marked()
            .into_iter()
            .filter(|one| one.start_id != PROBE_START);
        own.map(|one| one.process).collect()
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.group {
            let _ = leader.signal_group(signal);
        }
        for one in self.marked() {
            let _ = one.process.signal(signal);
        }
    }

    /// Asks all of them to end, waits up to `grace`, kills what is left then, and returns when nothing is.
    /// Says how many there were, at least.
    pub(super) async fn end(&self, grace: Duration) -> usize {
        let (marked, group) = (self.marked(), self.group_lives());
        if marked.is_empty() && !group {
            return 0;
        }
        let count = marked
            .iter()
            .filter(|one| one.start_id != PROBE_START)
            .count()
            .max(usize::from(group));
        self.signal(Signal::SIGTERM);
        // A stopped process acts on nothing until it is woken.
        self.signal(Signal::SIGCONT);
        if !self.gone_within(grace, None).await {
            // Again at every look: what was just being started is found by the next one.
            self.gone_within(KILLED, Some(Signal::SIGKILL)).await;
        }
        count
    }

    async fn gone_within(&self, time: Duration, signal: Option<Signal>) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if let Some(signal) = signal {
                self.signal(signal);
            }
            if !self.group_lives() && self.marked().is_empty() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
