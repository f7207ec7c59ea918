//! `seaway up`: from a document to an instance that is ready.

use std::path::Path;

use seaway_lifecycle as lifecycle;
use seaway_model::{
    Document, Name, Period,
    status::{InstanceStatus, State},
};
use seaway_platform::{Action, Applied, Difference, Platform};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    cli::{OutputFormat, UpArguments},
    failure::{Failure, INTERRUPTED, NOT_READY, Outcome},
    live::Live,
    output, platforms, source,
};

/// The signals that mean "take it down": Ctrl-C, `kill`, a terminal that goes away.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

pub(crate) async fn run(arguments: UpArguments) -> Outcome {
    let documents = source::documents_on(arguments.platform.on, &arguments.source)?;
    let platform = platforms::open_for(&arguments.platform, &documents)?;
    let platform = &*platform;
    if arguments.dry_run {
        return preview(platform, &documents, arguments.output).await;
    }
    // Before anything exists, so that no Ctrl-C is lost.
    let mut interrupts = Interrupts::new()?;
    let applied = lifecycle::up(platform, &documents).await?;
    let names: Vec<Name> = applied.iter().map(|(name, _)| name.clone()).collect();
    let mut live = Live::new();
    for (name, outcome) in &applied {
        match outcome {
            Applied::Created => {}
            Applied::Changed => {
                output::say(&format!("{name} was up already; it changes to the new document"));
            }
            Applied::Unchanged => output::say(&format!("{name} is up already, just so; nothing was changed")),
        }
    }
    // Who did not bring an instance up does not take it down either.
    let own: Vec<Name> = applied
        .iter()
        .filter(|(_, outcome)| *outcome == Applied::Created)
        .map(|(name, _)| name.clone())
        .collect();
    let attached = !arguments.detach && !own.is_empty();
    if arguments.no_wait {
        return Ok(0);
    }

    let mut show = |all: &[InstanceStatus]| live.show(all);
    let settled = tokio::select! {
        settled = settle(platform, &names, &mut show) => Some(settled),
        () = interrupts.next() => None,
        limit = time_is_up(arguments.timeout) => {
            let seen = lifecycle::observe_some(platform, &names).await?;
            Some(match too_late(limit, &names, &seen) {
                Some(failure) => Err(failure),
                None => Ok(seen),
            })
        }
    };
    live.clear();
    let settled = match settled {
        None => {
            if !own.is_empty() {
                output::say("interrupted: taking it down (Ctrl-C again to force)");
                take_down(platform, &own, &mut interrupts).await?;
            }
            return Ok(INTERRUPTED);
        }
        // What cannot be watched is not left behind unwatched.
        Some(Err(failure)) if attached => {
            take_down(platform, &own, &mut interrupts).await?;
            return Err(failure);
        }
        Some(settled) => settled?,
    };
    if let Some(failure) = not_ready(&names, &settled) {
        for status in settled.iter().filter(|status| status.state != State::Ready) {
            output::say(&output::status_text(status));
        }
        if attached {
            take_down(platform, &own, &mut interrupts).await?;
            return Err(failure.hint("with --detach it stays, for `seaway status` and `seaway logs`"));
        }
        let name = one_name(&names);
        return Err(failure.hint(format!(
            "`seaway logs {name}` shows what its tasks wrote; `seaway down {name}` removes it"
        )));
    }
    report(&settled, arguments.output, live.elapsed().as_secs_f32())?;
    if !attached {
        return Ok(0);
    }
    output::say(&format!(
        "\nCtrl-C takes it down. `seaway status {0}` and `seaway logs {0}` show more.",
        one_name(&names)
    ));
    let notes = settled.into_iter().flat_map(notes_of).collect();
    stay(platform, &names, &own, notes, &mut interrupts).await
}

/// Waits until the instances are ready and reached from here, or one of them failed.
async fn settle(
    platform: &dyn Platform,
    names: &[Name],
    show: &mut dyn FnMut(&[InstanceStatus]),
) -> Result<Vec<InstanceStatus>, Failure> {
    // Their addresses are known before they are ready, and the way there can be made meanwhile.
    let reach = async {
        for name in names {
            platform.reach(name.as_str()).await?;
        }
        Ok::<_, lifecycle::LifecycleError>(())
    };
    let wait = lifecycle::wait_until_settled(platform, names, show);
    let (settled, reached) = tokio::join!(wait, reach);
    let mut settled = settled?;
    // One that failed is told of first: it may be why it is not reached.
    if settled.len() == names.len() && settled.iter().all(|status| status.state == State::Ready) {
        reached?;
        for status in &mut settled {
            if let Some(now) = lifecycle::observe(platform, status.name.as_str()).await? {
                *status = now;
            }
        }
    }
    Ok(settled)
}

/// Returns the limit when the time is up; never when there is none.
async fn time_is_up(limit: Option<Period>) -> Period {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit.duration()).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// Which instance was not ready in time, and why. `None` when all became ready at the last moment.
fn too_late(limit: Period, names: &[Name], seen: &[InstanceStatus]) -> Option<Failure> {
    let unready = seen.iter().find(|status| status.state != State::Ready);
    let (name, reason) = match unready {
        Some(status) => (&status.name, status.reason.as_str()),
        None => (
            names
                .iter()
                .find(|name| !seen.iter().any(|status| status.name == **name))?,
            "it is gone",
        ),
    };
    Some(Failure::new(
        NOT_READY,
        format!("{name} was not ready within {limit}: {reason}"),
    ))
}

/// Shows what bringing the documents up would change.
async fn preview(platform: &dyn Platform, documents: &[Document], format: OutputFormat) -> Outcome {
    let mut all = Vec::new();
    for document in documents {
        let plan = lifecycle::plan(platform, document)?;
        all.extend(platform.preview(&serde_json::to_value(document)?, &plan).await?);
    }
    output::emit(format, &all, || differences_text(&all))?;
    Ok(0)
}

fn differences_text(all: &[Difference]) -> String {
    let mut text = String::new();
    for difference in all {
        let sign = match difference.action {
            Action::Create => '+',
            Action::Change => '~',
            Action::Delete => '-',
            Action::Keep => continue,
        };
        text.push_str(&format!("{sign} {}\n", difference.object));
        for field in &difference.fields {
            let shown = |value: &Option<serde_json::Value>| {
                value
                    .as_ref()
                    .map_or_else(|| "nothing".to_owned(), ToString::to_string)
            };
            text.push_str(&format!(
                "    {}: {} -> {}\n",
                field.path,
                shown(&field.before),
                shown(&field.after)
            ));
        }
    }
    let count = |action| {
        all.iter()
            .filter(|difference| difference.action == action)
            .count()
    };
    text.push_str(&format!(
        "{} to make, {} to change, {} to delete, {} stay as they are",
        count(Action::Create),
        count(Action::Change),
        count(Action::Delete),
        count(Action::Keep)
    ));
    text
}

/// Why not every instance is ready, if so.
fn not_ready(names: &[Name], settled: &[InstanceStatus]) -> Option<Failure> {
    if let Some(status) = settled.iter().find(|status| status.state != State::Ready) {
        return Some(Failure::new(
            NOT_READY,
            format!("{} is not ready: {}", status.name, status.reason),
        ));
    }
    let gone = names
        .iter()
        .find(|name| !settled.iter().any(|status| status.name == **name))?;
    Some(Failure::new(
        NOT_READY,
        format!("{gone} was taken down while it came up"),
    ))
}

/// Prints what people and programs need to use the instances.
fn report(settled: &[InstanceStatus], format: OutputFormat, seconds: f32) -> Result<(), Failure> {
    if format != OutputFormat::Table {
        return match settled {
            [one] => output::emit(format, one, String::new),
            all => output::emit(format, &all, String::new),
        };
    }
    for status in settled {
        output::say(&format!("{} is ready after {seconds:.1} s", status.name));
        let width = status
            .endpoints
            .keys()
            .map(|name| name.as_str().len())
            .max()
            .unwrap_or(0);
        for (name, endpoint) in &status.endpoints {
            let token = endpoint.token_file.as_deref().and_then(read_token);
            let query = token.map_or_else(String::new, |token| format!("?token={token}"));
            output::print(&format!("  {name:width$}   {}{query}", endpoint.url))?;
        }
        for note in &status.notes {
            output::say(&format!("note: {note}"));
        }
    }
    Ok(())
}

fn read_token(file: &Path) -> Option<String> {
    std::fs::read_to_string(file)
        .ok()
        .map(|token| token.trim().to_owned())
}

/// The notes of an instance, each with its name.
fn notes_of(status: InstanceStatus) -> impl Iterator<Item = (Name, String)> {
    let name = status.name;
    status.notes.into_iter().map(move |note| (name.clone(), note))
}

/// Stays until interrupted, and says when something changes. These notes were said already.
async fn stay(
    platform: &dyn Platform,
    names: &[Name],
    own: &[Name],
    mut noted: Vec<(Name, String)>,
    interrupts: &mut Interrupts,
) -> Outcome {
    let mut said: Vec<(Name, State, String)> = Vec::new();
    loop {
        let look = async {
            platform.changed(std::time::Duration::from_secs(2)).await?;
            lifecycle::observe_some(platform, names).await
        };
        let all = tokio::select! {
            all = look => all?,
            () = interrupts.next() => {
                output::say("\ntaking it down (Ctrl-C again to force)");
                take_down(platform, own, interrupts).await?;
                // Ending what stays until it is ended is not a failure.
                return Ok(0);
            }
        };
        if all.is_empty() {
            output::say("it was taken down by another command");
            return Ok(0);
        }
        let now: Vec<(Name, State, String)> = all
            .iter()
            .map(|status| (status.name.clone(), status.state, status.reason.clone()))
            .collect();
        for change in now.iter().filter(|change| !said.contains(change)) {
            let (name, state, reason) = change;
            // The first look finds what was just reported.
            if !said.is_empty() || *state != State::Ready {
                let reason = if reason.is_empty() {
                    String::new()
                } else {
                    format!(": {reason}")
                };
                output::say(&format!("{name} {state:?}{reason}"));
            }
        }
        said = now;
        let notes: Vec<(Name, String)> = all.into_iter().flat_map(notes_of).collect();
        for (name, note) in notes.iter().filter(|note| !noted.contains(note)) {
            output::say(&format!("{name}: note: {note}"));
        }
        noted = notes;
    }
}

/// Takes instances down; a further signal does it by force.
async fn take_down(
    platform: &dyn Platform,
    names: &[Name],
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    ask_to_go(platform, names, false).await?;
    let mut live = Live::new();
    loop {
        let mut show = |all: &[InstanceStatus]| live.show(all);
        let gone = tokio::select! {
            gone = lifecycle::wait_until_gone(platform, names, &mut show) => Some(gone?),
            () = interrupts.next() => None,
        };
        if gone.is_some() {
            live.clear();
            output::say(&format!(
                "{} {} down, nothing left",
                join(names),
                if names.len() == 1 { "is" } else { "are" }
            ));
            return Ok(());
        }
        output::say("forcing");
        ask_to_go(platform, names, true).await?;
    }
}

/// Asks instances to go; one that is gone already has done so.
async fn ask_to_go(platform: &dyn Platform, names: &[Name], forced: bool) -> Result<(), Failure> {
    for name in names {
        match platform.remove(name.as_str(), forced).await {
            Ok(()) | Err(seaway_platform::PlatformError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The name to show in advice: the instance's own when there is one.
fn one_name(names: &[Name]) -> &str {
    if let [name] = names { name.as_str() } else { "NAME" }
}

fn join(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}
