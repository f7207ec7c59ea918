//! The announcer, with directories that do as they are told, in paused time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use seaway_discovery::{
    Announcer, Directory, DirectoryCounts, DirectoryState, Entry, Error, FileDirectory, Result,
};
use support::{entry, name};
use tokio::time::{Instant, sleep};

const LEASE: Duration = Duration::from_secs(30);

/// What a directory does when it is asked next; when nothing is left it succeeds.
#[derive(Debug)]
enum Next {
    Fail(Error),
    Hang,
}

#[derive(Debug, Default)]
struct Script {
    next: VecDeque<Next>,
    calls: Vec<(&'static str, Instant, u16)>,
}

#[derive(Debug, Clone)]
struct Puppet {
    script: Arc<Mutex<Script>>,
    lease: Option<Duration>,
}

impl Puppet {
    fn new(lease: Option<Duration>) -> Self {
        Self {
            script: Arc::default(),
            lease,
        }
    }

    fn then(&self, next: impl IntoIterator<Item = Next>) {
        self.script.lock().unwrap().next.extend(next);
    }

    fn calls(&self) -> Vec<&'static str> {
        self.script
            .lock()
            .unwrap()
            .calls
            .iter()
            .map(|call| call.0)
            .collect()
    }

    fn times(&self) -> Vec<Instant> {
        self.script
            .lock()
            .unwrap()
            .calls
            .iter()
            .map(|call| call.1)
            .collect()
    }

    async fn act(&self, call: &'static str, entry: &Entry) -> Result<()> {
        let next = {
            let mut script = self.script.lock().unwrap();
            script.calls.push((call, Instant::now(), entry.endpoints[0].port));
            script.next.pop_front()
        };
        match next {
            None => Ok(()),
            Some(Next::Fail(error)) => Err(error),
            Some(Next::Hang) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Directory for Puppet {
    fn kind(&self) -> &'static str {
        "puppet"
    }

    fn describe(&self) -> String {
        "puppet".into()
    }

    fn lease(&self) -> Option<Duration> {
        self.lease
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.act("register", entry).await
    }

    async fn renew(&self, entry: &Entry) -> Result<()> {
        self.act("renew", entry).await
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.act("withdraw", entry).await
    }
}

fn down() -> Next {
    Next::Fail(Error::Connect {
        url: "http://host/".into(),
        reason: "connection refused".into(),
    })
}

fn announcer(puppets: &[&Puppet]) -> Announcer {
    Announcer::new(
        puppets
            .iter()
            .map(|&puppet| Box::new(puppet.clone()) as Box<dyn Directory>)
            .collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn renews_at_a_third_of_the_lease() {
    let (leased, endless) = (Puppet::new(Some(LEASE)), Puppet::new(None));
    let mut announcer = announcer(&[&leased, &endless]);
    announcer.announce(entry("dask", "one"));
    let settled = announcer.settled().await;
    assert!(
        settled
            .iter()
            .all(|one| matches!(one.state, DirectoryState::Registered { .. })),
        "{settled:?}"
    );
    sleep(Duration::from_secs(300)).await;
    let times = leased.times();
    assert!((30..=34).contains(&times.len()), "{}", times.len());
    for pair in times.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(
            pause >= LEASE / 3 * 9 / 10 && pause <= LEASE / 3 + Duration::from_millis(2),
            "{pause:?}"
        );
    }
    assert_eq!(leased.calls()[..3], ["register", "renew", "renew"]);
    assert_eq!(endless.calls(), ["register"]);
    assert!(announcer.withdraw(Duration::from_secs(1)).await.is_empty());
    assert_eq!(endless.calls(), ["register", "withdraw"]);
    let calls = leased.calls().len();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(
        leased.calls().len(),
        calls,
        "nothing is renewed after it was withdrawn"
    );
    assert!(
        announcer
            .status()
            .borrow()
            .iter()
            .all(|one| one.state == DirectoryState::Withdrawn)
    );
}

#[tokio::test(start_paused = true)]
async fn keeps_trying_while_a_directory_is_down() {
    let (bad, good) = (Puppet::new(Some(LEASE)), Puppet::new(Some(LEASE)));
    bad.then((0..8).map(|_| down()));
    let mut announcer = announcer(&[&bad, &good]);
    announcer.announce(entry("dask", "one"));
    let settled = announcer.settled().await;
    let DirectoryState::Failed {
        reason,
        hint,
        attempts,
        held,
        ..
    } = &settled[0].state
    else {
        panic!("{settled:?}")
    };
    assert_eq!(reason, "cannot reach http://host/: connection refused");
    assert!(hint.as_ref().unwrap().contains("check the host name"));
    assert_eq!((*attempts, *held), (1, false));
    assert!(matches!(settled[1].state, DirectoryState::Registered { .. }));

    let mut status = announcer.status();
    let up = |all: &Vec<_>| {
        matches!(
            all[0],
            seaway_discovery::DirectoryStatus {
                state: DirectoryState::Registered { .. },
                ..
            }
        )
    };
    status.wait_for(up).await.unwrap();
    let times = bad.times();
    assert_eq!(times.len(), 9);
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        pauses[0] >= Duration::from_millis(500) && pauses[0] <= Duration::from_millis(1_010),
        "{pauses:?}"
    );
    assert!(pauses[3] >= Duration::from_secs(4), "{pauses:?}");
    assert!(
        pauses.iter().all(|pause| *pause <= Duration::from_secs(21)),
        "{pauses:?}"
    );
    // A directory that goes down later: it is told, with the number of attempts, and comes back by itself.
    bad.then((0..3).map(|_| down()));
    let failed_thrice = |all: &Vec<seaway_discovery::DirectoryStatus>| {
        matches!(all[0].state, DirectoryState::Failed { attempts: 3, .. })
    };
    status.wait_for(failed_thrice).await.unwrap();
    status.wait_for(up).await.unwrap();
    assert!(
        bad.calls()[9..].iter().all(|call| *call == "renew"),
        "{:?}",
        bad.calls()
    );
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_directory_asks() {
    let busy = Puppet::new(Some(LEASE));
    let retry_after = Some(Duration::from_secs(120));
    let (method, url, reason) = ("POST", "http://host/".to_owned(), "Too Many Requests");
    busy.then([Next::Fail(Error::Http {
        method,
        url,
        status: 429,
        reason,
        body: String::new(),
        retry_after,
    })]);
    let mut announcer = announcer(&[&busy]);
    announcer.announce(entry("dask", "one"));
    announcer.settled().await;
    sleep(Duration::from_secs(119)).await;
    assert_eq!(busy.calls().len(), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(busy.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_is_announced_at_once() {
    let puppet = Puppet::new(None);
    let mut announcer = announcer(&[&puppet]);
    announcer.announce(entry("dask", "one"));
    announcer.settled().await;
    let mut changed = entry("dask", "one");
    changed.endpoints[0].port = 1;
    announcer.announce(changed);
    sleep(Duration::from_millis(1)).await;
    let ports: Vec<_> = puppet
        .script
        .lock()
        .unwrap()
        .calls
        .iter()
        .map(|call| (call.0, call.2))
        .collect();
    assert_eq!(ports, [("register", 8786), ("register", 1)]);
}

#[tokio::test(start_paused = true)]
async fn withdraws_everywhere_at_once_within_the_time() {
    let puppets: Vec<_> = (0..4).map(|_| Puppet::new(Some(LEASE))).collect();
    // The first hangs already while it registers; what it does is given up.
    puppets[0].then([Next::Hang]);
    puppets[1].then([Next::Fail(Error::Held {
        name: name("dask"),
        owner: "two".parse().unwrap(),
        until: None,
        directory: "puppet".into(),
    })]);
    let mut announcer = announcer(&puppets.iter().collect::<Vec<_>>());
    announcer.announce(entry("dask", "one"));
    sleep(Duration::from_millis(10)).await;
    puppets[0].then([Next::Hang]);
    puppets[2].then([down()]);
    let before = Instant::now();
    let failures = announcer.withdraw(Duration::from_secs(1)).await;
    assert!(
        before.elapsed() <= Duration::from_millis(1_010),
        "{:?}",
        before.elapsed()
    );
    let texts: Vec<_> = failures.iter().map(|failure| failure.error.to_string()).collect();
    assert_eq!(
        texts,
        [
            "the puppet did not finish within 1000 ms",
            "cannot reach http://host/: connection refused"
        ]
    );
    assert_eq!(
        puppets[1].calls(),
        ["register"],
        "it is another's, so nothing is asked"
    );
    let states: Vec<_> = announcer
        .status()
        .borrow()
        .iter()
        .map(|one| one.state.clone())
        .collect();
    assert!(matches!(states[0], DirectoryState::NotWithdrawn { .. }));
    assert_eq!(states[1], DirectoryState::Withdrawn);
    assert!(matches!(states[2], DirectoryState::NotWithdrawn { .. }));
    assert_eq!(states[3], DirectoryState::Withdrawn);
    // Again, only where it failed.
    assert!(announcer.withdraw(Duration::from_secs(1)).await.is_empty());
    assert_eq!(puppets[3].calls(), ["register", "withdraw"]);
    assert_eq!(puppets[0].calls(), ["register", "withdraw", "withdraw"]);
    assert!(announcer.withdraw(Duration::from_secs(1)).await.is_empty());
    assert_eq!(puppets[0].calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_never_ends_is_given_up() {
    let puppet = Puppet::new(Some(LEASE));
    puppet.then([Next::Hang]);
    let mut announcer = announcer(&[&puppet]);
    announcer.announce(entry("dask", "one"));
    let settled = announcer.settled().await;
    assert!(
        matches!(&settled[0].state, DirectoryState::Failed { reason, .. } if reason.contains("did not finish"))
    );
    sleep(Duration::from_secs(2)).await;
    assert!(matches!(
        announcer.status().borrow()[0].state,
        DirectoryState::Registered { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn dropped_it_stops_and_leaves_the_entry_to_its_lease() {
    let puppet = Puppet::new(Some(LEASE));
    let mut announcer = announcer(&[&puppet]);
    announcer.announce(entry("dask", "one"));
    announcer.settled().await;
    drop(announcer);
    sleep(Duration::from_secs(100)).await;
    assert_eq!(puppet.calls(), ["register"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_file_comes_back_and_goes_when_withdrawn() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("dask.json");
    let mut announcer = Announcer::new(vec![Box::new(FileDirectory::new(base.path(), LEASE))]);
    announcer.announce(entry("dask", "one"));
    announcer.settled().await;
    std::fs::remove_file(&path).unwrap();
    sleep(LEASE / 3 + Duration::from_millis(10)).await;
    assert!(path.exists());
    assert!(announcer.withdraw(Duration::from_secs(1)).await.is_empty());
    assert!(!path.exists());
    // And it can be announced again.
    announcer.announce(entry("dask", "one"));
    announcer.settled().await;
    assert!(path.exists());
}

#[tokio::test(start_paused = true)]
async fn everything_is_counted() {
    let (flaky, endless) = (Puppet::new(Some(LEASE)), Puppet::new(None));
    flaky.then([down()]);
    let mut announcer = announcer(&[&flaky, &endless]);
    let monitor = announcer.monitor();
    assert!(
        monitor
            .report()
            .iter()
            .all(|one| one.counts == DirectoryCounts::default())
    );
    announcer.announce(entry("dask", "one"));
    sleep(Duration::from_secs(100)).await;
    let report = monitor.report();
    let calls = u64::try_from(flaky.calls().len()).unwrap();
    let counts = &report[0].counts;
    assert_eq!((report[0].lease, report[1].lease), (Some(LEASE), None));
    assert_eq!(counts.registrations, 1);
    assert_eq!(counts.renewals, calls - 2);
    assert_eq!(counts.failures, [("unreachable", 1)].into());
    assert_eq!(counts.last_failure.unwrap().0, "unreachable");
    assert!(counts.confirmed.unwrap().elapsed() <= LEASE / 3);
    assert_eq!(
        (report[1].counts.registrations, report[1].counts.renewals),
        (1, 0)
    );
    flaky.then([down()]);
    assert_eq!(announcer.withdraw(Duration::from_secs(1)).await.len(), 1);
    let counts = |index: usize| monitor.report()[index].counts.clone();
    assert_eq!((counts(0).withdrawals, counts(1).withdrawals), (0, 1));
    assert_eq!(counts(0).failures, [("unreachable", 2)].into());
    assert!(
        counts(0).confirmed.is_some() && counts(1).confirmed.is_none(),
        "it may still be there"
    );
    assert!(announcer.withdraw(Duration::from_secs(1)).await.is_empty());
    assert_eq!(
        (counts(0).withdrawals, counts(1).withdrawals),
        (1, 1),
        "once each"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_tried_again_when_it_is_announced_anew() {
    let (bad, good) = (Puppet::new(Some(LEASE)), Puppet::new(Some(LEASE)));
    bad.then([down()]);
    let mut announcer = announcer(&[&bad, &good]).giving_up();
    announcer.announce(entry("dask", "one"));
    let settled = announcer.settled().await;
    assert!(
        matches!(settled[0].state, DirectoryState::Failed { next_try: None, .. }),
        "{settled:?}"
    );
    // What was taken once is renewed whatever happens.
    good.then([down()]);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(bad.calls(), ["register"]);
    assert!(good.calls().len() > 30, "{:?}", good.calls());
    assert!(announcer.withdraw(Duration::from_secs(1)).await.is_empty());
    announcer.announce(entry("dask", "one"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bad.calls(), ["register", "withdraw", "register"]);
}

#[tokio::test]
async fn the_status_is_for_scripts_too() {
    let status = seaway_discovery::DirectoryStatus {
        kind: "file",
        directory: "folder /a".into(),
        state: DirectoryState::Failed {
            reason: "why".into(),
            hint: None,
            held: false,
            since: "2024-06-01T12:00:00Z".parse().unwrap(),
            attempts: 2,
            next_try: Some("2024-06-01T12:00:01Z".parse().unwrap()),
        },
    };
    assert_eq!(
        serde_json::to_string(&status).unwrap(),
        r#"{"kind":"file","directory":"folder /a","state":"failed","reason":"why","held":false,"since":"2024-06-01T12:00:00Z","attempts":2,"nextTry":"2024-06-01T12:00:01Z"}"#
    );
}
