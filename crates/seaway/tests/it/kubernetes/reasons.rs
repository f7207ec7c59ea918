//! What keeps an instance from running, told by `seaway status` as soon as Kubernetes tells it.

use std::time::Duration;

use serde_json::{Value, json};

use super::SMALL;
use crate::harness::{
    kubernetes::{Namespace, Turn, cluster},
    until,
};

/// Time within which `seaway status` knows what Kubernetes says.
const SOON: Duration = Duration::from_secs(5);

/// Sets an instance out to come up with these settings.
#[track_caller]
fn begin(namespace: &Namespace, name: &str, settings: &[&str]) {
    let up = namespace.seaway(["up", "dask", "--detach", "--no-wait", "--name", name]);
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    up.arguments(SMALL).arguments(settings).run().succeeded();
}

/// Fails the test unless the status says this soon after Kubernetes said that, in a pod or an event. Without a state, any
/// will do.
#[track_caller]
fn told(namespace: &Namespace, name: &str, by_kubernetes: &str, state: &str, reason: &str) {
    namespace.until(by_kubernetes, || {
        let kinds = "pods,events,persistentvolumeclaims";
        let text = namespace
            .kubectl(["get", kinds, "--output", "json"])
            .run()
            .succeeded()
            .stdout;
        if text.contains(by_kubernetes) {
            Ok(())
        } else {
            Err("Kubernetes does not say so".to_owned())
        }
    });
    let said = until(SOON, || {
        let status = namespace.status(name);
        let fits = |task: &&Value| {
            (state.is_empty() || task["state"] == state)
                && task["reason"].as_str().is_some_and(|why| why.contains(reason))
        };
        if status.tasks().iter().any(fits) {
            Ok(())
        } else {
            Err(status.summary())
        }
    });
    said.unwrap_or_else(|why| panic!("`{reason}` is not told: {why}\n{}", namespace.report()));
}

#[test]
fn pods_that_cannot_run_say_why() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let absent = [
        "kubernetes.image=nobody/has-this:1",
        "kubernetes.imagePullPolicy=Never",
    ];
    begin(&namespace, "absent", &absent);
    begin(
        &namespace,
        "remote",
        &["kubernetes.image=registry.invalid/has-this:1"],
    );
    begin(&namespace, "large", &["workers.resources.cpu=64"]);
    let claim = "data=[{name: sky, path: /arl/data, volume: {claim: {size: 1Gi, storageClass: nowhere}}}]";
    begin(&namespace, "homeless", &[claim]);
    begin(&namespace, "hungry", &["workers.resources.memory=40Mi"]);
    let files = "data=[{name: sky, path: /arl/data, volume: {configMap: {name: nothing}}}]";
    begin(&namespace, "fileless", &[files]);

    let never = "the node does not have the image nobody/has-this:1, and imagePullPolicy is Never";
    told(&namespace, "absent", "ErrImageNeverPull", "Failed", never);
    told(
        &namespace,
        "remote",
        "ErrImagePull",
        "BackOff",
        "the image registry.invalid/has-this:1 cannot be had: ",
    );
    told(
        &namespace,
        "large",
        "Insufficient cpu",
        "Waiting",
        "no node can run it: ",
    );
    told(
        &namespace,
        "homeless",
        "storageclass.storage.k8s.io \\\"nowhere\\\" not found",
        "Waiting",
        "claim homeless-sky: ",
    );
    told(
        &namespace,
        "fileless",
        "configmap \\\"nothing\\\" not found",
        "Waiting",
        "a volume cannot be mounted: ",
    );
    told(&namespace, "hungry", "OOMKilled", "", "was killed for memory");

    // Who waits for one that cannot come up is told the same, and ends.
    let up = namespace
        .seaway(["up", "dask", "--name", "absent", "--detach"])
        .arguments(SMALL);
    let up = up
        .arguments(absent.iter().flat_map(|setting| ["--set", setting]))
        .run()
        .with_code(5);
    assert!(up.stderr.contains(never), "{up}");
    // Attached, it takes down what it made.
    let words = [
        "up", "dask", "--name", "attached", "--set", absent[0], "--set", absent[1],
    ];
    let attached = namespace.seaway(words).arguments(SMALL).run().with_code(5);
    assert!(attached.stderr.contains(never), "{attached}");
    namespace.nothing_is_left("attached", &[]);

    namespace.seaway(["down", "--all"]).run().succeeded();
    for name in ["absent", "remote", "large", "hungry", "fileless"] {
        namespace.nothing_is_left(name, &[]);
    }
    namespace.nothing_is_left("homeless", &["PersistentVolumeClaim/homeless-sky"]);
}

#[test]
fn a_namespace_that_takes_no_pods_says_why() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let path = "data=[{name: sky, path: /arl/data, volume: {hostPath: {path: /tmp}}}]";
    begin(&namespace, "bold", &[path]);
    told(
        &namespace,
        "bold",
        "violates PodSecurity",
        "Waiting",
        "the namespace's Pod Security profile forbids it: ",
    );
    namespace.down("bold");
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "little"}, "spec": {"hard": {"pods": "1"}},
    });
    namespace.apply(&quota);
    namespace.until("the quota counts", || {
        let quota = namespace.get("resourcequota", "").remove(0);
        if quota["status"]["used"]["pods"] == "0" {
            Ok(())
        } else {
            Err(quota["status"].to_string())
        }
    });
    begin(&namespace, "many", &["workers.replicas=3"]);
    told(
        &namespace,
        "many",
        "exceeded quota",
        "Waiting",
        "a quota of the namespace is used up: ",
    );
    // With more room, it comes up by itself.
    namespace
        .kubectl(["delete", "resourcequota", "little"])
        .run()
        .succeeded();
    namespace.until_ready("many");
    namespace.down("many");
    for name in ["bold", "many"] {
        namespace.nothing_is_left(name, &[]);
    }
}

#[test]
fn who_may_not_do_it_is_told_what_is_missing_and_nothing_is_made() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let kubeconfig = cluster().user("visitor", &namespace.name);
    let as_visitor = || {
        let up = namespace.seaway(["up", "dask", "--detach"]).arguments(SMALL);
        up.env("KUBECONFIG", &kubeconfig).run()
    };
    let refused = as_visitor().with_code(1);
    assert!(refused.stderr.contains("seaway rbac"), "{refused}");
    // All but one thing.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "nearly"},
        "rules": [
            {"apiGroups": ["", "networking.k8s.io", "discovery.k8s.io", "policy"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["*"]},
            {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get", "list", "watch"]},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "nearly"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "nearly"},
        "subjects": [{"kind": "User", "name": "visitor", "apiGroup": "rbac.authorization.k8s.io"}],
    });
    namespace.apply(&role);
    namespace.apply(&binding);
    // The API server learns of new roles a moment later.
    let refused = namespace.until("only StatefulSets are refused", || {
        let refused = as_visitor().with_code(1);
        if refused.stderr.contains("statefulsets") {
            Ok(refused)
        } else {
            Err(refused.to_string())
        }
    });
    assert!(refused.stderr.contains("patch"), "the verb is not in {refused}");
    namespace.nothing_is_left("dask", &[]);
}

#[test]
fn a_namespace_that_goes_takes_nothing_new() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    // What holds the namespace back, as a volume's or an operator's finalizer would.
    let held = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["seaway.dev/test"]},
    });
    namespace.apply(&held);
    let delete = ["delete", "namespace", &namespace.name, "--wait=false"];
    namespace.kubectl(delete).run().succeeded();
    let refused = namespace
        .seaway(["up", "dask", "--detach"])
        .arguments(SMALL)
        .run()
        .with_code(4);
    let said = format!("the namespace `{}` is being deleted", namespace.name);
    assert!(refused.stderr.contains(&said), "{refused}");
    let release = r#"{"metadata": {"finalizers": null}}"#;
    namespace
        .kubectl(["patch", "configmap", "held", "--patch", release])
        .run()
        .succeeded();
}
