//! The contract of `Directory`, asked of every directory that can be read back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use seaway_discovery::{Defaults, Directory, Entry, Error, open};
use seaway_model::{
    Name, Period,
    discovery::{
        ConsulDirectory, DirectorySpec, FileDirectory, HttpDirectory, HttpMethod, KubernetesDirectory,
        RedisDirectory,
    },
};
use support::{
    Received, Reply, Server,
    cluster::Space,
    services::{Consul, Redis},
    until,
};

const LONG: u64 = 60;
/// The shortest lease there is: what is to expire must be waited for.
const SHORT: u64 = 1;

/// A place for entries, which any number of directories look at.
struct Place {
    open: Box<dyn Fn(u64) -> Box<dyn Directory> + Send + Sync>,
    /// What the names of its entries end with, where several places share a server.
    suffix: String,
    /// What must live as long as the place.
    _keep: Box<dyn Any>,
}

impl Place {
    /// A place with this lease, in seconds, for each directory that is opened there.
    fn new(open: impl Fn(u64) -> DirectorySpec + Send + Sync + 'static, keep: impl Any) -> Self {
        Self {
            open: Box::new(move |lease| open_spec(&open(lease))),
            suffix: String::new(),
            _keep: Box::new(keep),
        }
    }

    fn open(&self, lease: u64) -> Box<dyn Directory> {
        (self.open)(lease)
    }

    fn name(&self, instance: &str) -> Name {
        support::name(&format!("{instance}{}", self.suffix))
    }

    fn entry(&self, instance: &str, owner: &str) -> Entry {
        let mut entry = support::entry(self.name(instance).as_str(), owner);
        // Kubernetes takes no loopback address.
        entry.endpoints[0].host = "192.0.2.7".into();
        entry
    }

    async fn owner_of(&self, directory: &dyn Directory, instance: &str) -> Option<String> {
        let present = directory.get(&self.name(instance)).await.unwrap();
        present.map(|entry| entry.owner.to_string())
    }

    /// Waits until the lease of an entry has run out. Where entries end by themselves it is gone then.
    async fn expired(&self, directory: &dyn Directory, instance: &str) {
        until("the lease has run out", async || {
            let present = directory.get(&self.name(instance)).await.unwrap();
            present.is_none_or(|present| present.is_expired(Timestamp::now()))
        })
        .await;
    }

    /// The live entries that are listed, by name.
    async fn listed(&self, directory: &dyn Directory) -> Vec<String> {
        let all = directory.list().await.unwrap();
        let live = all.iter().filter(|entry| !entry.is_expired(Timestamp::now()));
        live.filter_map(|entry| Some(entry.name.as_str().strip_suffix(&self.suffix)?.to_owned()))
            .collect()
    }
}

/// A number that is used once in this program.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn open_spec(spec: &DirectorySpec) -> Box<dyn Directory> {
    open(
        spec,
        &Defaults {
            state_directory: "/nonexistent".into(),
            ..Defaults::default()
        },
    )
    .unwrap()
}

async fn file() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let open = move |lease| {
        DirectorySpec::File(FileDirectory {
            path: Some(path.clone()),
            lease: Some(Period::from_secs(lease)),
        })
    };
    Place::new(open, folder)
}

/// A namespace on a real Redis.
async fn redis() -> Place {
    static SERVER: LazyLock<Redis> = LazyLock::new(Redis::start);
    let namespace = support::name(&format!("place-{}", number()));
    let open = move |lease| {
        DirectorySpec::Redis(RedisDirectory {
            url: Some(SERVER.url()),
            namespace: Some(namespace.clone()),
            lease: Some(Period::from_secs(lease)),
            ..RedisDirectory::default()
        })
    };
    Place::new(open, ())
}

/// Names of its own in a real Consul, which has no namespaces.
async fn consul() -> Place {
    static SERVER: LazyLock<Consul> = LazyLock::new(Consul::start);
    let open = move |lease| {
        DirectorySpec::Consul(ConsulDirectory {
            url: Some(SERVER.url()),
            lease: Some(Period::from_secs(lease)),
            ..ConsulDirectory::default()
        })
    };
    Place {
        suffix: format!("-place-{}", number()),
        ..Place::new(open, ())
    }
}

/// A namespace of a real Kubernetes API server, as a service account that may do no more than `seaway rbac` says.
async fn kubernetes() -> Place {
    let space = Space::new().await;
    let spec = space.spec().await;
    let open = move |lease| {
        DirectorySpec::Kubernetes(KubernetesDirectory {
            lease: Some(Period::from_secs(lease)),
            ..spec.clone()
        })
    };
    Place::new(open, space)
}

/// A server that keeps entries in memory and keeps owners apart, as the documentation of the module asks.
async fn http() -> Place {
    let entries: Mutex<BTreeMap<Name, Entry>> = Mutex::default();
    let server = Server::start(move |request| answer(&mut entries.lock().unwrap(), request)).await;
    let url = server.url("/entries/{name}");
    let open = move |lease| {
        DirectorySpec::Http(HttpDirectory {
            method: HttpMethod::Put,
            lease: Some(Period::from_secs(lease)),
            ..HttpDirectory::at(url.clone())
        })
    };
    Place::new(open, server)
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
        assert_eq!(place.owner_of(&*directory, "dask").await, None);
        let mut entry = place.entry("dask", "one");
        entry.labels.insert("team".into(), "a".into());
        directory.register(&entry).await.unwrap();
        let found = directory.get(&entry.name).await.unwrap().unwrap();
        assert!(found.announces_the_same(&entry));
        assert_eq!(found.lease_seconds, Some(LONG));
        assert!(!found.is_expired(Timestamp::now()));
        assert_eq!(found.registered_at, entry.registered_at);
        directory.withdraw(&entry).await.unwrap();
        assert_eq!(place.owner_of(&*directory, "dask").await, None);
    }

    pub(crate) async fn registering_again_changes_nothing_but_the_lease(place: Place) {
        let directory = place.open(LONG);
        let entry = place.entry("dask", "one");
        directory.register(&entry).await.unwrap();
        let first = directory.get(&entry.name).await.unwrap().unwrap();
        directory.register(&entry).await.unwrap();
        let second = directory.get(&entry.name).await.unwrap().unwrap();
        assert!(second.announces_the_same(&first));
        assert!(second.expires_at >= first.expires_at);
    }

    pub(crate) async fn ones_own_is_taken_over_at_once(place: Place) {
        place
            .open(LONG)
            .register(&place.entry("dask", "one"))
            .await
            .unwrap();
        let mut restarted = place.entry("dask", "one");
        restarted.endpoints[0].port = 9999;
        let directory = place.open(LONG);
        directory.register(&restarted).await.unwrap();
        assert_eq!(
            directory
                .get(&place.name("dask"))
                .await
                .unwrap()
                .unwrap()
                .endpoints[0]
                .port,
            9999
        );
    }

    pub(crate) async fn an_expired_one_is_taken_over(place: Place) {
        place
            .open(SHORT)
            .register(&place.entry("dask", "one"))
            .await
            .unwrap();
        let directory = place.open(LONG);
        assert_held(directory.register(&place.entry("dask", "two")).await, "one");
        place.expired(&*directory, "dask").await;
        directory.register(&place.entry("dask", "two")).await.unwrap();
        assert_eq!(place.owner_of(&*directory, "dask").await.as_deref(), Some("two"));
        // Whoever had it before comes back too late, and is told.
        assert_held(directory.renew(&place.entry("dask", "one")).await, "two");
    }

    pub(crate) async fn a_live_one_of_another_owner_is_refused(place: Place) {
        let directory = place.open(LONG);
        directory.register(&place.entry("dask", "one")).await.unwrap();
        assert_held(directory.register(&place.entry("dask", "two")).await, "one");
        assert_held(directory.renew(&place.entry("dask", "two")).await, "one");
        assert_eq!(place.owner_of(&*directory, "dask").await.as_deref(), Some("one"));
        // Another name is another matter.
        directory.register(&place.entry("dask-2", "two")).await.unwrap();
    }

    pub(crate) async fn renewing_puts_back_what_was_lost(place: Place) {
        let directory = place.open(LONG);
        let entry = place.entry("dask", "one");
        directory.register(&entry).await.unwrap();
        place.open(LONG).withdraw(&entry).await.unwrap();
        assert_eq!(place.owner_of(&*directory, "dask").await, None);
        directory.renew(&entry).await.unwrap();
        assert_eq!(place.owner_of(&*directory, "dask").await.as_deref(), Some("one"));
    }

    pub(crate) async fn renewing_moves_the_end(place: Place) {
        let directory = place.open(LONG);
        let entry = place.entry("dask", "one");
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
        directory.register(&place.entry("dask", "one")).await.unwrap();
        directory.withdraw(&place.entry("dask", "two")).await.unwrap();
        assert_eq!(place.owner_of(&*directory, "dask").await.as_deref(), Some("one"));
    }

    pub(crate) async fn withdrawing_nothing_is_success(place: Place) {
        let directory = place.open(LONG);
        let entry = place.entry("dask", "one");
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
                let entry = place.entry(&instance, owner);
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
                place.owner_of(&*place.open(LONG), &instance).await.as_ref(),
                Some(winner)
            );
        }
    }

    pub(crate) async fn what_is_there_is_listed(place: Place) {
        let directory = place.open(LONG);
        assert!(place.listed(&*directory).await.is_empty());
        for instance in ["two", "one", "three"] {
            directory.register(&place.entry(instance, "me")).await.unwrap();
        }
        assert_eq!(place.listed(&*directory).await, ["one", "three", "two"]);
        directory.withdraw(&place.entry("three", "me")).await.unwrap();
        assert_eq!(place.listed(&*place.open(LONG)).await, ["one", "two"]);
    }

    pub(crate) async fn only_the_expired_are_removed(place: Place) {
        let directory = place.open(LONG);
        place
            .open(SHORT)
            .register(&place.entry("old", "one"))
            .await
            .unwrap();
        directory.register(&place.entry("new", "one")).await.unwrap();
        place.expired(&*directory, "old").await;
        let removed = directory.remove_expired().await.unwrap();
        // A directory that ends entries itself has none left to remove.
        assert!(removed.iter().all(|entry| entry.is_expired(Timestamp::now())));
        // A server that ends entries by its own clock may do so a little later.
        until("it is gone", async || {
            place.owner_of(&*directory, "old").await.is_none()
        })
        .await;
        assert_eq!(place.listed(&*directory).await, ["new"]);
        directory.register(&place.entry("old", "two")).await.unwrap();
    }

    pub(crate) async fn who_waits_for_a_change_sees_it(place: Place) {
        let (directory, other) = (place.open(LONG), place.open(LONG));
        let entry = place.entry("dask", "one");
        let sees = async |wanted: &[&str]| {
            while place.listed(&*directory).await != wanted {
                directory.changed().await.unwrap();
            }
        };
        sees(&[]).await;
        let registered = async { other.register(&entry).await.unwrap() };
        tokio::join!(sees(&["dask"]), registered);
        let withdrawn = async { other.withdraw(&entry).await.unwrap() };
        tokio::join!(sees(&[]), withdrawn);
    }

    pub(crate) async fn describes_itself(place: Place) {
        let directory = place.open(LONG);
        assert_eq!(directory.lease(), Some(Duration::from_secs(LONG)));
        assert!(!directory.describe().is_empty());
        assert!(!directory.kind().is_empty());
    }
}

macro_rules! conformance {
    ($group:ident: $($place:ident),*; $cases:tt) => { mod $group { $(conformance!(@one $place $cases);)* } };
    (@one $place:ident [$($case:ident),* $(,)?]) => {
        mod $place {
            $(#[tokio::test]
            async fn $case() {
                crate::cases::$case(crate::$place().await).await;
            })*
        }
    };
}

// Whoever can list.
conformance!(listed: file, redis, consul, kubernetes; [
    what_is_there_is_listed,
    only_the_expired_are_removed,
    who_waits_for_a_change_sees_it,
]);

// Everybody.
conformance!(kept: file, http, redis, consul, kubernetes; [
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
