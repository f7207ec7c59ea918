//! The signals that the agent acts on.

use std::{future::poll_fn, io, task::Poll};

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Signals that ask the agent to stop.
const STOP: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// Signals that the command gets too, and that mean nothing to the agent. `SIGCONT` also means that the agent was
/// stopped until now, `SIGCHLD` that the command has stopped or ended.
const OTHER: [Signal; 5] = [
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGCHLD,
];

/// Whether the signal asks to stop.
pub(super) fn asks_to_stop(signal: Signal) -> bool {
    STOP.contains(&signal)
}

/// Receives signals; none that comes after it was made is lost.
pub(super) struct Signals {
    streams: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let ignored = ignored();
        let streams = STOP
            .into_iter()
            .chain(OTHER)
            // Who starts the agent with a signal ignored (`nohup`) wants it ignored; the command inherits that.
            .filter(|signal| !asks_to_stop(*signal) || (ignored >> (*signal as i32 - 1)) & 1 == 0)
            .map(|signal| Ok((signal, unix::signal(SignalKind::from_raw(signal as i32))?)))
            .collect::<io::Result<_>>()?;
        Ok(Self { streams })
    }

    /// The next signal. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Signal {
        self.next_of(|_| true).await
    }

    /// The next signal of those asked for; the others wait.
    pub(super) async fn next_of(&mut self, wanted: impl Fn(Signal) -> bool) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in self.streams.iter_mut().filter(|(signal, _)| wanted(*signal)) {
                if stream.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The signals that this process ignores, as the system's bit mask; none where the system does not show it.
fn ignored() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
