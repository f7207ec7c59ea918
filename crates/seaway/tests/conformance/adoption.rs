//! Who keeps tasks running dies; the tasks go on, and so does who comes after.

use seaway_model::status::State;
use serde_json::json;

use crate::{
    fleet::{names, task},
    place::Place,
    toy::Toy,
};

pub(crate) async fn a_new_controller_goes_on_with_what_runs(place: &Place) {
    let toy = Toy::with_workers("lab", 1);
    let (hub, start, worker) = {
        let fleet = place.fleet();
        let ready = fleet.up(&toy).await;
        let hub = fleet.address("lab", "hub").await;
        let start = fleet.about(&hub).await["start"].clone();
        fleet.joined(&hub, &["worker-0"]).await;
        (hub, start, task(&ready, "worker-0").clone())
    };
    place.kill_controller();

    // The tasks do not mind, and whoever looks sees what was there.
    let fleet = place.fleet();
    assert_eq!(fleet.about(&hub).await["start"], start);
    let seen = fleet.status("lab").await;
    assert_eq!(task(&seen, "hub-0").restarts, 0);
    let found = task(&seen, "worker-0");
    assert_eq!((found.state, found.pid), (worker.state, worker.pid), "{seen:#?}");
    assert_eq!(fleet.address("lab", "hub").await, hub);
    fleet.scale("lab", 2, false).await;
    place.start_controller();

    // What is asked for is done, what ends is started again, and what was there stays.
    fleet
        .until_status("lab", "there are two", |status| {
            status.state == State::Ready && names(status, "worker") == ["worker-0", "worker-1"]
        })
        .await;
    assert_eq!(fleet.about(&hub).await["start"], start);
    fleet.order(&hub, "/exit", json!({"code": 5})).await;
    let again = fleet
        .until_status("lab", "the hub is back", |status| {
            status.state == State::Ready && task(status, "hub-0").restarts == 1
        })
        .await;
    assert_eq!(task(&again, "worker-0").restarts, 0, "{again:#?}");
    fleet.platform.remove("lab", false).await.unwrap();
    fleet.until_gone("lab").await;
    place.nothing_is_left("lab");
}
