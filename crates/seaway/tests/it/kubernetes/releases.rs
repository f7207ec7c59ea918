//! Charts that real Helm installs: each release is an instance like any other.

use serde_json::Value;

use super::SMALL;
use crate::harness::{
    Invocation,
    kubernetes::{Namespace, Turn},
    services,
};

/// Helm in a namespace, with files of its own in the test's home.
fn helm(namespace: &Namespace, arguments: &[&str]) -> Invocation {
    let path = |name: &str| namespace.home.path(name).to_str().unwrap().to_owned();
    Invocation::new(services::program("helm"), ["--burst-limit", "100"])
        .arguments(arguments)
        .env("KUBECONFIG", &namespace.kubeconfig)
        .env("HELM_CACHE_HOME", path("helm/cache"))
        .env("HELM_CONFIG_HOME", path("helm/config"))
        .env("HELM_DATA_HOME", path("helm/data"))
}

fn token(namespace: &Namespace, name: &str) -> String {
    let secret = namespace
        .kubectl(["get", "secret", &format!("{name}-secrets"), "--output", "json"])
        .run()
        .succeeded()
        .json();
    secret["data"]["notebook-token"].as_str().unwrap().to_owned()
}

fn releases(namespace: &Namespace) -> Vec<String> {
    let list = helm(namespace, &["list", "--all", "--output", "json"])
        .run()
        .succeeded()
        .json();
    let name = |release: &Value| release["name"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn releases_are_instances() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let folder = namespace.home.path("chart");
    let chart = folder.to_str().unwrap();
    namespace
        .seaway(["render", "dask", "--as", "helm", "--output", chart])
        .arguments(SMALL)
        .arguments(["--set", "notebook.enabled=true"])
        .run()
        .succeeded();
    helm(&namespace, &["lint", "--strict", chart]).run().succeeded();

    for release in ["one", "two"] {
        helm(
            &namespace,
            &["install", release, chart, "--wait", "--timeout", "5m"],
        )
        .run()
        .succeeded();
    }
    let tokens = ["one", "two"].map(|release| token(&namespace, release));
    assert_ne!(tokens[0], tokens[1]);
    helm(&namespace, &["test", "one"]).run().succeeded();
    namespace.until_ready("one");
    let ls = namespace.seaway(["ls", "--quiet"]).run().succeeded();
    assert_eq!(ls.stdout, "one\ntwo\n");

    let before = namespace.pods("two");
    helm(
        &namespace,
        &[
            "upgrade",
            "two",
            chart,
            "--set",
            "roles.worker.replicas=2",
            "--wait",
            "--timeout",
            "5m",
        ],
    )
    .run()
    .succeeded();
    assert_eq!(token(&namespace, "two"), tokens[1], "an upgrade keeps the token");
    let status = namespace.until_ready("two");
    assert_eq!(status.number("/roles/worker/desired"), 2);
    let after = namespace.pods("two");
    assert!(
        before
            .iter()
            .all(|(name, pod)| after[name]["metadata"]["uid"] == pod["metadata"]["uid"]),
        "no pod was replaced for it: {:?}",
        after.keys()
    );

    // Either way takes a release down, and Helm knows.
    namespace.down("one");
    namespace.nothing_is_left("one", &[]);
    assert_eq!(releases(&namespace), ["two"]);
    helm(&namespace, &["uninstall", "two", "--wait", "--timeout", "2m"])
        .run()
        .succeeded();
    namespace.until("everything of the release goes", || {
        let left = namespace.versions("two");
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    assert_eq!(namespace.seaway(["ls", "--quiet"]).run().succeeded().stdout, "");
}
