//! Going down.

use std::time::Duration;

use seaway_model::status::{State, TaskState};
use seaway_platform::{Applied, PlatformError};

use crate::{
    fleet::{find, names},
    place::Place,
    toy::Toy,
};

pub(crate) async fn tasks_end_well_in_the_opposite_order(place: &Place) {
    let fleet = place.fleet();
    let toy = Toy::with_workers("lab", 2).with("worker", "TOY_LINGER", "1.5");
    fleet.up(&toy).await;
    fleet.address("lab", "hub").await;
    fleet.platform.remove("lab", false).await.unwrap();
    // Twice is as good as once, and nobody brings up what goes down.
    fleet.platform.remove("lab", false).await.unwrap();
    match fleet.apply(&toy).await {
        Err(PlatformError::Busy { name, doing }) => {
            assert_eq!((name.as_str(), doing.as_str()), ("lab", "is going down"));
        }
        other => panic!("{other:?}"),
    }
    match fleet.platform.scale("lab", "worker", 3, false).await {
        Err(PlatformError::Busy { .. }) => {}
        other => panic!("{other:?}"),
    }
    let mut workers_were_told = false;
    fleet
        .until("lab", "it is gone", |status| {
            let Some(status) = status else { return Some(()) };
            assert_eq!(status.state, State::Stopped, "{status:#?}");
            let left = names(status, "worker");
            workers_were_told |=
                find(status, "worker-0").is_some_and(|task| task.state == TaskState::Stopping);
            let hub_goes = find(status, "hub-0").is_none_or(|task| task.state == TaskState::Stopping);
            if place.keeps_order_of_removal() && hub_goes {
                assert_eq!(left, [""; 0], "the hub goes before them: {status:#?}");
            }
            None
        })
        .await;
    assert!(workers_were_told, "they had time to end");
    place.nothing_is_left("lab");
    match fleet.platform.remove("lab", false).await {
        Err(PlatformError::NotFound { name, nearest: None }) => assert_eq!(name, "lab"),
        other => panic!("{other:?}"),
    }
    // The name is free.
    assert_eq!(
        fleet.apply(&Toy::with_hub("lab")).await.unwrap(),
        Applied::Created
    );
}

pub(crate) async fn what_comes_up_can_be_taken_down_by_force(place: &Place) {
    let fleet = place.fleet();
    // It never becomes ready, and does not end when it is asked to.
    let toy =
        Toy::with_workers("lab", 1)
            .with("hub", "TOY_HEALTHY", "no")
            .with("hub", "TOY_LINGER", "1000000");
    let mut toy = toy;
    toy.role("hub").stop.terminate = seaway_model::Period::from_secs(600);
    assert_eq!(fleet.apply(&toy).await.unwrap(), Applied::Created);
    let hub = fleet.address("lab", "hub").await;
    fleet.about(&hub).await;
    fleet.platform.remove("lab", false).await.unwrap();
    fleet
        .until_status("lab", "it goes, and takes its time", |status| {
            status.state == State::Stopped
                && find(status, "hub-0").is_some_and(|task| task.state == TaskState::Stopping)
        })
        .await;
    fleet.platform.remove("lab", true).await.unwrap();
    // Whoever is gentle later takes nothing back. It may be gone by now.
    let later = fleet.platform.remove("lab", false).await;
    assert!(
        matches!(later, Ok(()) | Err(PlatformError::NotFound { .. })),
        "{later:?}"
    );
    tokio::time::timeout(Duration::from_secs(100), fleet.until_gone("lab"))
        .await
        .expect("it does not take the time that its tasks would like");
    place.nothing_is_left("lab");
}
