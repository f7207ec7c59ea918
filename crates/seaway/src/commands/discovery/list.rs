//! `seaway discovery ls`.

use std::{collections::BTreeMap, path::Path, time::Duration};

use jiff::Timestamp;
use seaway_discovery::Directory;
use serde::Serialize;

use super::{
    Found, ListArguments, ListFormat, all, is_live, plain,
    watch::{Failures, Woken, wait},
};
use crate::{
    environment,
    failure::{Failure, Outcome},
    output,
};

pub(super) async fn run(arguments: &ListArguments, state: &Path) -> Outcome {
    let directories = arguments.from.open(None, state)?;
    let mut found = look(&directories, arguments.all).await?;
    if !arguments.watch {
        match arguments.output {
            ListFormat::Table => {
                output::print(&table(&found))?;
                let hint = arguments.from.hint(&environment::of_process);
                if let (true, Some(hint)) = (found.is_empty(), hint) {
                    output::say(&format!("hint: {hint}"));
                }
            }
            ListFormat::Json => {
                let rows: Vec<_> = found.iter().map(Row::of).collect();
                output::print(&serde_json::to_string_pretty(&rows)?)?;
            }
        }
        return Ok(0);
    }
    let mut failures = Failures::default();
    let mut shown: Option<Vec<Found>> = None;
    loop {
        tell(arguments.output, shown.as_deref(), &found)?;
        shown = Some(found.clone());
        if wait(&directories, found.iter().map(|one| &one.entry), &mut failures).await == Woken::NoReader {
            return Ok(0);
        }
        match look(&directories, arguments.all).await {
            Ok(now) => {
                failures.over();
                found = now;
            }
            Err(failure) => match failure.error.downcast_ref() {
                Some(error) => failures.tell(error),
                None => return Err(failure),
            },
        }
    }
}

async fn look(directories: &[Box<dyn Directory>], expired_too: bool) -> Result<Vec<Found>, Failure> {
    let mut found = all(directories).await?;
    found.retain(|one| expired_too || is_live(&one.entry));
    Ok(found)
}

/// An entry as JSON, with what a script would have to find out otherwise.
#[derive(Serialize)]
struct Row<'a> {
    directory: &'a str,
    live: bool,
    #[serde(flatten)]
    entry: &'a seaway_discovery::Entry,
}

impl<'a> Row<'a> {
    fn of(found: &'a Found) -> Self {
        Self {
            directory: &found.directory,
            live: is_live(&found.entry),
            entry: &found.entry,
        }
    }
}

#[derive(Serialize)]
struct Change<'a> {
    event: &'static str,
    #[serde(flatten)]
    found: &'a Found,
}

/// Tells what is new: a line for each change, or the whole table when there is any.
fn tell(format: ListFormat, shown: Option<&[Found]>, found: &[Found]) -> Result<(), Failure> {
    let changes = changes(shown.unwrap_or_default(), found);
    match format {
        ListFormat::Json => {
            for (event, found) in changes {
                output::print(&serde_json::to_string(&Change { event, found })?)?;
            }
        }
        ListFormat::Table if shown.is_none() || !changes.is_empty() => {
            if shown.is_some() {
                output::print("")?;
            }
            output::print(&table(found))?;
        }
        ListFormat::Table => {}
    }
    Ok(())
}

fn changes<'a>(before: &'a [Found], after: &'a [Found]) -> Vec<(&'static str, &'a Found)> {
    let index =
        |all: &'a [Found]| -> BTreeMap<_, &'a Found> { all.iter().map(|one| (one.key(), one)).collect() };
    let (old, new) = (index(before), index(after));
    let gone = old
        .iter()
        .filter(|(key, _)| !new.contains_key(*key))
        .map(|(_, one)| ("removed", *one));
    let come = new.iter().filter_map(|(key, one)| match old.get(key) {
        None => Some(("added", *one)),
        Some(before) if !before.says_the_same(one) => Some(("changed", *one)),
        Some(_) => None,
    });
    gone.chain(come).collect()
}

pub(super) fn table(found: &[Found]) -> String {
    if found.is_empty() {
        return "nothing is announced".to_owned();
    }
    let several = found.iter().any(|one| one.directory != found[0].directory);
    let mut header = vec!["NAME", "KIND", "ENDPOINTS", "OWNER", "SINCE", "BELIEVED FOR"];
    if several {
        header.push("DIRECTORY");
    }
    let rows = found
        .iter()
        .map(|one| {
            let entry = &one.entry;
            let endpoints: Vec<String> = entry
                .endpoints
                .iter()
                .map(|endpoint| plain(&format!("{}={}", endpoint.name, endpoint.url())))
                .collect();
            let mut row = vec![
                entry.name.to_string(),
                plain(&entry.kind),
                endpoints.join(" "),
                entry.owner.to_string(),
                output::ago(entry.registered_at),
                believed(entry.believed_until()),
            ];
            if several {
                row.push(plain(&one.directory));
            }
            row
        })
        .collect();
    output::table(&header, rows)
}

fn believed(until: Option<Timestamp>) -> String {
    let Some(until) = until else {
        return "ever".to_owned();
    };
    match Duration::try_from(until.duration_since(Timestamp::now())) {
        Ok(time) if !time.is_zero() => format!("{} s", time.as_secs()),
        _ => "expired".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use seaway_discovery::Entry;
    use seaway_model::Name;

    use super::*;

    fn found(name: &'static str, owner: &str) -> Found {
        let entry = Entry::new(Name::literal(name), "Command", owner.parse().unwrap(), Vec::new());
        Found {
            directory: "folder".into(),
            entry,
        }
    }

    #[test]
    fn only_what_is_new_is_a_change() {
        let before = [found("a", "1"), found("b", "1"), found("c", "1")];
        let mut after = [found("b", "2"), found("c", "1"), found("d", "1")];
        after[1].entry = after[1].entry.with_lease(Some(Duration::from_secs(1)));
        let told: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|(event, one)| (event, one.entry.name.to_string()))
            .collect();
        let expected = [("removed", "a"), ("changed", "b"), ("added", "d")];
        assert_eq!(told, expected.map(|(event, name)| (event, name.to_owned())));
    }
}
