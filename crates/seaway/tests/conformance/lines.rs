//! What tasks write.

use seaway_platform::{LogLine, LogRequest, LogStream, Platform, PlatformError};
use serde_json::json;

use crate::{harness::PATIENCE, place::Place, toy::Toy};

/// The next line; the stream's end is `None`.
async fn next(stream: &mut dyn LogStream) -> Option<LogLine> {
    tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("something comes")
        .unwrap()
}

/// All lines that there are, as `task text`.
async fn read(platform: &dyn Platform, only: Option<&str>, tail: usize) -> Vec<String> {
    let request = LogRequest {
        only,
        tail,
        follow: false,
    };
    let mut stream = platform.logs("lab", request).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = next(stream.as_mut()).await {
        lines.push(format!("{} {}", line.task, line.text));
    }
    lines
}

pub(crate) async fn lines_of_all_of_a_role_and_of_a_task(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_workers("lab", 2)).await;
    let hub = fleet.address("lab", "hub").await;
    let said = json!(["first", "second \u{1b}[31mred", "third"]);
    fleet.order(&hub, "/say", said).await;
    let platform = fleet.platform.as_ref();
    let all = read(platform, None, 100).await;
    for line in [
        "hub-0 hub-0 begins",
        "hub-0 third",
        "worker-0 worker-0 begins",
        "worker-1 worker-1 begins",
    ] {
        assert!(all.iter().any(|one| one == line), "{line}: {all:#?}");
    }
    assert!(all.iter().all(|line| !line.contains('\u{1b}')), "{all:#?}");
    let workers = read(platform, Some("worker"), 100).await;
    assert!(
        workers.iter().all(|line| line.starts_with("worker-")),
        "{workers:#?}"
    );
    assert!(
        workers.contains(&"worker-1 worker-1 begins".to_owned()),
        "{workers:#?}"
    );
    let one = read(platform, Some("worker-1"), 1).await;
    assert_eq!(one, ["worker-1 worker-1 begins"]);
    assert_eq!(read(platform, Some("hub"), 1).await, ["hub-0 third"]);
    assert_eq!(read(platform, Some("hub"), 0).await, [""; 0]);
    let wrong = LogRequest {
        only: Some("wroker"),
        tail: 1,
        follow: false,
    };
    match platform.logs("lab", wrong).await.err() {
        Some(PlatformError::NoRole { role, known, .. }) => {
            assert_eq!(role, "wroker");
            assert!(known.contains(&"worker".to_owned()), "{known:?}");
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn lines_are_followed_over_restarts_to_the_end(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_hub("lab")).await;
    let hub = fleet.address("lab", "hub").await;
    fleet.order(&hub, "/say", json!(["before"])).await;
    // What follows looks at the same time as the rest of the case.
    let follower = place.fleet();
    let request = LogRequest {
        only: None,
        tail: 1,
        follow: true,
    };
    let mut stream = follower.platform.logs("lab", request).await.unwrap();
    assert_eq!(stream.tasks(), ["hub-0"]);
    let mut until = async |text: &str| {
        let mut seen = Vec::new();
        loop {
            let line = next(stream.as_mut())
                .await
                .unwrap_or_else(|| panic!("no {text:?}: {seen:#?}"));
            assert_eq!(line.task, "hub-0");
            seen.push(line.text);
            if seen.last().is_some_and(|last| last == text) {
                return seen;
            }
        }
    };
    assert_eq!(until("before").await, ["before"]);
    fleet.order(&hub, "/say", json!(["later"])).await;
    assert_eq!(until("later").await, ["later"]);
    fleet.order(&hub, "/exit", json!({"code": 6})).await;
    until("last words of hub-0").await;
    until("hub-0 begins").await;
    fleet.until_ready("lab").await;
    let all = read(fleet.platform.as_ref(), None, 100).await;
    let begun = all.iter().filter(|line| *line == "hub-0 hub-0 begins").count();
    assert_eq!(begun, if place.keeps_earlier_lines() { 2 } else { 1 }, "{all:#?}");
    fleet.platform.remove("lab", false).await.unwrap();
    fleet.until_gone("lab").await;
    while next(stream.as_mut()).await.is_some() {}
}
