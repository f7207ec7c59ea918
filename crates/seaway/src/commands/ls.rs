//! `seaway ls`: which instances there are.

use seaway_lifecycle as lifecycle;
use seaway_platform::Platform;

use crate::{cli::LsArguments, failure::Outcome, output};

pub(crate) async fn run(arguments: LsArguments, platform: &dyn Platform) -> Outcome {
    if arguments.quiet {
        let names: Vec<String> = platform.list().await?.iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            output::print(&names.join("\n"))?;
        }
        return Ok(0);
    }
    let all = lifecycle::observe_all(platform).await?;
    output::emit(arguments.output, &all, || output::instances_table(&all))?;
    Ok(0)
}
