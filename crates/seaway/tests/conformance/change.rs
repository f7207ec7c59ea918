//! A changed document.

use seaway_model::status::State;
use seaway_platform::{Action, Applied};

use crate::{
    fleet::{find, names},
    place::Place,
    toy::Toy,
};

pub(crate) async fn a_changed_document_replaces_what_changed_and_no_more(place: &Place) {
    let fleet = place.fleet();
    let former = Toy::with_workers("lab", 2).and_served("extra");
    let new = fleet.preview(&former).await;
    assert!(
        !new.is_empty() && new.iter().all(|one| one.action == Action::Create),
        "{new:#?}"
    );
    assert!(
        fleet.observation("lab").await.is_none(),
        "a preview writes nothing"
    );
    fleet.up(&former).await;
    let hub = fleet.address("lab", "hub").await;
    let start = fleet.about(&hub).await["start"].clone();
    let workers = ["worker-0", "worker-1"];
    let before = fleet.joined(&hub, &workers).await;

    // The same again changes nothing.
    let same = fleet.preview(&former).await;
    assert!(same.iter().all(|one| one.action == Action::Keep), "{same:#?}");
    assert_eq!(fleet.apply(&former).await.unwrap(), Applied::Unchanged);
    fleet.until_ready("lab").await;
    let after = fleet.joined(&hub, &workers).await;
    for name in workers {
        assert_eq!(after[name]["start"], before[name]["start"]);
    }

    // Another document: workers with a variable more, one role less.
    let mut later = former.clone().with("worker", "TOY_MARK", "later");
    later.plan.roles.retain(|role| role.name.as_str() != "extra");
    later
        .plan
        .endpoints
        .retain(|endpoint| endpoint.role.as_str() != "extra");
    let told = fleet.preview(&later).await;
    assert!(told.iter().any(|one| one.action == Action::Change), "{told:#?}");
    assert!(told.iter().all(|one| one.action != Action::Create), "{told:#?}");
    for one in told.iter().filter(|one| one.action == Action::Change) {
        assert!(!one.fields.is_empty(), "{told:#?}");
    }
    let seen = fleet.observation("lab").await.unwrap();
    assert_eq!(seen.document, former.document(), "a preview writes nothing");
    assert_eq!(fleet.apply(&later).await.unwrap(), Applied::Changed);
    let marked = |status: &serde_json::Value| {
        workers
            .iter()
            .all(|name| status[name]["environment"]["TOY_MARK"] == "later")
    };
    fleet.until_answer(&hub, "/joined", marked).await;
    let ready = fleet
        .until_status("lab", "it is ready, and so is what was changed", |status| {
            status.state == State::Ready && find(status, "extra-0").is_none()
        })
        .await;
    assert_eq!(names(&ready, "worker"), workers);
    assert_eq!(ready.endpoints.len(), 1, "{ready:#?}");
    assert_eq!(fleet.about(&hub).await["start"], start, "the hub is as it was");
    let joined = fleet.joined(&hub, &workers).await;
    for name in workers {
        assert_ne!(joined[name]["start"], before[name]["start"]);
    }
    let seen = fleet.observation("lab").await.unwrap();
    assert_eq!((seen.document, seen.plan), (later.document(), later.plan.clone()));
    // What the preview said was all.
    let rest = fleet.preview(&later).await;
    assert!(rest.iter().all(|one| one.action == Action::Keep), "{rest:#?}");
    assert_eq!(fleet.apply(&later).await.unwrap(), Applied::Unchanged);

    // A number that a user asked for stays while the document's does not change.
    fleet.scale("lab", 1, false).await;
    fleet
        .until_status("lab", "one is left", |status| {
            names(status, "worker") == ["worker-0"]
        })
        .await;
    let marked = later.clone().with("worker", "TOY_MARK", "last");
    assert_eq!(fleet.apply(&marked).await.unwrap(), Applied::Changed);
    fleet
        .until_answer(&hub, "/joined", |joined| {
            joined["worker-0"]["environment"]["TOY_MARK"] == "last"
        })
        .await;
    let ready = fleet.until_ready("lab").await;
    assert_eq!(names(&ready, "worker"), ["worker-0"]);
}
