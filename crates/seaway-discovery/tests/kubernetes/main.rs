//! The `kubernetes` directory with a real API server: what stands in the namespace, and what happens when something
//! else does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod permissions;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Endpoints, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use seaway_discovery::{
    Directory, Entry, Error, KubernetesDirectory, TlsProblem, Variables, kubernetes::access::Work,
};
use seaway_model::{
    Endpoint, Period,
    discovery::{self, KubernetesPlacement, KubernetesService},
};
use serde_json::json;
use support::{
    Reply, Server,
    cluster::{ANNOUNCE, OUTSIDE, Space, cluster_tool, from, kubeconfig},
    name, pki, until,
};

fn open(spec: &discovery::KubernetesDirectory) -> KubernetesDirectory {
    open_with(spec, &[])
}

fn open_with(spec: &discovery::KubernetesDirectory, variables: &[(&str, &str)]) -> KubernetesDirectory {
    let defaults = seaway_discovery::Defaults {
        variables: variables.iter().copied().collect::<Variables>(),
        ..seaway_discovery::Defaults::default()
    };
    KubernetesDirectory::open(spec, &defaults).unwrap()
}

fn endpoint(endpoint: &str, host: &str, port: u16) -> Endpoint {
    Endpoint {
        name: name(endpoint),
        scheme: "tcp".into(),
        host: host.into(),
        port,
        path: String::new(),
        token_file: None,
    }
}

fn entry(owner: &str) -> Entry {
    let endpoints = vec![
        endpoint("client", "192.0.2.7", 5555),
        endpoint("metrics", "192.0.2.7", 5556),
    ];
    Entry::new(name("eng"), "Command", owner.parse().unwrap(), endpoints)
}

/// The names of the objects of all kinds that are ours; the control plane copies our labels to what it makes itself.
async fn objects(space: &Space) -> Vec<String> {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=seaway");
    let mut found = Vec::new();
    for lease in space.api::<Lease>().list(&ours).await.unwrap() {
        found.push(format!("Lease {}", lease.metadata.name.unwrap()));
    }
    for service in space.api::<Service>().list(&ours).await.unwrap() {
        found.push(format!("Service {}", service.metadata.name.unwrap()));
    }
    let own = ours
        .clone()
        .labels("endpointslice.kubernetes.io/managed-by=seaway.dev");
    for slice in space.api::<EndpointSlice>().list(&own).await.unwrap() {
        found.push(format!("EndpointSlice {}", slice.metadata.name.unwrap()));
    }
    for endpoints in space.api::<Endpoints>().list(&ours).await.unwrap() {
        let managers = endpoints.metadata.managed_fields.unwrap_or_default();
        if !managers
            .iter()
            .any(|one| one.manager.as_deref() == Some("seaway"))
        {
            continue;
        }
        found.push(format!("Endpoints {}", endpoints.metadata.name.unwrap()));
    }
    found
}

const ALL: [&str; 3] = ["Lease seaway-eng", "Service eng", "EndpointSlice eng-ipv4"];

#[tokio::test]
async fn an_engine_outside_is_a_service_with_addresses_that_belong_to_the_lease() {
    let space = Space::new().await;
    let mut spec = space.spec().await;
    let port = KubernetesService {
        name: None,
        port: Some(80),
    };
    spec.services.insert(name("client"), port);
    let directory = open(&spec);
    directory.register(&entry("one")).await.unwrap();
    assert_eq!(objects(&space).await, ALL);
    let lease = space.api::<Lease>().get("seaway-eng").await.unwrap();
    let held = lease.spec.unwrap();
    assert_eq!(held.holder_identity.as_deref(), Some("one"));
    assert_eq!(held.lease_duration_seconds, Some(30));
    let service = space.api::<Service>().get("eng").await.unwrap();
    assert_eq!(service.spec.as_ref().unwrap().selector, None);
    let ports = service.spec.unwrap().ports.unwrap();
    let numbers: Vec<_> = ports
        .iter()
        .map(|port| (port.name.as_deref().unwrap(), port.port))
        .collect();
    assert_eq!(numbers, [("client", 80), ("metrics", 5556)]);
    let slice = space.api::<EndpointSlice>().get("eng-ipv4").await.unwrap();
    assert_eq!(slice.endpoints[0].addresses, ["192.0.2.7"]);
    let behind: Vec<_> = slice
        .ports
        .unwrap()
        .into_iter()
        .map(|port| (port.name.unwrap(), port.port.unwrap()))
        .collect();
    assert_eq!(
        behind,
        [("client".to_owned(), 5555), ("metrics".to_owned(), 5556)]
    );
    for metadata in [&service.metadata, &slice.metadata] {
        let owner = &metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!(Some(&owner.uid), lease.metadata.uid.as_ref());
        let managers = metadata.managed_fields.as_ref().unwrap();
        assert!(
            managers
                .iter()
                .all(|one| one.manager.as_deref() == Some("seaway")),
            "{managers:?}"
        );
    }
    directory.withdraw(&entry("one")).await.unwrap();
    assert!(objects(&space).await.is_empty());
}

#[tokio::test]
async fn a_restart_takes_over_at_once_and_what_was_different_goes() {
    let space = Space::new().await;
    let plain = space.spec().await;
    let mut spec = plain.clone();
    let own = KubernetesService {
        name: Some(name("eng-metrics")),
        port: None,
    };
    spec.services.insert(name("metrics"), own);
    open(&spec).register(&entry("one")).await.unwrap();
    assert_eq!(objects(&space).await.len(), 5);
    // The one before is dead, and its lease has long to go.
    open(&plain).register(&entry("one")).await.unwrap();
    assert_eq!(objects(&space).await, ALL);
}

#[tokio::test]
async fn an_unchanged_entry_is_registered_again_without_a_write_to_the_service() {
    let space = Space::new().await;
    let directory = open(&space.spec().await);
    directory.register(&entry("one")).await.unwrap();
    let versions = async || {
        let service = space.api::<Service>().get("eng").await.unwrap();
        let slice = space.api::<EndpointSlice>().get("eng-ipv4").await.unwrap();
        (service.metadata.resource_version, slice.metadata.resource_version)
    };
    let before = versions().await;
    directory.register(&entry("one")).await.unwrap();
    directory.renew(&entry("one")).await.unwrap();
    assert_eq!(versions().await, before);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let space = Space::new().await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "eng" },
        "spec": { "ports": [{ "port": 5555 }] },
    });
    space.create(foreign).await;
    let before = space.api::<Service>().get("eng").await.unwrap();
    let directory = open(&space.spec().await);
    let error = directory.register(&entry("one")).await.unwrap_err();
    assert!(error.is_conflict());
    assert!(
        error.to_string().starts_with("Service `eng` in Kubernetes"),
        "{error}"
    );
    assert!(error.to_string().contains("is not Seaway's"), "{error}");
    assert_eq!(space.api::<Service>().get("eng").await.unwrap(), before);
    // Half an entry is none.
    assert!(objects(&space).await.is_empty());
    directory.withdraw(&entry("one")).await.unwrap();
    assert_eq!(space.api::<Service>().get("eng").await.unwrap(), before);
}

#[tokio::test]
async fn what_somebody_removes_is_put_back() {
    let space = Space::new().await;
    let mut spec = space.spec().await;
    spec.lease = Some(Period::from_secs(1));
    let directory = open(&spec);
    let entry = entry("one");
    directory.register(&entry).await.unwrap();
    let remove = DeleteParams::default();
    space.api::<Service>().delete("eng", &remove).await.unwrap();
    space
        .api::<EndpointSlice>()
        .delete("eng-ipv4", &remove)
        .await
        .unwrap();
    until("the Service is there again", async || {
        directory.renew(&entry).await.unwrap();
        objects(&space).await == ALL
    })
    .await;
    // The whole entry; the garbage collector takes what belonged to the old Lease, not what belongs to the new one.
    space.api::<Lease>().delete("seaway-eng", &remove).await.unwrap();
    directory.renew(&entry).await.unwrap();
    let lease = space.api::<Lease>().get("seaway-eng").await.unwrap();
    until("everything belongs to the new Lease", async || {
        directory.renew(&entry).await.unwrap();
        let service = space.api::<Service>().get_opt("eng").await.unwrap();
        let owner = service.and_then(|service| service.metadata.owner_references?.pop());
        objects(&space).await == ALL && owner.map(|owner| owner.uid) == lease.metadata.uid
    })
    .await;
}

#[tokio::test]
async fn what_somebody_changes_is_put_back() {
    let space = Space::new().await;
    let mut spec = space.spec().await;
    spec.lease = Some(Period::from_secs(1));
    let directory = open(&spec);
    let (one, mut two) = (entry("one"), entry("one"));
    two.name = name("other");
    directory.register(&one).await.unwrap();
    directory.register(&two).await.unwrap();
    let change = json!({ "endpoints": [{ "addresses": ["192.0.2.99"], "conditions": { "ready": true } }] });
    let slices = space.api::<EndpointSlice>();
    slices
        .patch("eng-ipv4", &PatchParams::default(), &Patch::Merge(&change))
        .await
        .unwrap();
    let other = slices.get("other-ipv4").await.unwrap();
    until("the address is ours again", async || {
        directory.renew(&one).await.unwrap();
        directory.renew(&two).await.unwrap();
        let slice = slices.get("eng-ipv4").await.unwrap();
        slice.endpoints[0].addresses == ["192.0.2.7"]
    })
    .await;
    // What is looked at together is not written together.
    assert_eq!(slices.get("other-ipv4").await.unwrap(), other);
}

#[tokio::test]
async fn a_change_by_somebody_else_does_not_end_the_entry() {
    let space = Space::new().await;
    let directory = open(&space.spec().await);
    directory.register(&entry("one")).await.unwrap();
    let label = json!({ "metadata": { "labels": { "team": "a" } } });
    let patch = Patch::Merge(&label);
    let leases = space.api::<Lease>();
    leases
        .patch("seaway-eng", &PatchParams::default(), &patch)
        .await
        .unwrap();
    directory.renew(&entry("one")).await.unwrap();
    directory.renew(&entry("one")).await.unwrap();
    assert_eq!(
        directory.get(&name("eng")).await.unwrap().unwrap().owner.as_str(),
        "one"
    );
}

#[tokio::test]
async fn an_engine_inside_is_selected_and_goes_with_its_pod() {
    let space = Space::new().await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "engine-0" },
        "spec": { "containers": [{ "name": "engine", "image": "none" }] },
    });
    // The API server admits pods only when the namespace has its service account.
    until("the default service account is there", async || {
        let accounts = space.api::<k8s_openapi::api::core::v1::ServiceAccount>();
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
    space.create(pod).await;
    let inside = Work::Announce {
        placement: KubernetesPlacement::Inside,
        legacy_endpoints: false,
        selector: false,
    };
    let mut spec = space.least(&[inside]).await;
    spec.placement = Some(KubernetesPlacement::Inside);
    let directory = open_with(&spec, &[("POD_NAME", "engine-0")]);
    directory.register(&entry("one")).await.unwrap();
    assert_eq!(objects(&space).await, ["Lease seaway-eng", "Service eng"]);
    let pod = space.api::<Pod>().get("engine-0").await.unwrap();
    let labels = pod.metadata.labels.unwrap();
    let service = space.api::<Service>().get("eng").await.unwrap();
    for (key, value) in service.spec.unwrap().selector.unwrap() {
        assert_eq!(labels.get(&key), Some(&value));
    }
    assert_eq!(
        Some(&service.metadata.owner_references.unwrap()[0].uid),
        pod.metadata.uid.as_ref()
    );
    // Killed with everything in it.
    let now = DeleteParams::default().grace_period(0);
    space.api::<Pod>().delete("engine-0", &now).await.unwrap();
    until("the entry has gone with its pod", async || {
        objects(&space).await.is_empty()
    })
    .await;
    let error = directory.register(&entry("one")).await.unwrap_err();
    assert!(error.to_string().contains("engine-0"), "{error}");
}

#[tokio::test]
async fn the_old_kind_of_endpoints_on_request() {
    let space = Space::new().await;
    let legacy = Work::Announce {
        placement: KubernetesPlacement::Outside,
        legacy_endpoints: true,
        selector: false,
    };
    let mut spec = space.least(&[legacy]).await;
    spec.legacy_endpoints = true;
    let directory = open(&spec);
    directory.register(&entry("one")).await.unwrap();
    assert_eq!(
        objects(&space).await,
        ["Lease seaway-eng", "Service eng", "Endpoints eng"]
    );
    let endpoints = space.api::<Endpoints>().get("eng").await.unwrap();
    let subset = &endpoints.subsets.unwrap()[0];
    assert_eq!(subset.addresses.as_ref().unwrap()[0].ip, "192.0.2.7");
    directory.withdraw(&entry("one")).await.unwrap();
    assert!(objects(&space).await.is_empty());
}

#[tokio::test]
async fn collecting_removes_what_has_expired_and_what_belongs_to_nothing() {
    let space = Space::new().await;
    let spec = space.spec().await;
    let mut short = spec.clone();
    short.lease = Some(Period::from_secs(1));
    open(&short).register(&entry("one")).await.unwrap();
    let mut other = entry("two");
    other.name = name("live");
    let directory = open(&spec);
    directory.register(&other).await.unwrap();
    assert!(
        directory
            .remove_expired()
            .await
            .unwrap()
            .iter()
            .all(|entry| entry.name.as_str() == "eng")
    );
    until("the lease has run out and the entry is removed", async || {
        directory.remove_expired().await.unwrap();
        objects(&space).await == ["Lease seaway-live", "Service live", "EndpointSlice live-ipv4"]
    })
    .await;
    // The control plane is not asked to do this for us: it happens in one pass.
    let orphan = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "orphan",
            "labels": { "app.kubernetes.io/managed-by": "seaway", "seaway.dev/entry": "orphan" },
            "annotations": { "seaway.dev/lease-uid": "none" },
        },
        "spec": { "ports": [{ "port": 5555 }] },
    });
    space.create(orphan).await;
    directory.remove_expired().await.unwrap();
    assert_eq!(objects(&space).await.len(), 3);
}

#[tokio::test]
async fn what_changes_is_seen() {
    let space = Space::new().await;
    let spec = space.spec().await;
    let (reader, writer) = (open(&spec), open(&spec));
    assert!(reader.list().await.unwrap().is_empty());
    let change = async {
        writer.register(&entry("one")).await.unwrap();
    };
    let (changed, ()) = tokio::join!(reader.changed(), change);
    changed.unwrap();
    assert_eq!(reader.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_address_is_that_of_the_route_and_never_loopback() {
    let space = Space::new().await;
    let spec = space.spec().await;
    let address = open(&spec).own_address().await.unwrap();
    let own = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    match own {
        Ok(own) => assert_eq!(address, own.ip()),
        Err(_) => assert!(address.is_loopback(), "no way out of this machine: {address}"),
    }
    let loopback = Entry::new(
        name("eng"),
        "Command",
        "one".parse().unwrap(),
        vec![endpoint("client", "localhost", 1)],
    );
    let error = open(&spec).register(&loopback).await.unwrap_err();
    assert!(error.to_string().contains("no loopback address"), "{error}");
}
