//! Asks the probes again and again, and says whether the command is ready.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    environment,
    probe::{Probe, Question},
};

use super::stragglers::PROBE_START;

/// How many questions in a row must be left without an answer before a command that was ready no longer is.
pub const FAILURES_IN_A_ROW: u32 = 3;

/// Longest time for one answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// Before the first answer questions come fast at first and then less often.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Longest time for a question asked before the start.
const BEFORE_START: Duration = Duration::from_millis(250);

/// Whether the command is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    /// Whether it is.
    pub(super) ready: bool,
    /// Why one of the last questions was not answered; absent when all were.
    pub(super) reason: Option<String>,
    /// Which of the last questions were answered.
    pub(super) answered: Vec<bool>,
}

/// Asks in a task of its own, until it is dropped.
pub(super) struct Prober {
    state: watch::Receiver<Readiness>,
    task: AbortHandle,
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Prober {
    pub(super) fn start(
        probes: Vec<Probe>,
        interval: Duration,
        mut environment: BTreeMap<OsString, OsString>,
        path: Vec<PathBuf>,
    ) -> Self {
        environment.insert(environment::START_ID.into(), PROBE_START.into());
        let (tell, state) = watch::channel(Readiness::default());
        let task = tokio::spawn(async move {
            let timeout = interval.min(LONGEST_ANSWER);
            let mut failures = 0;
            let mut pause = FIRST_PAUSE.min(interval);
            loop {
                // All at once: one that hangs must not make the others late.
                let ask = probes.iter().map(|probe| probe.ask(timeout, &environment, &path));
                let answers = join_all(ask).await;
                let answered = answers.iter().map(Result::is_ok).collect();
                let reason = answers.into_iter().find_map(Result::err);
                failures = if reason.is_some() { failures + 1 } else { 0 };
                tell.send_if_modified(|state| {
                    let ready = reason.is_none() || (state.ready && failures < FAILURES_IN_A_ROW);
                    let next = Readiness {
                        ready,
                        reason: reason.map(|reason| reason.to_string()),
                        answered,
                    };
                    let changed = *state != next;
                    *state = next;
                    changed
                });
                if tell.borrow().ready {
                    tokio::time::sleep(interval).await;
                } else {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(LONGEST_PAUSE).min(interval);
                }
            }
        });
        Self {
            state,
            task: task.abort_handle(),
        }
    }

    /// Returns when something has changed. May be dropped and called again.
    pub(super) async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            // The task has ended, which it does only together with the runtime.
            std::future::pending::<()>().await;
        }
    }

    /// How it is now.
    pub(super) fn state(&self) -> Readiness {
        self.state.borrow().clone()
    }
}

/// An address on this machine that answers a probe although the command has not been started yet.
pub(super) async fn answers_already(probes: &[Probe]) -> Option<String> {
    for address in probes.iter().filter_map(Probe::address) {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        // Others may well answer from elsewhere, and asking them would take time.
        if !(host.starts_with("127.") || host == "localhost" || host == "[::1]") {
            continue;
        }
        let question = Question::Tcp {
            address: address.to_owned(),
        };
        if question.ask(BEFORE_START, &BTreeMap::new(), &[]).await.is_ok() {
            return Some(address.to_owned());
        }
    }
    None
}
