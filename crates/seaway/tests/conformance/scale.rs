//! More and fewer tasks.

use seaway_model::status::{State, TaskState};
use seaway_platform::PlatformError;
use serde_json::json;

use crate::{
    fleet::{find, names, task},
    place::Place,
    toy::Toy,
};

pub(crate) async fn tasks_are_added_and_emptied_before_they_are_taken_away(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_workers("lab", 1)).await;
    let hub = fleet.address("lab", "hub").await;
    let first = fleet.joined(&hub, &["worker-0"]).await["worker-0"]["start"].clone();
    fleet.scale("lab", 3, false).await;
    let three = fleet
        .until_status("lab", "there are three", |status| {
            status.state == State::Ready && status.roles.get("worker").unwrap().ready == 3
        })
        .await;
    assert_eq!(names(&three, "worker"), ["worker-0", "worker-1", "worker-2"]);
    fleet.joined(&hub, &["worker-1", "worker-2"]).await;

    // The first one holds most, so that it is the one to stay, whoever chooses.
    let load = json!({"worker-0": {"work": 9}, "worker-1": {"work": 1}, "worker-2": {"work": 1}});
    fleet.order(&hub, "/load", load).await;
    fleet.scale("lab", 1, false).await;
    let retiring = |status: &_, name: &str, words: &str| {
        let found = find(status, name);
        found.is_some_and(|task| task.state == TaskState::Retiring && task.reason.contains(words))
    };
    let both = ["worker-1", "worker-2"];
    let kept = fleet
        .until_status("lab", "both finish their work", |status| {
            both.iter().all(|name| retiring(status, name, "1 piece of work"))
        })
        .await;
    assert_eq!(kept.roles.get("worker").unwrap().desired, 1);
    // Asked again and again, and still there: nobody stops them while they hold something.
    let asked = |released: &serde_json::Value, times: usize| {
        let released = released.as_array().unwrap();
        both.iter()
            .all(|name| released.iter().filter(|one| *one == name).count() >= times)
    };
    fleet
        .until_status("lab", "both finish their work", |status| {
            both.iter().all(|name| retiring(status, name, "1 piece of work"))
        })
        .await;
    let mut released = json!([]);
    while !asked(&released, 3) {
        // Who looks carries on with what was begun.
        let status = fleet.status("lab").await;
        assert!(
            both.iter().all(|name| retiring(&status, name, "1 piece of work")),
            "{status:#?}"
        );
        fleet
            .platform
            .changed(std::time::Duration::from_millis(100))
            .await
            .unwrap();
        released = fleet.until_answer(&hub, "/released", |_| true).await;
    }
    assert!(
        !released.as_array().unwrap().contains(&json!("worker-0")),
        "{released}"
    );
    // The only copy of a result counts as much as work.
    let load = json!({"worker-0": {"work": 9}, "worker-1": {"sole": 2}});
    fleet.order(&hub, "/load", load).await;
    fleet
        .until_status("lab", "one holds the only copy", |status| {
            retiring(status, "worker-1", "only copy of 2 results")
        })
        .await;
    fleet.order(&hub, "/load", json!({"worker-0": {"work": 9}})).await;
    let one = fleet
        .until_status("lab", "one is left", |status| {
            status.state == State::Ready && names(status, "worker") == ["worker-0"]
        })
        .await;
    assert_eq!(task(&one, "worker-0").restarts, 0);
    assert_eq!(
        fleet.joined(&hub, &["worker-0"]).await["worker-0"]["start"],
        first
    );
}

pub(crate) async fn tasks_that_hold_work_are_taken_away_by_force(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_workers("lab", 2)).await;
    let hub = fleet.address("lab", "hub").await;
    let load = json!({"worker-0": {"work": 9}, "worker-1": {"work": 1}});
    fleet.order(&hub, "/load", load).await;
    fleet.scale("lab", 1, false).await;
    fleet
        .until_status("lab", "it finishes its work", |status| {
            find(status, "worker-1").is_some_and(|task| task.state == TaskState::Retiring)
        })
        .await;
    fleet.scale("lab", 1, true).await;
    fleet
        .until_status("lab", "one is left", |status| {
            names(status, "worker") == ["worker-0"]
        })
        .await;
    // None at all is a number too, and so is some again.
    fleet.scale("lab", 0, true).await;
    fleet
        .until_status("lab", "none is left", |status| names(status, "worker").is_empty())
        .await;
    fleet.scale("lab", 1, false).await;
    fleet
        .until_status("lab", "one is back", |status| {
            status.state == State::Ready && names(status, "worker") == ["worker-0"]
        })
        .await;
}

pub(crate) async fn what_cannot_be_scaled_is_refused(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_workers("lab", 0)).await;
    let refused =
        async |instance: &str, role: &str| fleet.platform.scale(instance, role, 2, false).await.unwrap_err();
    match refused("lab", "hub").await {
        PlatformError::NotScalable { role, scalable, .. } => {
            assert_eq!((role.as_str(), scalable), ("hub", vec!["worker".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    match refused("lab", "wroker").await {
        PlatformError::NoRole { role, known, .. } => {
            assert_eq!(
                (role.as_str(), known),
                ("wroker", vec!["hub".to_owned(), "worker".to_owned()])
            );
        }
        other => panic!("{other:?}"),
    }
    match refused("lob", "worker").await {
        PlatformError::NotFound { name, nearest } => {
            assert_eq!((name.as_str(), nearest.unwrap().as_str()), ("lob", "lab"));
        }
        other => panic!("{other:?}"),
    }
    let status = fleet.until_ready("lab").await;
    assert_eq!(status.roles.get("worker").unwrap().desired, 0);
}
