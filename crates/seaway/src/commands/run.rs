//! `seaway run`: a command with an agent beside it.

use std::{ffi::OsString, path::Path};

use clap::{Args, ValueEnum, ValueHint};
use seaway_agent::run::{Leftovers, RunConfiguration, Subject, options};
use seaway_model::{Name, Period};

use crate::{
    announce::{AgentOptions, EntryArguments, announcement, work},
    arkouda,
    directories::{RegisterArguments, usage},
    environment::{self, Variable},
    failure::{Failure, Outcome},
};

const EXAMPLES: &str = "\
Examples:
  Announce a web server in the state folder while it answers:
    seaway run --endpoint http=http://127.0.0.1:8000 -- python3 -m http.server 8000

  Ready when its health page says so; announced to an HTTP server, with a token from a file:
    seaway run --name engine --endpoint client=node1:5555 --probe http://node1:8080/health \\
      --register http --http-url https://directory.example/engines/{name} --http-method PUT \\
      --http-token-file ~/.token -- ./engine

  In Consul and in Redis, which CONSUL_HTTP_ADDR and REDIS_URL say how to reach:
    seaway run --name eng --endpoint client=8000 --register consul,redis -- python3 -m http.server 8000

  An Arkouda server, with the flags of its own integration (taken over and left out of its command line):
    seaway run -- ./arkouda_server -nl 3 --ExternalIntegration.systemType=SystemType.KUBERNETES

  Ready when a command says so:
    seaway run --endpoint client=6379 --probe command:'redis-cli ping' -- redis-server

The command has this terminal: Ctrl-C and Ctrl-Z reach it as if it ran without an agent. What the agent has to say \
goes to standard error, one line for each event.

SIGTERM, SIGINT, SIGHUP and SIGQUIT sent to the agent withdraw the endpoints first, then reach the command. When it \
does not end within --stop-timeout it gets SIGTERM, then SIGKILL; the same signal again does not wait. When the command \
ends, what it left running is ended too.

Of several agents with one name, user and machine, one announces, and the next takes its place when it ends. After a \
crash a restart is the same owner and takes the entry over at once.

Exit codes: the command's own; 128 + N when signal N ended it; 127 when it is not found; 126 when it cannot be \
executed; 1 when --fail-unready or --on-directory-error fail stopped it; 2 when an option is wrong.";

/// `seaway run`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RunArguments {
    /// Name under which it is announced [default: the document's name, or the program's file name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,
    /// What is announced.
    #[command(flatten)]
    pub(crate) entry: EntryArguments,
    /// When, and how the agent behaves.
    #[command(flatten)]
    pub(crate) agent: AgentOptions,
    /// How long it may take to end before it gets a stronger signal.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) stop_timeout: Period,
    /// What to do when an agent of this name was killed and the same command still runs.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) leftovers: LeftoversArgument,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
    /// Where it is announced.
    #[command(flatten)]
    pub(crate) register: RegisterArguments,
}

/// What to do with what an earlier agent left running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeftoversArgument {
    /// End it, then start anew.
    #[default]
    Stop,
    /// Take it over as it runs; its exit code is then not known.
    Adopt,
    /// Leave it alone and start another.
    Ignore,
}

impl From<LeftoversArgument> for Leftovers {
    fn from(what: LeftoversArgument) -> Self {
        match what {
            LeftoversArgument::Stop => Self::Stop,
            LeftoversArgument::Adopt => Self::Adopt,
            LeftoversArgument::Ignore => Self::Ignore,
        }
    }
}

impl RunArguments {
    fn configuration(
        self,
        state: &Path,
        variable: Variable<'_>,
    ) -> Result<(RunConfiguration, Vec<String>), Failure> {
        let taken = arkouda::take_over(&self.command).map_err(usage)?;
        let command = match &taken {
            Some(taken) => taken.command.clone(),
            None => self.command,
        };
        let text = |word: OsString| {
            word.into_string()
                .map_err(|word| usage(format!("`{}` of the command is not UTF-8", word.display())))
        };
        let command: Vec<String> = command.into_iter().map(text).collect::<Result<_, _>>()?;
        let announcement = announcement(self.name, self.entry, &self.register, taken.as_ref(), variable)?;
        let of_program = || {
            let program = command.first().map_or("", String::as_str);
            options::default_name(program).ok_or_else(|| {
                usage(format!("no name can be made of `{program}`")).hint("give one with --name")
            })
        };
        let name = announcement.name.clone().map_or_else(of_program, Ok)?;
        let said = announcement.said.clone();
        let mut configuration =
            self.agent
                .configuration(name, Subject::Command(command), announcement, state)?;
        configuration.leftovers = self.leftovers.into();
        configuration.times.stop = self.stop_timeout.duration();
        Ok((configuration, said))
    }
}

/// Runs the command to its end.
pub(crate) async fn run(arguments: RunArguments, state: &Path) -> Outcome {
    let quiet = arguments.agent.quiet;
    let (configuration, said) = arguments.configuration(state, &environment::of_process)?;
    work(configuration, said, quiet).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use seaway_agent::{probe::Question, run::Times};

    use super::*;
    use crate::failure::USAGE;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: RunArguments,
    }

    fn read(words: &str) -> Result<RunArguments, clap::Error> {
        Line::try_parse_from(["run"].into_iter().chain(words.split(' '))).map(|line| line.arguments)
    }

    fn configure(words: &str) -> Result<RunConfiguration, Failure> {
        with(words, &[])
    }

    fn with(words: &str, variables: &[(&str, &str)]) -> Result<RunConfiguration, Failure> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let configured = read(words).unwrap().configuration(Path::new("/state"), &variable);
        configured.map(|(configuration, _)| configuration)
    }

    #[test]
    fn the_defaults() {
        let run = configure("--endpoint client=8000 -- ./bin/My_Engine --port 8000").unwrap();
        assert_eq!(run.name.as_str(), "my-engine");
        assert_eq!(run.kind, "Command");
        let command = ["./bin/My_Engine", "--port", "8000"].map(str::to_owned).to_vec();
        assert_eq!(run.subject, Subject::Command(command));
        assert_eq!(run.endpoints[0].host, "", "its address depends on who looks");
        assert_eq!(
            run.probes,
            [Question::Tcp {
                address: "127.0.0.1:8000".into()
            }
            .into()]
        );
        assert_eq!(run.directories[0].describe(), "folder /state/directory");
        assert_eq!(run.times, Times::default());
        assert!(configure("-- sleep 1").unwrap().probes.is_empty());
        assert!(
            configure("--register none -- sleep 1")
                .unwrap()
                .directories
                .is_empty()
        );
    }

    #[test]
    fn directories_and_their_options() {
        let words =
            "--register file,http --file /d --http-url http://127.0.0.1/{name} --http-method put -- a";
        let run = configure(words).unwrap();
        let described: Vec<_> = run
            .directories
            .iter()
            .map(|directory| directory.describe())
            .collect();
        assert_eq!(
            described,
            ["folder /d", "HTTP server http://127.0.0.1/{name} (not encrypted)"]
        );
        let unknown = read("--register fiel -- a").unwrap_err().to_string();
        assert!(
            unknown.contains("'file'") && unknown.contains("stdout"),
            "{unknown}"
        );
    }

    #[test]
    fn flags_of_arkouda_say_where_and_what() {
        let line = "-- ./arkouda_server -nl 3 --ExternalIntegration.systemType=SystemType.CONSUL";
        let run = configure(line).unwrap();
        assert_eq!(run.name.as_str(), "arkouda-server");
        assert_eq!(run.directories[0].kind(), "consul");
        assert_eq!(
            (run.endpoints[0].name.as_str(), run.endpoints[0].port),
            ("client", 5555)
        );
        let command = ["./arkouda_server", "-nl", "3"].map(str::to_owned).to_vec();
        assert_eq!(run.subject, Subject::Command(command));
        let own = configure(&format!("--register file --endpoint client=h:7000 {line}")).unwrap();
        assert_eq!(own.directories[0].kind(), "file");
        assert_eq!((own.endpoints.len(), own.endpoints[0].port), (1, 7000));
        let none = configure(&line.replace("CONSUL", "NONE")).unwrap();
        assert!(none.directories.is_empty());
    }

    #[test]
    fn variables_of_arkouda_count_where_kubernetes_is_a_directory() {
        let variables = [
            ("EXTERNAL_SERVICE_NAME", "arkouda-external"),
            ("EXTERNAL_SERVICE_TARGET_PORT", "7000"),
        ];
        let run = with("--register kubernetes -- ./server", &variables).unwrap();
        assert_eq!(run.name.as_str(), "arkouda-external");
        assert_eq!(run.endpoints[0].port, 7000);
        let run = with("-- ./server", &variables).unwrap();
        assert_eq!((run.name.as_str(), run.endpoints.len()), ("server", 0));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = |words: &str| {
            let failure = configure(words).unwrap_err();
            assert_eq!(failure.code, USAGE);
            failure.error.to_string()
        };
        assert!(wrong("--register http -- a").contains("needs --http-url"));
        assert!(wrong("--http-url http://h -- a").contains("not in --register"));
        assert!(wrong("--register file,none -- a").contains("`none`"));
        assert!(wrong("--redis-user a -- a").contains("--redis-user is for the directory `redis`"));
        assert!(wrong("--register redis --redis-url redis://a:secret@h -- a").contains("password"));
        assert!(
            wrong("--register kubernetes --endpoint a=1 --service b=c -- a")
                .contains("`b`, which there is not")
        );
        assert!(wrong("-- ./arkouda_server --systemType=ETCD").contains("SystemType.KUBERNETES"));
        assert!(wrong("--lease 10ms -- a").contains("lease"));
        assert!(wrong("--endpoint a=1 --endpoint a=2 -- a").contains("two endpoints called `a`"));
        assert!(wrong("--probe none --probe tcp:1 -- a").contains("none"));
        assert!(wrong("-- ...").contains("no name can be made"));
        let plain = "--register http --http-token-file /t --http-url http://far.example -- a";
        assert!(wrong(plain).contains("in the clear"));
        assert!(read("--name x").unwrap_err().to_string().contains("COMMAND"));
        assert!(
            read("--endpoint a -- a")
                .unwrap_err()
                .to_string()
                .contains("NAME=PORT")
        );
        assert!(
            read("--stop-timeout soon -- a")
                .unwrap_err()
                .to_string()
                .contains("duration")
        );
    }
}
