//! What the agent waits for the end of.

use crate::{Exit, ProcessIdentity, process::Process};

/// A subject at work.
pub(super) enum Watched {
    /// The command, started here or taken over from an earlier agent.
    Own(Process),
    /// A process that somebody else started.
    Foreign(Process),
    /// No process at all.
    Nothing,
}

impl Watched {
    /// Waits for the end. May be dropped and called again.
    pub(super) async fn wait(&mut self) -> Exit {
        match self {
            Self::Own(process) => process.wait().await,
            Self::Foreign(process) => {
                process.wait().await;
                // Nobody but its parent knows how it ended, and it is no business of ours.
                Exit::Code(0)
            }
            Self::Nothing => std::future::pending().await,
        }
    }

    /// The process that may be sent signals.
    pub(super) const fn own(&self) -> Option<&ProcessIdentity> {
        match self {
            Self::Own(process) => Some(process.identity()),
            Self::Foreign(_) | Self::Nothing => None,
        }
    }
}
