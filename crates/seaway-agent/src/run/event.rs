//! What the agent tells the people who started it: one short line for each event.

use std::{fmt, net::SocketAddr, time::Duration};

use nix::sys::signal::Signal;

use crate::Exit;

/// Something worth telling. Its `Display` is one line without a line break and without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Processes that an earlier agent of this name started, and that outlived it, are ended before the command is
    /// started.
    LeftoversStopped(Vec<i32>),
    /// The command that an earlier agent of this name started still runs, and is taken over instead of started.
    LeftoverAdopted(i32),
    /// Processes that an earlier agent of this name started still run, and are left alone.
    LeftoversIgnored(Vec<i32>),
    /// A probe is answered although the command has not been started: somebody else answers it.
    AnswersAlready(String),
    /// The probes answer.
    Ready {
        /// Time since the start.
        after: Duration,
    },
    /// The time to become ready is up.
    NotReadyInTime {
        /// The time given.
        after: Duration,
        /// Why the last probe was not answered.
        reason: String,
        /// Whether the command is stopped for it.
        stopping: bool,
    },
    /// The probes have not been answered several times in a row; what was announced is withdrawn.
    Unready {
        /// Why the last probe was not answered.
        reason: String,
    },
    /// The entry is in a directory.
    Announced {
        /// Which one.
        directory: String,
    },
    /// Metrics and health are served.
    Listening(SocketAddr),
    /// The entry could not be put into a directory.
    NotAnnounced {
        /// Which one; absent when it is not a matter of one directory.
        directory: Option<String>,
        /// Why.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// What happens next.
        then: Then,
    },
    /// The entry could not be taken out of a directory.
    NotWithdrawn {
        /// Which one.
        directory: String,
        /// Why.
        reason: String,
    },
    /// The agent was asked to stop: the entry is withdrawn, and the signal sent on.
    Stopping(Signal),
    /// The command did not end in time, or the request was repeated: a stronger signal is sent.
    Escalated(Signal),
    /// The command did not end well.
    Ended(Exit),
    /// The process that was watched is gone.
    ProcessEnded(i32),
    /// Processes that the command left behind have been ended.
    StragglersStopped(usize),
}

/// What happens after a directory has not taken the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is tried again and again.
    Retry,
    /// The directory is left alone until the probes have failed and answer again.
    GiveUp,
    /// The agent ends, and the command with it.
    Stop,
}

impl Event {
    /// Whether it is something that went wrong; the rest is good news.
    #[must_use]
    pub const fn is_problem(&self) -> bool {
        !matches!(
            self,
            Self::Ready { .. }
                | Self::Announced { .. }
                | Self::Listening(_)
                | Self::Stopping(_)
                | Self::ProcessEnded(_)
                | Self::LeftoversStopped(_)
                | Self::LeftoverAdopted(_)
        )
    }
}

/// A time as people say it: `20 ms`, `0.3 s`, `12 s`.
fn spoken(time: Duration) -> String {
    if time < Duration::from_millis(100) {
        format!("{} ms", time.as_millis())
    } else if time < Duration::from_secs(10) {
        // Tenths that are none are left out.
        let text = format!("{:.1} s", time.as_secs_f64());
        text.replace(".0 s", " s")
    } else {
        format!("{} s", time.as_secs())
    }
}

fn list(processes: &[i32]) -> String {
    let numbers: Vec<_> = processes.iter().take(8).map(ToString::to_string).collect();
    let word = if processes.len() == 1 {
        "process"
    } else {
        "processes"
    };
    let more = if processes.len() > 8 { " …" } else { "" };
    format!("{word} {}{more}", numbers.join(", "))
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftoversStopped(processes) => {
                write!(f, "stopped {}, left by an earlier run", list(processes))
            }
            Self::LeftoverAdopted(process) => {
                write!(
                    f,
                    "took over process {process} of an earlier run; its exit code will not be known"
                )
            }
            Self::LeftoversIgnored(processes) => {
                write!(
                    f,
                    "an earlier run of this name left {}; left alone",
                    list(processes)
                )
            }
            Self::AnswersAlready(address) => {
                write!(
                    f,
                    "{address} answers before the command is started: another process uses the port"
                )
            }
            Self::Ready { after } => write!(f, "ready after {}", spoken(*after)),
            Self::NotReadyInTime {
                after,
                reason,
                stopping,
            } => {
                let then = if *stopping { "stopping" } else { "still trying" };
                write!(f, "not ready after {}: {reason}; {then}", spoken(*after))
            }
            Self::Unready { reason } => write!(f, "no longer ready, withdrawn: {reason}"),
            Self::Listening(address) => write!(f, "metrics and health on http://{address}"),
            Self::Announced { directory } => write!(f, "announced in {directory}"),
            Self::NotAnnounced {
                directory,
                reason,
                hint,
                then,
            } => {
                f.write_str("not announced")?;
                if let Some(directory) = directory {
                    write!(f, " in {directory}")?;
                }
                let then = match then {
                    Then::Retry => "still trying",
                    Then::GiveUp => "left alone until it is ready anew",
                    Then::Stop => "stopping",
                };
                write!(f, ": {reason}; {then}")?;
                hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
            }
            Self::NotWithdrawn { directory, reason } => write!(f, "not withdrawn from {directory}: {reason}"),
            Self::Stopping(signal) => write!(f, "{signal}: stopping"),
            Self::Escalated(signal) => write!(f, "the command does not end; sent it {signal}"),
            Self::ProcessEnded(process) => write!(f, "process {process} has ended"),
            Self::Ended(exit) => write!(f, "the command {exit}"),
            Self::StragglersStopped(1) => f.write_str("ended 1 process that the command left behind"),
            Self::StragglersStopped(count) => {
                write!(f, "ended {count} processes that the command left behind")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_short_and_say_what_happens_next() {
        assert_eq!(
            Event::Ready {
                after: Duration::from_millis(312)
            }
            .to_string(),
            "ready after 0.3 s"
        );
        assert_eq!(
            Event::Ready {
                after: Duration::from_secs(72)
            }
            .to_string(),
            "ready after 72 s"
        );
        let late = Event::NotReadyInTime {
            after: Duration::from_secs(2),
            reason: "refused".into(),
            stopping: false,
        };
        assert_eq!(late.to_string(), "not ready after 2 s: refused; still trying");
        let held = Event::NotAnnounced {
            directory: Some("folder /d".into()),
            reason: "`a` is held by b".into(),
            hint: Some("take it down".into()),
            then: Then::Retry,
        };
        let line = "not announced in folder /d: `a` is held by b; still trying (take it down)";
        assert_eq!(held.to_string(), line);
        assert!(held.is_problem());
    }
}
