//! The reference pages that are made from the code, and completion scripts.

use clap::{Command, CommandFactory};
use seaway_model::document::{PRESETS, SET_ALIASES};

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
        "\n## Short names for `--set`\n\nThe names of the ARL's `make` variables work as keys.\n\n",
    );
    text.push_str("| name | key | meaning |\n| --- | --- | --- |\n");
    for (alias, key, meaning) in SET_ALIASES {
        text.push_str(&format!("| `{alias}` | `{key}` | {meaning} |\n"));
    }
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
