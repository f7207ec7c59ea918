//! `seaway wait`: returns when something answers.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use seaway_agent::{probe::Probe, run::options};
use seaway_model::Period;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    failure::{Failure, INTERRUPTED, NOT_READY, Outcome},
    output,
};

const EXAMPLES: &str = "\
Examples:
  seaway wait --probe tcp:db:5432 --timeout 2m
  seaway wait --probe 'http://scheduler:8787/json/counts.json#workers>3'

In an init container it holds a pod back until another one is ready.

Exit codes: 0 when every probe was answered; 5 when that took longer than --timeout; 2 when an option is wrong.";

/// Before the first answer questions come fast at first and then less often.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Longest time for one answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// What is still missing is told after this time, and again when it is something else.
const QUIET: Duration = Duration::from_secs(1);

/// `seaway wait`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct WaitArguments {
    /// What must answer: tcp:HOST:PORT, http://HOST:PORT/PATH[#KEY.KEY=VALUE] or command:'WORDS', as in `seaway agent`.
    ///
    /// May be given several times; each must have answered once.
    #[arg(long = "probe", value_name = "PROBE", value_parser = options::probe, required = true)]
    probes: Vec<Probe>,
    /// How long to wait; for ever when absent.
    #[arg(long, value_name = "TIME")]
    timeout: Option<Period>,
}

pub(crate) async fn run(arguments: WaitArguments) -> Outcome {
    let begun = Instant::now();
    let deadline = arguments.timeout.map(|timeout| begun + timeout.duration());
    let mut missing = String::new();
    let wait = answered(&arguments.probes, begun, &mut missing);
    let outcome = tokio::select! {
        outcome = within(deadline, wait) => outcome,
        _ = tokio::signal::ctrl_c() => return Ok(INTERRUPTED),
    };
    match (outcome, arguments.timeout) {
        (false, Some(timeout)) => Err(Failure::new(
            NOT_READY,
            format!("not within {timeout}: {missing}"),
        )),
        _ => Ok(0),
    }
}

/// Whether it is done in time.
async fn within(deadline: Option<Instant>, work: impl Future<Output = ()>) -> bool {
    let Some(deadline) = deadline else {
        work.await;
        return true;
    };
    timeout_at(deadline, work).await.is_ok()
}

/// Asks one after the other until each has answered; `missing` is why the one at hand has not.
async fn answered(probes: &[Probe], begun: Instant, missing: &mut String) {
    let mut told = String::new();
    for probe in probes {
        let mut pause = FIRST_PAUSE;
        while let Err(reason) = probe.ask(LONGEST_ANSWER, &BTreeMap::new(), &path()).await {
            *missing = reason.to_string();
            if begun.elapsed() > QUIET && told != *missing {
                output::say(&format!("waiting: {missing}"));
                told.clone_from(missing);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }
}

/// Where the programs of `command:` are.
fn path() -> Vec<std::path::PathBuf> {
    std::env::var_os("PATH").map_or_else(Vec::new, |path| std::env::split_paths(&path).collect())
}
