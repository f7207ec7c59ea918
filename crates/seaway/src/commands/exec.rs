//! `seaway exec`: a command in the container of a task.

use crate::{
    cli::{ExecArguments, PlatformKind},
    failure::{Failure, Outcome, USAGE},
    platforms,
};

pub(crate) async fn run(arguments: ExecArguments) -> Outcome {
    if arguments.platform.on == PlatformKind::Local {
        return Err(Failure::new(
            USAGE,
            "a task on this machine has no container to run a command in",
        )
        .hint(
            "run the command itself; `seaway describe NAME` shows the process; for an instance on a cluster: \
             `--on kubernetes`",
        ));
    }
    let platform = platforms::kubernetes(&arguments.platform)?;
    let request = seaway_platform::kubernetes::ExecRequest {
        task: &arguments.task,
        command: &arguments.command,
        stdin: arguments.stdin,
        terminal: arguments.tty,
    };
    Ok(platform.exec(&arguments.name, &request).await?)
}
