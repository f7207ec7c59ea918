//! Names of instances: several, unknown, and the same twice.

use seaway_model::status::State;
use seaway_platform::{Applied, LogRequest, PlatformError};

use crate::{
    place::Place,
    toy::{Toy, name},
};

pub(crate) async fn two_instances_side_by_side(place: &Place) {
    let fleet = place.fleet();
    assert!(fleet.platform.list().await.unwrap().is_empty());
    let instances = ["alpha", "alpha-two"];
    for instance in instances {
        let toy = Toy::with_hub(instance).with("hub", "TOY_INSTANCE", "${instance}");
        assert_eq!(fleet.apply(&toy).await.unwrap(), Applied::Created);
    }
    let mut starts = Vec::new();
    for instance in instances {
        fleet.until_ready(instance).await;
        let address = fleet.address(instance, "hub").await;
        let about = fleet.about(&address).await;
        assert_eq!(about["environment"]["TOY_INSTANCE"], instance);
        starts.push((address, about["start"].clone()));
    }
    assert_eq!(fleet.platform.list().await.unwrap(), instances.map(name));
    fleet.platform.remove("alpha", false).await.unwrap();
    fleet.until_gone("alpha").await;
    assert_eq!(fleet.platform.list().await.unwrap(), [name("alpha-two")]);
    let left = fleet.until_ready("alpha-two").await;
    assert_eq!(left.roles.get("hub").unwrap().restarts, 0);
    let (address, start) = &starts[1];
    assert_eq!(fleet.about(address).await["start"], *start);
}

pub(crate) async fn names_that_nothing_has_are_answered_with_the_nearest(place: &Place) {
    let fleet = place.fleet();
    assert_eq!(
        fleet.apply(&Toy::with_hub("lab")).await.unwrap(),
        Applied::Created
    );
    let request = LogRequest {
        only: None,
        tail: 10,
        follow: false,
    };
    for (wrong, right) in [
        ("lap", Some("lab")),
        ("Not a name", None),
        ("something-else", None),
    ] {
        assert!(fleet.observation(wrong).await.is_none());
        let refusals = [
            fleet.platform.remove(wrong, false).await.unwrap_err(),
            fleet.platform.remove(wrong, true).await.unwrap_err(),
            fleet.platform.scale(wrong, "hub", 1, false).await.unwrap_err(),
            fleet.platform.logs(wrong, request).await.err().unwrap(),
        ];
        for refusal in refusals {
            match refusal {
                PlatformError::NotFound { name: asked, nearest } => {
                    let nearest = nearest.as_ref().map(seaway_model::Name::as_str);
                    assert_eq!((asked.as_str(), nearest), (wrong, right));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) async fn of_two_that_apply_the_same_at_once_one_creates(place: &Place) {
    let (one, other) = (place.fleet(), place.fleet());
    let toy = Toy::with_hub("lab");
    let outcomes: [_; 2] = tokio::join!(one.apply(&toy), other.apply(&toy)).into();
    let created = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Applied::Created)));
    assert_eq!(created.count(), 1, "{outcomes:?}");
    for outcome in &outcomes {
        // On a cluster nothing tells that it is being made from that it was interrupted, so the other one helps.
        assert!(
            matches!(outcome, Ok(_) | Err(PlatformError::Busy { .. })),
            "{outcomes:?}"
        );
    }
    let ready = one.until_ready("lab").await;
    assert_eq!(ready.roles.get("hub").unwrap().restarts, 0);
    assert_eq!(other.apply(&toy).await.unwrap(), Applied::Unchanged);
}

pub(crate) async fn of_two_documents_at_once_one_wins(place: &Place) {
    let (one, other) = (place.fleet(), place.fleet());
    let toys = ["one", "other"].map(|mark| {
        Toy::with_hub("lab")
            .and_served("twin")
            .with("hub", "TOY_MARK", mark)
            .with("twin", "TOY_MARK", mark)
    });
    let outcomes: [_; 2] = tokio::join!(one.apply(&toys[0]), other.apply(&toys[1])).into();
    let created = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Applied::Created)));
    assert_eq!(created.count(), 1, "{outcomes:?}");
    for outcome in &outcomes {
        assert!(
            matches!(
                outcome,
                Ok(Applied::Created | Applied::Changed) | Err(PlatformError::Busy { .. })
            ),
            "{outcomes:?}"
        );
    }
    one.until_status("lab", "it is ready", |status| status.state == State::Ready)
        .await;
    let seen = one.observation("lab").await.unwrap();
    let winner = toys.iter().find(|toy| toy.document() == seen.document).unwrap();
    assert_eq!(seen.plan, winner.plan);
    // Every task is of that document.
    let mark = winner.plan.roles[0].env["TOY_MARK"].to_string();
    for role in ["hub", "twin"] {
        let address = one.address("lab", role).await;
        assert_eq!(one.about(&address).await["environment"]["TOY_MARK"], *mark);
    }
}
