//! An instance whose document changes: what changes, what stays, and what is left at the end.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::harness::{
    kubernetes::{Namespace, Turn},
    script,
};

/// A document with workers that have this variable, a notebook or none, and data on two volumes.
fn document(namespace: &Namespace, flavour: &str, notebook: bool) -> String {
    let class = &namespace.name;
    let claim =
        |keep: bool| json!({"claim": {"size": "1Gi", "storageClass": class, "deleteWithInstance": !keep}});
    let document = json!({
        "apiVersion": "seaway.dev/v1alpha1", "kind": "Dask", "metadata": {"name": "lab"},
        "spec": {
            "workers": {"replicas": 1, "env": {"FLAVOUR": flavour}},
            "notebook": {"enabled": notebook},
            "data": [
                {"name": "sky", "path": "/arl/data", "readOnly": true, "volume": claim(true)},
                {"name": "sea", "path": "/arl/scratch", "volume": claim(false)},
            ],
        },
    });
    namespace.home.file("lab.yaml", document.to_string())
}

/// Volumes that go with the value: directories of this machine, which both nodes see.
struct Volumes<'n>(&'n Namespace, Vec<String>);

impl<'n> Volumes<'n> {
    fn new(namespace: &'n Namespace, number: usize) -> Self {
        let folder = namespace.home.path("arl");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(folder.join("stars.txt"), "Vega\n").unwrap();
        let names: Vec<String> = (0..number)
            .map(|number| format!("{}-{number}", namespace.name))
            .collect();
        for name in &names {
            namespace.apply(&json!({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": namespace.name,
                    "hostPath": {"path": folder}, "persistentVolumeReclaimPolicy": "Retain",
                },
            }));
        }
        Self(namespace, names)
    }
}

impl Drop for Volumes<'_> {
    fn drop(&mut self) {
        let delete = self
            .0
            .kubectl(["delete", "persistentvolume", "--wait=false", "--ignore-not-found"]);
        delete.arguments(&self.1).start().finish_quietly();
    }
}

/// The identity of each role's pod.
fn identities(namespace: &Namespace) -> BTreeMap<String, Value> {
    let pods = namespace.pods("lab");
    pods.values()
        .map(|pod| {
            let role = pod["metadata"]["labels"]["app.kubernetes.io/component"]
                .as_str()
                .unwrap();
            (role.to_owned(), pod["metadata"]["uid"].clone())
        })
        .collect()
}

/// Another instance that comes and goes has nothing to do with it.
fn another_comes_and_goes(namespace: &Namespace) {
    let before = identities(namespace);
    let other = [
        "dask",
        "--name",
        "other",
        "--set",
        "notebook.enabled=false",
        "--set",
        "workers.replicas=0",
    ];
    namespace.up(&other);
    let names = namespace.seaway(["ls", "--quiet"]).run().succeeded();
    assert_eq!(names.stdout, "lab\nother\n");
    namespace.down("other");
    namespace.nothing_is_left("other", &[]);
    assert_eq!(identities(namespace), before);
}

#[test]
fn what_a_document_changes_is_changed_alone_and_what_it_no_longer_has_goes() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let _volumes = Volumes::new(&namespace, 2);
    let file = document(&namespace, "sweet", true);
    let status = namespace.up(&["-f", &file]);
    let data = script("read", [status.url("client"), "/arl/data/stars.txt"])
        .run()
        .succeeded();
    assert_eq!(data.stdout, "worker-0 Vega\n");
    let write = [
        "exec",
        "lab",
        "worker-0",
        "--",
        "sh",
        "-c",
        "echo on > /arl/scratch/log; ! touch /arl/data/no",
    ];
    namespace.seaway(write).run().succeeded();
    let before = (identities(&namespace), namespace.versions("lab"));

    // Before it is changed, the API server says what would be, and what cannot be.
    document(&namespace, "sour", true);
    let preview = namespace
        .seaway(["up", "-f", &file, "--dry-run"])
        .run()
        .succeeded()
        .stdout;
    let changed: Vec<&str> = preview.lines().filter(|line| line.starts_with('~')).collect();
    assert_eq!(
        changed,
        ["~ ConfigMap/lab-seaway", "~ StatefulSet/lab-worker"],
        "{preview}"
    );
    assert!(preview.contains("env[FLAVOUR]"), "{preview}");
    assert!(preview.contains("\"sweet\" -> \"sour\""), "{preview}");
    let patch = "kubernetes.pods.template={spec: {containers: [{name: main, ports: [{name: a, containerPort: 99999}]}]}}";
    for words in [&["--dry-run"][..], &["--detach"]] {
        let refused = namespace
            .seaway(["up", "-f", &file, "--set", patch])
            .arguments(words)
            .run()
            .with_code(1);
        assert!(refused.stderr.contains("containerPort"), "{refused}");
    }
    assert_eq!((identities(&namespace), namespace.versions("lab")), before);

    namespace.up(&["-f", &file]);
    let after = identities(&namespace);
    let replaced: Vec<&String> = after
        .keys()
        .filter(|role| after[*role] != before.0[*role])
        .collect();
    assert_eq!(replaced, ["worker"]);
    let said = namespace
        .seaway(["exec", "lab", "worker-0", "--", "printenv", "FLAVOUR"])
        .run();
    assert_eq!(said.succeeded().stdout, "sour\n");

    // Without the notebook, what it had goes; the rest stays as it is.
    document(&namespace, "sour", false);
    let status = namespace.up(&["-f", &file]);
    assert!(status.0["roles"].get("notebook").is_none(), "{}", status.0);
    let left = namespace.until("what the notebook had is gone", || {
        let left = namespace.versions("lab");
        let of_notebook: Vec<&String> = left.keys().filter(|name| name.contains("notebook")).collect();
        if of_notebook.is_empty() {
            Ok(left.clone())
        } else {
            Err(format!("{of_notebook:?}"))
        }
    });
    assert!(
        before.1.keys().any(|name| name == "Deployment/lab-notebook"),
        "{:?}",
        before.1
    );
    assert!(!left.contains_key("Secret/lab-secrets"), "{left:?}");
    let rest = identities(&namespace);
    assert_eq!(
        (&rest["scheduler"], &rest["worker"]),
        (&after["scheduler"], &after["worker"])
    );

    another_comes_and_goes(&namespace);

    // The data stays, unless it was said to go.
    namespace.down("lab");
    namespace.nothing_is_left("lab", &["PersistentVolumeClaim/lab-sky"]);
    assert_eq!(
        fs::read_to_string(namespace.home.path("arl/log")).unwrap(),
        "on\n"
    );
    let gone = namespace.seaway(["status", "lab"]).run().with_code(3);
    assert!(gone.stderr.contains("`lab`"), "{gone}");
}
