//! The binary: one module for each command, what they print, and how they fail.
//!
//! Machine data goes to standard output, everything else to standard error. Exit codes are in [`failure`].

mod announce;
mod arkouda;
mod cli;
mod commands;
mod directories;
mod environment;
mod failure;
mod live;
mod output;
mod platforms;
mod source;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use failure::{Failure, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_tracing(cli.verbose, &cli.command);
    // Children write to a terminal or a file of their own; a closed pipe is an error of the one that writes to it.
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let outcome = runtime.block_on(dispatch(cli.command));
            // What still runs in the background (a question nobody waits for) must not hold the command up.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if !is_broken_pipe(&failure.error) {
                output::say(&failure.to_string());
            }
            ExitCode::from(failure.code)
        }
    }
}

/// Whether the reader of standard output has gone (`seaway logs | head`); that is no news to anybody.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Up(arguments) => commands::up::run(arguments).await,
        Command::Down(arguments) => commands::down::run(arguments).await,
        Command::Status(arguments) => {
            let platform = platforms::open(&arguments.platform)?;
            commands::status::run(arguments, &*platform).await
        }
        Command::Ls(arguments) => {
            let platform = platforms::open(&arguments.platform)?;
            commands::ls::run(arguments, &*platform).await
        }
        Command::Logs(arguments) => {
            let platform = platforms::open(&arguments.platform)?;
            commands::logs::run(arguments, &*platform).await
        }
        Command::Describe(arguments) => {
            let platform = platforms::open(&arguments.platform)?;
            commands::describe::run(arguments, &*platform).await
        }
        Command::Scale(arguments) => {
            let platform = platforms::open(&arguments.platform)?;
            commands::scale::run(arguments, &*platform).await
        }
        Command::Plan(arguments) => commands::plan::run(&arguments),
        Command::Exec(arguments) => commands::exec::run(arguments).await,
        Command::PortForward(arguments) => commands::port_forward::run(arguments).await,
        Command::Render(arguments) => commands::render::run(&arguments),
        Command::Schema(arguments) => commands::schema::run(&arguments),
        Command::Run(arguments) => commands::run::run(*arguments, &platforms::paths()?.state).await,
        Command::Agent(arguments) => commands::agent::run(*arguments, &platforms::paths()?.state).await,
        Command::Register(command) => {
            commands::register::register(*command, &platforms::paths()?.state).await
        }
        Command::Deregister(command) => {
            commands::register::deregister(*command, &platforms::paths()?.state).await
        }
        Command::Discovery(command) => commands::discovery::run(*command, &platforms::paths()?.state).await,
        Command::Wait(arguments) => commands::wait::run(arguments).await,
        Command::Doctor(arguments) => commands::doctor::run(&arguments, &platforms::paths()?).await,
        Command::Rbac(arguments) => commands::rbac::run(&arguments),
        Command::Setup(command) => commands::setup::run(command).await,
        Command::Completion(arguments) => commands::reference::completion(&arguments),
        Command::Supervise { name } => commands::supervise::run(&name, &platforms::paths()?).await,
        Command::Reference { page } => commands::reference::run(page),
    }
}

/// Logs go to standard error: warnings for a command, more with `--verbose` or `SEAWAY_LOG`. A supervisor's standard
/// error is its log file.
fn start_tracing(verbose: u8, command: &Command) {
    use tracing_subscriber::EnvFilter;
    let supervisor = matches!(command, Command::Supervise { .. })
        || matches!(command, Command::PortForward(arguments) if arguments.detached);
    let default = match (supervisor, verbose) {
        (true, 0) | (false, 1) => "info",
        (true, _) | (false, 2..) => "debug",
        // The agent says itself what goes wrong with a directory.
        (false, 0) if matches!(command, Command::Run(_) | Command::Agent(_)) => "warn,seaway_discovery=error",
        (false, 0) => "warn",
    };
    // The Kubernetes client tells every failed request as an error of the program; we tell them ourselves.
    let filter = EnvFilter::try_from_env(environment::LOG)
        .unwrap_or_else(|_| EnvFilter::new(format!("{default},kube_client=off")));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false);
    if supervisor {
        subscriber.init();
    } else {
        subscriber.without_time().init();
    }
}
