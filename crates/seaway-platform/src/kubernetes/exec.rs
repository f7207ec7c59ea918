//! A command in the container of a task, through the API server.

use kube::api::{AttachParams, TerminalSize};
use nix::sys::termios::{self, SetArg, Termios};
use seaway_model::plan::Plan;
use seaway_render::kubernetes::{MAIN, is_numbered, object_name};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    signal::unix::{SignalKind, signal},
};

use super::{KubernetesPlatform, reach::pods_of_role};
use crate::PlatformError;

/// What is to be run, and how.
#[derive(Debug, Clone, Copy)]
pub struct ExecRequest<'a> {
    /// The task: `worker-0`.
    pub task: &'a str,
    /// The command with its arguments.
    pub command: &'a [String],
    /// Whether standard input is passed on.
    pub stdin: bool,
    /// Whether the command gets a terminal.
    pub terminal: bool,
}

/// The terminal of this process in raw mode, until it is dropped.
struct Raw(Termios);

impl Raw {
    fn new() -> Option<Self> {
        let before = termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0);
    }
}

impl KubernetesPlatform {
    /// Runs a command in the container of a task, with this process's standard streams. Gives back its exit code.
    pub async fn exec(&self, name: &str, request: &ExecRequest<'_>) -> Result<u8, PlatformError> {
        let plan = self.plan(name).await?;
        let pod = self.pod_of(&plan, request.task).await?;
        let pods = self.pods();
        let parameters = AttachParams::default()
            .container(MAIN)
            .stdin(request.stdin)
            .tty(request.terminal)
            .stdout(true)
            // A terminal has one stream.
            .stderr(!request.terminal);
        let path = format!("pods/{pod}/exec");
        let mut process = pods
            .api()
            .await?
            .exec(&pod, request.command, &parameters)
            .await
            .map_err(|error| pods.failed(&error, &path))?;
        let _raw = (request.terminal && request.stdin).then(Raw::new).flatten();
        if let Some(mut sizes) = process.terminal_size() {
            tokio::spawn(async move {
                use futures_util::SinkExt;
                let Ok(mut changes) = signal(SignalKind::window_change()) else {
                    return;
                };
                while let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) {
                    let size = TerminalSize {
                        width: size.ws_col,
                        height: size.ws_row,
                    };
                    if sizes.send(size).await.is_err() || changes.recv().await.is_none() {
                        return;
                    }
                }
            });
        }
        if let Some(mut input) = process.stdin() {
            tokio::spawn(async move {
                let mut stdin = tokio::io::stdin();
                let mut bytes = vec![0; 8192];
                while let Ok(count @ 1..) = stdin.read(&mut bytes).await {
                    if input.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
                let _ = input.shutdown().await;
            });
        }
        let output = process.stdout();
        let errors = process.stderr();
        let status = process.take_status();
        let copy_output = async {
            if let Some(mut output) = output {
                let _ = tokio::io::copy(&mut output, &mut tokio::io::stdout()).await;
                let _ = tokio::io::stdout().flush().await;
            }
        };
        let copy_errors = async {
            if let Some(mut errors) = errors {
                let _ = tokio::io::copy(&mut errors, &mut tokio::io::stderr()).await;
            }
        };
        tokio::join!(copy_output, copy_errors);
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        let Some(status) = status else {
            return Err(PlatformError::Unsupported {
                platform: "kubernetes",
                what: "the connection ended before the command did".into(),
            });
        };
        if status.status.as_deref() == Some("Success") {
            return Ok(0);
        }
        let code = status
            .details
            .and_then(|details| details.causes)
            .unwrap_or_default()
            .into_iter()
            .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
            .and_then(|cause| cause.message?.parse::<u8>().ok());
        code.ok_or_else(|| PlatformError::Unsupported {
            platform: "kubernetes",
            what: status
                .message
                .unwrap_or_else(|| "the command could not be run".into()),
        })
    }

    /// The pod of a task.
    async fn pod_of(&self, plan: &Plan, task: &str) -> Result<String, PlatformError> {
        let found = task.rsplit_once('-').and_then(|(role, index)| {
            let role = plan.role(role)?;
            Some((role, index.parse::<u32>().ok()?))
        });
        let known = || {
            plan.roles
                .iter()
                .flat_map(|role| (0..role.replicas).map(move |index| format!("{}-{index}", role.name)))
                .collect()
        };
        let no_task = || PlatformError::NoTask {
            instance: plan.instance.clone(),
            task: task.to_owned(),
            known: known(),
        };
        let (role, index) = found.ok_or_else(no_task)?;
        if is_numbered(role) {
            return Ok(format!(
                "{}-{index}",
                object_name(&plan.instance, role.name.as_str())
            ));
        }
        let pod = self.pods().find(&pods_of_role(plan, role)).await?;
        pod.ok_or_else(no_task)
    }
}
