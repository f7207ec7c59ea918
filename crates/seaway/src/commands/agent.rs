//! `seaway agent`: an agent beside what it did not start.

use std::path::Path;

use clap::Args;
use seaway_agent::{
    ProcessIdentity,
    run::{RunConfiguration, Subject},
};
use seaway_model::Name;

use crate::{
    announce::{AgentOptions, EntryArguments, announcement, work},
    directories::{RegisterArguments, usage},
    environment::{self, Variable},
    failure::{FAILED, Failure, Outcome},
};

const EXAMPLES: &str = "\
Examples:
  Keep an engine that somebody else started on the map while it answers:
    seaway agent --name engine --endpoint client=5555 --register consul

  Until a process ends:
    seaway agent --name engine --endpoint client=5555 --pid 4711

  A sidecar: it shares the network of its pod, so a port is enough; the pod's uid keeps its entry over restarts of the \
container:
    seaway agent --name engine --endpoint client=5555 --register kubernetes --owner \"$POD_UID\" \\
      --listen 0.0.0.0:9464

The process is watched and never sent a signal. With endpoints alone the agent goes on until it is told to stop: it \
announces when the probes answer, and withdraws when they fail three times in a row.

Exit codes: 0 when the process has ended, or SIGTERM came; 130 for Ctrl-C; 1 when --fail-unready or \
--on-directory-error fail ended it, or the process is not there; 2 when an option is wrong.";

/// `seaway agent`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct AgentArguments {
    /// Name under which it is announced [default: the document's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,
    /// Process to watch: it is withdrawn, and the agent ends, when the process ends.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,
    /// What is announced.
    #[command(flatten)]
    pub(crate) entry: EntryArguments,
    /// When, and how the agent behaves.
    #[command(flatten)]
    pub(crate) agent: AgentOptions,
    /// Where it is announced.
    #[command(flatten)]
    pub(crate) register: RegisterArguments,
}

impl AgentArguments {
    fn configuration(
        self,
        state: &Path,
        variable: Variable<'_>,
    ) -> Result<(RunConfiguration, Vec<String>), Failure> {
        let announcement = announcement(self.name, self.entry, &self.register, None, variable)?;
        if self.pid.is_none() && announcement.endpoints.is_empty() && self.agent.probes.is_empty() {
            return Err(usage("there is nothing to watch").hint("give --endpoint, --probe or --pid"));
        }
        let name = announcement
            .name
            .clone()
            .ok_or_else(|| usage("an agent needs a name").hint("give one with --name"))?;
        let subject = match self.pid {
            Some(pid) => Subject::Process(ProcessIdentity::of(pid).ok_or_else(|| {
                Failure::new(FAILED, format!("there is no process {pid}"))
                    .hint("in a container only its own processes are seen; without --pid the probes decide")
            })?),
            None => Subject::Endpoints,
        };
        let said = announcement.said.clone();
        let configuration = self.agent.configuration(name, subject, announcement, state)?;
        Ok((configuration, said))
    }
}

/// Watches to the end.
pub(crate) async fn run(arguments: AgentArguments, state: &Path) -> Outcome {
    let quiet = arguments.agent.quiet;
    let (configuration, said) = arguments.configuration(state, &environment::of_process)?;
    work(configuration, said, quiet).await
}
