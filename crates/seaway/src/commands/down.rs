//! `seaway down`: from an instance to nothing.

use seaway_lifecycle as lifecycle;
use seaway_model::Name;
use seaway_platform::PlatformError;

use crate::{
    cli::DownArguments,
    failure::{Failure, Outcome},
    live::Live,
    output, platforms, source,
};

pub(crate) async fn run(arguments: DownArguments) -> Outcome {
    let documents = arguments.file.as_deref().map(source::read).transpose()?;
    let platform = platforms::open_for(&arguments.platform, documents.as_deref().unwrap_or_default())?;
    let platform = &*platform;
    let names: Vec<String> = if arguments.all {
        platform.list().await?.iter().map(ToString::to_string).collect()
    } else if let Some(documents) = &documents {
        documents
            .iter()
            .map(|document| document.name().to_string())
            .collect()
    } else {
        arguments.names.clone()
    };
    if names.is_empty() {
        output::say("no instances");
        return Ok(0);
    }
    let mut going: Vec<Name> = Vec::new();
    let mut missing: Option<Failure> = None;
    for name in &names {
        match platform.remove(name, arguments.force).await {
            Ok(()) => going.extend(name.parse()),
            // The others go all the same.
            Err(error @ PlatformError::NotFound { .. }) => {
                // A file names what should not be there afterwards; that it is not there before is no failure.
                if arguments.file.is_none() && !arguments.all {
                    missing.get_or_insert(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut live = Live::new();
    lifecycle::wait_until_gone(platform, &going, &mut |all| live.show(all)).await?;
    live.clear();
    for name in &going {
        output::say(&format!("{name} is down, nothing left"));
    }
    missing.map_or(Ok(0), Err)
}
