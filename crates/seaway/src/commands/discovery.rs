//! `seaway discovery`: what stands in directories, the same way for each of them.

mod find;
mod gc;
mod list;
mod watch;

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use seaway_discovery::{Directory, Entry, Error};
use seaway_model::{Name, Period};

use crate::{
    directories::FromArguments,
    failure::{FAILED, Failure, INTERRUPTED, Outcome},
};

/// `seaway discovery`.
#[derive(Debug, Args)]
pub(crate) struct DiscoveryCommand {
    #[command(subcommand)]
    command: DiscoverySubcommand,
}

#[derive(Debug, Subcommand)]
enum DiscoverySubcommand {
    /// List what is announced.
    Ls(ListArguments),
    /// Print where something is reached, for scripts.
    Get(GetArguments),
    /// Remove entries whose lease has run out.
    Gc(CollectArguments),
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway discovery ls\n  seaway discovery ls --from consul,redis --output json\n  seaway \
                             discovery ls --from redis --watch --output json\n\nWith --watch and JSON there is one line \
                             for each change: {\"event\": \"added\" | \"changed\" | \"removed\", \"directory\": …, \
                             \"entry\": …}; what is there at first is added. That an entry is renewed is no change; that \
                             its lease runs out removes it."
)]
struct ListArguments {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: ListFormat,
    /// Show each change, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
    /// Show entries too whose lease has run out.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    from: FromArguments,
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  python3 client.py \"$(seaway discovery get engine --output address)\"\n  eval \
                             \"$(seaway discovery get engine --from consul --wait 2m --output env)\"\n  seaway discovery \
                             get engine --endpoint metrics --watch\n\nWithout --endpoint it is the endpoint `client`, or \
                             the only one there is. Of several directories the first that has it answers.\n\n--output \
                             env prints shell assignments: SEAWAY_CLIENT_URL, SEAWAY_CLIENT_ADDRESS, \
                             SEAWAY_CLIENT_HOST and SEAWAY_CLIENT_PORT for the endpoint `client`, and so on for each.\n\n\
                             Exit codes: 0 when it is there; 3 when it is not, or not within --wait; 1 when a directory \
                             could not be asked; 130 for Ctrl-C."
)]
struct GetArguments {
    /// Name it is announced under.
    #[arg(value_name = "NAME")]
    name: Name,
    /// Endpoint to print [default: client, or the only one].
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<Name>,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: GetFormat,
    /// Print it again whenever it changes, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
    /// Wait this long until it is there; --watch waits without end.
    #[arg(long, value_name = "TIME", conflicts_with = "watch")]
    wait: Option<Period>,
    #[command(flatten)]
    from: FromArguments,
}

#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway discovery gc --dry-run\n  seaway discovery gc --from kubernetes --every \
                             30s\n\nPrints what it removed, one on a line. What is live, what has no lease and what is no \
                             entry stays. With --every a pass that fails is told, and the next one is tried.\n\nExit \
                             codes: 0, also when there was nothing to do; 1 when a directory could not be cleaned; 130 \
                             for Ctrl-C."
)]
struct CollectArguments {
    /// Do it again and again, with this pause, until Ctrl-C.
    #[arg(long, value_name = "TIME")]
    every: Option<Period>,
    /// Print what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Form of the output; JSON is one line for each entry.
    #[arg(short, long, value_enum, default_value_t)]
    output: ListFormat,
    #[command(flatten)]
    from: FromArguments,
}

/// Forms of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ListFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What of an entry to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum GetFormat {
    /// scheme://host:port/path
    #[default]
    Url,
    /// host:port
    Address,
    /// The whole entry.
    Json,
    /// Shell assignments.
    Env,
}

pub(crate) async fn run(command: DiscoveryCommand, state: &Path) -> Outcome {
    let work = async {
        match command.command {
            DiscoverySubcommand::Ls(arguments) => list::run(&arguments, state).await,
            DiscoverySubcommand::Get(arguments) => find::run(&arguments, state).await,
            DiscoverySubcommand::Gc(arguments) => gc::run(&arguments, state).await,
        }
    };
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Ok(INTERRUPTED),
    }
}

/// An entry with where it stands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
struct Found {
    /// The directory, in words.
    directory: String,
    entry: Entry,
}

impl Found {
    /// Whether it says the same as another one, whenever they were renewed.
    fn says_the_same(&self, other: &Self) -> bool {
        self.directory == other.directory && self.entry.announces_the_same(&other.entry)
    }

    fn key(&self) -> (String, Name) {
        (self.directory.clone(), self.entry.name.clone())
    }
}

fn is_live(entry: &Entry) -> bool {
    !entry.is_expired(Timestamp::now())
}

/// All entries of all directories, by directory and name.
async fn all(directories: &[Box<dyn Directory>]) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for directory in directories {
        let place = directory.describe();
        let entries = directory.list().await.map_err(failure)?;
        found.extend(entries.into_iter().map(|entry| Found {
            directory: place.clone(),
            entry,
        }));
    }
    Ok(found)
}

fn failure(error: Error) -> Failure {
    Failure {
        code: FAILED,
        hint: error.hint(),
        error: error.into(),
    }
}

/// A text from a directory, which anybody may have written, as it can be shown on a terminal.
fn plain(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text.to_owned()
    }
}
