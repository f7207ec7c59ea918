//! A cluster that breaks under an instance: what is left goes on, and all is well again when the cluster is. These tests
//! have the cluster for themselves.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;

use super::SMALL;
use crate::harness::{
    kubernetes::{Namespace, Turn, cluster},
    script, until,
};

/// Something broken of the cluster, whole again at the end of the test whatever happens.
struct Broken {
    action: &'static str,
    what: String,
}

impl Broken {
    fn by(action: &str, what: &str, mended: &'static str) -> Self {
        // Recorded first: half broken is broken too.
        let broken = Self {
            action: mended,
            what: what.to_owned(),
        };
        cluster().change(action, what);
        broken
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        cluster().change(self.action, &self.what);
    }
}

/// Whether a node is Ready, as Kubernetes sees it.
fn is_node_ready(namespace: &Namespace, node: &str) -> bool {
    let status = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    let got = namespace
        .kubectl(["get", "node", node, "--output", status])
        .run()
        .succeeded();
    got.stdout == "True"
}

fn identities(pods: &BTreeMap<String, Value>) -> BTreeMap<&str, &Value> {
    pods.iter()
        .map(|(name, pod)| (name.as_str(), &pod["metadata"]["uid"]))
        .collect()
}

#[test]
fn an_api_server_that_dies_while_an_instance_comes_up_only_delays_it() {
    let _turn = Turn::alone();
    let namespace = Namespace::new();
    let up = namespace
        .seaway(["up", "dask", "--detach"])
        .arguments(SMALL)
        .start();
    namespace.until("its pods are made", || {
        let pods = namespace.pods("dask");
        if pods.is_empty() {
            Err("there is none yet".to_owned())
        } else {
            Ok(())
        }
    });
    drop(Broken::by("kill", "kube-apiserver", "start"));
    let up = up.finish();
    assert_eq!(up.code, Some(0), "{up}\n{}", namespace.report());
    let status = namespace.until_ready("dask");
    let sum = script("sum", [status.url("client")]).run().succeeded();
    assert_eq!(sum.stdout.trim(), "200000000.0 1");

    // Who asks while it is away is told so, and nothing hangs.
    let broken = Broken::by("kill", "kube-apiserver", "start");
    let status = namespace.seaway(["status", "dask"]).run().with_code(1);
    assert!(status.stderr.contains("https://"), "{status}");
    let down = namespace.seaway(["down", "dask"]).start();
    drop(broken);
    let down = down.finish();
    if down.code != Some(0) {
        // It ended before the server was back.
        namespace.down("dask");
    }
    namespace.nothing_is_left("dask", &[]);
}

#[test]
fn pods_and_nodes_that_go_and_come_again() {
    let _turn = Turn::alone();
    let namespace = Namespace::new();
    namespace.up(&[&["dask"], &SMALL[..]].concat());
    let first = namespace.pods("dask");

    // Pods that somebody deletes are made anew.
    let delete = ["delete", "pod", "--all", "--grace-period=1", "--wait=true"];
    namespace.kubectl(delete).run().succeeded();
    namespace.until_ready("dask");
    let second = namespace.pods("dask");
    assert_eq!(second.len(), 2, "{:?}", second.keys());
    assert!(
        identities(&second)
            .values()
            .all(|uid| !identities(&first).values().any(|one| one == uid))
    );

    // Without the kubelet the node is not seen any more; what runs on it goes on.
    let node = second["dask-worker-0"]["spec"]["nodeName"]
        .as_str()
        .unwrap()
        .to_owned();
    let broken = Broken::by("kill", &format!("kubelet@{node}"), "start");
    let said = lost(&namespace, &node);
    assert_eq!(said, format!("its node {node} does not answer"));
    drop(broken);
    namespace.until_ready("dask");
    let third = namespace.pods("dask");
    assert_eq!(
        identities(&third),
        identities(&second),
        "nothing was started again"
    );
    assert_eq!(namespace.status("dask").number("/roles/worker/restarts"), 0);

    // Nor is a node seen that is cut off; it is back when the network is.
    let broken = Broken::by("partition", &node, "heal");
    lost(&namespace, &node);
    drop(broken);
    let status = namespace.until_ready("dask");
    let sum = script("sum", [status.url("client")]).run().succeeded();
    assert_eq!(sum.stdout.trim(), "200000000.0 1");

    // What is on a node that is cut off can only be taken down by force.
    let broken = Broken::by("partition", &node, "heal");
    lost(&namespace, &node);
    namespace.seaway(["down", "dask", "--force"]).run().succeeded();
    namespace.nothing_is_left("dask", &[]);
    drop(broken);
}

/// Waits until Kubernetes says that the node is lost, and gives back what `seaway status` says of the worker on it soon
/// after that.
fn lost(namespace: &Namespace, node: &str) -> String {
    namespace.until("the node is lost", || {
        if is_node_ready(namespace, node) {
            Err("it is Ready".to_owned())
        } else {
            Ok(())
        }
    });
    let said = until(Duration::from_secs(5), || {
        let status = namespace.status("dask");
        let worker = status.task("worker-0");
        if worker["state"] == "NotReady" {
            Ok(worker["reason"].as_str().unwrap_or_default().to_owned())
        } else {
            Err(status.summary())
        }
    });
    said.unwrap_or_else(|why| {
        panic!(
            "it is not told that {node} is lost: {why}\n{}",
            namespace.report()
        )
    })
}
