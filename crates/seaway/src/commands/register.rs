//! `seaway register` and `seaway deregister`: one entry put in or taken out, once, for scripts.

use std::path::Path;

use clap::Args;
use jiff::Timestamp;
use nix::unistd::getuid;
use seaway_agent::host_name;
use seaway_discovery::{Directory, Entry, Error, Owner};
use seaway_model::Name;
use serde::Serialize;

use crate::{
    announce::{Announcement, EntryArguments, announcement},
    cli::OutputFormat,
    directories::{self, RegisterArguments, usage},
    environment,
    failure::{CONFLICT, FAILED, Failure, Outcome},
    output,
};

/// How long an entry that nobody renews is believed when nothing else is said.
const LEASE: &str = "1h";

/// Longest part of a host name in an owner, which has at most 128 characters.
const LONGEST_HOST: usize = 48;

/// `seaway register`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway register --name engine --endpoint client=5555 --register consul --lease 2h\n  \
                             seaway deregister --name engine --register consul\n\nNobody renews the entry: it ends with \
                             its lease, 1h unless --lease says otherwise, and the same command again begins a new one. \
                             There is no entry without end, since nobody could tell whether it is still right.\n\nWho holds the entry is \
                             made of this machine, the user and the name, so that the same command later, and \
                             `deregister`, speak of the same entry.\n\nExit codes: 0 when every directory took it; 4 \
                             when another owner holds it in one; 1 when it failed in one; 2 when an option is wrong. \
                             Each directory is tried, whatever becomes of the others."
)]
pub(crate) struct RegisterCommand {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) entry: EntryArguments,
    #[command(flatten)]
    pub(crate) register: RegisterArguments,
}

/// `seaway deregister`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway deregister --name engine --register consul\n\nTakes out what `seaway \
                             register` put in. What an agent announces, or another owner, stays. An entry that is not \
                             there is no failure.\n\nExit codes: 0 when it is in none of the directories any more; 4 when \
                             another owner holds it in one; 1 when it failed in one; 2 when an option is wrong."
)]
pub(crate) struct DeregisterCommand {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) register: RegisterArguments,
}

/// Which entry, and how it is told.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Name of the entry [default: the document's name].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,
    /// Who holds the entry: one word [default: made of this machine, the user and the name].
    #[arg(long, value_name = "OWNER")]
    pub(crate) owner: Option<Owner>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
}

/// What came of it in one directory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    kind: &'static str,
    directory: String,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    held: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    name: &'a Name,
    owner: &'a Owner,
    directories: Vec<Told>,
}

/// Puts an entry in.
pub(crate) async fn register(command: RegisterCommand, state: &Path) -> Outcome {
    let mut found = announcement(
        command.which.name,
        command.entry,
        &command.register,
        None,
        &environment::of_process,
    )?;
    if found.endpoints.is_empty() {
        return Err(usage("there is nothing to register").hint("give --endpoint NAME=ADDRESS"));
    }
    directories::lease_unless_given(&mut found.specs, LEASE.parse().map_err(usage)?);
    let (name, owner) = identity(found.name.clone(), command.which.owner)?;
    let mut entry = Entry::new(name, "Command", owner, found.endpoints.clone());
    entry.labels = found.labels.iter().cloned().collect();
    let put_in = |directory: Box<dyn Directory>| {
        let entry = entry.clone();
        async move {
            let result = put(&*directory, entry).await;
            told(&*directory, result)
        }
    };
    each(
        &entry,
        found,
        state,
        command.which.output,
        "registered in",
        put_in,
    )
    .await
}

async fn put(directory: &dyn Directory, mut entry: Entry) -> Result<Option<Timestamp>, Error> {
    if entry.lacks_address() {
        entry = entry.at(directory.own_address().await?);
    }
    directory.register(&entry).await?;
    Ok(entry.with_lease(directory.lease()).expires_at)
}

/// Takes an entry out.
pub(crate) async fn deregister(command: DeregisterCommand, state: &Path) -> Outcome {
    let nothing = EntryArguments {
        endpoints: Vec::new(),
        address: crate::announce::Host(None),
        labels: Vec::new(),
    };
    let found = announcement(
        command.which.name,
        nothing,
        &command.register,
        None,
        &environment::of_process,
    )?;
    let (name, owner) = identity(found.name.clone(), command.which.owner)?;
    let entry = Entry::new(name, "Command", owner, found.endpoints.clone());
    let take_out = |directory: Box<dyn Directory>| {
        let entry = entry.clone();
        async move {
            let result = take(&*directory, entry).await;
            told(&*directory, result.map(|()| None))
        }
    };
    each(&entry, found, state, command.which.output, "not in", take_out).await
}

async fn take(directory: &dyn Directory, entry: Entry) -> Result<(), Error> {
    // Withdrawing says nothing of an entry that is another's, so it is looked at first, where that can be.
    match directory.get(&entry.name).await {
        Ok(Some(present)) if present.owner != entry.owner && !present.is_expired(Timestamp::now()) => {
            Err(Error::Held {
                until: present.believed_until(),
                name: present.name,
                owner: present.owner,
                directory: directory.describe(),
            })
        }
        // What stands there says best what is to be taken out.
        Ok(Some(present)) if present.owner == entry.owner => directory.withdraw(&present).await,
        Ok(_) | Err(Error::Unsupported { .. } | Error::Entry { .. }) => directory.withdraw(&entry).await,
        Err(error) => Err(error),
    }
}

fn told(directory: &dyn Directory, result: Result<Option<Timestamp>, Error>) -> Told {
    let mut told = Told {
        kind: directory.kind(),
        directory: directory.describe(),
        done: true,
        expires_at: None,
        reason: None,
        hint: None,
        held: false,
    };
    match result {
        Ok(expires_at) => told.expires_at = expires_at,
        Err(error) => {
            told.done = false;
            told.held = error.is_conflict();
            told.reason = Some(error.to_string());
            told.hint = error.hint();
        }
    }
    told
}

/// Does it in every directory at once, tells what came of it, and finds the exit code.
async fn each<F: Future<Output = Told>>(
    entry: &Entry,
    found: Announcement,
    state: &Path,
    format: OutputFormat,
    done: &str,
    work: impl Fn(Box<dyn Directory>) -> F,
) -> Outcome {
    let directories = directories::open(&found.specs, state)?;
    if directories.is_empty() {
        return Err(usage("there is no directory to do it in").hint("name one with --register"));
    }
    for line in &found.said {
        output::say(&format!("seaway: {line}"));
    }
    let report = Report {
        name: &entry.name,
        owner: &entry.owner,
        directories: futures_util::future::join_all(directories.into_iter().map(work)).await,
    };
    for told in &report.directories {
        if let Some(reason) = &told.reason {
            let hint = told
                .hint
                .as_ref()
                .map_or_else(String::new, |hint| format!(" ({hint})"));
            // Many reasons name the directory themselves.
            let place = if reason.contains(&told.directory) {
                String::new()
            } else {
                format!("{}: ", told.directory)
            };
            output::say(&format!("error: {place}{reason}{hint}"));
        }
    }
    let lines: Vec<String> = report
        .directories
        .iter()
        .filter(|told| told.done)
        .map(|told| {
            let until = told.expires_at.map_or_else(String::new, |until| {
                format!(" until {}", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
            });
            format!("{} is {done} {}{until}", entry.name, told.directory)
        })
        .collect();
    let text = lines.join("\n");
    if format != OutputFormat::Table || !text.is_empty() {
        output::emit(format, &report, || text)?;
    }
    let any = |test: fn(&Told) -> bool| report.directories.iter().any(test);
    Ok(if any(|told| told.held) {
        CONFLICT
    } else if any(|told| !told.done) {
        FAILED
    } else {
        0
    })
}

/// The name, and who holds it: the same whenever it is asked on this machine by this user.
fn identity(name: Option<Name>, owner: Option<Owner>) -> Result<(Name, Owner), Failure> {
    let name = name.ok_or_else(|| usage("which entry?").hint("say it with --name"))?;
    let owner = match owner {
        Some(owner) => owner,
        None => stable_owner(&host_name(), getuid().as_raw(), &name)?,
    };
    Ok((name, owner))
}

fn stable_owner(host: &str, user: u32, name: &Name) -> Result<Owner, Failure> {
    let fit = |c: char| if c.is_ascii_graphic() && c != '/' { c } else { '-' };
    let host: String = host.chars().take(LONGEST_HOST).map(fit).collect();
    format!("{host}/{user}/{name}").parse().map_err(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_the_same_each_time_and_always_valid() {
        let name = Name::literal("engine");
        let owner = stable_owner("node 1/ü", 1000, &name).unwrap();
        assert_eq!(owner.as_str(), "node-1--/1000/engine");
        let long = "n".repeat(300);
        let name: Name = "e".repeat(seaway_model::name::MAX_LENGTH).parse().unwrap();
        stable_owner(&long, u32::MAX, &name).unwrap();
    }
}
