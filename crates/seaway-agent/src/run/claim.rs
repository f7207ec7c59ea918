//! Who may announce a name from this machine: one agent at a time.
//!
//! The owner of an entry must outlive the agent, so that a restart takes over at once what a crash left behind; yet
//! of two agents that are alive only one may own it. Both come from a lock and a record in Seaway's state folder:
//!
//! - `agents/NAME@HOST.json` holds the identity of the owner (`HOST/USER/RANDOM`), made once, and which processes
//!   were started under it.
//! - `agents/.NAME@HOST.lock` is locked by the agent that announces. The system ends the lock with the process,
//!   however that ends: a restart after `kill -9` gets lock and record, and so is the same owner; a second agent does
//!   not get the lock and announces nothing.
//!
//! The host is in the names because home folders are shared between machines. Agents with different state folders,
//! users or hosts are different owners, and directories keep them apart. Both files are removed when the agent ends
//! and nothing of the entry is left anywhere.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::{gethostname, getuid};
use seaway_discovery::{Owner, OwnerError};
use seaway_model::Name;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ProcessIdentity;

/// Longest part of a host name that is used: an owner has at most 128 characters, and a file name 255.
const LONGEST_HOST: usize = 63;

/// Why a name cannot be announced from this machine now.
#[derive(Debug, Error)]
pub(super) enum ClaimError {
    /// Another agent of this user announces it.
    #[error("`{name}` is announced by another agent on this machine{}", process_text(holder.as_ref()))]
    Held {
        name: Name,
        holder: Option<ProcessIdentity>,
    },
    /// The state folder cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// This machine's name and user make no owner.
    #[error("cannot say who announces: {0}")]
    Owner(OwnerError),
}

fn process_text(holder: Option<&ProcessIdentity>) -> String {
    holder.map_or_else(String::new, |process| format!(" (process {})", process.pid))
}

impl ClaimError {
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Held { .. } => "give this one another name, or stop the other one",
            Self::File { .. } => {
                "Seaway's state folder must be writable (see XDG_STATE_HOME), unless --owner says who announces"
            }
            Self::Owner(_) => return None,
        };
        Some(hint.to_owned())
    }
}

/// What is known of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    /// The agent.
    pub(super) agent: Option<ProcessIdentity>,
    /// The mark that its processes carry.
    pub(super) instance: String,
    /// The command, once it is started.
    pub(super) process: Option<ProcessIdentity>,
    /// The command line; the file is as private as the command line itself, or more.
    pub(super) command: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    owner: Owner,
    run: Option<Run>,
}

/// The right to announce a name, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    owner: Owner,
    /// Whether an earlier holder left something behind, in directories perhaps too.
    inherited: bool,
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    record: PathBuf,
    lock: PathBuf,
    // Kept for the lock on it: closing it ends the lock.
    _file: File,
}

impl Claim {
    /// Claims a name, and says what the last holder was doing if it did not end well. An owner that is given is who
    /// the holder is; then the state folder may be unusable, as in a container without one that outlives it.
    pub(super) fn take(
        state_directory: &Path,
        name: &Name,
        owner: Option<&Owner>,
    ) -> Result<(Self, Option<Run>), ClaimError> {
        match (Self::take_in(state_directory, name), owner) {
            (Ok((claim, run)), Some(owner)) => Ok((
                Self {
                    owner: owner.clone(),
                    // Who is told who it is may have been it before, without a trace here.
                    inherited: true,
                    ..claim
                },
                run,
            )),
            (Err(ClaimError::File { .. }), Some(owner)) => Ok((
                Self {
                    owner: owner.clone(),
                    inherited: true,
                    files: None,
                },
                None,
            )),
            (result, _) => result,
        }
    }

    fn take_in(state_directory: &Path, name: &Name) -> Result<(Self, Option<Run>), ClaimError> {
        let host = host();
        let folder = state_directory.join("agents");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| ClaimError::File {
                action: "create the folder",
                path: folder.clone(),
                source,
            })?;
        let record = folder.join(format!("{name}@{host}.json"));
        let lock = folder.join(format!(".{name}@{host}.lock"));
        let present = || {
            fs::read(&record)
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok())
        };
        let failed = |source| ClaimError::File {
            action: "lock",
            path: lock.clone(),
            source,
        };
        let file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&lock)
                .map_err(failed)?;
            match file.try_lock() {
                // The last holder removes the file: a lock on a removed file keeps nobody out.
                Ok(()) if !is_at(&file, &lock) => {}
                Ok(()) => break file,
                Err(TryLockError::WouldBlock) => {
                    let holder = present().and_then(|record| record.run?.agent);
                    return Err(ClaimError::Held {
                        name: name.clone(),
                        holder,
                    });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        };
        let before = present();
        let inherited = before.is_some();
        let (owner, run) = match before {
            Some(record) => (record.owner, record.run),
            None => (new_owner(&host)?, None),
        };
        Ok((
            Self {
                owner,
                inherited,
                files: Some(Files {
                    record,
                    lock,
                    _file: file,
                }),
            },
            run,
        ))
    }

    /// Who the holder is, for directories.
    pub(super) const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether an earlier holder of this identity left it behind, and with it perhaps its entry.
    pub(super) const fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Writes down what the holder is doing.
    pub(super) fn write(&self, run: Option<Run>) -> Result<(), ClaimError> {
        let Some(Files { record, .. }) = &self.files else {
            return Ok(());
        };
        let failed = |source| ClaimError::File {
            action: "write",
            path: record.clone(),
            source,
        };
        let json = serde_json::to_vec(&Record {
            owner: self.owner.clone(),
            run,
        })
        .map_err(io::Error::from);
        let draft = record.with_extension("json.draft");
        let written = json.and_then(|json| {
            let _ = fs::remove_file(&draft);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(&json)?;
            fs::rename(&draft, record)
        });
        written.map_err(failed)
    }

    /// Gives the name up. `clean` says that nothing of the entry is left anywhere: then nothing of the claim is left
    /// either. Otherwise the next agent of the name is the same owner, and can take the rest over.
    pub(super) fn release(self, clean: bool) {
        let Some(Files { record, lock, .. }) = &self.files else {
            return;
        };
        if clean {
            let _ = fs::remove_file(record);
        } else {
            let _ = self.write(None);
        }
        // Removed while still locked: who waits for it sees that it has been removed, and begins anew.
        let _ = fs::remove_file(lock);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => open.dev() == there.dev() && open.ino() == there.ino(),
        _ => false,
    }
}

/// The machine's name, fit for file names and owners.
fn host() -> String {
    let name = gethostname().unwrap_or_default();
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '.' {
            c
        } else {
            '-'
        }
    };
    let name: String = name
        .to_string_lossy()
        .chars()
        .take(LONGEST_HOST)
        .map(fit)
        .collect();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

fn new_owner(host: &str) -> Result<Owner, ClaimError> {
    let text = format!("{host}/{}/{:016x}", getuid(), rand::random::<u64>());
    text.parse().map_err(ClaimError::Owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            agent: ProcessIdentity::own(),
            instance: "1f".into(),
            process: None,
            command: vec!["sleep".into(), "1".into()],
        }
    }

    #[test]
    fn one_at_a_time_and_the_same_owner_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::literal("engine");
        let (claim, before) = Claim::take(folder.path(), &name, None).unwrap();
        assert_eq!(before, None);
        claim.write(Some(run())).unwrap();
        let refused = Claim::take(folder.path(), &name, None).unwrap_err().to_string();
        let own = std::process::id();
        assert_eq!(
            refused,
            format!("`engine` is announced by another agent on this machine (process {own})")
        );
        Claim::take(folder.path(), &Name::literal("other"), None)
            .unwrap()
            .0
            .release(true);
        // As a crash leaves it.
        let owner = claim.owner().clone();
        drop(claim);
        let (claim, before) = Claim::take(folder.path(), &name, None).unwrap();
        assert_eq!((claim.owner(), before), (&owner, Some(run())));
        claim.release(true);
        assert_eq!(
            fs::read_dir(folder.path().join("agents")).unwrap().count(),
            0,
            "nothing is left"
        );
        let (claim, before) = Claim::take(folder.path(), &name, None).unwrap();
        assert!(claim.owner() != &owner && before.is_none());
    }

    #[test]
    fn what_cannot_be_withdrawn_stays_ours() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::literal("engine");
        let (claim, _) = Claim::take(folder.path(), &name, None).unwrap();
        claim.write(Some(run())).unwrap();
        let owner = claim.owner().clone();
        claim.release(false);
        let (claim, before) = Claim::take(folder.path(), &name, None).unwrap();
        assert_eq!((claim.owner(), before), (&owner, None));
    }

    #[test]
    fn an_owner_that_is_given_needs_no_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let name = Name::literal("engine");
        let owner: Owner = "pod/7f".parse().unwrap();
        let take = |place: &Path| Claim::take(place, &name, Some(&owner));
        let (claim, _) = take(folder.path()).unwrap();
        assert!(claim.owner() == &owner && claim.is_inherited());
        assert!(
            matches!(take(folder.path()), Err(ClaimError::Held { .. })),
            "one at a time"
        );
        claim.release(true);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let (claim, before) = take(&file).unwrap();
        assert!(claim.owner() == &owner && before.is_none());
        claim.write(Some(run())).unwrap();
        claim.release(true);
    }
}
