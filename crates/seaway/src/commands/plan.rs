//! `seaway plan`: what would be started, without starting it.

use seaway_lifecycle as lifecycle;
use seaway_model::plan::{Dependency, Plan, PythonEnvironment};

use crate::{cli::PlanArguments, failure::Outcome, output, platforms, source};

pub(crate) fn run(arguments: &PlanArguments) -> Outcome {
    let documents = source::documents_on(arguments.platform.on, &arguments.source)?;
    let platform = platforms::open_for(&arguments.platform, &documents)?;
    let plans = documents
        .iter()
        .map(|document| lifecycle::plan(&*platform, document))
        .collect::<Result<Vec<Plan>, _>>()?;
    let text = || plans.iter().map(text).collect::<Vec<_>>().join("\n");
    match plans.as_slice() {
        [one] => output::emit(arguments.output, one, text)?,
        all => output::emit(arguments.output, &all, text)?,
    }
    Ok(0)
}

fn text(plan: &Plan) -> String {
    let mut text = format!("{} ({})\n", plan.instance, plan.kind);
    for (name, environment) in &plan.environments {
        let words = match environment {
            PythonEnvironment::Existing(path) => format!("the one in {}", path.display()),
            PythonEnvironment::Packages(packages) => {
                let python = packages
                    .python
                    .as_ref()
                    .map_or_else(String::new, |version| format!(" on Python {version}"));
                format!("{}{python}", packages.requirements.join(", "))
            }
        };
        text.push_str(&format!("\nenvironment {name}: {words}\n"));
    }
    for role in &plan.roles {
        let many = if role.replicas == 1 {
            String::new()
        } else {
            format!(" x {}", role.replicas)
        };
        text.push_str(&format!("\n{}{many}\n", role.name));
        let mut row = |what: &str, value: String| {
            if !value.is_empty() {
                text.push_str(&format!("  {what:<9} {value}\n"));
            }
        };
        let after = role.after.iter().map(|dependency| match dependency {
            Dependency::Ready(on) => format!("{on} is ready"),
            Dependency::Assigned(on) => format!("{on} has its addresses"),
        });
        row("after", after.collect::<Vec<_>>().join(", "));
        row(
            "command",
            role.command
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        );
        for (name, value) in &role.env {
            row("env", format!("{name}={value}"));
        }
        let ports = role.ports.iter().map(|port| match port.fixed {
            Some(fixed) => format!("{} {fixed}", port.name),
            None => format!("{} {} or a free one", port.name, port.usual),
        });
        row("ports", ports.collect::<Vec<_>>().join(", "));
        let resources = [
            role.resources.cpu.map(|cpu| format!("cpu {cpu}")),
            role.resources.memory.map(|memory| format!("memory {memory}")),
        ];
        row(
            "resources",
            resources.into_iter().flatten().collect::<Vec<_>>().join(", "),
        );
        row("ready", ready(&role.ready.check));
    }
    text.push_str("\nendpoints\n");
    for endpoint in &plan.endpoints {
        let token = endpoint
            .token
            .as_ref()
            .map_or_else(String::new, |_| "   with a token".to_owned());
        text.push_str(&format!(
            "  {:<9} {}://{}.{}{}{token}\n",
            endpoint.name, endpoint.scheme, endpoint.role, endpoint.port, endpoint.path
        ));
    }
    text
}

fn ready(check: &seaway_model::plan::Check) -> String {
    use seaway_model::plan::Check;
    let at = |port: &seaway_model::plan::PortReference| {
        format!(
            "{}.{}",
            port.role.as_ref().map_or("self", seaway_model::Name::as_str),
            port.port
        )
    };
    match check {
        Check::Running => "when its process runs".to_owned(),
        Check::Tcp(port) => format!("when {} accepts a connection", at(port)),
        Check::Http(http) => {
            let expect = http.expect.as_ref().map_or_else(String::new, |expect| {
                let path = expect
                    .select
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("/");
                match &expect.condition {
                    seaway_model::plan::Condition::Is(value) => format!(" and {path} is {value}"),
                    seaway_model::plan::Condition::Above(limit) => format!(" and {path} is above {limit}"),
                }
            });
            format!("when GET {}{} is answered{expect}", at(&http.at), http.path)
        }
        Check::Command(command) => {
            format!(
                "when `{}` succeeds",
                command
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
    }
}
