//! Waiting until there may be something new in directories.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::select_all;
use jiff::Timestamp;
use seaway_discovery::{Directory, Entry, Error, LOOK_AGAIN};

use crate::output;

/// Pause after a directory could not be watched or read.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often to look whether anybody still reads what is printed.
const READER: Duration = Duration::from_secs(1);

/// Why waiting ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something new.
    Look,
    /// Nobody reads standard output any more.
    NoReader,
}

/// Waits until an entry may have come, gone or changed, or the lease of one of these has run out.
pub(super) async fn wait<'a>(
    directories: &[Box<dyn Directory>],
    entries: impl Iterator<Item = &'a Entry>,
    failures: &mut Failures,
) -> Woken {
    let now = Timestamp::now();
    let next_end = entries
        .filter_map(Entry::believed_until)
        .filter(|until| *until > now)
        .min()
        .and_then(|until| Duration::try_from(until.duration_since(now)).ok())
        .unwrap_or(LOOK_AGAIN);
    // A little later, so that the lease has run out for sure.
    let end = tokio::time::sleep(next_end.min(LOOK_AGAIN) + Duration::from_millis(1));
    let changed = async {
        let all = directories.iter().map(|directory| directory.changed());
        let (result, ..) = select_all(all).await;
        if let Err(error) = result {
            failures.tell(&error);
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    };
    let reader = async {
        while !output::reader_is_gone() {
            tokio::time::sleep(READER).await;
        }
    };
    tokio::select! {
        () = end => Woken::Look,
        () = changed => Woken::Look,
        () = reader => Woken::NoReader,
    }
}

/// Tells each failure once, until something works again.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeSet<String>);

impl Failures {
    pub(super) fn tell(&mut self, error: &Error) {
        let text = error.to_string();
        if !self.0.contains(&text) {
            output::say(&format!("warning: {text}; still trying"));
            self.0.insert(text);
        }
    }

    pub(super) fn over(&mut self) {
        self.0.clear();
    }
}
