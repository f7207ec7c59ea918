//! The registry in a whole cluster: an image is pushed over TLS with a password, and a pod's node pulls it.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

#[path = "support/mod.rs"]
mod support;

use std::{path::Path, process::Command, time::Duration};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, api::PostParams};
use seaway_setup::{Accounts, Did, PodSecurity, Registry, Request};
use serde_json::{Value, json};
use support::{Space, cluster_name, from, tool, until};

/// The image that every test cluster has.
const BUSYBOX: &str = "seaway.test/busybox:1";

fn request(space: &Space) -> Request {
    Request {
        namespace: Some(PodSecurity::Restricted),
        accounts: Accounts {
            name: Some("seaway".into()),
            ..Accounts::default()
        },
        registry: Some(Registry {
            name: "registry".into(),
            image: "seaway-registry:0.1.0".into(),
            storage: None,
            storage_class: None,
            user: "seaway".into(),
            hosts: vec!["registry.test".into()],
            folder: Some(space.files.path().join("registry")),
            attach: true,
        }),
        patience: Some(Duration::from_secs(120)),
        ..Request::default()
    }
}

/// Runs a command on the node; whether it succeeded, and what it said.
fn on_node(words: &[&str]) -> (bool, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/cluster");
    let output = Command::new(path)
        .args(["enter", "--name", &cluster_name(), "node1"])
        .args(words)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A pod that runs an image of the registry, as this service account.
async fn pod(space: &Space, name: &str, account: &str, image: &str) {
    let pod: Pod = from(json!({
        "metadata": { "name": name },
        "spec": {
            "serviceAccountName": account,
            "restartPolicy": "Never",
            "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "main", "image": image, "imagePullPolicy": "Always", "command": ["true"],
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
        },
    }));
    let pods: Api<Pod> = space.api();
    until("the namespace has its service account", async || {
        pods.create(&PostParams::default(), &pod).await.is_ok()
    })
    .await;
}

async fn status(space: &Space, name: &str) -> Value {
    let pods: Api<Pod> = space.api();
    serde_json::to_value(pods.get(name).await.unwrap().status.unwrap()).unwrap()
}

#[tokio::test]
async fn push_and_pull_work_with_the_password_and_not_without() {
    let archive = tool("images", &["build", "registry"]);
    let own = std::process::id().to_string();
    let kubeconfig = tool(
        "cluster",
        &["up", "--own", "--name", &cluster_name(), "--watchdog", &own],
    );
    tool("cluster", &["load", "--name", &cluster_name(), &archive]);
    let space = Space::of(Path::new(&kubeconfig)).await;
    let request = request(&space);
    let report = space.made(&request).await;
    let again = space.made(&request).await;
    assert!(
        again.steps.iter().all(|step| step.did == Did::Unchanged),
        "{again:#?}"
    );

    // What the notes say nodes need, put where the notes say.
    let host = format!("registry.{}.svc:5000", space.name);
    assert!(
        report.notes.iter().any(|note| note.contains(&host)),
        "{report:#?}"
    );
    let files = space.files.path().join("registry");
    let trusted = Path::new(&kubeconfig)
        .with_file_name("node1")
        .join("certs.d")
        .join(&host);
    std::fs::create_dir_all(&trusted).unwrap();
    let hosts = std::fs::read_to_string(files.join("hosts.toml")).unwrap();
    let here = trusted.parent().unwrap().display().to_string();
    std::fs::write(
        trusted.join("hosts.toml"),
        hosts.replace("/etc/containerd/certs.d", &here),
    )
    .unwrap();
    std::fs::copy(files.join("ca.crt"), trusted.join("ca.crt")).unwrap();
    let login: Value = serde_json::from_slice(&std::fs::read(files.join("config.json")).unwrap()).unwrap();
    let password = login["auths"][&host]["password"].as_str().unwrap();
    assert!(!format!("{report:?} {request:?}").contains(password));

    // Push, by the address of the Service.
    let services: Api<Service> = space.api();
    let address = services
        .get("registry")
        .await
        .unwrap()
        .spec
        .unwrap()
        .cluster_ip
        .unwrap();
    let image = format!("{address}:5000/team/busybox:1");
    let ctr = |words: &[&str]| on_node(&[&["ctr", "--namespace", "k8s.io", "images"], words].concat());
    let (tagged, said) = ctr(&["tag", BUSYBOX, &image]);
    assert!(tagged, "{said}");
    let authority = trusted.join("ca.crt").display().to_string();
    let user = |password: &str| format!("seaway:{password}");
    let push =
        |user: &str, authority: &[&str]| ctr(&[&["push", "--user", user], authority, &[&image]].concat());
    let trust = ["--tlscacert", authority.as_str()];
    let (pushed, said) = push(&user("wrong"), &trust);
    assert!(!pushed && said.contains("401"), "{said}");
    let (pushed, said) = push(&user(password), &[]);
    assert!(!pushed && said.contains("certificate"), "{said}");
    let (pushed, said) = push(&user(password), &trust);
    assert!(pushed, "{said}");

    // Pull, by the name, first as somebody without the login.
    let image = format!("{host}/team/busybox:1");
    pod(&space, "stranger", "default", &image).await;
    until("the image is refused", async || {
        let status = status(&space, "stranger").await;
        let waiting = &status["containerStatuses"][0]["state"]["waiting"];
        waiting["message"]
            .as_str()
            .is_some_and(|text| text.contains("401") || text.contains("authorization failed"))
    })
    .await;
    pod(&space, "member", "seaway", &image).await;
    until("the pod ran", async || {
        status(&space, "member").await["phase"] == "Succeeded"
    })
    .await;

    let pods: Api<Pod> = space.api();
    for name in ["stranger", "member"] {
        pods.delete(name, &kube::api::DeleteParams::default().grace_period(0))
            .await
            .unwrap();
    }
    until("the pods are gone", async || {
        pods.get_opt("member").await.unwrap().is_none() && pods.get_opt("stranger").await.unwrap().is_none()
    })
    .await;
    let removed = space.remove(&request).await;
    assert!(!space.has_namespace().await, "{removed:#?}");
}

#[tokio::test]
async fn what_keeps_the_registry_from_running_is_told() {
    // Nobody runs pods here, so that it never becomes available.
    let name = format!("none-{}", cluster_name());
    let own = std::process::id().to_string();
    let arguments = [
        "up",
        "--own",
        "--control-plane",
        "--with",
        "kube-controller-manager",
        "--name",
        &name,
        "--watchdog",
        &own,
    ];
    let kubeconfig = tool("cluster", &arguments);
    let space = Space::of(Path::new(&kubeconfig)).await;
    let mut request = request(&space);
    request.patience = None;
    let report = space.made(&request).await;
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = space.api();
    until("the controller says how it is", async || {
        let status = deployments.get("registry").await.unwrap().status;
        status.is_some_and(|status| status.conditions.is_some())
    })
    .await;
    request.patience = Some(Duration::from_millis(500));
    let (_, outcome) = space.setup(&request).await;
    let error = outcome.unwrap_err();
    let text = format!("{error}\n{}", error.hint().unwrap());
    for part in [
        "Deployment registry is not available",
        "minimum availability",
        "--registry-image",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(
        report
            .steps
            .iter()
            .any(|step| step.object == "Deployment registry" && step.did == Did::Created)
    );
    // With a claim: nothing of the first run is in the way.
    if let Some(registry) = &mut request.registry {
        registry.storage = Some("1Gi".into());
    }
    request.patience = None;
    let report = space.made(&request).await;
    assert_eq!(
        support::did(&report, "PersistentVolumeClaim registry"),
        Did::Created
    );
    assert_eq!(support::did(&report, "Deployment registry"), Did::Changed);
    // A third name makes another certificate by the same authority.
    let authority = space.secret("registry-auth", "ca.crt").await;
    if let Some(registry) = &mut request.registry {
        registry.hosts.push("more.test".into());
    }
    let report = space.made(&request).await;
    assert_eq!(support::did(&report, "Secret registry-tls"), Did::Changed);
    assert_eq!(support::did(&report, "Deployment registry"), Did::Changed);
    assert_eq!(support::did(&report, "Secret registry-auth"), Did::Unchanged);
    assert_eq!(space.secret("registry-auth", "ca.crt").await, authority);
    request.keep_data = true;
    let report = space.remove(&request).await;
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("PersistentVolumeClaim registry")),
        "{report:#?}"
    );
    assert!(space.has_namespace().await);
}
