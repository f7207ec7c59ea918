//! A folder of JSON files: `<name>.json` is the entry of the instance `name`.
//!
//! Readers need nothing but the file: it is always whole (written aside, then renamed) and private (mode 0600 from
//! the moment it exists). Writers of one name take turns by a lock on `.<name>.lock`, which is removed again before
//! it is released, so that nothing but entries stays in the folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use seaway_model::{Name, discovery};
use tokio::time::Instant;

use crate::{Defaults, Directory, Entry, EntryError, Error, Result};

/// Lease where the document names none.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Shortest lease a document can ask for. Below it a short pause of the machine would make live entries expire.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);

/// How long to wait for another process that works on the same entry; its work takes milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// How often to try to get the lock meanwhile.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Largest entry that is read; ours have a few kilobytes.
const LARGEST_ENTRY: u64 = 1 << 20;

/// A folder of JSON files, one for each instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDirectory {
    folder: PathBuf,
    lease: Duration,
}

/// The right to change one entry, until it is dropped.
struct Turn {
    path: PathBuf,
    // Kept for the lock on it: closing it ends the lock.
    _file: File,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Removed while still locked: who waits for it sees that it has been removed, and begins anew. When it cannot
        // be removed it stays behind as an empty file, which does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

impl FileDirectory {
    /// The directory in this folder, with this lease. The folder is made when something is registered.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, lease: Duration) -> Self {
        Self {
            folder: folder.into(),
            lease,
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
        &self.folder
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Where an entry is written before it is renamed. Always the same, so that what a crash leaves there is
    /// overwritten by the next writer; only who has the turn writes there.
    fn draft(&self, name: &Name) -> PathBuf {
        self.folder.join(format!(".{name}.json.draft"))
    }

    /// Waits for the turn to change an entry. `None` when there is no folder, and so no entry.
    async fn turn(&self, name: &Name) -> Result<Option<Turn>> {
        let path = self.folder.join(format!(".{name}.lock"));
        let wrong = |reason| Error::file("lock", path.clone(), reason);
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let file = match OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
            {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(wrong(error)),
            };
            match file.try_lock() {
                // Whoever had the turn before has removed the file; a lock on a removed file keeps nobody out.
                Ok(()) if !is_at(&file, &path).map_err(wrong)? => {}
                Ok(()) => return Ok(Some(Turn { path, _file: file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(wrong(error)),
            }
            if Instant::now() >= deadline {
                return Err(Error::Locked {
                    path,
                    after: LOCK_PATIENCE,
                });
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }

    /// The turn to change an entry, in a folder that is made if it is missing.
    async fn turn_in_folder(&self, name: &Name) -> Result<Turn> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|reason| Error::file("create the folder", &self.folder, reason))?;
        self.turn(name).await?.ok_or_else(|| {
            Error::file(
                "use the folder",
                &self.folder,
                io::Error::new(io::ErrorKind::NotFound, "it was removed"),
            )
        })
    }

    /// What stands in the folder under a name.
    fn read(&self, name: &Name) -> Result<Option<Entry>> {
        let path = self.path(name);
        let Some(bytes) = read_file(&path)? else {
            return Ok(None);
        };
        Entry::from_json(&bytes)
            .and_then(|entry| {
                if entry.name == *name {
                    Ok(Some(entry))
                } else {
                    Err(EntryError::Name {
                        found: entry.name,
                        expected: name.clone(),
                    })
                }
            })
            .map_err(|reason| Error::Entry {
                place: path.display().to_string(),
                reason,
            })
    }

    /// What stands in the folder under a name, for one who wants to change it. What is no entry counts as one of
    /// somebody else that has expired, since entries are written so that they are always whole. One of a later
    /// form may be live, and is an error.
    fn read_to_change(&self, name: &Name) -> Result<Option<Entry>> {
        match self.read(name) {
            Err(
                error @ Error::Entry {
                    reason: EntryError::Malformed(_) | EntryError::Name { .. },
                    ..
                },
            ) => {
                tracing::warn!(%name, "{error}; it is treated as expired");
                Ok(None)
            }
            result => result,
        }
    }

    fn write(&self, entry: &Entry) -> Result<()> {
        let path = self.path(&entry.name);
        let draft = self.draft(&entry.name);
        let mut json = entry
            .with_lease(Some(self.lease))
            .to_json()
            .map_err(|reason| Error::Entry {
                place: path.display().to_string(),
                reason,
            })?;
        json.push(b'\n');
        // A draft that a crash left behind may have another mode; a new file has the right one from the start.
        remove(&draft)?;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(&json)?;
                file.sync_all()?;
                fs::rename(&draft, &path)
            });
        written.map_err(|reason| {
            let _ = fs::remove_file(&draft);
            Error::file("write", path, reason)
        })
    }

    /// Writes the entry, unless another owner's live one is there.
    async fn put(&self, entry: &Entry) -> Result<()> {
        let turn = self.turn_in_folder(&entry.name).await?;
        if let Some(present) = self.read_to_change(&entry.name)?
            && present.owner != entry.owner
            && !present.is_expired(Timestamp::now())
        {
            return Err(Error::Held {
                until: present.believed_until(),
                name: present.name,
                owner: present.owner,
                directory: self.describe(),
            });
        }
        self.write(entry)?;
        drop(turn);
        Ok(())
    }

    /// Names of everything in the folder that looks like an entry, in order.
    fn names(&self) -> Result<Vec<Name>> {
        let wrong = |reason| Error::file("list the folder", &self.folder, reason);
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(wrong(error)),
        };
        let mut names = Vec::new();
        for file in files {
            let file_name = file.map_err(wrong)?.file_name();
            let name = file_name
                .to_str()
                .and_then(|name| name.strip_suffix(".json")?.parse().ok());
            names.extend(name);
        }
        names.sort();
        Ok(names)
    }
}

#[async_trait]
impl Directory for FileDirectory {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn describe(&self) -> String {
        format!("folder {}", self.folder.display())
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
        let Some(turn) = self.turn(&entry.name).await? else {
            return Ok(());
        };
        remove(&self.draft(&entry.name))?;
        if self
            .read_to_change(&entry.name)?
            .is_some_and(|present| present.owner == entry.owner)
        {
            remove(&self.path(&entry.name))?;
        }
        drop(turn);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.names()? {
            match self.read(&name) {
                Ok(entry) => entries.extend(entry),
                Err(error) => tracing::warn!(%name, "{error}; it is left out"),
            }
        }
        Ok(entries)
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        self.read(name)
    }

    async fn remove_expired(&self) -> Result<Vec<Entry>> {
        let mut removed = Vec::new();
        for entry in self.list().await? {
            if !entry.is_expired(Timestamp::now()) {
                continue;
            }
            let Some(turn) = self.turn(&entry.name).await? else {
                continue;
            };
            // Looked at again now that nobody else can change it: it may have been renewed.
            if let Ok(Some(present)) = self.read(&entry.name)
                && present.is_expired(Timestamp::now())
            {
                remove(&self.draft(&present.name))?;
                remove(&self.path(&present.name))?;
                removed.push(present);
            }
            drop(turn);
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

/// Whether the open file is the one at the path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a file that may be there or not.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path, error)),
        _ => Ok(()),
    }
}

/// The content of a regular file of sensible size; `None` when there is none.
fn read_file(path: &Path) -> Result<Option<Vec<u8>>> {
    let read = || {
        // Asked before it is opened: opening a pipe would wait for somebody to write into it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(LARGEST_ENTRY + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_ENTRY {
            return Err(io::Error::other("it is too large for an entry"));
        }
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", path, error)),
    }
}
