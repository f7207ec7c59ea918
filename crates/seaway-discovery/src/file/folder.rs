//! What is done in the folder itself. All of it may wait for a disk, or for another machine.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use seaway_model::Name;

use crate::{Entry, EntryError, Error, Result};

/// Largest entry that is read; ours have a few kilobytes.
const LARGEST_ENTRY: u64 = 1 << 20;

/// The right to change one entry, until it is dropped. The file that is locked is also the one the entry is written
/// into, before it takes the place of the one before.
pub(super) struct Turn {
    path: PathBuf,
    /// Closing it ends the lock.
    file: File,
    /// Whether the file has become the entry.
    moved: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Removed while still locked: who waits for it sees that it has been removed, and begins anew. When it cannot
        // be removed it stays behind, and the next one removes it.
        if !self.moved {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Turn {
    /// Puts this in the place of the entry at the path. What is to outlive a failure of power is waited for.
    pub(super) fn write(mut self, path: &Path, json: &[u8], lasting: bool) -> Result<()> {
        let written = self
            .file
            .write_all(json)
            .and_then(|()| if lasting { self.file.sync_all() } else { Ok(()) })
            .and_then(|()| fs::rename(&self.path, path));
        self.moved = written.is_ok();
        written.map_err(|reason| Error::file("write", path, reason))
    }
}

/// What came of trying to get a turn.
pub(super) enum Tried {
    Mine(Turn),
    /// Somebody else has it, or has just had it.
    Busy,
    /// There is no folder, and so no entry.
    NoFolder,
}

/// A folder with entries.
#[derive(Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn path(&self, name: &Name) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    pub(super) fn lock(&self, name: &Name) -> PathBuf {
        self.0.join(format!(".{name}.lock"))
    }

    /// Tries to get the turn to change an entry.
    pub(super) fn try_turn(&self, name: &Name) -> Result<Tried> {
        let path = self.lock(name);
        let wrong = |reason| Error::file("lock", path.clone(), reason);
        let options = OpenOptions::new().read(true).write(true).to_owned();
        let file = match options.clone().create_new(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Somebody has the turn, or died while having it and left behind what nobody trusts.
                match options.open(&path) {
                    Ok(file) => clear(&file, &path).map_err(wrong)?,
                    // A link to nothing.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
                        remove(&path)?;
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(wrong(error)),
                }
                return Ok(Tried::Busy);
            }
            Err(error) if is_missing(&error) => return Ok(Tried::NoFolder),
            Err(error) => return Err(wrong(error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Tried::Busy),
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        // Before it was locked somebody may have taken it for one left behind; a lock on a removed file keeps nobody out.
        if file.metadata().map_err(wrong)?.nlink() == 0 {
            return Ok(Tried::Busy);
        }
        Ok(Tried::Mine(Turn {
            path,
            file,
            moved: false,
        }))
    }

    /// The same in a folder that is made if it is missing.
    pub(super) fn try_turn_in_folder(&self, name: &Name) -> Result<Tried> {
        match self.try_turn(name)? {
            Tried::NoFolder => {}
            tried => return Ok(tried),
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|reason| Error::file("create the folder", &self.0, reason))?;
        match self.try_turn(name)? {
            Tried::NoFolder => {
                let reason = io::Error::new(io::ErrorKind::NotFound, "it was removed");
                Err(Error::file("use the folder", &self.0, reason))
            }
            tried => Ok(tried),
        }
    }

    /// What stands in the folder under a name.
    pub(super) fn read(&self, name: &Name) -> Result<Option<Entry>> {
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
    pub(super) fn read_to_change(&self, name: &Name) -> Result<Option<Entry>> {
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

    /// Everything in the folder that is an entry, by name.
    pub(super) fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.names()? {
            match self.read(&name) {
                Ok(entry) => entries.extend(entry),
                Err(error) => tracing::warn!(%name, "{error}; it is left out"),
            }
        }
        Ok(entries)
    }

    /// Names of everything in the folder that looks like an entry, in order.
    fn names(&self) -> Result<Vec<Name>> {
        let wrong = |reason| Error::file("list the folder", &self.0, reason);
        let files = match fs::read_dir(&self.0) {
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

/// Whether there is no folder to make a file in.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Removes a lock that nobody holds.
fn clear(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        // While we hold it nobody else removes it, or makes an entry of it.
        Ok(()) if is_at(file, path)? => fs::remove_file(path),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
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
pub(super) fn remove(path: &Path) -> Result<()> {
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
