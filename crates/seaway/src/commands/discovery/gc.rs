//! `seaway discovery gc`.

use std::path::Path;

use seaway_discovery::{Directory, Entry, Error};

use super::{CollectArguments, Found, ListFormat, is_live};
use crate::{
    failure::{FAILED, Failure, Outcome},
    output,
};

pub(super) async fn run(arguments: &CollectArguments, state: &Path) -> Outcome {
    let directories = arguments.from.open(None, state)?;
    loop {
        let code = pass(arguments, &directories).await?;
        let Some(every) = arguments.every else {
            return Ok(code);
        };
        tokio::time::sleep(every.duration()).await;
    }
}

/// Goes through all directories, whatever becomes of each.
async fn pass(arguments: &CollectArguments, directories: &[Box<dyn Directory>]) -> Outcome {
    let mut code = 0;
    for directory in directories {
        match collect(&**directory, arguments.dry_run).await {
            Ok(entries) => {
                for entry in entries {
                    tell(arguments, directory.describe(), entry)?;
                }
            }
            Err(error) => {
                let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
                output::say(&format!("error: {}: {error}{hint}", directory.describe()));
                code = FAILED;
            }
        }
    }
    Ok(code)
}

async fn collect(directory: &dyn Directory, dry_run: bool) -> Result<Vec<Entry>, Error> {
    if !dry_run {
        return directory.remove_expired().await;
    }
    let mut entries = directory.list().await?;
    entries.retain(|entry| !is_live(entry));
    Ok(entries)
}

fn tell(arguments: &CollectArguments, directory: String, entry: Entry) -> Result<(), Failure> {
    if arguments.output == ListFormat::Json {
        return output::print(&serde_json::to_string(&Found { directory, entry })?);
    }
    let done = if arguments.dry_run {
        "would remove"
    } else {
        "removed"
    };
    let ended = entry.believed_until().map_or_else(String::new, |until| {
        format!(", which ended at {}", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
    });
    output::print(&format!(
        "{done} {} of {} from {directory}{ended}",
        entry.name, entry.owner
    ))
}
