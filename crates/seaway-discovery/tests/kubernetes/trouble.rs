//! A server that refuses, is in trouble, hangs, or has another clock.

use super::*;

#[tokio::test]
async fn a_namespace_that_is_not_there() {
    let space = Space::new().await;
    let spec = discovery::KubernetesDirectory {
        namespace: Some(name("nowhere-at-all")),
        ..space.spec_of_admin()
    };
    let error = open(&spec).register(&entry("one")).await.unwrap_err().to_string();
    assert!(
        error.contains("there is no namespace `nowhere-at-all` on https://"),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_server_does_not_take_is_told() {
    let space = Space::new().await;
    let mut odd = entry("one");
    odd.endpoints[0].name = name("a-name-that-is-fine-for-us-and-long");
    odd.endpoints[1].port = 5555;
    let directory = open(&space.spec().await);
    let error = directory.register(&odd).await.unwrap_err().to_string();
    assert!(error.contains("would both be port 5555"), "{error}");
    // All annotations of an object have at most 256 KiB, which the server knows and we do not check.
    let mut large = entry("one");
    large.labels.insert("text".into(), "x".repeat(256 << 10));
    let error = directory.register(&large).await.unwrap_err();
    assert!(matches!(error, Error::Http { status: 422, .. }), "{error}");
    assert!(
        error.to_string().contains("metadata.annotations: Too long"),
        "{error}"
    );
}

/// A server that answers as an API server in trouble does.
async fn troubled(status: u16, headers: Vec<(&'static str, String)>) -> (Server, KubernetesDirectory) {
    let server = Server::start(move |_| {
        let body = json!({ "kind": "Status", "message": "the reason in words", "code": status });
        Reply::With(status, headers.clone(), body.to_string())
    })
    .await;
    let spec = discovery::KubernetesDirectory {
        server: Some(server.url("")),
        timeout: Some(Period::from_secs(1)),
        ..discovery::KubernetesDirectory::default()
    };
    let directory = open_with(&spec, &[]);
    (server, directory)
}

#[tokio::test]
async fn trouble_is_told_with_status_and_reason() {
    for (status, kind) in [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (422, "invalid"),
        (500, "server_error"),
    ] {
        let (_server, directory) = troubled(status, Vec::new()).await;
        let error = directory.list().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("the reason in words"), "{error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_wants() {
    let (server, directory) = troubled(429, vec![("retry-after", "3600".to_owned())]).await;
    let error = directory.list().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(server.received().len(), 1, "not asked again before that");
    let (server, directory) = troubled(429, vec![("retry-after", "0".to_owned())]).await;
    directory.list().await.unwrap_err();
    assert!(server.received().len() > 1, "asked again at once");
}

#[tokio::test]
async fn a_server_that_hangs_holds_nothing_up() {
    let server = Server::start(|_| Reply::Hang).await;
    let spec = discovery::KubernetesDirectory {
        server: Some(server.url("")),
        timeout: Some("200ms".parse().unwrap()),
        ..discovery::KubernetesDirectory::default()
    };
    let error = open(&spec).list().await.unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    assert!(
        error.to_string().contains("was not answered within 200 ms"),
        "{error}"
    );
}

#[tokio::test]
async fn the_end_of_an_entry_is_told_by_the_servers_clock() {
    // The server is an hour before us, and the lease that it has is live there.
    let there = Timestamp::now() + Duration::from_secs(3600);
    let renewed = format!("{there:.6}");
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&there)
        .unwrap();
    let annotation = String::from_utf8(entry("one").to_json().unwrap()).unwrap();
    let lease: Lease = from(json!({
        "metadata": { "name": "seaway-eng", "annotations": { "seaway.dev/entry": annotation } },
        "spec": { "holderIdentity": "one", "leaseDurationSeconds": 30, "renewTime": renewed },
    }));
    let body = serde_json::to_string(&lease).unwrap();
    let server = Server::start(move |_| Reply::With(200, vec![("date", date.clone())], body.clone())).await;
    let spec = discovery::KubernetesDirectory {
        server: Some(server.url("")),
        ..discovery::KubernetesDirectory::default()
    };
    let found = open(&spec).get(&name("eng")).await.unwrap().unwrap();
    let left = found
        .expires_at
        .unwrap()
        .duration_since(Timestamp::now())
        .as_secs();
    assert!((20..=31).contains(&left), "{left}");
}
