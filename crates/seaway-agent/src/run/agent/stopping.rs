//! What the agent does with signals: how it stops, and how it is stopped and woken at a terminal.

use std::time::Duration;

use nix::sys::signal::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::time::Instant;

use super::{Agent, Stopping};
use crate::{
    Exit, ProcessIdentity,
    run::{Event, signals::asks_to_stop},
};

/// How long a stop of this process may take to come about. It does not come when nobody could end it.
const SUSPENSION: Duration = Duration::from_millis(200);

impl<T: FnMut(Event) + Send> Agent<T> {
    pub(super) async fn signal(&mut self, signal: Signal, process: Option<&ProcessIdentity>) {
        match signal {
            Signal::SIGCHLD => {
                if self.terminal.is_some() && self.stopping.is_none() && process.is_some_and(has_stopped) {
                    self.suspend(process).await;
                }
            }
            Signal::SIGCONT => self.resume(process),
            signal if asks_to_stop(signal) => self.stop(signal, process).await,
            signal => forward(process, signal),
        }
    }

    /// Asks the command to end, or asks more strongly.
    pub(super) async fn stop(&mut self, signal: Signal, process: Option<&ProcessIdentity>) {
        let Some(stopping) = &mut self.stopping else {
            // What is stopped for a failure was not asked to stop, and ends with that failure.
            if self.failure.is_none() {
                (self.tell)(Event::Stopping(signal));
            }
            self.health.stopping();
            self.prober = None;
            self.start_by = None;
            self.withdraw().await;
            if process.is_none() {
                // Nobody else is to be asked to end. To be asked to is how a watching agent is meant to end.
                self.done = Some(match signal {
                    Signal::SIGTERM => Exit::Code(0),
                    signal => Exit::Signal(signal as i32),
                });
            }
            forward(process, signal);
            // A stopped process acts on nothing until it is woken.
            forward(process, Signal::SIGCONT);
            let deadline = Instant::now() + self.configuration.times.stop;
            self.stopping = Some(Stopping {
                first: signal,
                strongest: signal,
                deadline,
            });
            return;
        };
        if stopping.first == signal {
            self.escalate(process);
        } else {
            forward(process, signal);
            if signal == Signal::SIGTERM && stopping.strongest != Signal::SIGKILL {
                stopping.strongest = signal;
                stopping.deadline = Instant::now() + self.configuration.times.stop;
            }
        }
    }

    pub(super) fn escalate(&mut self, process: Option<&ProcessIdentity>) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        let stronger = match stopping.strongest {
            Signal::SIGTERM | Signal::SIGKILL => Signal::SIGKILL,
            _ => Signal::SIGTERM,
        };
        stopping.strongest = stronger;
        stopping.deadline = Instant::now() + self.configuration.times.stop;
        forward(process, stronger);
        (self.tell)(Event::Escalated(stronger));
    }

    /// The command was stopped from the keyboard: the shell gets the terminal back, as without an agent.
    pub(super) async fn suspend(&mut self, process: Option<&ProcessIdentity>) {
        // It answers nobody until it is woken.
        self.withdraw().await;
        if let Some(terminal) = &mut self.terminal {
            terminal.take_back();
        }
        // To the whole group, as the keyboard would: others of the same pipeline or script belong to the same job.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(0), Signal::SIGTSTP);
        // The stop may come a moment later; work goes on when it is over, or when it does not come because there is
        // no shell that could end it.
        let woken = self.signals.next_of(|signal| signal == Signal::SIGCONT);
        let _ = tokio::time::timeout(SUSPENSION, woken).await;
        self.resume(process);
        self.announce();
    }

    pub(super) fn resume(&mut self, process: Option<&ProcessIdentity>) {
        if let (Some(terminal), Some(process)) = (&mut self.terminal, process) {
            terminal.hand_over(process.pid);
        }
        forward(process, Signal::SIGCONT);
    }
}

/// Sends a signal to the command's process group. Nothing is to be done about one that is gone.
fn forward(process: Option<&ProcessIdentity>, signal: Signal) {
    if let Some(process) = process {
        let _ = process.signal_group(signal);
    }
}

/// Whether the command has been stopped since this was last asked. Its end is left for others to see.
fn has_stopped(process: &ProcessIdentity) -> bool {
    let Some(pid) = Pid::from_raw(process.pid) else {
        return false;
    };
    let status = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
    matches!(status, Ok(Some(status)) if status.stopped())
}
