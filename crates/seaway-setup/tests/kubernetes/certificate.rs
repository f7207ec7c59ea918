//! The client certificate: approval by somebody else, refusal, another user.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use seaway_setup::{Certificate, Did, Error, Request};
use serde_json::json;

use crate::support::{Space, did};
use crate::{certificate, least};

fn only_files(space: &Space) -> Request {
    Request {
        certificate: Some(Certificate {
            secret: None,
            approve: false,
            ..certificate(space)
        }),
        // Long enough for nothing.
        patience: Some(Duration::from_millis(200)),
        ..least()
    }
}

/// The one request of the space, decided upon as an administrator does.
async fn decide(space: &Space, decision: &str) -> String {
    let all: Api<CertificateSigningRequest> = Api::all(space.client.clone());
    let labels = format!("seaway.dev/setup-namespace={}", space.name);
    let found = all
        .list(&ListParams::default().labels(&labels))
        .await
        .unwrap()
        .items;
    assert_eq!(found.len(), 1, "one key, one request");
    let name = found[0].metadata.name.clone().unwrap();
    let condition = json!({ "status": { "conditions": [{
        "type": decision, "status": "True", "reason": "Test", "message": "somebody decided",
    }] } });
    all.patch_subresource(
        "approval",
        &name,
        &PatchParams::default(),
        &Patch::Merge(&condition),
    )
    .await
    .unwrap();
    name
}

#[tokio::test]
async fn an_approval_by_somebody_else_is_waited_for_over_several_runs() {
    let space = Space::new().await;
    let mut request = only_files(&space);
    let folder = space.files.path().join("tls");
    for _ in 0..2 {
        let report = space.made(&request).await;
        assert_eq!(report.steps.last().unwrap().did, Did::Waiting);
        assert!(
            report.notes[0].contains("kubectl certificate approve"),
            "{report:#?}"
        );
        assert!(folder.join("tls.key-pending").exists() && !folder.join("tls.crt").exists());
    }
    let key = std::fs::read(folder.join("tls.key-pending")).unwrap();
    let name = decide(&space, "Approved").await;
    request.patience = Some(Duration::from_secs(30));
    let report = space.made(&request).await;
    assert_eq!(report.steps.last().unwrap().did, Did::Created);
    assert_eq!(
        std::fs::read(folder.join("tls.key")).unwrap(),
        key,
        "the same key as before"
    );
    assert!(!folder.join("tls.key-pending").exists());
    let all: Api<CertificateSigningRequest> = Api::all(space.client.clone());
    assert!(all.get_opt(&name).await.unwrap().is_none());
    let place = folder.join("tls.crt").display().to_string();
    assert_eq!(did(&space.made(&request).await, &place), Did::Unchanged);

    // Another group is another certificate; the old one serves until it is there.
    request.certificate.as_mut().unwrap().groups.push("more".into());
    request.patience = Some(Duration::from_millis(200));
    assert_eq!(space.made(&request).await.steps.last().unwrap().did, Did::Waiting);
    assert_eq!(std::fs::read(folder.join("tls.key")).unwrap(), key);
    request.certificate.as_mut().unwrap().approve = true;
    request.patience = Some(Duration::from_secs(30));
    assert_eq!(did(&space.made(&request).await, &place), Did::Changed);
    assert_ne!(std::fs::read(folder.join("tls.key")).unwrap(), key);
    space.remove(&request).await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let space = Space::new().await;
    let mut request = only_files(&space);
    space.made(&request).await;
    decide(&space, "Denied").await;
    request.patience = Some(Duration::from_secs(30));
    let (_, outcome) = space.setup(&request).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("somebody decided"), "{error}");
    // Groups of the cluster's own are refused before anybody is asked.
    request.certificate.as_mut().unwrap().groups = vec!["system:masters".into()];
    let (_, outcome) = space.setup(&request).await;
    assert!(outcome.unwrap_err().is_usage());
    space.remove(&request).await;
}
