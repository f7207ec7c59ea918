//! The reference pages that are made from the code, and completion scripts.

use clap::{Command, CommandFactory};
use seaway_engines::dask::arl::{NOT_SET, VARIABLES, Value};
use seaway_model::{
    Kind,
    document::{Alias, PRESETS, aliases},
};

use super::schema;
use crate::{
    cli::{Cli, CompletionArguments, ReferencePage, SchemaKind},
    environment,
    failure::{EXIT_CODES, Failure, Outcome},
    output,
};

pub(crate) fn completion(arguments: &CompletionArguments) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "seaway", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

pub(crate) fn run(page: ReferencePage) -> Outcome {
    let text = match page {
        ReferencePage::Commands => commands(),
        ReferencePage::Document => document()?,
        ReferencePage::Status => status()?,
        ReferencePage::ExitCodes => exit_codes(),
        ReferencePage::Environment => environment_page(),
        ReferencePage::ArlNames => arl_names(),
    };
    output::print(text.trim_end())?;
    Ok(0)
}

const MADE: &str = "<!-- Made by `tools/reference`; do not edit. -->\n\n";

fn commands() -> String {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut text = format!("{MADE}# Commands\n\n");
    section(&mut root, "seaway", &mut text);
    text
}

fn section(command: &mut Command, path: &str, text: &mut String) {
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!(
        "## `{path}`\n\n```text\n{}\n```\n\n",
        help.join("\n").trim_end()
    ));
    let names: Vec<String> = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(sub) = command.find_subcommand_mut(&name) {
            section(sub, &format!("{path} {name}"), text);
        }
    }
}

fn document() -> Result<String, Failure> {
    let mut text =
        format!("{MADE}# Instance documents\n\n## Presets\n\n| preset | what it is |\n| --- | --- |\n");
    for (name, what) in PRESETS {
        text.push_str(&format!("| `{name}` | {what} |\n"));
    }
    text.push_str(
        "\n## Short names for `--set`\n\nThe `make` variables and the chart's values of the ARL work as keys: see [Names of \
         the ARL](arl-names.md).\n",
    );
    let schema = serde_json::to_string_pretty(&schema::of(SchemaKind::Document)?)?;
    text.push_str(&format!(
        "\n## JSON Schema\n\nAs printed by `seaway schema`.\n\n```json\n{schema}\n```\n"
    ));
    Ok(text)
}

fn status() -> Result<String, Failure> {
    let schema = serde_json::to_string_pretty(&schema::of(SchemaKind::Status)?)?;
    Ok(format!(
        "{MADE}# Status as JSON\n\n`seaway status NAME --output json` prints one object of this form, `seaway ls \
         --output json` a list of them. It is a contract: keys are added, never renamed or removed.\n\nA token is in \
         the file that `tokenFile` names (mode 0600).\n\n```json\n{schema}\n```\n"
    ))
}

fn exit_codes() -> String {
    let mut text = format!("{MADE}# Exit codes\n\n| code | meaning |\n| --- | --- |\n");
    for (code, meaning) in EXIT_CODES {
        text.push_str(&format!("| {code} | {meaning} |\n"));
    }
    text
}

fn environment_page() -> String {
    let mut text =
        format!("{MADE}# Environment variables\n\n| variable | set by | meaning |\n| --- | --- | --- |\n");
    for (name, by, meaning) in environment::TABLE {
        text.push_str(&format!("| `{name}` | {by} | {meaning} |\n"));
    }
    text.push_str(
        "\n## Directories\n\nTaken where neither an option nor a document says otherwise.\n\n| variable | meaning |\n| --- \
         | --- |\n",
    );
    for (name, meaning) in environment::DIRECTORIES {
        text.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    text
}

fn arl_names() -> String {
    let mut text = format!(
        "{MADE}# Names of the ARL\n\nThe names that users of the ARL on Kubernetes know, and what they are in Seaway.\n\n## \
         Variables of tasks\n\nTasks of a Dask instance have these, with the same meaning on every platform. Variables \
         of the document (`spec.env`, `spec.workers.env`, …) win over them. Dask reads each variable that begins with \
         `DASK_` as a setting; those here are settings that it does not have.\n\n| variable | scheduler | workers | \
         notebook | meaning |\n| --- | --- | --- | --- | --- |\n"
    );
    for variable in VARIABLES {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} | {} |\n",
            variable.name,
            source(variable.scheduler),
            source(variable.worker),
            source(variable.notebook),
            variable.meaning
        ));
    }
    text.push_str(
        "\nBeside them `DASK_SCHEDULER_ADDRESS` in workers, notebook and kernels is what Dask's `Client()` reads.\n\n### Not \
         set\n\n| variable | why | instead |\n| --- | --- | --- |\n",
    );
    for (name, why, instead) in NOT_SET {
        text.push_str(&format!("| `{name}` | {why} | {instead} |\n"));
    }
    text.push_str(
        "\n## Names for `--set`\n\nThey are keys beside the paths of the document: `seaway up dask --set WORKER_REPLICAS=4 \
         --set WORKER_MEM=2Gi`. Each has a `--set` of its own; the last one wins. They are not read from the environment. \
         An empty value of a name that is refused says nothing, and is taken.\n",
    );
    let (make, chart): (Vec<Alias>, Vec<Alias>) =
        aliases(Kind::Dask).iter().partition(|alias| alias.is_variable());
    for (title, group) in [("Variables of `make`", make), ("Values of the chart", chart)] {
        text.push_str(&format!(
            "\n### {title}\n\n| name | meaning | in the document |\n| --- | --- | --- |\n"
        ));
        for alias in group {
            text.push_str(&format!(
                "| `{}` | {} | {} |\n",
                alias.name,
                alias.meaning,
                alias.target()
            ));
        }
    }
    text
}

/// Where the value of a variable comes from.
fn source(value: Option<Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::Known(template)) => format!("`{template}`"),
        Some(Value::Cores) => "`resources.cpu`".into(),
        Some(Value::Bytes) => "`resources.memory`".into(),
        Some(Value::Tags) => "`tags`".into(),
    }
}
