//! `seaway logs`: what tasks write.

use std::{
    io::{BufWriter, Write},
    time::Duration,
};

use futures_util::FutureExt;
use seaway_platform::{LogRequest, Platform};

use crate::{cli::LogsArguments, failure::Outcome, output};

/// How often is looked whether anybody still reads.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: LogsArguments, platform: &dyn Platform) -> Outcome {
    let request = LogRequest {
        only: arguments.task.as_deref(),
        tail: arguments.tail,
        follow: arguments.follow,
    };
    let mut lines = platform.logs(&arguments.name, request).await?;
    let tasks = lines.tasks();
    let width = tasks.iter().map(String::len).max().unwrap_or(0);
    // One task's lines need no name before them.
    let alone = tasks.len() <= 1;
    let mut output = BufWriter::new(std::io::stdout().lock());
    loop {
        let line = {
            // Kept over all looks: what it has begun to ask a cluster may take longer than one.
            let mut next = std::pin::pin!(lines.next());
            // What is there already is written in one go.
            if let Some(line) = next.as_mut().now_or_never() {
                line?
            } else {
                output.flush()?;
                loop {
                    if output::reader_is_gone() {
                        return Ok(0);
                    }
                    tokio::select! {
                        line = &mut next => break line?,
                        () = tokio::time::sleep(LOOK) => {}
                        _ = tokio::signal::ctrl_c() => return Ok(0),
                    }
                }
            }
        };
        let Some(line) = line else { break };
        if alone {
            writeln!(output, "{}", line.text)?;
        } else {
            writeln!(output, "{:width$} | {}", line.task, line.text)?;
        }
    }
    output.flush()?;
    if arguments.follow {
        output::say(&format!("{} is gone", arguments.name));
    }
    Ok(0)
}
