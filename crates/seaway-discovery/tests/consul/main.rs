//! The Consul directory against real servers: what other clients of Consul see, who may, and when it does not do well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use seaway_discovery::{ConsulDirectory, Defaults, Directory, Entry, Error, TlsProblem, variables};
use seaway_model::{Period, discovery};
use serde_json::{Value, json};
use support::{
    Reply, Server,
    checks::{self, assert_only_the_right_server_is_trusted, assert_tls, owner, refusal, use_fully},
    entry, name,
    pki::{Authority, Certificate},
    services::{Consul, free_port},
    until,
};

const MASTER: &str = "5b1a47c2-0000-4000-8000-00000000cafe";

fn spec(url: impl Into<String>) -> discovery::ConsulDirectory {
    discovery::ConsulDirectory {
        url: Some(url.into()),
        lease: Some(Period::from_secs(60)),
        ..discovery::ConsulDirectory::default()
    }
}

fn open(spec: &discovery::ConsulDirectory) -> ConsulDirectory {
    ConsulDirectory::open(spec, &Defaults::default()).unwrap()
}

async fn fail(spec: &discovery::ConsulDirectory) -> Error {
    refusal(&open(spec)).await
}

/// An entry with two endpoints.
fn two(owner: &str) -> Entry {
    let mut entry = entry("dask", owner);
    let mut dashboard = entry.endpoints[0].clone();
    dashboard.name = name("dashboard");
    dashboard.scheme = "http".into();
    dashboard.port = 8787;
    dashboard.path = "/status".into();
    entry.endpoints.push(dashboard);
    entry
}

/// The ids of the services that the agent has.
fn services(consul: &Consul) -> Vec<String> {
    let all = consul.json("/v1/agent/services");
    let mut ids: Vec<String> = all.as_object().unwrap().keys().cloned().collect();
    ids.sort();
    ids
}

fn assert_says(error: &Error, words: &[&str]) {
    checks::assert_says(error, words, "cafe");
}

#[tokio::test]
async fn other_clients_find_a_service_for_each_endpoint() {
    let consul = Consul::start();
    let directory = open(&discovery::ConsulDirectory {
        service: Some("analytics".into()),
        tags: vec!["lab".into()],
        ..spec(consul.url())
    });
    let entry = two("one");
    directory.register(&entry).await.unwrap();
    assert_eq!(services(&consul), ["seaway:dask:client", "seaway:dask:dashboard"]);
    until("the catalog has both, and they pass", async || {
        let healthy = consul.json("/v1/health/service/analytics?passing=true");
        healthy.as_array().unwrap().len() == 2
    })
    .await;
    let found = consul.json("/v1/health/service/analytics?passing=true&tag=dashboard");
    let service = &found[0]["Service"];
    assert_eq!(service["Address"], "127.0.0.1");
    assert_eq!(service["Port"], 8787);
    assert_eq!(service["Tags"], json!(["dashboard", "lab"]));
    assert_eq!(
        service["Meta"],
        json!({
            "endpoint": "dashboard", "instance": "dask", "owner": "one", "kind": "Dask", "scheme": "http",
            "path": "/status",
        })
    );
    // Fewer endpoints, then none.
    let mut fewer = entry.clone();
    fewer.endpoints.remove(0);
    directory.renew(&fewer).await.unwrap();
    assert_eq!(services(&consul), ["seaway:dask:dashboard"]);
    directory.withdraw(&entry).await.unwrap();
    assert!(services(&consul).is_empty());
    let (status, _) = consul.request("GET", "/v1/kv/seaway/entries/dask", "");
    assert_eq!(status, 404);
}

#[tokio::test]
async fn the_check_fails_with_the_lease_and_passes_with_a_renewal() {
    let consul = Consul::start();
    let directory = open(&discovery::ConsulDirectory {
        lease: Some(Period::from_secs(1)),
        ..spec(consul.url())
    });
    let entry = entry("dask", "one");
    let status = || consul.json("/v1/agent/checks")["service:seaway:dask:client"]["Status"].clone();
    directory.register(&entry).await.unwrap();
    until("the check has failed", async || status() == "critical").await;
    until("and passes again", async || {
        directory.renew(&entry).await.unwrap();
        status() == "passing"
    })
    .await;
    until("expired, it is removed with its service", async || {
        !directory.remove_expired().await.unwrap().is_empty()
    })
    .await;
    assert!(services(&consul).is_empty());
    // What the one before left on this agent goes with its name.
    directory.register(&two("one")).await.unwrap();
    until("the other one gets the name", async || {
        directory.register(&entry_of("two")).await.is_ok()
    })
    .await;
    assert_eq!(services(&consul), ["seaway:dask:client"]);
    assert_eq!(
        consul.json("/v1/agent/service/seaway:dask:client")["Meta"]["owner"],
        "two"
    );
    // Too late: nothing of the new one is touched.
    directory.withdraw(&two("one")).await.unwrap();
    assert_eq!(services(&consul), ["seaway:dask:client"]);
}

fn entry_of(owner: &str) -> Entry {
    entry("dask", owner)
}

#[tokio::test]
async fn a_renewal_costs_one_change_and_one_call_for_each_check() {
    let consul = Consul::start();
    let directory = open(&spec(consul.url()));
    let entry = two("one");
    directory.register(&entry).await.unwrap();
    let changed = consul.json("/v1/kv/seaway/changed")[0]["ModifyIndex"].clone();
    let services = consul.json("/v1/agent/checks")["service:seaway:dask:client"]["ModifyIndex"].clone();
    for _ in 0..5 {
        directory.renew(&entry).await.unwrap();
    }
    // Nobody who waits is woken, and nothing is written into the catalog.
    assert_eq!(consul.json("/v1/kv/seaway/changed")[0]["ModifyIndex"], changed);
    assert_eq!(
        consul.json("/v1/agent/checks")["service:seaway:dask:client"]["ModifyIndex"],
        services
    );
    // Somebody else has written the key since: it is looked at with care.
    open(&spec(consul.url())).renew(&entry).await.unwrap();
    directory.renew(&entry).await.unwrap();
}

#[tokio::test]
async fn without_namespaces_it_goes_on_and_says_so_once() {
    let consul = Consul::start();
    let log = support::log::capture();
    let directory = open(&discovery::ConsulDirectory {
        namespace: Some("lab".into()),
        ..spec(consul.url())
    });
    use_fully(&directory).await;
    assert_eq!(
        log.text().matches("has no namespaces").count(),
        1,
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn an_agent_of_another_datacenter_is_refused() {
    let consul = Consul::start();
    let of = |datacenter: &str| discovery::ConsulDirectory {
        datacenter: Some(datacenter.into()),
        ..spec(consul.url())
    };
    use_fully(&open(&of("dc1"))).await;
    let error = fail(&of("dc2")).await;
    assert_says(&error, &["datacenter", "`dc1`", "`dc2`"]);
    assert!(services(&consul).is_empty());
}
