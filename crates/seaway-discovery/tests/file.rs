//! What is particular about the folder: modes, whole files, locks, and what to do with what is not ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use seaway_discovery::{Defaults, Directory, Entry, Error, FileDirectory, open};
use seaway_model::{
    Period,
    discovery::{self, DirectorySpec},
};
use support::{entry, name, until};

const LEASE: Duration = Duration::from_secs(30);

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn files(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    files
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

#[tokio::test]
async fn private_from_the_start_and_nothing_else_left_behind() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("deep/er");
    let directory = FileDirectory::new(&folder, LEASE);
    directory.register(&entry("dask", "one")).await.unwrap();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&base.path().join("deep")), 0o700);
    assert_eq!(mode(&folder.join("dask.json")), 0o600);
    assert_eq!(files(&folder), ["dask.json"]);
    directory.withdraw(&entry("dask", "one")).await.unwrap();
    assert_eq!(files(&folder), [""; 0]);
}

#[tokio::test]
async fn what_a_crash_left_is_cleared_and_not_trusted() {
    let base = tempfile::tempdir().unwrap();
    let directory = FileDirectory::new(base.path(), LEASE);
    let draft = base.path().join(".dask.lock");
    let elsewhere = base.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    symlink(&elsewhere, &draft).unwrap();
    directory.register(&entry("dask", "one")).await.unwrap();
    assert_eq!(files(base.path()), ["dask.json", "elsewhere"]);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    assert_eq!(mode(&base.path().join("dask.json")), 0o600);
    symlink("/nonexistent/file", &draft).unwrap();
    directory.renew(&entry("dask", "one")).await.unwrap();
    fs::write(&draft, "half").unwrap();
    directory.renew(&entry("dask", "one")).await.unwrap();
    assert_eq!(files(base.path()), ["dask.json", "elsewhere"]);
    assert!(directory.get(&name("dask")).await.unwrap().is_some());
    fs::write(&draft, "half").unwrap();
    directory.withdraw(&entry("dask", "one")).await.unwrap();
    assert_eq!(files(base.path()), ["elsewhere"]);
}

#[test]
fn a_reader_never_sees_half_an_entry() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().to_owned();
    let path = folder.join("dask.json");
    let writer = FileDirectory::new(&folder, LEASE);
    block_on(writer.register(&entry("dask", "one"))).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let reader = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut reads = 0;
            let mut renewals = std::collections::BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                let read = Entry::from_json(&fs::read(&path).unwrap()).unwrap();
                renewals.insert(read.renewed_at);
                reads += 1;
                for file in fs::read_dir(&folder).unwrap() {
                    // It may have gone since it was listed; while it is there it is private.
                    if let Ok(metadata) = file.unwrap().metadata() {
                        assert_eq!(metadata.mode() & 0o077, 0);
                    }
                }
            }
            (reads, renewals.len())
        }
    });
    block_on(async {
        for round in 0..1_000_usize {
            let mut entry = entry("dask", "one");
            entry
                .labels
                .insert("padding".into(), "x".repeat(round * 7 % 5_000));
            writer.renew(&entry).await.unwrap();
        }
    });
    done.store(true, Ordering::Relaxed);
    let (reads, renewals) = reader.join().unwrap();
    assert!(
        reads > 100 && renewals > 10,
        "{reads} reads saw {renewals} renewals"
    );
}

#[test]
fn of_sixteen_threads_one_wins() {
    let base = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let barrier = Arc::new(Barrier::new(16));
        let threads: Vec<_> = (0..16)
            .map(|number| {
                let directory = FileDirectory::new(base.path(), LEASE);
                let (barrier, entry) = (
                    Arc::clone(&barrier),
                    entry(&format!("dask-{round}"), &format!("o{number}")),
                );
                thread::spawn(move || {
                    barrier.wait();
                    block_on(directory.register(&entry)).map(|()| entry.owner)
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let winners: Vec<_> = results.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        for refused in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(
                matches!(refused, Error::Held { owner, .. } if owner == winners[0]),
                "{refused}"
            );
        }
    }
    assert_eq!(files(base.path()).len(), 20, "only entries are left");
}

#[test]
fn taking_turns_survives_the_removal_of_the_lock() {
    // Many put in, renew and take out the same entry of one owner; the folder is empty in the end.
    let base = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let directory = FileDirectory::new(base.path(), LEASE);
                block_on(async {
                    for _ in 0..50 {
                        directory.register(&entry("dask", "one")).await.unwrap();
                        directory.withdraw(&entry("dask", "one")).await.unwrap();
                    }
                });
            });
        }
    });
    assert_eq!(files(base.path()), [""; 0]);
}

#[tokio::test]
async fn what_is_no_entry_is_reported_and_does_not_block() {
    let base = tempfile::tempdir().unwrap();
    let directory = FileDirectory::new(base.path(), LEASE);
    let path = base.path().join("dask.json");
    let other = String::from_utf8(entry("other", "one").to_json().unwrap()).unwrap();
    for content in ["", "{", "\0\0\0", "[]", "{\"version\":1}", &other] {
        fs::write(&path, content).unwrap();
        let error = directory.get(&name("dask")).await.unwrap_err();
        assert!(error.to_string().contains("dask.json"), "{error}");
        assert!(directory.list().await.unwrap().is_empty());
        directory.withdraw(&entry("dask", "two")).await.unwrap();
        assert!(path.exists(), "it is not ours, so it is not taken out");
        directory.register(&entry("dask", "two")).await.unwrap();
        assert_eq!(
            directory
                .get(&name("dask"))
                .await
                .unwrap()
                .unwrap()
                .owner
                .as_str(),
            "two"
        );
    }
    // One of a later form may be live: it is left alone.
    fs::write(&path, "{\"version\":2}").unwrap();
    let error = directory.register(&entry("dask", "two")).await.unwrap_err();
    assert!(error.to_string().contains("form 2"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"version\":2}");
}

#[tokio::test]
async fn lists_entries_and_removes_expired_ones() {
    let base = tempfile::tempdir().unwrap();
    let directory = FileDirectory::new(base.path(), LEASE);
    assert!(
        FileDirectory::new(base.path().join("none"), LEASE)
            .list()
            .await
            .unwrap()
            .is_empty()
    );
    directory.register(&entry("b", "one")).await.unwrap();
    directory.register(&entry("a", "one")).await.unwrap();
    let short = FileDirectory::new(base.path(), Duration::from_millis(1));
    short.register(&entry("c", "one")).await.unwrap();
    fs::write(base.path().join("notes.json"), "mine").unwrap();
    fs::write(base.path().join("README.txt"), "mine").unwrap();
    let names = async || -> Vec<String> {
        directory
            .list()
            .await
            .unwrap()
            .iter()
            .map(|entry| entry.name.to_string())
            .collect()
    };
    assert_eq!(names().await, ["a", "b", "c"]);
    until("the short one has expired", async || {
        directory
            .get(&name("c"))
            .await
            .unwrap()
            .unwrap()
            .is_expired(Timestamp::now())
    })
    .await;
    let removed = directory.remove_expired().await.unwrap();
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].name, name("c"));
    assert_eq!(
        files(base.path()),
        ["README.txt", "a.json", "b.json", "notes.json"]
    );
}

#[tokio::test]
async fn errors_name_the_path_and_the_reason() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    fs::write(&file, "").unwrap();
    let error = FileDirectory::new(file.join("folder"), LEASE)
        .register(&entry("dask", "one"))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("file/folder") && text.contains("Not a directory"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("not a folder"), "{error:?}");
    let error = FileDirectory::new(&file, LEASE)
        .register(&entry("dask", "one"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("create the folder"), "{error}");

    fs::create_dir(base.path().join("dask.json")).unwrap();
    let error = FileDirectory::new(base.path(), LEASE)
        .register(&entry("dask", "one"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("dask.json: it is not a regular file"),
        "{error}"
    );

    let full = Error::File {
        action: "write",
        path: "/a/b".into(),
        reason: io::ErrorKind::StorageFull.into(),
    };
    assert_eq!(full.to_string(), "cannot write /a/b: no storage space");
    assert!(full.hint().unwrap().contains("free some space"));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_never_released_is_an_error() {
    let base = tempfile::tempdir().unwrap();
    let lock = base.path().join(".dask.lock");
    let file = fs::File::create(&lock).unwrap();
    file.lock().unwrap();
    let directory = FileDirectory::new(base.path(), LEASE);
    let error = directory.register(&entry("dask", "one")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Locked { path, .. } if *path == lock),
        "{error}"
    );
    assert!(error.to_string().contains(".dask.lock locked for 5 s"), "{error}");
    // A holder that dies releases it.
    drop(file);
    directory.register(&entry("dask", "one")).await.unwrap();
}

#[test]
fn documents_are_checked_before_anything_is_made() {
    let base = tempfile::tempdir().unwrap();
    let defaults = Defaults {
        state_directory: base.path().join("state"),
        ..Defaults::default()
    };
    let spec = |lease: Option<&str>| {
        let lease: Option<Period> = lease.map(|lease| lease.parse().unwrap());
        DirectorySpec::File(discovery::FileDirectory { path: None, lease })
    };
    let directory = open(&spec(None), &defaults).unwrap();
    assert_eq!(directory.lease(), Some(LEASE));
    assert!(
        directory.describe().ends_with("state/directory"),
        "{}",
        directory.describe()
    );
    assert!(!defaults.state_directory.exists());
    let error = open(&spec(Some("999ms")), &defaults).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`lease` of the file directory: 999 ms is too short"),
        "{error}"
    );
}
