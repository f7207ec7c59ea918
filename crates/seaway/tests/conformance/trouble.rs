//! Tasks that do not answer, end, or cannot run, and what is told of them.

use seaway_model::status::{MemoryKeeper, State, TaskState};
use seaway_platform::Applied;
use serde_json::json;

use crate::{
    fleet::task,
    place::Place,
    toy::{Toy, mute, silent},
};

pub(crate) async fn readiness_that_goes_and_comes_back_is_told(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_hub("lab")).await;
    let hub = fleet.address("lab", "hub").await;
    let start = fleet.about(&hub).await["start"].clone();
    fleet.order(&hub, "/healthy", json!(false)).await;
    let degraded = fleet
        .until_status("lab", "it does not answer any more", |status| {
            task(status, "hub-0").state == TaskState::NotReady
        })
        .await;
    assert_eq!(degraded.state, State::Degraded);
    assert!(degraded.reason.contains("503"), "{degraded:#?}");
    fleet.order(&hub, "/healthy", json!(true)).await;
    let ready = fleet.until_ready("lab").await;
    assert_eq!(task(&ready, "hub-0").restarts, 0, "{ready:#?}");
    assert_eq!(fleet.about(&hub).await["start"], start);
}

pub(crate) async fn tasks_that_end_are_started_again(place: &Place) {
    let fleet = place.fleet();
    fleet.up(&Toy::with_hub("lab").and_served("other")).await;
    let hub = fleet.address("lab", "hub").await;
    let other = fleet.address("lab", "other").await;
    fleet.order(&hub, "/exit", json!({"code": 3})).await;
    fleet.order(&other, "/crash", json!({})).await;
    let both = ["hub-0", "other-0"];
    let again = fleet
        .until_status("lab", "both are there again", |status| {
            status.state == State::Ready && both.iter().all(|name| task(status, name).restarts == 1)
        })
        .await;
    let [left, crashed] = both.map(|name| task(&again, name));
    let told = |exit: &Option<String>| exit.clone().unwrap_or_default();
    assert!(told(&left.last_exit).contains("ended with code 3"), "{left:#?}");
    assert!(
        left.last_log.iter().any(|line| line == "last words of hub-0"),
        "{left:#?}"
    );
    assert!(told(&crashed.last_exit).contains("SIGSEGV"), "{crashed:#?}");
    fleet.about(&hub).await;
    fleet.about(&other).await;
}

pub(crate) async fn tasks_that_cannot_run_are_given_up_with_the_reason(place: &Place) {
    let fleet = place.fleet();
    let script = "print('no luck today'); exit(4)";
    let mut toy = Toy::with_hub("lab")
        .and(silent("luckless", &["python3", "-c", script]))
        .and(silent("absent", &["no-such-program"]))
        .and(silent("imports", &["python3", "-c", "import no_such_module"]));
    for role in &mut toy.plan.roles {
        role.restart.limit = 2;
    }
    assert_eq!(fleet.apply(&toy).await.unwrap(), Applied::Created);
    let all = ["luckless-0", "absent-0", "imports-0"];
    let failed = fleet
        .until_status("lab", "they are given up", |status| {
            all.iter()
                .all(|name| task(status, name).state == TaskState::Failed)
        })
        .await;
    assert_eq!(failed.state, State::Failed);
    assert_eq!(task(&failed, "hub-0").state, TaskState::Ready, "{failed:#?}");
    let [luckless, absent, imports] = all.map(|name| task(&failed, name));
    assert!(luckless.reason.contains("ended with code 4"), "{luckless:#?}");
    assert!(
        luckless.last_log.iter().any(|line| line == "no luck today"),
        "{luckless:#?}"
    );
    assert!(absent.reason.contains("no-such-program"), "{absent:#?}");
    let last = imports.last_log.join("\n");
    assert!(last.contains("No module named 'no_such_module'"), "{imports:#?}");
    assert!(imports.reason.contains("ended with code 1"), "{imports:#?}");
}

pub(crate) async fn a_task_above_its_memory_limit_is_killed_and_that_is_told(place: &Place) {
    let fleet = place.fleet();
    let hungry =
        "held = bytearray(400 << 20)\nheld[::4096] = b'x' * len(held[::4096])\nimport time; time.sleep(1e6)";
    let mut toy = Toy::with_hub("lab").and(mute("hungry", &["python3", "-c", hungry]));
    toy.role("hungry").resources.memory = Some("128Mi".parse().unwrap());
    assert_eq!(fleet.apply(&toy).await.unwrap(), Applied::Created);
    let status = fleet
        .until_status("lab", "it is killed, or nobody keeps the limit", |status| {
            let role = status.roles.get("hungry").unwrap();
            let kept = role.memory.unwrap().kept_by == MemoryKeeper::Cgroup;
            role.tasks
                .iter()
                .any(|task| task.last_exit.is_some() || (!kept && task.state == TaskState::Ready))
        })
        .await;
    let limit = status.roles.get("hungry").unwrap().memory.unwrap();
    assert_eq!(limit.limit.to_string(), "128Mi");
    let task = task(&status, "hungry-0");
    let exit = task.last_exit.clone().unwrap_or_default();
    if limit.kept_by == MemoryKeeper::Cgroup {
        assert!(exit.contains("was killed for memory"), "{task:#?}");
    } else {
        // Where the kernel does not let us, it is told who keeps the limit, and that it runs is right.
        assert_eq!(exit, "", "{task:#?}");
    }
}
