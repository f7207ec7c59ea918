//! `seaway port-forward`: endpoints of a cluster at addresses of this machine.

use std::collections::BTreeMap;

use seaway_model::{Endpoint, Name, status::EndpointStatus};
use seaway_platform::{Platform, kubernetes::KubernetesPlatform};

use crate::{
    cli::{OutputFormat, PlatformKind, PortForwardArguments},
    failure::{Failure, INTERRUPTED, Outcome, USAGE},
    output, platforms,
};

pub(crate) async fn run(arguments: PortForwardArguments) -> Outcome {
    let name = &arguments.name;
    if arguments.platform.on == PlatformKind::Local {
        return Err(Failure::new(
            USAGE,
            "the endpoints of a local instance are addresses of this machine already",
        )
        .hint(format!(
            "`seaway status {name}` shows them; for an instance on a cluster: `--on kubernetes`"
        )));
    }
    let platform = platforms::kubernetes(&arguments.platform)?;
    if arguments.detached {
        // Out of the session of the command that started it: neither its terminal nor its end is this process's.
        let _ = nix::unistd::setsid();
        platform.forward(name, |_| ()).await?;
        return Ok(0);
    }
    if arguments.background {
        return background(&arguments, &platform).await;
    }
    let listening = |endpoints: &[Endpoint]| {
        // What cannot be printed is in `seaway status` as well.
        let _ = print(arguments.output, &by_name(endpoints.iter()));
        output::say("Ctrl-C ends it");
    };
    tokio::select! {
        result = platform.forward(name, listening) => {
            result?;
            output::say(&format!("{name} is gone"));
            Ok(0)
        }
        _ = tokio::signal::ctrl_c() => {
            platform.stop_forwarding(name).await?;
            Ok(INTERRUPTED)
        }
    }
}

async fn background(arguments: &PortForwardArguments, platform: &KubernetesPlatform) -> Outcome {
    let name = &arguments.name;
    platform.reach(name).await?;
    let Some(observation) = platform.observe(name).await? else {
        return Err(super::status::not_found(platform, name).await);
    };
    print(arguments.output, &by_name(observation.endpoints.iter()))?;
    Ok(0)
}

fn by_name<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) -> BTreeMap<Name, EndpointStatus> {
    endpoints
        .map(|endpoint| (endpoint.name.clone(), EndpointStatus::from(endpoint)))
        .collect()
}

fn print(format: OutputFormat, endpoints: &BTreeMap<Name, EndpointStatus>) -> Result<(), Failure> {
    output::emit(format, endpoints, || output::endpoints_text(endpoints))
}
