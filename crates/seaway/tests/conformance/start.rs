//! Coming up.

use seaway_model::status::{State, TaskState, TaskStatus};
use seaway_platform::Applied;
use serde_json::{Value, json};

use crate::{
    fleet::{find, names},
    place::Place,
    toy::{NOTE, Toy, ready_when_listed},
};

pub(crate) async fn tasks_start_in_order_and_are_ready_when_they_answer(place: &Place) {
    let fleet = place.fleet();
    let toy = Toy::with_workers("lab", 2).with("hub", "TOY_HEALTHY", "no");
    assert!(fleet.observation("lab").await.is_none());
    assert_eq!(fleet.apply(&toy).await.unwrap(), Applied::Created);

    // The hub runs and does not say that it is well: nothing is ready, and nobody who waits for it has begun.
    let hub = fleet.address("lab", "hub").await;
    let first = fleet.about(&hub).await;
    let starting = fleet
        .until_status("lab", "the hub runs and the workers wait", |status| {
            let waits = |task: &TaskStatus| task.state == TaskState::Waiting && task.reason.contains("hub");
            find(status, "hub-0").is_some_and(|task| task.state == TaskState::Starting)
                && ["worker-0", "worker-1"]
                    .iter()
                    .all(|name| find(status, name).is_some_and(waits))
        })
        .await;
    assert_eq!(starting.state, State::Starting, "{starting:#?}");
    assert_eq!(fleet.until_answer(&hub, "/joined", |_| true).await, json!({}));
    assert!(!fleet.observation("lab").await.unwrap().was_ready);

    fleet.order(&hub, "/healthy", json!(true)).await;
    let ready = fleet.until_ready("lab").await;
    assert_eq!(names(&ready, "worker"), ["worker-0", "worker-1"]);
    assert_eq!((ready.kind.as_str(), ready.reason.as_str()), ("Toy", ""));
    fleet.joined(&hub, &["worker-0", "worker-1"]).await;
    assert_eq!(
        fleet.about(&hub).await["start"],
        first["start"],
        "it was not started again"
    );
    let seen = fleet.observation("lab").await.unwrap();
    assert!(seen.was_ready);
    assert_eq!((seen.document, seen.plan), (toy.document(), toy.plan));
}

pub(crate) async fn tasks_get_what_the_plan_promises(place: &Place) {
    let fleet = place.fleet();
    let mut toy = Toy::with_workers("lab", 1)
        .and_told_everything("hub")
        .and_told_everything("worker");
    // Both refer to the same secret.
    toy.plan.secrets.truncate(1);
    ready_when_listed(toy.role("worker"));
    fleet.up(&toy).await;
    let hub = fleet.address("lab", "hub").await;
    // It is ready, therefore the hub lists it.
    let joined = fleet.joined(&hub, &["worker-0"]).await;
    let abouts = [fleet.about(&hub).await, joined["worker-0"].clone()];
    for about in &abouts {
        let told = |variable: &str| about["environment"][variable].as_str().unwrap_or_default();
        assert_eq!([told("TOY_INSTANCE"), told("TOY_INDEX")], ["lab", "0"]);
        assert_eq!(told("TOY_PLAIN"), "$HOME and $(HOME) and ${work}");
        assert_eq!(
            about["arguments"],
            json!(["--of", "lab", "$HOME", "$(HOME)", "two words"])
        );
        assert_eq!(about["note"], NOTE);
        assert_eq!(about["writable"], true);
        assert_eq!(about["directory"], told("TOY_WORK"));
        assert_eq!(told("TOY_SECRET").len(), 64, "256 bits");
        assert_eq!(about["secret"], told("TOY_SECRET"));
        assert_eq!(told("TOY_SELF").rsplit_once(':').unwrap().1, told("TOY_PORT"));
    }
    let of = |about: &Value, variable: &str| about["environment"][variable].clone();
    assert_eq!(of(&abouts[0], "TOY_SECRET"), of(&abouts[1], "TOY_SECRET"));
    assert_ne!(of(&abouts[0], "TOY_TASK"), of(&abouts[1], "TOY_TASK"));
    // The secret is nowhere where people look.
    let secret = of(&abouts[0], "TOY_SECRET");
    let seen = format!("{:?}", fleet.observation("lab").await);
    assert!(!seen.contains(secret.as_str().unwrap()));
}
