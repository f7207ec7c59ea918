//! The images, as pods that may do the least: under the restricted profile, with a root file system that cannot be
//! written.

use serde_json::{Value, json};

use crate::harness::{
    kubernetes::{Namespace, Turn, cluster},
    services,
};

/// What a pod of each image is asked to do, and what its log says then.
const ASKED: [(&str, &[&str], &str); 3] = [
    ("seaway", &["seaway", "--version"], "seaway "),
    (
        "seaway-dask",
        &[
            "python",
            "-c",
            "import distributed, jupyterlab, ipykernel; print('has', 'all')",
        ],
        "has all",
    ),
    (
        "seaway-kernel",
        &[
            "python",
            "-c",
            "from jupyter_client.manager import run_kernel\n\
             with run_kernel() as kernel:\n \
             print(kernel.execute_interactive('print(6 * 7)', timeout=60)['content']['status'])",
        ],
        "42\nok",
    ),
];

fn pod(name: &str, command: &[&str]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "main",
                "image": format!("{name}:{}", env!("CARGO_PKG_VERSION")),
                "imagePullPolicy": "Never",
                "command": command,
                "env": [{"name": "IPYTHONDIR", "value": "/tmp/ipython"}],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                    "runAsNonRoot": true,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": [
                    {"name": "home", "mountPath": "/home/seaway"},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }],
            "securityContext": {"fsGroup": 1000},
            "volumes": [{"name": "home", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}],
        },
    })
}

#[test]
fn every_image_runs_with_the_least_that_a_pod_can_have() {
    let _turn = Turn::wait();
    for archive in services::images(&["kernel"]) {
        cluster().load(&archive);
    }
    let namespace = Namespace::new();
    for (name, command, _) in ASKED {
        namespace.apply(&pod(name, command));
    }
    for (name, _, expected) in ASKED {
        let got = ["get", "pod", name, "--output", "json"];
        namespace.until(&format!("{name} ends"), || {
            let pod = namespace.kubectl(got).run().succeeded().json();
            match pod["status"]["phase"].as_str() {
                Some("Succeeded") => Ok(()),
                _ => Err(pod["status"].to_string()),
            }
        });
        let log = namespace.kubectl(["logs", name]).run().succeeded().stdout;
        assert!(log.contains(expected), "{name}: {log}");
    }
}
