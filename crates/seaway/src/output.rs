//! What commands print: tables for people, JSON and YAML for programs.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
};

use comfy_table::{ContentArrangement, Table, TableStyle};
use jiff::Timestamp;
use seaway_model::{
    Name,
    status::{EndpointStatus, InstanceStatus, MemoryKeeper, RoleStatus, State, TaskState},
};
use serde::Serialize;

use crate::{cli::OutputFormat, environment, failure::Failure};

/// A line on standard error; when even that cannot be written there is nobody to tell.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A text on standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(())
}

/// Whether nobody reads standard output any more. Who waits for something to print would learn that only from
/// printing it (`seaway logs --follow | head -1`).
pub(crate) fn reader_is_gone() -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let output = std::io::stdout();
    let mut descriptors = [PollFd::new(std::os::fd::AsFd::as_fd(&output), PollFlags::empty())];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok()
        && descriptors[0]
            .revents()
            .is_some_and(|seen| seen.contains(PollFlags::POLLERR))
}

/// Whether colours are welcome at all.
pub(crate) fn wants_colour() -> bool {
    std::env::var_os(environment::NO_COLOR).is_none_or(|value| value.is_empty())
}

/// Prints a value as JSON or YAML, or as the table that `table` makes.
pub(crate) fn emit<T: Serialize>(
    format: OutputFormat,
    value: &T,
    table: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match format {
        OutputFormat::Table => print(&table()),
        OutputFormat::Json => print(&serde_json::to_string_pretty(value)?),
        OutputFormat::Yaml => {
            let yaml = serde_saphyr::to_string(value)
                .map_err(|error| Failure::new(crate::failure::FAILED, error))?;
            print(&yaml)
        }
    }
}

/// A table without lines, cut to the width of the terminal.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new())
        .set_header(header)
        .add_rows(rows);
    table.set_content_arrangement(ContentArrangement::Disabled);
    let last = header.len().saturating_sub(1);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    if let Some(column) = table.column_mut(last) {
        column.set_padding((0, 0));
    }
    // Padding at the end of lines is noise in a file and wraps in a narrow terminal.
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A word in a colour, when standard output is a terminal that wants some.
pub(crate) fn coloured(state: State) -> String {
    let word = format!("{state:?}");
    if !std::io::stdout().is_terminal() || !wants_colour() {
        return word;
    }
    let colour = match state {
        State::Ready => 32,
        State::Starting => 36,
        State::Degraded => 33,
        State::Failed => 31,
        State::Stopped => 90,
    };
    format!("\u{1b}[{colour}m{word}\u{1b}[0m")
}

/// How long ago something was: `3 s`, `5 min`, `2 h`, `4 d`.
pub(crate) fn ago(since: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(since).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The list of instances.
pub(crate) fn instances_table(all: &[InstanceStatus]) -> String {
    if all.is_empty() {
        return "no instances; `seaway up dask` brings one up".to_owned();
    }
    let rows = all
        .iter()
        .map(|status| {
            let ready: u32 = status.roles.iter().map(|(_, role)| role.ready).sum();
            let desired: u32 = status.roles.iter().map(|(_, role)| role.desired).sum();
            vec![
                status.name.to_string(),
                status.kind.clone(),
                status.platform.clone(),
                coloured(status.state),
                format!("{ready}/{desired}"),
                ago(status.created),
                status.reason.clone(),
            ]
        })
        .collect();
    table(
        &["NAME", "KIND", "PLATFORM", "STATE", "READY", "AGE", "REASON"],
        rows,
    )
}

/// One instance, with roles, reasons, endpoints and the last words of what crashed.
pub(crate) fn status_text(status: &InstanceStatus) -> String {
    let mut text = format!(
        "{} ({} on {}): {}",
        status.name,
        status.kind,
        status.platform,
        coloured(status.state)
    );
    if !status.reason.is_empty() {
        text.push_str(&format!(": {}", status.reason));
    }
    text.push_str("\n\n");
    text.push_str(&roles_table(status));
    let endpoints = endpoint_lines(status);
    if !endpoints.is_empty() {
        text.push_str("\n\n");
        text.push_str(&endpoints.join("\n"));
    }
    for directory in &status.directories {
        let how = if directory.announced {
            "announced"
        } else {
            "not announced"
        };
        text.push_str(&format!(
            "\n{how} in {}: {}",
            directory.directory, directory.reason
        ));
    }
    for note in &status.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    for line in last_words(status) {
        text.push('\n');
        text.push_str(&line);
    }
    text
}

/// The roles with their tasks' reasons.
pub(crate) fn roles_table(status: &InstanceStatus) -> String {
    let rows = status
        .roles
        .iter()
        .map(|(name, role)| role_row(name.as_str(), role))
        .collect();
    table(
        &["ROLE", "READY", "STATE", "FOR", "RESTARTS", "MEMORY", "REASON"],
        rows,
    )
}

fn role_row(name: &str, role: &RoleStatus) -> Vec<String> {
    let memory = role.memory.map_or_else(String::new, |memory| {
        let keeper = match memory.kept_by {
            MemoryKeeper::Cgroup => "cgroup",
            MemoryKeeper::Engine => "engine",
            MemoryKeeper::Nobody => "not kept",
        };
        format!("{} ({keeper})", memory.limit)
    });
    vec![
        name.to_owned(),
        format!("{}/{}", role.ready, role.desired),
        format!("{:?}", role.state),
        role.since.map_or_else(String::new, ago),
        role.restarts.to_string(),
        memory,
        role.reason.clone(),
    ]
}

/// One line for each endpoint.
pub(crate) fn endpoint_lines(status: &InstanceStatus) -> Vec<String> {
    lines_of(&status.endpoints)
}

/// The same for endpoints alone.
pub(crate) fn endpoints_text(endpoints: &BTreeMap<Name, EndpointStatus>) -> String {
    lines_of(endpoints).join("\n")
}

fn lines_of(endpoints: &BTreeMap<Name, EndpointStatus>) -> Vec<String> {
    let width = endpoints
        .keys()
        .map(|name| name.as_str().len())
        .max()
        .unwrap_or(0);
    endpoints
        .iter()
        .map(|(name, endpoint)| {
            let token = endpoint
                .token_file
                .as_ref()
                .map_or_else(String::new, |file| format!("   (token in {})", file.display()));
            format!("{name:width$}   {}{token}", endpoint.url)
        })
        .collect()
}

/// The last lines of tasks that crashed and did not come back.
fn last_words(status: &InstanceStatus) -> Vec<String> {
    status
        .roles
        .iter()
        .flat_map(|(_, role)| &role.tasks)
        .filter(|task| {
            matches!(task.state, TaskState::Failed | TaskState::BackOff) && !task.last_log.is_empty()
        })
        .flat_map(|task| {
            let title = format!("\nlast lines of {}:", task.name);
            std::iter::once(title).chain(task.last_log.iter().map(|line| format!("  {line}")))
        })
        .collect()
}
