//! Accounts that may do just what is needed, and accounts that may only look.

use std::path::Path;

use serde_json::{Value, json};

use super::SMALL;
use crate::harness::{
    Invocation,
    kubernetes::{Namespace, Turn, cluster},
};

/// Allows a user what a Role's rules say.
fn allow(namespace: &Namespace, user: &str, rules: &Value) {
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": user}, "rules": rules,
    }));
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
    }));
}

fn seaway<const N: usize>(namespace: &Namespace, kubeconfig: &Path, arguments: [&str; N]) -> Invocation {
    namespace.seaway(arguments).env("KUBECONFIG", kubeconfig)
}

#[test]
fn the_printed_role_is_enough_and_who_may_only_look_sees_all() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let printed = namespace
        .seaway(["rbac", "--for", "run", "--output", "json"])
        .run()
        .succeeded()
        .json();
    let is_role = |object: &&Value| object["kind"] == "Role";
    let role = printed["items"].as_array().unwrap().iter().find(is_role).unwrap();
    let runner = cluster().user("runner", &namespace.name);
    allow(&namespace, "runner", &role["rules"]);
    let visitor = cluster().user("looker", &namespace.name);
    let look = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    allow(&namespace, "looker", &look);

    // The API server learns of new roles a moment later.
    namespace.until("the permissions are there", || {
        let doctor = seaway(&namespace, &runner, ["doctor", "kubernetes", "--for", "run"]).run();
        if doctor.code == Some(0) {
            Ok(())
        } else {
            Err(doctor.to_string())
        }
    });
    seaway(&namespace, &runner, ["up", "dask", "--detach"])
        .arguments(SMALL)
        .run()
        .succeeded();
    seaway(&namespace, &runner, ["scale", "dask", "worker=2"])
        .run()
        .succeeded();
    seaway(&namespace, &runner, ["scale", "dask", "worker=1"])
        .run()
        .succeeded();
    let logs = seaway(&namespace, &runner, ["logs", "dask", "worker-0"])
        .run()
        .succeeded();
    assert!(logs.stdout.contains("Registered to"), "{logs}");
    let exec = ["exec", "dask", "worker-0", "--", "id", "-u"];
    assert_eq!(
        seaway(&namespace, &runner, exec).run().succeeded().stdout,
        "1000\n"
    );

    let status = || {
        seaway(&namespace, &visitor, ["status", "dask", "--output", "json"])
            .run()
            .succeeded()
            .json()
    };
    assert_eq!(status()["state"], "Ready");
    let down = seaway(&namespace, &visitor, ["down", "dask"]).run().with_code(1);
    assert!(down.stderr.contains("patch configmaps"), "{down}");
    // Somebody began to take it down and was killed; who may only look is not in the way of seeing that.
    namespace
        .kubectl(["annotate", "configmap", "dask-seaway", "seaway.dev/target=down"])
        .run()
        .succeeded();
    let seen = status();
    assert_eq!(seen["state"], "Stopped");
    assert!(
        seen["notes"]
            .to_string()
            .contains("is not carried on by who looks now"),
        "{seen}"
    );
    assert_eq!(namespace.pods("dask").len(), 2, "nothing was touched");

    seaway(&namespace, &runner, ["down", "dask"]).run().succeeded();
    namespace.nothing_is_left("dask", &[]);
}
