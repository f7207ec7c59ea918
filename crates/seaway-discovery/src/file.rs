//! A folder of JSON files: `<name>.json` is the entry of the instance `name`.
//!
//! Readers need nothing but the file: it is always whole (written aside, then renamed) and private (mode 0600 from
//! the moment it exists). Writers of one name take turns by a lock on `.<name>.lock`. That file becomes the entry, or is
//! removed again before it is released, so that nothing but entries stays in the folder.
//!
//! What is announced is on the disk before it is said to be announced. A mere renewal is not waited for: after a failure
//! of power nobody renews any more anyhow.
//!
//! The folder is used in threads of its own, since it may be on a machine that answers slowly or never.

mod folder;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use seaway_model::{Name, discovery};
use tokio::{sync::Semaphore, time::Instant};

use self::folder::{Folder, Tried, Turn, remove};
use crate::{Defaults, Directory, Entry, Error, Result};

/// Lease where the document names none.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Shortest lease a document can ask for. Below it a short pause of the machine would make live entries expire.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// How long to wait for another process that works on the same entry; its work takes milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// How often to try to get the lock meanwhile.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How many threads use the folder at once.
const THREADS: usize = 4;

/// A folder of JSON files, one for each instance.
#[derive(Debug, Clone)]
pub struct FileDirectory {
    folder: Arc<Folder>,
    lease: Duration,
    threads: Arc<Semaphore>,
}

/// Whether somebody still waits for what is done in a thread.
#[derive(Default)]
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl FileDirectory {
    /// The directory in this folder, with this lease. The folder is made when something is registered.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, lease: Duration) -> Self {
        Self {
            folder: Arc::new(Folder(folder.into())),
            lease,
            threads: Arc::new(Semaphore::new(THREADS)),
        }
    }

    /// The directory a document asks for.
    pub(crate) fn open(spec: &discovery::FileDirectory, defaults: &Defaults) -> Result<Self> {
        let folder = spec
            .path
            .clone()
            .unwrap_or_else(|| defaults.state_directory.join("directory"));
        // Absolute, because who announces may change its working folder later.
        let folder =
            std::path::absolute(&folder).map_err(|reason| Error::file("find the folder", folder, reason))?;
        let lease = spec.lease.map_or(DEFAULT_LEASE, seaway_model::Period::duration);
        check_lease("file", lease)?;
        Ok(Self::new(folder, lease))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Does something in the folder, in a thread of its own.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let lost = |reason| Error::file("use the folder", &self.folder.0, reason);
        // Kept by the thread: one that hangs counts even when nobody waits for it any more.
        let permit = Arc::clone(&self.threads).acquire_owned().await;
        let permit = permit.map_err(|error| lost(io::Error::other(error)))?;
        let folder = Arc::clone(&self.folder);
        tokio::task::spawn_blocking(move || {
            let done = work(&folder);
            drop(permit);
            done
        })
        .await
        .map_err(|error| lost(error.into()))?
    }

    /// Does something in the folder when it is our turn to change this entry. `None` when there is no folder, which is
    /// made if that is wanted.
    ///
    /// When the caller gives up meanwhile it is not begun any more; what has begun has the turn until it is done.
    async fn in_turn<T: Send + 'static>(
        &self,
        name: &Name,
        make: bool,
        work: impl FnOnce(&Folder, Turn) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Option<T>> {
        enum Outcome<T> {
            Done(T),
            Busy,
            NoFolder,
        }
        let wanted = Wanted::default();
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let (entry, work, unwanted) = (name.clone(), work.clone(), Arc::clone(&wanted.0));
            let outcome = self.aside(move |folder| {
                let tried = if make {
                    folder.try_turn_in_folder(&entry)?
                } else {
                    folder.try_turn(&entry)?
                };
                Ok(match tried {
                    Tried::Mine(turn) if !unwanted.load(Ordering::Acquire) => {
                        Outcome::Done(work(folder, turn)?)
                    }
                    Tried::Mine(_) | Tried::Busy => Outcome::Busy,
                    Tried::NoFolder => Outcome::NoFolder,
                })
            });
            match outcome.await? {
                Outcome::Done(done) => return Ok(Some(done)),
                Outcome::NoFolder => return Ok(None),
                Outcome::Busy if Instant::now() >= deadline => {
                    return Err(Error::Locked {
                        path: self.folder.lock(name),
                        after: LOCK_PATIENCE,
                    });
                }
                Outcome::Busy => tokio::time::sleep(LOCK_PAUSE).await,
            }
        }
    }

    /// Writes the entry, unless another owner's live one is there.
    async fn put(&self, entry: &Entry) -> Result<()> {
        let path = self.folder.path(&entry.name);
        let wanted = entry.with_lease(Some(self.lease));
        let directory = self.describe();
        let write = move |folder: &Folder, turn: Turn| {
            let present = folder.read_to_change(&wanted.name)?;
            let mut lasting = true;
            if let Some(present) = present {
                if present.owner != wanted.owner && !present.is_expired(Timestamp::now()) {
                    return Err(Error::Held {
                        until: present.believed_until(),
                        name: present.name,
                        owner: present.owner,
                        directory,
                    });
                }
                lasting = !present.announces_the_same(&wanted);
            }
            let mut json = wanted.to_json().map_err(|reason| Error::Entry {
                place: path.display().to_string(),
                reason,
            })?;
            json.push(b'\n');
            turn.write(&path, &json, lasting)
        };
        self.in_turn(&entry.name, true, write).await.map(drop)
    }
}

#[async_trait]
impl Directory for FileDirectory {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn describe(&self) -> String {
        format!("folder {}", self.folder().display())
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.lease)
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.put(entry).await
    }

    async fn renew(&self, entry: &Entry) -> Result<()> {
        self.put(entry).await
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let (name, owner) = (entry.name.clone(), entry.owner.clone());
        let take_out = move |folder: &Folder, _turn: Turn| match folder.read_to_change(&name)? {
            Some(present) if present.owner == owner => remove(&folder.path(&name)),
            _ => Ok(()),
        };
        self.in_turn(&entry.name, false, take_out).await.map(drop)
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        self.aside(Folder::list).await
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let name = name.clone();
        self.aside(move |folder| folder.read(&name)).await
    }

    async fn remove_expired(&self) -> Result<Vec<Entry>> {
        let mut removed = Vec::new();
        for entry in self.list().await? {
            if !entry.is_expired(Timestamp::now()) {
                continue;
            }
            let name = entry.name.clone();
            let clear = move |folder: &Folder, _turn: Turn| {
                // Looked at again now that nobody else can change it: it may have been renewed.
                let Ok(Some(present)) = folder.read(&name) else {
                    return Ok(None);
                };
                if !present.is_expired(Timestamp::now()) {
                    return Ok(None);
                }
                remove(&folder.path(&name))?;
                Ok(Some(present))
            };
            removed.extend(self.in_turn(&entry.name, false, clear).await?.flatten());
        }
        Ok(removed)
    }
}

/// Refuses leases too short to be kept.
pub(crate) fn check_lease(directory: &'static str, lease: Duration) -> Result<()> {
    if lease >= SHORTEST_LEASE {
        return Ok(());
    }
    let reason = format!("{} ms is too short; a lease has at least 1 s", lease.as_millis());
    Err(Error::Configuration {
        directory,
        field: "lease",
        reason,
    })
}

/// An absolute path, because who announces may change its working folder later.
pub(crate) fn absolute(path: Option<&Path>) -> Result<Option<PathBuf>> {
    let Some(path) = path else { return Ok(None) };
    std::path::absolute(path)
        .map(Some)
        .map_err(|reason| Error::file("find", path, reason))
}
