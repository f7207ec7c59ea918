//! `seaway scale`: more or fewer tasks of a role.

use std::time::{Duration, Instant};

use seaway_lifecycle as lifecycle;
use seaway_model::status::{InstanceStatus, State, TaskState};
use seaway_platform::Platform;

use crate::{
    cli::ScaleArguments,
    failure::{FAILED, Failure, NOT_READY, Outcome, USAGE},
    live::Live,
    output,
};

/// The most tasks of one role; the same as in a document.
const MOST: u32 = 1000;

pub(crate) async fn run(arguments: ScaleArguments, platform: &dyn Platform) -> Outcome {
    let wanted = arguments
        .roles
        .iter()
        .map(|text| parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    for (role, replicas) in &wanted {
        platform
            .scale(&arguments.name, role, *replicas, arguments.force)
            .await?;
    }
    let deadline = Instant::now() + arguments.timeout.duration();
    let mut live = Live::new();
    loop {
        let Some(status) = lifecycle::observe(platform, &arguments.name).await? else {
            live.clear();
            return Err(Failure::new(
                NOT_READY,
                format!("{} was taken down meanwhile", arguments.name),
            ));
        };
        live.show(std::slice::from_ref(&status));
        if wanted
            .iter()
            .all(|(role, replicas)| is_scaled(&status, role, *replicas))
        {
            live.clear();
            for (role, replicas) in &wanted {
                output::say(&format!(
                    "{} has {replicas} {role}{}",
                    status.name,
                    if *replicas == 1 { "" } else { "s" }
                ));
            }
            return Ok(0);
        }
        if status.state == State::Failed {
            live.clear();
            return Err(Failure::new(
                NOT_READY,
                format!("{} failed: {}", status.name, status.reason),
            ));
        }
        if Instant::now() > deadline {
            live.clear();
            return Err(Failure::new(FAILED, still_waiting(&status, &wanted))
                .hint("it goes on; `seaway status` shows how far it is, `--force` stops tasks although they hold something"));
        }
        tokio::select! {
            changed = platform.changed(Duration::from_secs(1)) => changed?,
            _ = tokio::signal::ctrl_c() => {
                live.clear();
                output::say("not waiting any longer; it goes on (`seaway scale` with the old number takes it back)");
                return Ok(crate::failure::INTERRUPTED);
            }
        }
    }
}

fn parse(text: &str) -> Result<(String, u32), Failure> {
    let wrong = || {
        Failure::new(USAGE, format!("`{text}` is not ROLE=N with N from 0 to {MOST}"))
            .hint("for example `seaway scale dask worker=4`")
    };
    let (role, number) = text.split_once('=').ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    if number > MOST {
        Err(wrong())
    } else {
        Ok((role.to_owned(), number))
    }
}

/// Whether a role has just the tasks it should have, all of them ready.
fn is_scaled(status: &InstanceStatus, role: &str, replicas: u32) -> bool {
    status.roles.get(role).is_some_and(|role| {
        role.desired == replicas
            && role.tasks.len() == replicas as usize
            && role.tasks.iter().all(|task| task.state == TaskState::Ready)
    })
}

fn still_waiting(status: &InstanceStatus, wanted: &[(String, u32)]) -> String {
    let reasons: Vec<String> = wanted
        .iter()
        .filter_map(|(role, _)| status.roles.get(role))
        .flat_map(|role| &role.tasks)
        .filter(|task| task.state != TaskState::Ready)
        .map(|task| format!("{} {}", task.name, task.reason))
        .collect();
    format!(
        "not done in time: {}",
        if reasons.is_empty() {
            "it was just begun".to_owned()
        } else {
            reasons.join("; ")
        }
    )
}
