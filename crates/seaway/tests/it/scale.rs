//! More and fewer workers, with nothing lost.

use std::fs;

use crate::harness::{Conversation, Home};

#[test]
fn scaling_up_and_down_under_a_computation_loses_nothing() {
    let home = Home::heavy();
    let status = home.up("dask", &[]);
    let gate = home.path("gate").display().to_string();
    let mut computing = Conversation::start("gate", &[status.url("client"), &gate, "60"]);
    assert_eq!(computing.hear(), "running");
    let up = home.seaway(["scale", "dask", "worker=4"]).run().succeeded();
    assert!(up.stderr.contains("dask has 4 workers"), "{up}");
    assert_eq!(home.status("dask").number("/roles/worker/ready"), 4);
    let down = home.seaway(["scale", "dask", "worker=1"]).start();
    // Each worker runs a task that ends only when the gate opens, so none may go before.
    let retiring = home.until_status("dask", "workers retire", |status| {
        let states: Vec<_> = status.tasks().iter().map(|task| task["state"].clone()).collect();
        states.iter().filter(|state| *state == "Retiring").count() == 3
            && status.tasks().iter().all(|task| {
                task["state"] != "Retiring" || task["reason"].as_str().unwrap().starts_with("finishes ")
            })
    });
    assert_eq!(retiring.pids().len(), 5, "{}", retiring.summary());
    fs::write(&gate, "").unwrap();
    let down = down.finish().succeeded();
    assert!(down.stderr.contains("dask has 1 worker\n"), "{down}");
    let sum: u64 = (0..60).map(|i| i * i).sum();
    assert_eq!(computing.hear(), sum.to_string());
    let after = home.status("dask");
    assert_eq!(after.state(), "Ready");
    assert_eq!(after.pids().len(), 2);
    assert_eq!(after.number("/roles/worker/restarts"), 0);
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn the_idlest_are_retired_and_one_that_works_stays() {
    let home = Home::heavy();
    let status = home.up("dask", &["--set", "workers.replicas=3"]);
    let gate = home.path("gate").display().to_string();
    // The highest index, which would go first among equals.
    let mut computing = Conversation::start("gate", &[status.url("client"), &gate, "2", "worker-2"]);
    assert_eq!(computing.hear(), "running");
    home.seaway(["scale", "dask", "worker=1"]).run().succeeded();
    let after = home.status("dask");
    assert_eq!(
        after.pid("worker-2"),
        status.pid("worker-2"),
        "{}",
        after.summary()
    );
    assert_eq!(after.pids().len(), 2, "{}", after.summary());
    fs::write(&gate, "").unwrap();
    assert_eq!(computing.hear(), "1");
}

#[test]
fn the_only_copy_of_data_is_handed_over_and_never_thrown_away_unless_forced() {
    let home = Home::heavy();
    let status = home.up("dask", &["--set", "workers.replicas=2"]);
    let mut holder = Conversation::start("holder", &[status.url("client"), "worker-0", "worker-1"]);
    assert_eq!(holder.hear(), "held");
    home.seaway(["scale", "dask", "worker=1"]).run().succeeded();
    holder.tell("look");
    assert_eq!(holder.hear(), "True");

    let last = home.status("dask");
    let refused = home
        .seaway(["scale", "dask", "worker=0", "--timeout", "3s"])
        .run()
        .with_code(1);
    assert!(
        refused.stderr.contains("error: not done in time: worker-"),
        "{refused}"
    );
    assert!(
        refused
            .stderr
            .contains("holds the only copy of 2 results, which no other task can take yet"),
        "{refused}"
    );
    assert!(refused.stderr.contains("--force"), "{refused}");
    let kept = home.status("dask");
    assert_eq!(kept.pids(), last.pids());
    holder.tell("look");
    assert_eq!(holder.hear(), "True", "the data is still there");

    let forced = home
        .seaway(["scale", "dask", "worker=0", "--force"])
        .run()
        .succeeded();
    assert!(forced.stderr.contains("dask has 0 workers"), "{forced}");
    let after = home.status("dask");
    assert_eq!(after.state(), "Ready");
    assert_eq!(after.pids().len(), 1, "{}", after.summary());
}

#[test]
fn asking_for_the_old_number_takes_a_retirement_back() {
    let home = Home::heavy();
    let status = home.up("dask", &["--set", "workers.replicas=2"]);
    let mut holder = Conversation::start("holder", &[status.url("client"), "worker-0", "worker-1"]);
    assert_eq!(holder.hear(), "held");
    home.seaway(["scale", "dask", "worker=0", "--timeout", "1s"])
        .run()
        .with_code(1);
    home.seaway(["scale", "dask", "worker=2"]).run().succeeded();
    holder.tell("look");
    assert_eq!(holder.hear(), "True", "the data is still there");
    assert_eq!(home.status("dask").number("/roles/worker/ready"), 2);
}
