//! `seaway run`: a command with an agent beside it.

use std::{
    collections::BTreeSet,
    fmt,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum, ValueHint};
use seaway_agent::{
    Exit,
    probe::Question,
    process::StartError,
    run::{self, Event, Leftovers, RunConfiguration, RunError, Times, options, undisturbed},
};
use seaway_discovery::{Defaults, Directory};
use seaway_model::{
    Endpoint, Name, Period,
    discovery::{self, DirectorySpec, HttpFormat, HttpMethod},
};

use crate::failure::{FAILED, Failure, Outcome, USAGE};

const EXAMPLES: &str = "\
Examples:
  Announce a web server in the state folder while it answers:
    seaway run --endpoint http=http://127.0.0.1:8000 -- python3 -m http.server 8000

  Ready when its health page says so; announced to an HTTP server, with a token from a file:
    seaway run --name engine --endpoint client=node1:5555 --probe http://node1:8080/health \\
      --register http --http-url https://directory.example/engines/{name} --http-method PUT \\
      --http-token-file ~/.token -- ./engine

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
executed; 1 when --fail-unready stopped it; 2 when an option is wrong.";

/// `seaway run`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RunArguments {
    /// Name under which it is announced [default: the program's file name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,
    /// Where clients reach it: NAME=PORT, NAME=HOST:PORT or NAME=SCHEME://HOST:PORT/PATH.
    ///
    /// With a port alone the host is 127.0.0.1, and without a scheme it is tcp. May be given several times.
    #[arg(long = "endpoint", value_name = "NAME=ADDRESS", value_parser = options::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,
    /// When it is ready: tcp:PORT, tcp:HOST:PORT, http://HOST:PORT/PATH, command:'WORDS' or none.
    ///
    /// tcp: something accepts connections. http: a GET is answered with a status below 400. command: the words, read
    /// by `sh`, end with code 0. none: the command runs. May be given several times; all must answer. Without any,
    /// every endpoint must accept connections; with no endpoint either, a command that runs is ready.
    #[arg(long = "probe", value_name = "PROBE", value_parser = options::probe)]
    pub(crate) probes: Vec<Question>,
    /// How long it may take to become ready before that is told.
    ///
    /// The command keeps running and is announced when it becomes ready after all, unless --fail-unready is given.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) start_timeout: Period,
    /// Stop the command and exit with code 1 when it is not ready within --start-timeout.
    #[arg(long)]
    pub(crate) fail_unready: bool,
    /// How often to ask whether it is still ready.
    ///
    /// After three questions in a row without an answer it is withdrawn until it answers again. An answer may take as
    /// long as this, but at most 5 s.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) probe_interval: Period,
    /// A word about it for directories. May be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = options::label)]
    pub(crate) labels: Vec<(String, String)>,
    /// How long it may take to end before it gets a stronger signal.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) stop_timeout: Period,
    /// How long withdrawing may hold up a stop.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) withdraw_timeout: Period,
    /// What to do when an agent of this name was killed and the same command still runs.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) leftovers: LeftoversArgument,
    /// Tell only what goes wrong.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<String>,
    /// Where it is announced.
    #[command(flatten)]
    pub(crate) directories: DirectoryArguments,
}

/// Where to announce.
#[derive(Debug, Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct DirectoryArguments {
    /// Directories to announce it in, separated by commas; `none` for none.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "DIRECTORY",
        default_value = "file"
    )]
    pub(crate) register: Vec<DirectoryKind>,
    /// file: the folder with one JSON file for each name [default: `directory` in Seaway's state folder].
    #[arg(long = "file", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) file: Option<PathBuf>,
    /// file: how long an entry is believed when the agent dies; it is renewed at a third of this.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) lease: Period,
    /// http: where to announce; `{name}` in it stands for the name.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) http_url: Option<String>,
    /// http: method that announces and renews.
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        ignore_case = true,
        default_value = "POST"
    )]
    pub(crate) http_method: MethodArgument,
    /// http: where to withdraw [default: the same URL].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) http_withdraw_url: Option<String>,
    /// http: method that withdraws.
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        ignore_case = true,
        default_value = "DELETE"
    )]
    pub(crate) http_withdraw_method: MethodArgument,
    /// http: form of the body: the whole entry as JSON, or one NAME=URL line for each endpoint.
    #[arg(long, value_enum, value_name = "FORM", default_value = "json")]
    pub(crate) http_format: FormatArgument,
    /// http: file with a bearer token; read for every request, so that it can be rotated.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) http_token_file: Option<PathBuf>,
    /// http: PEM file with the authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) http_ca: Option<PathBuf>,
    /// http: PEM file with a client certificate.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) http_certificate: Option<PathBuf>,
    /// http: PEM file with the client certificate's key.
    #[arg(long, value_name = "FILE", requires = "http_certificate", value_hint = ValueHint::FilePath)]
    pub(crate) http_key: Option<PathBuf>,
    /// http: longest time for one request.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) http_timeout: Period,
    /// http: how long the server may believe the entry; told again at a third of this [default: told once].
    #[arg(long, value_name = "TIME")]
    pub(crate) http_lease: Option<Period>,
}

/// Kinds of directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectoryKind {
    /// A folder with one JSON file for each name.
    File,
    /// One JSON line on standard output for each change, between the command's own lines.
    Stdout,
    /// A request to an HTTP server.
    Http,
    /// Nowhere.
    None,
}

/// HTTP methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum MethodArgument {
    Post,
    Put,
    Patch,
    Delete,
}

/// Forms of an HTTP body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    /// The whole entry as JSON.
    Json,
    /// One NAME=URL line for each endpoint.
    Text,
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

impl From<MethodArgument> for HttpMethod {
    fn from(method: MethodArgument) -> Self {
        match method {
            MethodArgument::Post => Self::Post,
            MethodArgument::Put => Self::Put,
            MethodArgument::Patch => Self::Patch,
            MethodArgument::Delete => Self::Delete,
        }
    }
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

fn usage(message: impl fmt::Display) -> Failure {
    Failure::new(USAGE, message)
}

impl DirectoryArguments {
    /// What the options ask for, in the words of instance documents.
    fn specs(self) -> Result<Vec<DirectorySpec>, Failure> {
        let mut kinds = Vec::new();
        for kind in self.register {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if kinds.contains(&DirectoryKind::None) && kinds.len() > 1 {
            return Err(usage(
                "`none` cannot stand beside other directories in --register",
            ));
        }
        if self.http_url.is_some() && !kinds.contains(&DirectoryKind::Http) {
            return Err(
                usage("--http-url is for the directory `http`, which is not in --register")
                    .hint("add --register http, or --register file,http for both"),
            );
        }
        if self.file.is_some() && !kinds.contains(&DirectoryKind::File) {
            return Err(
                usage("--file is for the directory `file`, which is not in --register")
                    .hint("add `file` to --register"),
            );
        }
        let mut specs = Vec::new();
        for kind in kinds {
            specs.push(match kind {
                DirectoryKind::File => DirectorySpec::File(discovery::FileDirectory {
                    path: self.file.clone(),
                    lease: Some(self.lease),
                }),
                DirectoryKind::Stdout => DirectorySpec::Stdout(discovery::StdoutDirectory {}),
                DirectoryKind::Http => DirectorySpec::Http(discovery::HttpDirectory {
                    url: self.http_url.clone().ok_or_else(|| {
                        usage("--register http needs --http-url")
                            .hint("for example --http-url https://directory.example/engines/{name}")
                    })?,
                    method: self.http_method.into(),
                    withdraw_method: self.http_withdraw_method.into(),
                    withdraw_url: self.http_withdraw_url.clone(),
                    format: match self.http_format {
                        FormatArgument::Json => HttpFormat::Json,
                        FormatArgument::Text => HttpFormat::Text,
                    },
                    token_file: self.http_token_file.clone(),
                    certificate_file: self.http_certificate.clone(),
                    key_file: self.http_key.clone(),
                    ca_file: self.http_ca.clone(),
                    timeout: Some(self.http_timeout),
                    retries: None,
                    lease: self.http_lease,
                }),
                DirectoryKind::None => continue,
            });
        }
        Ok(specs)
    }

    /// The directories. Nothing is contacted yet.
    fn open(self, state_directory: &Path) -> Result<Vec<Box<dyn Directory>>, Failure> {
        let defaults = Defaults {
            state_directory: state_directory.to_owned(),
        };
        let open = |spec| {
            seaway_discovery::open(&spec, &defaults).map_err(|error| {
                let hint = error.hint();
                Failure {
                    code: USAGE,
                    error: error.into(),
                    hint,
                }
            })
        };
        self.specs()?.into_iter().map(open).collect()
    }
}

impl RunArguments {
    fn configuration(self, state_directory: &Path) -> Result<RunConfiguration, Failure> {
        let program = self.command.first().map_or("", String::as_str);
        let name = match self.name {
            Some(name) => name,
            None => options::default_name(program).ok_or_else(|| {
                usage(format!("no name can be made of `{program}`")).hint("give one with --name")
            })?,
        };
        let mut names = BTreeSet::new();
        if let Some(twice) = self
            .endpoints
            .iter()
            .find(|endpoint| !names.insert(&endpoint.name))
        {
            return Err(usage(format!("there are two endpoints called `{}`", twice.name)));
        }
        if self.probes.len() > 1 && self.probes.contains(&Question::Running) {
            return Err(usage("--probe none cannot stand beside other probes"));
        }
        let mut configuration = RunConfiguration::new(name, self.command, state_directory.to_owned());
        configuration.probes = if self.probes.is_empty() {
            options::default_probes(&self.endpoints)
        } else {
            self.probes
        };
        configuration.endpoints = self.endpoints;
        configuration.labels = self.labels.into_iter().collect();
        configuration.directories = self.directories.open(state_directory)?;
        configuration.fail_unready = self.fail_unready;
        configuration.leftovers = self.leftovers.into();
        configuration.times = Times {
            start: self.start_timeout.duration(),
            probe: self.probe_interval.duration(),
            stop: self.stop_timeout.duration(),
            withdraw: self.withdraw_timeout.duration(),
        };
        Ok(configuration)
    }
}

/// Runs the command to its end.
pub(crate) async fn run(arguments: RunArguments, state_directory: &Path) -> Outcome {
    let quiet = arguments.quiet;
    let configuration = arguments.configuration(state_directory)?;
    let tell = |event: Event| {
        if !quiet || event.is_problem() {
            // The command may have the terminal; and nothing is to be done about a standard error that is closed.
            // In one piece, since the command writes to the same place.
            undisturbed(|| {
                let _ = std::io::stderr().write_all(format!("seaway: {event}\n").as_bytes());
            });
        }
    };
    match run::run(configuration, tell).await {
        Ok(exit) => Ok(code(exit)),
        Err(error) => {
            let hint = match &error {
                RunError::Start(StartError::NotFound { .. }) => {
                    Some("check the spelling and PATH, or give the program's whole path")
                }
                RunError::Start(StartError::NotExecutable(_)) => Some("make it executable with `chmod +x`"),
                RunError::Unready { .. } => {
                    Some("check --probe and --endpoint, or give it more --start-timeout")
                }
                _ => None,
            };
            Err(Failure {
                code: error.exit_code(),
                hint: hint.map(str::to_owned),
                error: error.into(),
            })
        }
    }
}

fn code(exit: Exit) -> u8 {
    u8::try_from(exit.shell_code()).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: RunArguments,
    }

    fn read(words: &str) -> Result<RunArguments, clap::Error> {
        Line::try_parse_from(["run"].into_iter().chain(words.split(' '))).map(|line| line.arguments)
    }

    fn configure(words: &str) -> Result<RunConfiguration, Failure> {
        read(words).unwrap().configuration(Path::new("/state"))
    }

    #[test]
    fn the_defaults() {
        let run = configure("--endpoint client=8000 -- ./bin/My_Engine --port 8000").unwrap();
        assert_eq!(run.name.as_str(), "my-engine");
        assert_eq!(run.kind, "Command");
        assert_eq!(run.command, ["./bin/My_Engine", "--port", "8000"]);
        assert_eq!(
            run.probes,
            [Question::Tcp {
                address: "127.0.0.1:8000".into()
            }]
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
    fn what_is_wrong_is_said() {
        let wrong = |words: &str| {
            let failure = configure(words).unwrap_err();
            assert_eq!(failure.code, USAGE);
            failure.error.to_string()
        };
        assert!(wrong("--register http -- a").contains("needs --http-url"));
        assert!(wrong("--http-url http://h -- a").contains("not in --register"));
        assert!(wrong("--register file,none -- a").contains("`none`"));
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
