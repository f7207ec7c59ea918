//! Log files that tasks append to directly. The supervisor is not in the way of what is written: it only cuts files
//! that have become large ([`rotate`]) and reads them ([`tail`], [`Follower`]).
//!
//! A log is one stream of bytes, kept in `<path>.2`, `<path>.1`, `<path>` and so on, oldest first: a cut falls
//! anywhere, so a line may begin in one file and end in the next. Who cuts holds an exclusive lock (`flock`) on the
//! live file, who reads a shared one, so that no reader sees a file half cut. Writers need no lock.

mod clean;
mod follow;
mod rotate;
mod tail;

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub(super) use self::follow::LOOK;
pub use self::{
    clean::clean,
    follow::{Follower, Line},
    rotate::{Cut, Rotation, rotate},
    tail::tail,
};

/// Longest line that is shown, in bytes; the rest of a longer one is left out.
pub const LONGEST_LINE: usize = 4096;

/// The file with what was cut from a log `number` cuts ago.
fn rotated(path: &Path, number: usize) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A file that may not be there.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of a file between two places, or fewer when it has become shorter meanwhile.
pub(super) fn read_between(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(end.saturating_sub(start)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
