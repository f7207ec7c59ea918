//! Cuts logs that have become large.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::{rotated, with_suffix};

/// What [`rotate`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Rotation {
    /// Nothing: the log is not larger than the limit.
    NotNeeded,
    /// Nothing yet: somebody is reading the log. The next call does it.
    Postponed,
    /// What was written is in the rotated file.
    Rotated(Cut),
    /// As before, but the disk was full, and older rotated files had to go to make room.
    OlderDropped(Cut),
    /// The disk is full even without the older rotated files: what was cut is lost.
    CutWithoutCopy {
        /// How many bytes.
        lost: u64,
    },
}

/// How the live file was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The filesystem took the beginning out of the file. Writers notice nothing and nothing can be lost.
    Collapsed,
    /// The file was emptied after everything in it was copied. What a writer appends between the last look at the
    /// size and that (microseconds) is lost.
    Truncated,
}

/// How many times the limit a log may reach while somebody reads it. A reader that was stopped in the middle must
/// not make the disk full.
const PATIENCE: u64 = 8;

/// How often to copy what was written during the last copy before the file is emptied. A writer that fills the file
/// as fast as it is copied would keep this going.
const ROUNDS: usize = 100;

/// Moves the content of a log larger than `limit` bytes into a file `<path>.1` (mode 0600), what was there into
/// `<path>.2`, and so on; `keep` such files are kept. Writers need not know: they go on appending to the same file.
///
/// If Seaway is killed in the middle, what was being moved may be in both files, and nothing is lost. Only one
/// process may rotate a log at a time.
pub fn rotate(path: &Path, limit: u64, keep: usize) -> io::Result<Rotation> {
    rotate_by(
        path,
        limit,
        keep,
        &Means {
            copy: &copy,
            collapse: &collapse,
        },
    )
}

/// What rotating asks of the system; tests put other things here.
pub(super) struct Means<'a> {
    /// Copies bytes between two places of one file to the end of another.
    pub(super) copy: &'a dyn Fn(&mut File, u64, u64, &mut File) -> io::Result<()>,
    /// Takes bytes out of the beginning of a file.
    pub(super) collapse: &'a dyn Fn(&File, u64) -> io::Result<()>,
}

pub(super) fn rotate_by(path: &Path, limit: u64, keep: usize, means: &Means<'_>) -> io::Result<Rotation> {
    // Looked at before it is opened: most of the time there is nothing to do.
    if fs::metadata(path)?.len() <= limit {
        return Ok(Rotation::NotNeeded);
    }
    let mut live = File::options().read(true).write(true).open(path)?;
    let size = live.metadata()?.len();
    match live.try_lock() {
        Err(TryLockError::WouldBlock) if size <= limit.saturating_mul(PATIENCE) => {
            return Ok(Rotation::Postponed);
        }
        // Locked for too long, or on a filesystem without locks.
        _ => {}
    }
    if keep == 0 {
        let cut = cut(&live, means)?.0;
        return Ok(Rotation::Rotated(cut));
    }
    match move_content(&mut live, path, keep, means) {
        Err(error) if is_full(&error) => {}
        other => return other.map(|moved| moved.into_rotation(Rotation::Rotated)),
    }
    drop_from(path, 1);
    match move_content(&mut live, path, keep, means) {
        Err(error) if is_full(&error) => Ok(Rotation::CutWithoutCopy {
            lost: cut(&live, means)?.1,
        }),
        other => other.map(|moved| moved.into_rotation(Rotation::OlderDropped)),
    }
}

/// What moving the content came to.
struct Moved {
    cut: Cut,
    /// Bytes for which there was no room in the end.
    lost: u64,
}

impl Moved {
    fn into_rotation(self, whole: impl Fn(Cut) -> Rotation) -> Rotation {
        if self.lost == 0 {
            whole(self.cut)
        } else {
            Rotation::CutWithoutCopy { lost: self.lost }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn move_content(live: &mut File, path: &Path, keep: usize, means: &Means<'_>) -> io::Result<Moved> {
    // Left by one that was killed while copying: it holds nothing that is not still in the live file.
    let copy_path = with_suffix(path, ".rotating");
    remove_if_there(&copy_path)?;
    let mut copy = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&copy_path)?;
    let moved = copy_and_cut(live, &mut copy, means, &mut || {
        drop_from(path, keep);
        for number in (1..keep).rev() {
            match fs::rename(rotated(path, number), rotated(path, number + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        fs::rename(&copy_path, rotated(path, 1))
    });
    if moved.is_err() {
        // It takes room, which is what was missing.
        let _ = fs::remove_file(&copy_path);
    }
    moved
}

/// Copies what can be cut, has the copy put in its place, and only then cuts.
fn copy_and_cut(
    live: &mut File,
    copy: &mut File,
    means: &Means<'_>,
    put_in_place: &mut dyn FnMut() -> io::Result<()>,
) -> io::Result<Moved> {
    let whole_blocks = collapsible(live)?;
    (means.copy)(live, 0, whole_blocks, copy)?;
    // The way that loses nothing cannot be tried without doing it, and it may only be done when the copy is in place.
    // When the filesystem refuses, the rest is copied as well.
    put_in_place()?;
    if whole_blocks > 0 && (means.collapse)(live, whole_blocks).is_ok() {
        return Ok(Moved {
            cut: Cut::Collapsed,
            lost: 0,
        });
    }
    let mut copied = whole_blocks;
    let mut lost = 0;
    for _ in 0..ROUNDS {
        let size = live.metadata()?.len();
        if size <= copied {
            break;
        }
        match (means.copy)(live, copied, size, copy) {
            // What does not fit any more is lost; the file must become small all the same.
            Err(error) if is_full(&error) => {
                lost = size - copied;
                break;
            }
            other => other?,
        }
        copied = size;
    }
    live.set_len(0)?;
    Ok(Moved {
        cut: Cut::Truncated,
        lost,
    })
}

/// Cuts without a copy; how, and how many bytes went.
fn cut(live: &File, means: &Means<'_>) -> io::Result<(Cut, u64)> {
    let whole_blocks = collapsible(live)?;
    if whole_blocks > 0 && (means.collapse)(live, whole_blocks).is_ok() {
        return Ok((Cut::Collapsed, whole_blocks));
    }
    let size = live.metadata()?.len();
    live.set_len(0)?;
    Ok((Cut::Truncated, size))
}

/// How much can be taken out of the beginning: whole blocks of the filesystem, and not all of the file.
fn collapsible(live: &File) -> io::Result<u64> {
    let metadata = live.metadata()?;
    let block = metadata.blksize().max(1);
    Ok(metadata.len().saturating_sub(1) / block * block)
}

fn copy(from: &mut File, start: u64, end: u64, to: &mut File) -> io::Result<()> {
    from.seek(SeekFrom::Start(start))?;
    // On Linux the kernel copies, without the bytes passing through this process.
    io::copy(&mut from.take(end - start), to)?;
    Ok(())
}

/// ext4 and XFS can do this.
#[cfg(target_os = "linux")]
fn collapse(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    Ok(fallocate(file, FallocateFlags::COLLAPSE_RANGE, 0, length)?)
}

/// Only Linux can do this.
#[cfg(not(target_os = "linux"))]
fn collapse(_file: &File, _length: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Removes the rotated file of a number and all older ones.
fn drop_from(path: &Path, first: usize) {
    for number in first.. {
        if fs::remove_file(rotated(path, number)).is_err() {
            return;
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
