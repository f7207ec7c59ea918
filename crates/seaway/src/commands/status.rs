//! `seaway status`: how instances are, and why.

use std::time::Duration;

use seaway_lifecycle as lifecycle;
use seaway_model::{Name, document::nearest, status::InstanceStatus};
use seaway_platform::{Platform, PlatformError};

use crate::{
    cli::{OutputFormat, StatusArguments},
    failure::{Failure, Outcome},
    output,
};

pub(crate) async fn run(arguments: StatusArguments, platform: &dyn Platform) -> Outcome {
    let mut shown = String::new();
    loop {
        let text = if let Some(name) = &arguments.name {
            let Some(status) = lifecycle::observe(platform, name).await? else {
                if !shown.is_empty() {
                    output::say(&format!("{name} is gone"));
                    return Ok(0);
                }
                return Err(not_found(platform, name).await);
            };
            render(arguments.output, &status, || output::status_text(&status))?
        } else {
            let all: Vec<InstanceStatus> = lifecycle::observe_all(platform).await?;
            render(arguments.output, &all, || output::instances_table(&all))?
        };
        if text != shown {
            if arguments.watch && !shown.is_empty() && arguments.output == OutputFormat::Table {
                output::print("")?;
            }
            output::print(&text)?;
            shown = text;
        }
        if !arguments.watch {
            return Ok(0);
        }
        tokio::select! {
            changed = platform.changed(Duration::from_secs(60)) => changed?,
            _ = tokio::signal::ctrl_c() => return Ok(0),
        }
    }
}

fn render<T: serde::Serialize>(
    format: OutputFormat,
    value: &T,
    table: impl FnOnce() -> String,
) -> Result<String, Failure> {
    Ok(match format {
        OutputFormat::Table => table(),
        OutputFormat::Json => serde_json::to_string_pretty(value)?,
        OutputFormat::Yaml => {
            serde_saphyr::to_string(value).map_err(|error| Failure::new(crate::failure::FAILED, error))?
        }
    })
}

/// The error for a name that nothing has, with the nearest that something has.
pub(crate) async fn not_found(platform: &dyn Platform, name: &str) -> Failure {
    let known = platform.list().await.unwrap_or_default();
    let nearest = nearest(name, known.iter().map(Name::as_str)).and_then(|near| near.parse().ok());
    PlatformError::NotFound {
        name: name.to_owned(),
        nearest,
    }
    .into()
}
