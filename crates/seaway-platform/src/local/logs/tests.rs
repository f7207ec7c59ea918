use std::{
    cell::Cell,
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    rotate::{Means, rotate_by},
    *,
};

fn appender(path: &Path) -> File {
    File::options().append(true).create(true).open(path).unwrap()
}

/// The whole stream of a log.
fn stream(path: &Path) -> Vec<u8> {
    let older: Vec<_> = (1..)
        .map_while(|number| fs::read(rotated(path, number)).ok())
        .collect();
    older
        .into_iter()
        .rev()
        .chain([fs::read(path).unwrap()])
        .collect::<Vec<_>>()
        .concat()
}

fn copy_all(from: &mut File, start: u64, end: u64, to: &mut File) -> io::Result<()> {
    to.write_all(&read_between(from, start, end)?)
}

fn refuse(_: &File, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[test]
fn nothing_is_lost_or_doubled_while_a_task_writes() {
    const LINES: usize = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.log");
    let mut log = appender(&path);
    let mut follower = Follower::new();
    assert!(follower.add("task", &path, 0).unwrap().is_empty());
    let (rotations, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut cuts = Vec::new();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in 0..LINES {
                // In one piece, as a task with a buffer does.
                log.write_all(format!("line {line}\n").as_bytes()).unwrap();
                // The others keep up, so that the log is always rotated before it is far too large.
                if line % 1000 == 0 {
                    let now = rotations.load(Ordering::SeqCst);
                    while rotations.load(Ordering::SeqCst) < now + 2 {
                        std::thread::yield_now();
                    }
                }
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            loop {
                let last = done.load(Ordering::SeqCst);
                let lines = follower.poll().unwrap();
                if last && lines.is_empty() && seen.len() == LINES {
                    break;
                }
                seen.extend(lines.into_iter().map(|line| line.text));
                assert!(seen.len() <= LINES, "a line was given twice");
                std::thread::yield_now();
            }
        });
        while !done.load(Ordering::SeqCst) {
            if let Rotation::Rotated(cut) = rotate(&path, 64 << 10, 10_000).unwrap() {
                cuts.push(cut);
            }
            rotations.fetch_add(1, Ordering::SeqCst);
        }
    });
    println!("{} rotations, the first {:?}", cuts.len(), cuts.first());
    if cuts.contains(&Cut::Truncated) {
        println!(
            "skipped: the filesystem of `{}` cannot take bytes out of files",
            path.display()
        );
        return;
    }
    assert!(cuts.len() > 10, "{}", cuts.len());
    let expected: Vec<_> = (0..LINES).map(|line| format!("line {line}")).collect();
    assert!(stream(&path) == (expected.join("\n") + "\n").into_bytes());
    assert!(seen == expected, "the follower saw every line once");
}

#[test]
fn rotated_files_are_private_shifted_and_limited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.log");
    let mut log = appender(&path);
    assert_eq!(
        rotate(&folder.path().join("none"), 1, 2).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    for round in 0..4 {
        writeln!(log, "round {round}").unwrap();
        assert_eq!(rotate(&path, 100, 2).unwrap(), Rotation::NotNeeded);
        let rotation = rotate_by(
            &path,
            5,
            2,
            &Means {
                copy: &copy_all,
                collapse: &refuse,
            },
        )
        .unwrap();
        assert_eq!(rotation, Rotation::Rotated(Cut::Truncated));
    }
    assert_eq!(stream(&path), b"round 2\nround 3\n");
    assert!(!rotated(&path, 3).exists());
    assert_eq!(
        fs::metadata(rotated(&path, 1)).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    writeln!(log, "more").unwrap();
    assert_eq!(rotate(&path, 1, 0).unwrap(), Rotation::Rotated(Cut::Truncated));
    assert_eq!(stream(&path), b"round 2\nround 3\n");
}

#[test]
fn a_full_disk_costs_old_logs_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.log");
    let text = "0123456789\n".repeat(1000);
    let full = |times: u32| {
        let left = Cell::new(times);
        move |from: &mut File, start: u64, end: u64, to: &mut File| {
            if left.get() > 0 {
                left.set(left.get() - 1);
                return Err(io::ErrorKind::StorageFull.into());
            }
            copy_all(from, start, end, to)
        }
    };
    let prepare = || {
        fs::write(&path, &text).unwrap();
        fs::write(rotated(&path, 1), "old").unwrap();
        fs::write(rotated(&path, 2), "older").unwrap();
    };
    prepare();
    let rotation = rotate_by(
        &path,
        1,
        3,
        &Means {
            copy: &full(1),
            collapse: &refuse,
        },
    )
    .unwrap();
    assert_eq!(rotation, Rotation::OlderDropped(Cut::Truncated));
    assert_eq!(stream(&path), text.as_bytes());
    prepare();
    let rotation = rotate_by(
        &path,
        1,
        3,
        &Means {
            copy: &full(u32::MAX),
            collapse: &refuse,
        },
    )
    .unwrap();
    assert_eq!(
        rotation,
        Rotation::CutWithoutCopy {
            lost: text.len() as u64
        }
    );
    assert_eq!(stream(&path), b"");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no half copy stays"
    );
}

#[test]
fn a_reader_is_not_disturbed_unless_the_log_grows_too_far() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.log");
    fs::write(&path, "0123456789\n").unwrap();
    let reader = File::open(&path).unwrap();
    reader.lock_shared().unwrap();
    assert_eq!(rotate(&path, 10, 1).unwrap(), Rotation::Postponed);
    assert!(matches!(rotate(&path, 1, 1).unwrap(), Rotation::Rotated(_)));
}

fn texts(lines: Vec<Line>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| format!("{}: {}", line.task, line.text))
        .collect()
}

#[test]
fn a_follower_survives_what_happens_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.log"), folder.path().join("two.log"));
    fs::write(&one, "a\nb\nc\nhalf").unwrap();
    let mut follower = Follower::new();
    assert_eq!(follower.add("one", &one, 2).unwrap(), ["b", "c"]);
    assert!(follower.add("two", &two, 2).unwrap().is_empty());
    assert!(follower.poll().unwrap().is_empty());
    let mut log = appender(&one);
    writeln!(log, " whole").unwrap();
    fs::write(&two, "late\n").unwrap();
    assert_eq!(texts(follower.poll().unwrap()), ["one: half whole", "two: late"]);
    // Emptied by somebody.
    log.set_len(0).unwrap();
    assert!(follower.poll().unwrap().is_empty());
    writeln!(log, "d").unwrap();
    assert_eq!(texts(follower.poll().unwrap()), ["one: d"]);
    // Rotated twice between two looks.
    for line in ["e", "f", "g"] {
        writeln!(log, "{line}").unwrap();
        if line != "g" {
            let means = Means {
                copy: &copy_all,
                collapse: &refuse,
            };
            assert!(matches!(
                rotate_by(&one, 1, 5, &means).unwrap(),
                Rotation::Rotated(_)
            ));
        }
    }
    assert_eq!(texts(follower.poll().unwrap()), ["one: e", "one: f", "one: g"]);
    // More often than files are kept: what is gone is gone.
    for line in ["h", "i", "j"] {
        writeln!(log, "{line}").unwrap();
        let means = Means {
            copy: &copy_all,
            collapse: &refuse,
        };
        assert!(matches!(
            rotate_by(&one, 1, 2, &means).unwrap(),
            Rotation::Rotated(_)
        ));
    }
    assert_eq!(texts(follower.poll().unwrap()), ["one: i", "one: j"]);
    // Removed with a last word, and made anew.
    write!(log, "bye").unwrap();
    fs::remove_file(&one).unwrap();
    assert_eq!(texts(follower.poll().unwrap()), ["one: bye"]);
    fs::write(&one, "new\n").unwrap();
    assert_eq!(texts(follower.poll().unwrap()), ["one: new"]);
    // Endless, and slow.
    let mut log = appender(&one);
    log.write_all(&[b'x'; 3 * LONGEST_LINE]).unwrap();
    let lines = follower.poll().unwrap();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].text.ends_with("x…"));
    log.write_all(b"the end of it\nprompt> ").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let lines = loop {
        let lines = follower.poll().unwrap();
        if !lines.is_empty() {
            break lines;
        }
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    };
    assert_eq!(texts(lines), ["one: prompt> "]);
    follower.remove("one");
    writeln!(log, "unheard").unwrap();
    assert!(follower.poll().unwrap().is_empty());
}

#[tokio::test]
async fn a_follower_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.log");
    let mut follower = Follower::new();
    follower.add("task", &path, 10).unwrap();
    let (lines, ()) = tokio::join!(follower.next(), async { fs::write(&path, "hello\n").unwrap() });
    assert_eq!(texts(lines.unwrap()), ["task: hello"]);
}

#[test]
fn the_tail_of_a_huge_or_endless_log_is_cheap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("task.log");
    let mut log = appender(&path);
    // Sparse: reading all of it would take minutes.
    log.set_len(1 << 40).unwrap();
    writeln!(log, "\nlast").unwrap();
    assert_eq!(tail(&path, 1).unwrap(), ["last"]);
    let lines = tail(&path, 2).unwrap();
    assert_eq!(lines[1], "last");
    assert!(lines[0].starts_with('…') && lines[0].len() < 10 * LONGEST_LINE);
    assert!(tail(&path, 0).unwrap().is_empty());
    assert!(tail(&folder.path().join("none"), 5).unwrap().is_empty());
}

/// What `tail` promises, the simple way.
fn naive(text: &[u8], lines: usize) -> Vec<String> {
    let mut all: Vec<_> = text.split(|byte| *byte == b'\n').map(clean).collect();
    if text.is_empty() || text.ends_with(b"\n") {
        all.pop();
    }
    all.split_off(all.len().saturating_sub(lines))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tail_is_what_it_should_be(
        parts in prop::collection::vec("([a-zä\t\r]{0,12}\n|[a-z]{0,30}|\n{1,3}|x{4090,4100}\n|(line\n){2000})", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        lines in 0_usize..2500,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.log");
        let text = parts.concat().into_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        for (number, bounds) in cuts.windows(2).rev().enumerate() {
            let file = if number == 0 { path.clone() } else { rotated(&path, number) };
            fs::write(file, &text[bounds[0]..bounds[1]]).unwrap();
        }
        prop_assert_eq!(tail(&path, lines).unwrap(), naive(&text, lines));
        // A follower begins with the whole lines among them and goes on with the rest.
        let mut follower = Follower::new();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let shown = follower.add("task", &path, lines).unwrap();
        prop_assert_eq!(shown, naive(&text[..whole], lines));
        appender(&path).write_all(b"!\n").unwrap();
        let next = follower.poll().unwrap();
        prop_assert_eq!(next.len(), 1);
        prop_assert_eq!(&next[0].text, &clean(&[&text[whole..], b"!"].concat()));
    }
}
