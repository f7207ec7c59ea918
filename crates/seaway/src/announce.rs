//! What `seaway run` and `seaway agent` have in common: what is announced, when, where, and what is told about it.

use std::{collections::BTreeSet, io::Write, net::SocketAddr, path::Path};

use clap::{Args, ValueEnum};
use seaway_agent::{
    Exit,
    probe::{Probe, Question},
    process::StartError,
    run::{
        self, Event, OnDirectoryError, RunConfiguration, RunError, Subject, Times,
        options::{self, OptionError},
        undisturbed,
    },
};
use seaway_discovery::Owner;
use seaway_model::{Document, Endpoint, Name, Period, discovery::DirectorySpec, document::Spec};

use crate::{
    arkouda::TakenOver,
    directories::{
        self, DirectoryKind, Purpose, RegisterArguments,
        services::{Integration, integration},
        usage,
    },
    environment::{EXTERNAL_SERVICE, Variable},
    failure::{FAILED, Failure, Outcome},
};

/// What is announced.
#[derive(Debug, Args)]
pub(crate) struct EntryArguments {
    /// Where clients reach it: NAME=PORT, NAME=HOST:PORT or NAME=SCHEME://HOST:PORT/PATH.
    ///
    /// A port alone is a port of this machine, announced with the address that is seen from each directory (see
    /// --address). Without a scheme it is tcp. May be given several times.
    #[arg(long = "endpoint", value_name = "NAME=ADDRESS", value_parser = options::endpoint)]
    pub(crate) endpoints: Vec<Endpoint>,
    /// Host to announce for endpoints given with a port alone: a name, an IP address, or `auto`.
    ///
    /// `auto` is the address that packets to the directory come from; on this machine that is 127.0.0.1.
    #[arg(long, value_name = "HOST", default_value = "auto", value_parser = host)]
    pub(crate) address: Host,
    /// A word about it for directories. May be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = options::label)]
    pub(crate) labels: Vec<(String, String)>,
}

/// A host to announce; none for the one seen from each directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) Option<String>);

fn host(text: &str) -> Result<Host, OptionError> {
    options::address_to_announce(text).map(Host)
}

/// When it is announced, and how the agent behaves.
#[derive(Debug, Args)]
pub(crate) struct AgentOptions {
    /// When it is ready: tcp:PORT, tcp:HOST:PORT, http://HOST:PORT/PATH[#KEY.KEY=VALUE], command:'WORDS' or none.
    ///
    /// tcp: something accepts connections. http: a GET is answered with a status below 400, and its JSON has VALUE at the
    /// keys when they are given (`*` for any key, `>NUMBER` for a number above that). command: the words, read
    /// by `sh`, end with code 0. none: always. May be given several times; all must answer. Without any, every
    /// endpoint must accept connections; with no endpoint either, what runs is ready.
    #[arg(long = "probe", value_name = "PROBE", value_parser = options::probe)]
    pub(crate) probes: Vec<Probe>,
    /// How long it may take to become ready before that is told.
    ///
    /// It is announced when it becomes ready after all, unless --fail-unready is given.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) start_timeout: Period,
    /// Exit with code 1 when it is not ready within --start-timeout; a command is stopped for that.
    #[arg(long)]
    pub(crate) fail_unready: bool,
    /// How often to ask whether it is still ready.
    ///
    /// After three questions in a row without an answer it is withdrawn until it answers again. An answer may take as
    /// long as this, but at most 5 s.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) probe_interval: Period,
    /// How long withdrawing may hold up a stop.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub(crate) withdraw_timeout: Period,
    /// What to do when a directory does not take it at the first attempt. A renewal that fails never stops anything.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) on_directory_error: OnDirectoryErrorArgument,
    /// Who announces it, for directories: one word that no other agent uses [default: made up, and kept in Seaway's
    /// state folder].
    ///
    /// For containers, whose files do not outlive them: with the same owner (the pod's name or uid) a restart takes its
    /// own entry over at once.
    #[arg(long, value_name = "OWNER")]
    pub(crate) owner: Option<Owner>,
    /// Serve /metrics (OpenMetrics), /healthz and /readyz at PORT of the loopback interface, or at IP:PORT.
    ///
    /// Port 0 is any free one; which one is told.
    #[arg(long, value_name = "ADDRESS", value_parser = options::listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// Tell only what goes wrong.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// What to do when a directory does not take the entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnDirectoryErrorArgument {
    /// Exit with code 1; a command is stopped for that.
    Fail,
    /// Tell it once, and leave the directory alone until it is ready anew.
    Warn,
    /// Tell it once, and try again and again.
    #[default]
    Retry,
}

impl From<OnDirectoryErrorArgument> for OnDirectoryError {
    fn from(what: OnDirectoryErrorArgument) -> Self {
        match what {
            OnDirectoryErrorArgument::Fail => Self::Fail,
            OnDirectoryErrorArgument::Warn => Self::Warn,
            OnDirectoryErrorArgument::Retry => Self::Retry,
        }
    }
}

/// What is announced where, when everything that says so has been read.
#[derive(Debug)]
pub(crate) struct Announcement {
    /// Its name; absent when nothing gives one.
    pub(crate) name: Option<Name>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) specs: Vec<DirectorySpec>,
    /// What to tell about what was read, one line each.
    pub(crate) said: Vec<String>,
}

/// Puts together what options, the document, the command line of an Arkouda server and the environment say.
pub(crate) fn announcement(
    name: Option<Name>,
    entry: EntryArguments,
    register: &RegisterArguments,
    taken: Option<&TakenOver>,
    variable: Variable<'_>,
) -> Result<Announcement, Failure> {
    let document = register.options.read_document(name.as_ref())?;
    let kinds = match taken.and_then(|taken| taken.system) {
        Some(system) if register.register.is_empty() => {
            let word = system.directory();
            let kind = DirectoryKind::from_str(word, false);
            vec![kind.map_err(usage)?]
        }
        _ => register.register.clone(),
    };
    let kubernetes = if kinds.is_empty() {
        document.as_ref().is_some_and(names_kubernetes)
    } else {
        kinds.contains(&DirectoryKind::Kubernetes)
    };
    let Integration {
        endpoints: others,
        services,
        said,
    } = integration(kubernetes, taken, variable)?;
    let mut endpoints = entry.endpoints;
    let mut names = BTreeSet::new();
    if let Some(twice) = endpoints.iter().find(|endpoint| !names.insert(&endpoint.name)) {
        return Err(usage(format!("there are two endpoints called `{}`", twice.name)));
    }
    for other in others {
        if !endpoints.iter().any(|endpoint| endpoint.name == other.name) {
            endpoints.push(other);
        }
    }
    if let Host(Some(host)) = entry.address {
        for endpoint in endpoints.iter_mut().filter(|endpoint| endpoint.host.is_empty()) {
            endpoint.host.clone_from(&host);
        }
    }
    let purpose = Purpose {
        option: "--register",
        endpoints: &endpoints,
        services,
        inside: taken.is_some_and(|taken| taken.inside),
    };
    let specs = register.options.specs(&kinds, document.as_ref(), &purpose)?;
    let service = || kubernetes.then(|| variable(EXTERNAL_SERVICE[0])).flatten();
    let name = name
        .or_else(|| document.map(|document| document.metadata.name))
        .or_else(|| service().and_then(|name| name.trim().parse().ok()));
    let taken_over = taken.map(|taken| {
        let wins = if taken.system.is_some() && !register.register.is_empty() {
            ", and --register wins over it"
        } else {
            ""
        };
        format!("taken over from the command: {}{wins}", taken.said)
    });
    Ok(Announcement {
        name,
        endpoints,
        labels: entry.labels,
        specs,
        said: taken_over.into_iter().chain(said).collect(),
    })
}

fn names_kubernetes(document: &Document) -> bool {
    let Spec::Dask(spec) = &document.spec;
    let mut directories = spec.discovery.iter();
    directories.any(|directory| matches!(directory, DirectorySpec::Kubernetes(_)))
}

impl AgentOptions {
    /// What the agent is to do.
    pub(crate) fn configuration(
        self,
        name: Name,
        subject: Subject,
        announcement: Announcement,
        state: &Path,
    ) -> Result<RunConfiguration, Failure> {
        if self.probes.len() > 1 && self.probes.contains(&Question::Running.into()) {
            return Err(usage("--probe none cannot stand beside other probes"));
        }
        let mut configuration = RunConfiguration::new(name, subject, state.to_owned());
        configuration.probes = if self.probes.is_empty() {
            options::default_probes(&announcement.endpoints)
        } else {
            self.probes
        };
        configuration.directories = directories::open(&announcement.specs, state)?;
        configuration.endpoints = announcement.endpoints;
        configuration.labels = announcement.labels.into_iter().collect();
        configuration.on_directory_error = self.on_directory_error.into();
        configuration.owner = self.owner;
        configuration.listen = self.listen;
        configuration.fail_unready = self.fail_unready;
        configuration.times = Times {
            start: self.start_timeout.duration(),
            probe: self.probe_interval.duration(),
            withdraw: self.withdraw_timeout.duration(),
            ..Times::default()
        };
        Ok(configuration)
    }
}

/// Lets the agent work until it is over.
pub(crate) async fn work(configuration: RunConfiguration, said: Vec<String>, quiet: bool) -> Outcome {
    let line = |text: &dyn std::fmt::Display| {
        // The command may have the terminal; and nothing is to be done about a standard error that is closed. In one
        // piece, since the command writes to the same place.
        undisturbed(|| {
            let _ = std::io::stderr().write_all(format!("seaway: {text}\n").as_bytes());
        });
    };
    for text in said.into_iter().filter(|_| !quiet) {
        line(&text);
    }
    let tell = |event: Event| {
        if !quiet || event.is_problem() {
            line(&event);
        }
    };
    run::run(configuration, tell).await.map(code).map_err(failure)
}

fn failure(error: RunError) -> Failure {
    let hint = match &error {
        RunError::Start(StartError::NotFound { .. }) => {
            Some("check the spelling and PATH, or give the program's whole path".to_owned())
        }
        RunError::Start(StartError::NotExecutable(_)) => {
            Some("make it executable with `chmod +x`".to_owned())
        }
        RunError::Unready { .. } => {
            Some("check --probe and --endpoint, or give it more --start-timeout".to_owned())
        }
        RunError::Listen { .. } => Some("give --listen another port, or 0 for any free one".to_owned()),
        RunError::NotAnnounced { hint, .. } => hint.clone(),
        _ => None,
    };
    Failure {
        code: error.exit_code(),
        hint,
        error: error.into(),
    }
}

fn code(exit: Exit) -> u8 {
    u8::try_from(exit.shell_code()).unwrap_or(FAILED)
}
