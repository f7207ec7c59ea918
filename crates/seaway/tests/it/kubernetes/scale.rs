//! More and fewer workers of a cluster, with nothing lost.

use super::SMALL;
use crate::harness::{
    Conversation,
    kubernetes::{Namespace, Turn},
};

/// How many tasks compute.
const TASKS: u64 = 60;

#[test]
fn scaling_up_and_down_under_a_computation_loses_nothing_and_computes_nothing_twice() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let status = namespace.up(&[&["dask"], &SMALL[..]].concat());
    let mut computing = Conversation::start("latch", &[status.url("client"), &TASKS.to_string()]);
    assert_eq!(computing.hear(), "running");
    let before = namespace.pods("dask");

    let up = namespace.seaway(["scale", "dask", "worker=4"]).run().succeeded();
    assert!(up.stderr.contains("dask has 4 workers"), "{up}");
    assert_eq!(namespace.status("dask").number("/roles/worker/ready"), 4);
    let down = namespace.seaway(["scale", "dask", "worker=1"]).start();
    // Each worker runs a task that ends only when it is let, so none may go before.
    namespace.until_status("dask", "workers retire", |status| {
        let retiring = status
            .tasks()
            .into_iter()
            .filter(|task| task["state"] == "Retiring");
        retiring.count() == 3
    });
    assert_eq!(namespace.pods("dask").len(), 5);
    computing.tell("go on");
    let down = down.finish().succeeded();
    assert!(down.stderr.contains("dask has 1 worker\n"), "{down}");
    let sum: u64 = (0..TASKS).map(|i| i * i).sum();
    assert_eq!(computing.hear(), format!("{sum} {TASKS} {TASKS}"));

    let after = namespace.until_ready("dask");
    assert_eq!(after.number("/roles/worker/restarts"), 0);
    let pods = namespace.pods("dask");
    assert_eq!(pods.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (name, pod) in &pods {
        assert_eq!(
            pod["metadata"]["uid"], before[name]["metadata"]["uid"],
            "{name} is another one"
        );
    }
    // What was asked for stays when the same document is brought up again.
    namespace.seaway(["scale", "dask", "worker=2"]).run().succeeded();
    let again = namespace.up(&[&["dask"], &SMALL[..]].concat());
    assert_eq!(again.number("/roles/worker/desired"), 2);
    namespace.down("dask");
    namespace.nothing_is_left("dask", &[]);
}
