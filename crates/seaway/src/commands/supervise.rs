//! `seaway supervise`: the process that looks after one instance. Started by other commands, never by people.

use seaway_platform::local::{
    Paths,
    supervisor::{SupervisorError, supervise},
};

use crate::failure::{FAILED, Failure, NOT_FOUND, Outcome};

pub(crate) async fn run(name: &str, paths: &Paths) -> Outcome {
    // Out of the session of the command that started it: neither its terminal nor its end is this process's.
    let _ = nix::unistd::setsid();
    match supervise(paths, name).await {
        Ok(()) => Ok(0),
        Err(error) => {
            tracing::error!(%error, "supervision ends");
            let code = if matches!(error, SupervisorError::NotFound(_)) {
                NOT_FOUND
            } else {
                FAILED
            };
            Err(Failure::new(code, error))
        }
    }
}
