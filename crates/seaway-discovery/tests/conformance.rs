//! The contract of `Directory`, asked of every directory that can be read back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::{any::Any, collections::BTreeMap, sync::Mutex, time::Duration};

use jiff::Timestamp;
use seaway_discovery::{Defaults, Directory, Entry, Error, open};
use seaway_model::{
    Name, Period,
    discovery::{DirectorySpec, FileDirectory, HttpDirectory, HttpMethod},
};
use support::{Received, Reply, Server, entry, name, until};

const LONG: u64 = 60;
/// The shortest lease there is: what is to expire must be waited for.
const SHORT: u64 = 1;

/// A place for entries, which any number of directories look at.
struct Place {
    open: Box<dyn Fn(u64) -> Box<dyn Directory> + Send + Sync>,
    _keep: Box<dyn Any>,
}

impl Place {
    fn open(&self, lease: u64) -> Box<dyn Directory> {
        (self.open)(lease)
    }
}

fn open_spec(spec: &DirectorySpec) -> Box<dyn Directory> {
    open(
        spec,
        &Defaults {
            state_directory: "/nonexistent".into(),
        },
    )
    .unwrap()
}

async fn file() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let open = move |lease| {
        let lease = Some(Period::from_secs(lease));
        open_spec(&DirectorySpec::File(FileDirectory {
            path: Some(path.clone()),
            lease,
        }))
    };
    Place {
        open: Box::new(open),
        _keep: Box::new(folder),
    }
}

/// A server that keeps entries in memory and keeps owners apart, as the documentation of the module asks.
async fn http() -> Place {
    let entries: Mutex<BTreeMap<Name, Entry>> = Mutex::default();
    let server = Server::start(move |request| answer(&mut entries.lock().unwrap(), request)).await;
    let url = server.url("/entries/{name}");
    let open = move |lease| {
        open_spec(&DirectorySpec::Http(HttpDirectory {
            url: url.clone(),
            method: HttpMethod::Put,
            withdraw_method: HttpMethod::Delete,
            withdraw_url: None,
            format: seaway_model::discovery::HttpFormat::Json,
            token_file: None,
            certificate_file: None,
            key_file: None,
            ca_file: None,
            timeout: None,
            retries: None,
            lease: Some(Period::from_secs(lease)),
        }))
    };
    Place {
        open: Box::new(open),
        _keep: Box::new(server),
    }
}

fn answer(entries: &mut BTreeMap<Name, Entry>, request: &Received) -> Reply {
    let name: Name = request.path.strip_prefix("/entries/").unwrap().parse().unwrap();
    let json = |entry: &Entry| String::from_utf8(entry.to_json().unwrap()).unwrap();
    let present = entries.get(&name).cloned();
    let owner = request.headers.get("seaway-owner");
    let foreign = |present: &Entry| Some(present.owner.as_str()) != owner.map(String::as_str);
    match (request.method.as_str(), present) {
        ("GET", Some(present)) => Reply::Status(200, json(&present)),
        ("PUT", Some(present)) if foreign(&present) && !present.is_expired(Timestamp::now()) => {
            Reply::Status(409, json(&present))
        }
        ("PUT", _) => {
            entries.insert(name, Entry::from_json(request.body.as_bytes()).unwrap());
            Reply::Status(201, String::new())
        }
        ("DELETE", Some(present)) if foreign(&present) => Reply::Status(409, json(&present)),
        ("DELETE", Some(_)) => {
            entries.remove(&name);
            Reply::Status(204, String::new())
        }
        _ => Reply::Status(404, "nothing there".into()),
    }
}

async fn owner_of(directory: &dyn Directory, instance: &str) -> Option<String> {
    directory
        .get(&name(instance))
        .await
        .unwrap()
        .map(|entry| entry.owner.to_string())
}

fn assert_held(result: Result<(), Error>, by: &str) {
    match result {
        Err(error @ Error::Held { .. }) => {
            assert!(error.to_string().contains(by), "{error}");
            assert!(error.is_conflict());
            let Error::Held { owner, until, .. } = error else {
                unreachable!()
            };
            assert_eq!(owner.as_str(), by);
            assert!(until.unwrap() > Timestamp::now());
        }
        other => panic!("expected to be refused, got {other:?}"),
    }
}

mod cases {
    use super::*;

    pub(crate) async fn registered_is_found_and_withdrawn_is_gone(place: Place) {
        let directory = place.open(LONG);
        assert_eq!(owner_of(&*directory, "dask").await, None);
        let mut entry = entry("dask", "one");
        entry.labels.insert("team".into(), "a".into());
        directory.register(&entry).await.unwrap();
        let found = directory.get(&entry.name).await.unwrap().unwrap();
        assert!(found.announces_the_same(&entry));
        assert_eq!(found.lease_seconds, Some(LONG));
        assert!(!found.is_expired(Timestamp::now()));
        assert_eq!(found.registered_at, entry.registered_at);
        directory.withdraw(&entry).await.unwrap();
        assert_eq!(owner_of(&*directory, "dask").await, None);
    }

    pub(crate) async fn registering_again_changes_nothing_but_the_lease(place: Place) {
        let directory = place.open(LONG);
        let entry = entry("dask", "one");
        directory.register(&entry).await.unwrap();
        let first = directory.get(&entry.name).await.unwrap().unwrap();
        directory.register(&entry).await.unwrap();
        let second = directory.get(&entry.name).await.unwrap().unwrap();
        assert!(second.announces_the_same(&first));
        assert!(second.expires_at >= first.expires_at);
    }

    pub(crate) async fn ones_own_is_taken_over_at_once(place: Place) {
        place.open(LONG).register(&entry("dask", "one")).await.unwrap();
        let mut restarted = entry("dask", "one");
        restarted.endpoints[0].port = 9999;
        let directory = place.open(LONG);
        directory.register(&restarted).await.unwrap();
        assert_eq!(
            directory.get(&name("dask")).await.unwrap().unwrap().endpoints[0].port,
            9999
        );
    }

    pub(crate) async fn an_expired_one_is_taken_over(place: Place) {
        place.open(SHORT).register(&entry("dask", "one")).await.unwrap();
        let directory = place.open(LONG);
        assert_held(directory.register(&entry("dask", "two")).await, "one");
        until("the lease has run out", async || {
            let present = directory.get(&name("dask")).await.unwrap().unwrap();
            present.is_expired(Timestamp::now())
        })
        .await;
        directory.register(&entry("dask", "two")).await.unwrap();
        assert_eq!(owner_of(&*directory, "dask").await.as_deref(), Some("two"));
        // Whoever had it before comes back too late, and is told.
        assert_held(directory.renew(&entry("dask", "one")).await, "two");
    }

    pub(crate) async fn a_live_one_of_another_owner_is_refused(place: Place) {
        let directory = place.open(LONG);
        directory.register(&entry("dask", "one")).await.unwrap();
        assert_held(directory.register(&entry("dask", "two")).await, "one");
        assert_held(directory.renew(&entry("dask", "two")).await, "one");
        assert_eq!(owner_of(&*directory, "dask").await.as_deref(), Some("one"));
        // Another name is another matter.
        directory.register(&entry("dask-2", "two")).await.unwrap();
    }

    pub(crate) async fn renewing_puts_back_what_was_lost(place: Place) {
        let directory = place.open(LONG);
        let entry = entry("dask", "one");
        directory.register(&entry).await.unwrap();
        place.open(LONG).withdraw(&entry).await.unwrap();
        assert_eq!(owner_of(&*directory, "dask").await, None);
        directory.renew(&entry).await.unwrap();
        assert_eq!(owner_of(&*directory, "dask").await.as_deref(), Some("one"));
    }

    pub(crate) async fn renewing_moves_the_end(place: Place) {
        let directory = place.open(LONG);
        let entry = entry("dask", "one");
        directory.register(&entry).await.unwrap();
        let first = directory
            .get(&entry.name)
            .await
            .unwrap()
            .unwrap()
            .expires_at
            .unwrap();
        until("a renewal ends later", async || {
            directory.renew(&entry).await.unwrap();
            directory
                .get(&entry.name)
                .await
                .unwrap()
                .unwrap()
                .expires_at
                .unwrap()
                > first
        })
        .await;
    }

    pub(crate) async fn anothers_is_not_withdrawn(place: Place) {
        let directory = place.open(LONG);
        directory.register(&entry("dask", "one")).await.unwrap();
        directory.withdraw(&entry("dask", "two")).await.unwrap();
        assert_eq!(owner_of(&*directory, "dask").await.as_deref(), Some("one"));
    }

    pub(crate) async fn withdrawing_nothing_is_success(place: Place) {
        let directory = place.open(LONG);
        let entry = entry("dask", "one");
        directory.withdraw(&entry).await.unwrap();
        directory.register(&entry).await.unwrap();
        directory.withdraw(&entry).await.unwrap();
        directory.withdraw(&entry).await.unwrap();
    }

    pub(crate) async fn of_sixteen_at_once_one_wins(place: Place) {
        for round in 0..10 {
            let place = &place;
            let instance = format!("dask-{round}");
            let owners: Vec<String> = (0..16).map(|number| format!("owner-{number}")).collect();
            let results = futures_util::future::join_all(owners.iter().map(|owner| {
                let entry = entry(&instance, owner);
                async move { place.open(LONG).register(&entry).await }
            }))
            .await;
            let winners: Vec<_> = owners
                .iter()
                .zip(&results)
                .filter(|(_, result)| result.is_ok())
                .collect();
            assert_eq!(winners.len(), 1, "{results:?}");
            let winner = winners[0].0;
            for result in results {
                match result {
                    Ok(()) => {}
                    Err(Error::Held { owner, .. }) => assert_eq!(owner.as_str(), winner),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(
                owner_of(&*place.open(LONG), &instance).await.as_ref(),
                Some(winner)
            );
        }
    }

    pub(crate) async fn describes_itself(place: Place) {
        let directory = place.open(LONG);
        assert_eq!(directory.lease(), Some(Duration::from_secs(LONG)));
        assert!(!directory.describe().is_empty());
        assert!(!directory.kind().is_empty());
    }
}

macro_rules! conformance {
    ($($place:ident),*; $cases:tt) => { $(conformance!(@one $place $cases);)* };
    (@one $place:ident [$($case:ident),* $(,)?]) => {
        mod $place {
            $(#[tokio::test]
            async fn $case() {
                super::cases::$case(super::$place().await).await;
            })*
        }
    };
}

conformance!(file, http; [
    registered_is_found_and_withdrawn_is_gone,
    registering_again_changes_nothing_but_the_lease,
    ones_own_is_taken_over_at_once,
    an_expired_one_is_taken_over,
    a_live_one_of_another_owner_is_refused,
    renewing_puts_back_what_was_lost,
    renewing_moves_the_end,
    anothers_is_not_withdrawn,
    withdrawing_nothing_is_success,
    of_sixteen_at_once_one_wins,
    describes_itself,
]);
