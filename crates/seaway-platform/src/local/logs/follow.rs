//! Reads logs as they grow.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{LONGEST_LINE, clean, open, read_between, rotated, tail::read_back};

/// How often logs are looked at.
pub(in crate::local) const LOOK: Duration = Duration::from_millis(100);

/// How long a line that is not ended is held back after its last byte was read.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of one file is read at one look.
const MOST_AT_ONCE: u64 = 1 << 20;

/// A line that a task wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The task, by the name it was added with.
    pub task: Arc<str>,
    /// The line as [`clean`] shows it.
    pub text: String,
}

/// Reads several logs as they grow. Each line is given once, whatever happens to the files: they may appear later,
/// be rotated, emptied, removed and made anew.
///
/// A line that stays without an end for a second is given as it is.
#[derive(Debug, Default)]
pub struct Follower {
    logs: Vec<Log>,
}

impl Follower {
    /// One that follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows a task's log after its last `lines` lines, which are returned: none is missed or doubled between them
    /// and what follows. The file need not be there yet. A task that is followed already is followed anew.
    pub fn add(&mut self, task: &str, path: &Path, lines: usize) -> io::Result<Vec<String>> {
        self.remove(task);
        let mut log = Log::new(task, path);
        let shown = log.begin(lines)?;
        self.logs.push(log);
        Ok(shown)
    }

    /// No longer follows a task.
    pub fn remove(&mut self, task: &str) {
        self.logs.retain(|log| &*log.task != task);
    }

    /// The lines that are there now and were not given yet. Does not wait.
    pub fn poll(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        self.logs.iter_mut().try_for_each(|log| log.poll(&mut lines))?;
        Ok(lines)
    }

    /// Waits for lines. May be dropped and called again.
    pub async fn next(&mut self) -> io::Result<Vec<Line>> {
        loop {
            let lines = self.poll()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Tells files apart. An inode's number is used again soon after a file was removed, so there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// One log that is followed.
#[derive(Debug)]
struct Log {
    task: Arc<str>,
    path: PathBuf,
    /// The live file, kept open so that its last words can be read after it was removed.
    live: Option<File>,
    /// How far the live file was read.
    position: u64,
    /// The newest rotated file when that was so.
    newest: Option<Identity>,
    /// The line that is not ended yet, or its beginning.
    unended: Vec<u8>,
    /// Whether that line was given already because it is too long or slow; its end is then not given as a line.
    given: bool,
    /// When something was read last.
    heard: Instant,
}

impl Log {
    fn new(task: &str, path: &Path) -> Self {
        Self {
            task: task.into(),
            path: path.to_path_buf(),
            live: None,
            position: 0,
            newest: None,
            unended: Vec::new(),
            given: false,
            heard: Instant::now(),
        }
    }

    fn begin(&mut self, lines: usize) -> io::Result<Vec<String>> {
        self.live = open(&self.path)?;
        if let Some(live) = &self.live {
            // See `tail`.
            let _ = live.try_lock_shared();
            self.position = live.metadata()?.len();
        }
        self.newest = self.rotated_files().first().copied();
        // At least one, to learn whether the last line is ended.
        let read = read_back(&self.path, self.live.as_ref(), self.position, lines.max(1))?;
        if let Some(live) = &self.live {
            let _ = live.unlock();
        }
        let shown = read.lines(lines);
        self.unended = read.rest;
        Ok(shown)
    }

    fn poll(&mut self, lines: &mut Vec<Line>) -> io::Result<()> {
        if self.live.is_none() {
            self.live = open(&self.path)?;
        }
        // Taken out while it is read, so that the rest can be changed.
        if let Some(live) = self.live.take() {
            // Whoever holds the lock is cutting the file; what it looks like meanwhile is of no use.
            if matches!(live.try_lock_shared(), Err(TryLockError::WouldBlock)) {
                self.live = Some(live);
                return Ok(());
            }
            let read = self.read(&live, lines);
            let _ = live.unlock();
            let ended = read?;
            // Looked at after reading: whatever was written to a file that was replaced has been read.
            if ended && self.is_replaced(&live) {
                self.give(lines);
                self.position = 0;
                self.newest = self.rotated_files().first().copied();
            } else {
                self.live = Some(live);
            }
        }
        if !self.unended.is_empty() && self.heard.elapsed() >= PATIENCE {
            self.give(lines);
        }
        Ok(())
    }

    /// Reads what is new in the live file and in what was cut from it; whether that was all.
    fn read(&mut self, live: &File, lines: &mut Vec<Line>) -> io::Result<bool> {
        let rotated_files = self.rotated_files();
        if rotated_files.first() != self.newest.as_ref() {
            let known = self
                .newest
                .and_then(|newest| rotated_files.iter().position(|file| *file == newest));
            if known.is_none() && self.newest.is_some() {
                // The file that was the newest is gone already: everything that is left came after it.
                self.position = 0;
            }
            for number in (1..=known.unwrap_or(rotated_files.len())).rev() {
                let Some(file) = open(&rotated(&self.path, number))? else {
                    continue;
                };
                let length = file.metadata()?.len();
                // What was read of the live file is now the beginning of this one, and may go beyond its end.
                while self.position < length {
                    let end = length.min(self.position + MOST_AT_ONCE);
                    self.take(&read_between(&file, self.position, end)?, lines);
                    self.position = end;
                }
                self.position -= length;
            }
            self.newest = rotated_files.first().copied();
        }
        let length = live.metadata()?.len();
        if length < self.position {
            // Somebody emptied the file.
            self.position = 0;
        }
        let end = length.min(self.position + MOST_AT_ONCE);
        let bytes = read_between(live, self.position, end)?;
        self.position += bytes.len() as u64;
        self.take(&bytes, lines);
        Ok(end == length)
    }

    /// The rotated files, newest first.
    fn rotated_files(&self) -> Vec<Identity> {
        (1..)
            .map_while(|number| {
                fs::metadata(rotated(&self.path, number))
                    .ok()
                    .map(|file| Identity::of(&file))
            })
            .collect()
    }

    fn is_replaced(&self, live: &File) -> bool {
        let same = |one: &Metadata, other: &Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
        match (fs::metadata(&self.path), live.metadata()) {
            (Ok(at_path), Ok(read)) => !same(&at_path, &read),
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            (_, Err(_)) => true,
        }
    }

    /// Takes bytes that were read, and gives the lines that end in them.
    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        if !bytes.is_empty() {
            self.heard = Instant::now();
        }
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let ended = parts.peek().is_some();
            if !self.given {
                // One byte over the longest suffices to show that the line is cropped.
                let room = (LONGEST_LINE + 1).saturating_sub(self.unended.len());
                self.unended.extend_from_slice(&part[..part.len().min(room)]);
            }
            if ended {
                if !self.given {
                    let line = mem::take(&mut self.unended);
                    lines.push(self.line(&line));
                }
                self.given = false;
            } else if self.unended.len() > LONGEST_LINE {
                self.give(lines);
                self.given = true;
            }
        }
    }

    /// Gives the line that is not ended, if there is one.
    fn give(&mut self, lines: &mut Vec<Line>) {
        let unended = mem::take(&mut self.unended);
        if !unended.is_empty() {
            lines.push(self.line(&unended));
        }
        self.given = false;
    }

    fn line(&self, bytes: &[u8]) -> Line {
        Line {
            task: self.task.clone(),
            text: clean(bytes),
        }
    }
}
