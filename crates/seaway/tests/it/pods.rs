//! A whole cluster, with nodes, pods, cluster DNS and kube-proxy: clients in pods reach engines by the names that Seaway
//! gave them.

use serde_json::{Value, json};

use crate::harness::{
    Home, Running,
    kubernetes::{Namespace, Turn, cluster},
    processes, services,
};

/// The image that every test cluster has.
const IMAGE: &str = "seaway.test/busybox:1";

/// Runs a command in a pod of its own to its end; whether it succeeded, and what it printed.
fn in_pod(namespace: &Namespace, name: &str, command: &[&str]) -> (bool, String) {
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": command }],
        },
    }));
    let phase = namespace.until("the pod ends", || {
        let get = ["get", "pod", name, "-o", "jsonpath={.status.phase}"];
        let phase = namespace.kubectl(get).run().succeeded().stdout;
        match phase.as_str() {
            "Succeeded" | "Failed" => Ok(phase),
            _ => Err(format!("it is {phase}")),
        }
    });
    let logs = namespace.kubectl(["logs", name]).run().succeeded().stdout;
    (phase == "Succeeded", logs)
}

fn names(namespace: &Namespace, what: &str) -> String {
    namespace.kubectl(["get", what, "-o", "name"]).run().stdout
}

/// A file server on this address, with an agent that announces it in the cluster.
fn engine_outside(namespace: &Namespace, port: u16) -> Running {
    let address = &cluster().address;
    let endpoint = format!("client={port}");
    let probe = format!("tcp:{address}:{port}");
    namespace
        .home
        .seaway([
            "run",
            "--name",
            "eng",
            "--register",
            "kubernetes",
            "--endpoint",
            &endpoint,
            "--probe",
            &probe,
            "--",
            "python3",
            "-m",
            "http.server",
            "--bind",
            address,
            &port.to_string(),
        ])
        .env("KUBECONFIG", &namespace.kubeconfig)
        .start()
}

/// Waits until an entry is there; gives back where it is reached.
fn found(namespace: &Namespace, name: &str) -> String {
    let get = [
        "discovery",
        "get",
        name,
        "--from",
        "kubernetes",
        "--endpoint",
        "client",
        "--output",
        "address",
        "--wait",
        "60s",
    ];
    let output = namespace
        .home
        .seaway(get)
        .env("KUBECONFIG", &namespace.kubeconfig)
        .run()
        .succeeded();
    output.stdout.trim().to_owned()
}

#[test]
fn pods_reach_engines_outside_and_inside_by_the_name_of_their_service() {
    let _turn = Turn::wait();
    // Its pods use programs and libraries of this machine.
    let namespace = Namespace::permissive();
    let home: &Home = &namespace.home;

    // Outside: a process of this machine. Its address is found by the route towards the API server.
    home.file("hello.txt", "from outside\n");
    let port = services::free_port();
    let agent = engine_outside(&namespace, port);
    assert_eq!(found(&namespace, "eng"), format!("{}:{port}", cluster().address));
    let url = format!("http://eng.{}.svc:{port}/hello.txt", namespace.name);
    let fetch = ["wget", "-q", "-O", "-", url.as_str()];
    assert_eq!(
        in_pod(&namespace, "client-1", &fetch),
        (true, "from outside\n".to_owned())
    );
    processes::signal(agent.pid(), nix::sys::signal::Signal::SIGTERM);
    agent.finish();
    assert_eq!(names(&namespace, "service"), "");
    assert!(
        !in_pod(&namespace, "client-2", &fetch).0,
        "nobody has the name now"
    );

    // Inside: the agent stands beside the engine, in the same pod, with the least permissions.
    let rbac = home
        .seaway([
            "rbac",
            "--placement",
            "inside",
            "--name",
            "engine",
            "--service-account",
            "engine",
            "--namespace",
            &namespace.name,
        ])
        .run()
        .succeeded();
    let apply = namespace.kubectl(["apply", "-f", "-"]);
    apply.input(rbac.stdout).run().succeeded();
    namespace.apply(&inside());
    found(&namespace, "inside");
    let fetch = ["wget", "-q", "-O", "-", "http://inside:8000/hello.txt"];
    assert_eq!(
        in_pod(&namespace, "client-3", &fetch),
        (true, "from inside\n".to_owned())
    );
    // The pod goes at once, and nobody has the time to withdraw anything.
    let delete = ["delete", "pod", "engine-0", "--grace-period=0", "--force"];
    namespace.kubectl(delete).run().succeeded();
    namespace.until("the entry goes with its pod", || {
        let left = names(&namespace, "service,lease,endpointslice");
        if left.contains("inside") {
            Err(left)
        } else {
            Ok(())
        }
    });
    home.nothing_is_left();
}

/// A pod with an engine and an agent. The agent is the binary under test, with the libraries that this machine has.
fn inside() -> Value {
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_seaway"));
    let folder = binary.parent().unwrap().display().to_string();
    let host = |name: &str, path: &str| json!({ "name": name, "hostPath": { "path": path } });
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "engine-0" },
        "spec": {
            "serviceAccountName": "engine",
            "terminationGracePeriodSeconds": 2,
            "volumes": [host("seaway", &folder), host("lib", "/usr/lib"), host("lib64", "/usr/lib64")],
            "containers": [
                {
                    "name": "engine", "image": IMAGE, "imagePullPolicy": "Never",
                    "command": ["sh", "-c", "mkdir /www && echo from inside > /www/hello.txt && exec httpd -f -p 8000 -h /www"],
                },
                {
                    "name": "agent", "image": IMAGE, "imagePullPolicy": "Never",
                    "command": ["/seaway/seaway", "agent", "--name", "inside", "--register", "kubernetes",
                        "--endpoint", "client=8000"],
                    "env": [
                        { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                        { "name": "XDG_STATE_HOME", "value": "/tmp/state" },
                        { "name": "XDG_CACHE_HOME", "value": "/tmp/cache" },
                    ],
                    "volumeMounts": [mount("seaway", "/seaway"), mount("lib", "/lib"), mount("lib64", "/lib64")],
                },
            ],
        },
    })
}
