//! `seaway logs`: what tasks write.

use std::{
    collections::BTreeSet,
    io::{BufWriter, Write},
    time::Duration,
};

use seaway_platform::{
    Platform, PlatformError,
    local::{
        LocalPlatform,
        logs::{Follower, tail},
    },
};

use crate::{cli::LogsArguments, failure::Outcome};

/// How often new lines are looked for.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: LogsArguments, platform: &LocalPlatform) -> Outcome {
    let sources = platform.logs(&arguments.name, arguments.task.as_deref()).await?;
    let only = arguments.task.as_deref();
    let width = sources.iter().map(|source| source.task.len()).max().unwrap_or(0);
    // One task's lines need no name before them.
    let prefix = |task: &str| {
        if sources.len() > 1 {
            format!("{task:width$} | ")
        } else {
            String::new()
        }
    };
    let mut follower = Follower::new();
    let mut known_tasks: BTreeSet<String> = BTreeSet::new();
    let mut output = BufWriter::new(std::io::stdout().lock());
    for source in &sources {
        let lines = if arguments.follow {
            known_tasks.insert(source.task.clone());
            follower.add(&source.task, &source.path, arguments.tail)?
        } else {
            tail(&source.path, arguments.tail)?
        };
        for line in lines {
            writeln!(output, "{}{line}", prefix(&source.task))?;
        }
    }
    output.flush()?;
    if !arguments.follow {
        return Ok(0);
    }
    loop {
        for line in follower.poll()? {
            writeln!(output, "{}{}", prefix(&line.task), line.text)?;
        }
        output.flush()?;
        if crate::output::reader_is_gone() {
            return Ok(0);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
        match platform.logs(&arguments.name, only).await {
            Ok(sources) => {
                // Tasks that were added meanwhile are known_tasks from their first line.
                for source in sources
                    .iter()
                    .filter(|source| !known_tasks.contains(&source.task))
                {
                    follower.add(&source.task, &source.path, 0)?;
                }
                known_tasks.extend(sources.into_iter().map(|source| source.task));
            }
            Err(PlatformError::NotFound { .. } | PlatformError::NoRole { .. }) => {
                crate::output::say(&format!("{} is gone", arguments.name));
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
