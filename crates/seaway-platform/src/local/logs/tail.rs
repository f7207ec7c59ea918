//! The last lines of a log.

use std::{fs::File, io, path::Path};

use super::{LONGEST_LINE, clean, open, read_between, rotated};

/// How much is read at once.
const BLOCK: u64 = 16 << 10;

/// What is read at most besides the longest lines asked for: a log may be one endless line.
const SPARE: usize = 1 << 20;

/// The last lines of a log, oldest first, each as [`clean`] shows it. When the live file has too few, the rotated
/// ones before it are read as well. A log that is not there yet has no lines.
///
/// Files are read backwards in blocks, so that their size does not matter.
pub fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let live = open(path)?;
    if let Some(live) = &live {
        // So that nobody cuts the file meanwhile. Without the lock (somebody is cutting it) a line may be shown twice,
        // which is better than to wait for somebody who may be stopped.
        let _ = live.try_lock_shared();
    }
    let end = live
        .as_ref()
        .map_or(Ok(0), |live| live.metadata().map(|metadata| metadata.len()))?;
    let read = read_back(path, live.as_ref(), end, lines)?;
    let mut shown = read.lines(lines);
    if !read.rest.is_empty() {
        shown.push(clean(&read.rest));
        if shown.len() > lines {
            shown.remove(0);
        }
    }
    Ok(shown)
}

/// The end of a log.
pub(super) struct Read {
    /// Whole lines.
    whole: Vec<u8>,
    /// Whether the first of them may lack its beginning.
    broken: bool,
    /// The line that is not ended yet.
    pub(super) rest: Vec<u8>,
}

impl Read {
    /// The last of the whole lines.
    pub(super) fn lines(&self, count: usize) -> Vec<String> {
        let Some(whole) = self.whole.strip_suffix(b"\n") else {
            return Vec::new();
        };
        let lines: Vec<&[u8]> = whole.rsplit(|byte| *byte == b'\n').take(count).collect();
        let first_is_shown = whole.split(|byte| *byte == b'\n').count() == lines.len();
        let mut shown: Vec<String> = lines.into_iter().rev().map(clean).collect();
        if self.broken
            && first_is_shown
            && let Some(first) = shown.first_mut()
        {
            first.insert(0, '…');
        }
        shown
    }
}

/// Reads the end of a log up to a place in its live file: `lines` whole lines, where there are so many, and what
/// follows the last of them.
pub(super) fn read_back(path: &Path, live: Option<&File>, end: u64, lines: usize) -> io::Result<Read> {
    let enough = SPARE.saturating_add(lines.saturating_mul(LONGEST_LINE));
    // One more than lines: the break before the first of them.
    let mut breaks = lines.saturating_add(1);
    let mut blocks = Vec::new();
    let mut length = 0;
    let mut broken = false;
    let mut collect = |file: &File, end: u64| -> io::Result<bool> {
        let mut end = end;
        while end > 0 {
            let start = end.saturating_sub(BLOCK);
            let block = read_between(file, start, end)?;
            end = start;
            length += block.len();
            breaks = breaks.saturating_sub(count_breaks(&block));
            blocks.push(block);
            if breaks == 0 || length >= enough {
                broken = breaks > 0;
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut done = lines == 0 || live.map_or(Ok(false), |live| collect(live, end))?;
    let mut number = 1;
    while !done && let Some(file) = open(&rotated(path, number))? {
        done = collect(&file, file.metadata()?.len())?;
        number += 1;
    }
    blocks.reverse();
    let mut whole = blocks.concat();
    let ended = whole
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    let rest = whole.split_off(ended);
    Ok(Read { whole, broken, rest })
}

fn count_breaks(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(*byte == b'\n')).sum()
}
