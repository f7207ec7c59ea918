//! One task as its supervisor has it: what is wanted, what runs, and when to look at it next.

use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use seaway_agent::ProcessIdentity;
use seaway_model::{
    Period,
    plan::{Restart, StopLadder},
    status::{MemoryKeeper, TaskState},
};
use tokio::time::Instant;

use crate::local::{
    cgroup::Cgroup,
    store::{TaskRecord, TaskTarget},
};

/// A task with the process that carries it out, if one runs.
#[derive(Debug)]
pub(crate) struct Task {
    /// What the store has; written whenever `changed`.
    pub(crate) record: TaskRecord,
    pub(crate) changed: bool,
    pub(crate) phase: Phase,
    /// Failures in a row without having been ready.
    pub(crate) failures: u32,
    /// Ends in a row without having been ready for a while; the delay before a start grows with it.
    pub(crate) streak: u32,
}

/// What a task is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing runs; it may start when its dependencies allow.
    Idle,
    /// Nothing runs, and nothing may start before this moment.
    BackOff(Instant),
    /// Its process runs.
    Running(Run),
    /// It failed too often, or in a way that will not pass.
    GivenUp,
}

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) process: ProcessIdentity,
    pub(crate) start_id: String,
    /// The moment from which the time to become ready counts; moved on while a dependency is not ready.
    pub(crate) waiting_since: Instant,
    pub(crate) ready_since: Option<Instant>,
    /// Looks in a row without a good answer since it was ready.
    pub(crate) misses: u32,
    pub(crate) probe_at: Instant,
    pub(crate) probing: bool,
    pub(crate) drain_at: Instant,
    pub(crate) cgroup: Option<Cgroup>,
    /// Kills for memory that the group had seen when this process started.
    pub(crate) memory_kills: u64,
    pub(crate) stop: Option<Stop>,
}

/// A stop under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// The next signal, and when; none after SIGKILL.
    pub(crate) next: Option<(Signal, Instant)>,
    /// Whether the task failed by being so slow that it is stopped.
    pub(crate) failed: bool,
}

/// Time between two looks at a task that starts.
const EAGER: Duration = Duration::from_millis(60);
/// Time between two looks once the start takes long.
const PATIENT: Duration = Duration::from_millis(500);

impl Run {
    /// When to look next at a task that is not ready.
    pub(crate) fn next_look(&self, now: Instant) -> Instant {
        now + if now.duration_since(self.waiting_since) < Duration::from_secs(15) {
            EAGER
        } else {
            PATIENT
        }
    }
}

impl Task {
    pub(crate) fn new(record: TaskRecord) -> Self {
        Self {
            record,
            changed: true,
            phase: Phase::Idle,
            failures: 0,
            streak: 0,
        }
    }

    pub(crate) const fn run(&self) -> Option<&Run> {
        match &self.phase {
            Phase::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) const fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.phase {
            Phase::Running(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.record.state == TaskState::Ready && self.run().is_some()
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.record.target == TaskTarget::Run
    }

    /// Says how the task is; the time in a state starts anew only when the state changes.
    pub(crate) fn say(&mut self, state: TaskState, reason: impl Into<String>) {
        let reason = reason.into();
        if self.record.state != state {
            self.record.state = state;
            self.record.since = Timestamp::now();
            self.changed = true;
        }
        if self.record.reason != reason {
            self.record.reason = reason;
            self.changed = true;
        }
    }

    pub(crate) fn keep_memory_by(&mut self, keeper: MemoryKeeper) {
        if self.record.memory_keeper != keeper {
            self.record.memory_keeper = keeper;
            self.changed = true;
        }
    }

    pub(crate) fn aim(&mut self, target: TaskTarget) {
        if self.record.target != target {
            self.record.target = target;
            self.changed = true;
        }
    }

    /// Begins to stop the process, or goes straight to SIGKILL when forced. Signals are sent by
    /// [`climb`](Self::climb).
    pub(crate) fn stop(&mut self, ladder: &StopLadder, forced: bool, failed: bool, now: Instant) {
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let first = if forced {
            Signal::SIGKILL
        } else if ladder.interrupt.is_some() {
            Signal::SIGINT
        } else {
            Signal::SIGTERM
        };
        match &mut run.stop {
            Some(stop) if forced => {
                if stop
                    .next
                    .is_some_and(|(signal, at)| signal != Signal::SIGKILL || at > now)
                {
                    stop.next = Some((Signal::SIGKILL, now));
                }
            }
            Some(_) => {}
            None => {
                run.stop = Some(Stop {
                    next: Some((first, now)),
                    failed,
                });
            }
        }
    }

    /// Sends the signal that is due, if one is, and notes the next.
    pub(crate) fn climb(&mut self, ladder: &StopLadder, now: Instant) {
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let Some(stop) = &mut run.stop else { return };
        let Some((signal, _)) = stop.next.filter(|(_, at)| *at <= now) else {
            return;
        };
        if let Err(error) = run.process.signal_group(signal) {
            tracing::warn!(task = self.record.name(), %signal, %error, "the signal could not be sent");
        }
        stop.next = match signal {
            Signal::SIGINT => {
                let patience = ladder.interrupt.map_or(Duration::ZERO, Period::duration);
                Some((Signal::SIGTERM, now + patience))
            }
            Signal::SIGTERM => Some((Signal::SIGKILL, now + ladder.terminate.duration())),
            // A process that survives SIGKILL waits in the kernel for a device; tried again, it costs nothing.
            _ => Some((Signal::SIGKILL, now + Duration::from_secs(1))),
        };
        self.say(TaskState::Stopping, format!("was sent {signal}"));
    }

    /// Counts an end that was not asked for, and says how long to wait before the next start; `None` gives up.
    pub(crate) fn count_end(
        &mut self,
        restart: &Restart,
        was_ready_for: Option<Duration>,
        clean: bool,
    ) -> Option<Duration> {
        match was_ready_for {
            Some(time) if time >= restart.stable_after.duration() => {
                self.failures = 0;
                self.streak = 0;
            }
            Some(_) => self.failures = 0,
            None => self.failures += 1,
        }
        if self.failures >= restart.limit {
            return None;
        }
        // A process that was ready and ended by itself without an error was asked to (`Client.restart()`); people
        // wait for it to come back.
        if clean && was_ready_for.is_some() {
            return Some(Duration::ZERO);
        }
        self.streak += 1;
        Some(delay(restart, self.streak))
    }
}

/// The delay before a start: none for the first in a row, then doubling.
fn delay(restart: &Restart, streak: u32) -> Duration {
    if streak <= 1 {
        return Duration::ZERO;
    }
    let factor = 2u32.saturating_pow((streak - 2).min(16));
    restart
        .delay
        .duration()
        .saturating_mul(factor)
        .min(restart.longest_delay.duration())
}

#[cfg(test)]
mod tests {
    use seaway_model::Name;

    use super::*;

    fn task() -> Task {
        Task::new(TaskRecord::new(Name::literal("worker"), 0))
    }

    #[test]
    fn a_task_that_never_gets_ready_is_given_up() {
        let mut task = task();
        let restart = Restart::default();
        let delays: Vec<_> = (0..5).map(|_| task.count_end(&restart, None, false)).collect();
        let millis: Vec<_> = delays.iter().map(|delay| delay.map(|d| d.as_millis())).collect();
        assert_eq!(millis, [Some(0), Some(500), Some(1000), Some(2000), None]);
    }

    #[test]
    fn one_that_gets_ready_is_not_but_waits_longer_each_time() {
        let mut task = task();
        let restart = Restart::default();
        let short = Some(Duration::from_secs(1));
        let last = (0..20)
            .map(|_| task.count_end(&restart, short, false))
            .last()
            .unwrap();
        assert_eq!(last, Some(Duration::from_secs(30)));
        let stable = Some(Duration::from_secs(11));
        assert_eq!(task.count_end(&restart, stable, false), Some(Duration::ZERO));
    }

    #[test]
    fn a_clean_end_of_a_ready_task_is_followed_at_once() {
        let mut task = task();
        let short = Some(Duration::from_millis(10));
        for _ in 0..10 {
            assert_eq!(
                task.count_end(&Restart::default(), short, true),
                Some(Duration::ZERO)
            );
        }
    }
}
