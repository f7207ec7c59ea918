//! One JSON line on standard output for each change, for scripts that read it:
//! `{"event":"registered","entry":{…}}` and `{"event":"withdrawn","entry":{…}}`.
//!
//! Nothing expires on a screen, so there is no lease; renewals are not printed.

use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use seaway_model::Name;
use serde::Serialize;

use crate::{Directory, Entry, Error, Result};

/// How long a reader may stop reading before that is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Event {
    Registered,
    Withdrawn,
}

#[derive(Serialize)]
struct Line<'a> {
    event: Event,
    entry: &'a Entry,
}

/// Standard output, or another writer.
pub struct StdoutDirectory {
    state: Arc<Mutex<State>>,
}

struct State {
    writer: Box<dyn Write + Send>,
    /// The last line of each name, so that only changes are told.
    told: HashMap<Name, (Event, Entry)>,
}

impl fmt::Debug for StdoutDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdoutDirectory").finish_non_exhaustive()
    }
}

impl Default for StdoutDirectory {
    fn default() -> Self {
        Self::new()
    }
}

impl StdoutDirectory {
    /// The directory on this process's standard output.
    #[must_use]
    pub fn new() -> Self {
        Self::with_writer(io::stdout())
    }

    /// The directory on another writer, which gets each line in one piece and is flushed after it.
    #[must_use]
    pub fn with_writer(writer: impl Write + Send + 'static) -> Self {
        let state = State {
            writer: Box::new(writer),
            told: HashMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    async fn tell(&self, event: Event, entry: &Entry) -> Result<()> {
        let state = Arc::clone(&self.state);
        let entry = entry.with_lease(None);
        let directory = self.describe();
        // On a thread of its own: a reader that stops reading must not stop everything else.
        let told = tokio::task::spawn_blocking(move || {
            state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .tell(event, entry, directory)
        });
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(result)) => result,
            Ok(Err(cancelled)) => Err(Error::Output(io::Error::other(cancelled))),
            Err(_) => Err(Error::Output(io::Error::new(
                io::ErrorKind::TimedOut,
                "nobody reads it",
            ))),
        }
    }
}

impl State {
    fn tell(&mut self, event: Event, entry: Entry, directory: String) -> Result<()> {
        match self.told.get(&entry.name) {
            Some((last, of)) if *last == event && of.announces_the_same(&entry) => return Ok(()),
            Some((Event::Registered, of)) if of.owner != entry.owner => {
                return match event {
                    Event::Withdrawn => Ok(()),
                    Event::Registered => Err(Error::Held {
                        name: entry.name,
                        owner: of.owner.clone(),
                        until: None,
                        directory,
                    }),
                };
            }
            _ => {}
        }
        let mut line = serde_json::to_vec(&Line { event, entry: &entry })
            .map_err(|error| Error::Output(error.into()))?;
        line.push(b'\n');
        self.writer
            .write_all(&line)
            .and_then(|()| self.writer.flush())
            .map_err(Error::Output)?;
        self.told.insert(entry.name.clone(), (event, entry));
        Ok(())
    }
}

#[async_trait]
impl Directory for StdoutDirectory {
    fn kind(&self) -> &'static str {
        "stdout"
    }

    fn describe(&self) -> String {
        "standard output".to_owned()
    }

    fn lease(&self) -> Option<Duration> {
        None
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.tell(Event::Registered, entry).await
    }

    async fn renew(&self, _: &Entry) -> Result<()> {
        Ok(())
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.tell(Event::Withdrawn, entry).await
    }
}
