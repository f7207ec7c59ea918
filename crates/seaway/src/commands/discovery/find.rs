//! `seaway discovery get`.

use std::{path::Path, time::Duration};

use seaway_discovery::{Directory, Entry, Error};
use seaway_model::{Endpoint, Name};
use tokio::time::Instant;

use super::{
    GetArguments, GetFormat, failure, is_live,
    watch::{Failures, Woken, wait},
};
use crate::{
    directories::usage,
    environment,
    failure::{FAILED, Failure, NOT_FOUND, Outcome},
    output,
};

pub(super) async fn run(arguments: &GetArguments, state: &Path) -> Outcome {
    let directories = arguments.from.open(Some(&arguments.name), state)?;
    let wait_for = arguments
        .wait
        .map_or(Duration::ZERO, seaway_model::Period::duration);
    let deadline = Instant::now() + wait_for;
    let mut failures = Failures::default();
    let mut shown: Option<Entry> = None;
    loop {
        let patient = arguments.watch || Instant::now() < deadline;
        let mut found = match look(&directories, &arguments.name).await {
            Ok(found) => {
                failures.over();
                found
            }
            // What was there a moment ago may well be there still.
            Err(error) if patient => {
                failures.tell(&error);
                shown.clone()
            }
            Err(error) => return Err(failure(error)),
        };
        let text = match found.as_ref().map(|entry| render(arguments, entry)) {
            None => None,
            Some(Ok(text)) => Some(text),
            // The endpoint may be announced later than others.
            Some(Err(failure)) if patient && failure.code == NOT_FOUND => {
                found = None;
                None
            }
            Some(Err(failure)) => return Err(failure),
        };
        if let (Some(text), Some(now)) = (text, &found)
            && !shown
                .as_ref()
                .is_some_and(|before| before.announces_the_same(now))
        {
            output::print(&text)?;
            if !arguments.watch {
                return Ok(0);
            }
        }
        if found.is_none() && shown.is_some() {
            if arguments.output == GetFormat::Json {
                output::print("null")?;
            }
            output::say(&format!("{} is gone", arguments.name));
        }
        shown = found;
        if !patient {
            return Err(not_found(arguments, &directories, wait_for).await);
        }
        let late = async {
            if arguments.watch {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep_until(deadline).await;
        };
        tokio::select! {
            woken = wait(&directories, shown.iter(), &mut failures) => if woken == Woken::NoReader {
                return Ok(0);
            },
            () = late => {}
        }
    }
}

/// The entry in the first directory that has a live one. A directory that cannot be asked matters only when no other
/// one has it.
async fn look(directories: &[Box<dyn Directory>], name: &Name) -> Result<Option<Entry>, Error> {
    let mut wrong = None;
    for directory in directories {
        match directory.get(name).await {
            Ok(Some(entry)) if is_live(&entry) => return Ok(Some(entry)),
            Ok(_) => {}
            Err(error) => {
                wrong.get_or_insert(error);
            }
        }
    }
    wrong.map_or(Ok(None), Err)
}

async fn not_found(
    arguments: &GetArguments,
    directories: &[Box<dyn Directory>],
    waited: Duration,
) -> Failure {
    let name = &arguments.name;
    let places: Vec<String> = directories.iter().map(|directory| directory.describe()).collect();
    let places = places.join(" or ");
    let within = if waited.is_zero() {
        String::new()
    } else {
        format!(" within {} s", waited.as_secs_f64())
    };
    let failure = Failure::new(
        NOT_FOUND,
        format!("`{name}` is not announced in {places}{within}"),
    );
    let mut names = Vec::new();
    for directory in directories {
        let entries = directory.list().await.unwrap_or_default();
        names.extend(
            entries
                .into_iter()
                .filter(is_live)
                .map(|entry| entry.name.to_string()),
        );
    }
    names.truncate(8);
    if let Some(hint) = arguments.from.hint(&environment::of_process) {
        failure.hint(hint)
    } else if names.is_empty() {
        failure
            .hint("see `seaway discovery ls --all`, look elsewhere with --from, or wait for it with --wait")
    } else {
        failure.hint(format!("there is: {}", names.join(", ")))
    }
}

fn render(arguments: &GetArguments, entry: &Entry) -> Result<String, Failure> {
    let endpoint = || choose(entry, arguments.endpoint.as_ref());
    match arguments.output {
        GetFormat::Url => word(endpoint()?.url()),
        GetFormat::Address => word(endpoint()?.address()),
        GetFormat::Env if arguments.endpoint.is_none() => Ok(assignments(&entry.endpoints)),
        GetFormat::Env => Ok(assignments(std::slice::from_ref(endpoint()?))),
        // One line while watching: each is one state.
        GetFormat::Json if arguments.watch => Ok(serde_json::to_string(entry)?),
        GetFormat::Json => Ok(serde_json::to_string_pretty(entry)?),
    }
}

fn choose<'a>(entry: &'a Entry, wanted: Option<&Name>) -> Result<&'a Endpoint, Failure> {
    let of_name = |name: &str| {
        entry
            .endpoints
            .iter()
            .find(|endpoint| endpoint.name.as_str() == name)
    };
    let names: Vec<&str> = entry
        .endpoints
        .iter()
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    if let Some(wanted) = wanted {
        return of_name(wanted.as_str()).ok_or_else(|| {
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            Failure::new(NOT_FOUND, format!("`{}` has no endpoint `{wanted}`", entry.name))
                .hint(format!("its endpoints: {known}"))
        });
    }
    match entry.endpoints.as_slice() {
        [] => Err(Failure::new(
            NOT_FOUND,
            format!("`{}` is announced without endpoints", entry.name),
        )),
        [only] => Ok(only),
        _ => of_name("client").ok_or_else(|| {
            usage(format!("`{}` has several endpoints", entry.name))
                .hint(format!("say which with --endpoint: {}", names.join(", ")))
        }),
    }
}

/// A word that a script can use as it is. Anybody may have written it.
fn word(text: String) -> Result<String, Failure> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Failure::new(
            FAILED,
            format!("what is announced is no address: `{}`", text.escape_debug()),
        ));
    }
    Ok(text)
}

fn assignments(endpoints: &[Endpoint]) -> String {
    let lines = endpoints.iter().flat_map(|endpoint| {
        let name = endpoint.name.as_str().to_uppercase().replace('-', "_");
        [
            ("URL", endpoint.url()),
            ("ADDRESS", endpoint.address()),
            ("HOST", endpoint.host.clone()),
            ("PORT", endpoint.port.to_string()),
        ]
        .map(|(key, value)| format!("SEAWAY_{name}_{key}={}", quoted(&value)))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A word as a shell takes it for itself, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &'static str, host: &str) -> Endpoint {
        Endpoint {
            name: Name::literal(name),
            scheme: "tcp".into(),
            host: host.into(),
            port: 1,
            path: String::new(),
            token_file: None,
        }
    }

    #[test]
    fn a_shell_reads_assignments_as_they_are_meant() {
        let text = assignments(&[endpoint("my-ui", "h"), endpoint("x", "$(id)'`")]);
        assert!(
            text.starts_with("SEAWAY_MY_UI_URL='tcp://h:1'\nSEAWAY_MY_UI_ADDRESS='h:1'\n"),
            "{text}"
        );
        assert!(text.contains(r"SEAWAY_X_HOST='$(id)'\''`'"), "{text}");
        word("tcp://h:1\nx".into()).unwrap_err();
    }

    #[test]
    fn which_endpoint_is_meant() {
        let entry = |names: &[&'static str]| {
            let endpoints = names.iter().map(|&name| endpoint(name, "h")).collect();
            Entry::new(Name::literal("e"), "Command", "o".parse().unwrap(), endpoints)
        };
        let chosen = |names: &[&'static str], wanted: Option<&'static str>| {
            let wanted = wanted.map(Name::literal);
            choose(&entry(names), wanted.as_ref())
                .map(|one| one.name.to_string())
                .map_err(|f| f.code)
        };
        assert_eq!(chosen(&["ui"], None).unwrap(), "ui");
        assert_eq!(chosen(&["ui", "client"], None).unwrap(), "client");
        assert_eq!(chosen(&["ui", "client"], Some("ui")).unwrap(), "ui");
        assert_eq!(chosen(&["ui", "metrics"], None), Err(crate::failure::USAGE));
        assert_eq!(chosen(&["ui"], Some("client")), Err(NOT_FOUND));
        assert_eq!(chosen(&[], None), Err(NOT_FOUND));
    }
}
