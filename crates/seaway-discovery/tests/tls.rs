//! Whom the HTTP directory trusts, and how it shows who it is: against servers with real TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use seaway_discovery::{Directory, Error, HttpDirectory, TlsProblem};
use seaway_model::discovery;
use support::{
    Reply, Server,
    checks::assert_tls,
    entry, fail,
    pki::{Authority, Certificate},
    spec,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn tls_server(
    authority: &Authority,
    certificate: Certificate,
    clients: Option<&Authority>,
) -> (Server, String) {
    let config = authority.server(certificate, clients);
    let server = Server::start_with(Some(config), |_| Reply::Status(200, String::new())).await;
    let url = format!("https://{}/up", server.address);
    (server, url)
}

fn trusting(authority: &Authority, url: &str) -> discovery::HttpDirectory {
    // Retries are on: a problem with trust must not be retried all the same.
    discovery::HttpDirectory {
        ca_file: Some(authority.file_of_authority()),
        retries: None,
        ..spec(url)
    }
}

#[tokio::test]
async fn the_right_authority_is_trusted_and_no_other() {
    let authority = Authority::new("one");
    let (server, url) = tls_server(&authority, Certificate::Good, None).await;
    let directory = HttpDirectory::open(&trusting(&authority, &url)).unwrap();
    directory.register(&entry("dask", "one")).await.unwrap();
    assert_eq!(server.received().len(), 1);

    let begun = Instant::now();
    // One of another name, and one of the same name with another key.
    for stranger in ["two", "one"] {
        let error = fail(&trusting(&Authority::new(stranger), &url)).await;
        assert_tls(&error, TlsProblem::UnknownAuthority);
    }
    assert_tls(
        &fail(&discovery::HttpDirectory {
            retries: None,
            ..spec(&url)
        })
        .await,
        TlsProblem::UnknownAuthority,
    );
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "trust is not tried again"
    );
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn certificates_must_be_valid_and_for_this_host() {
    let authority = Authority::new("one");
    let (server, url) = tls_server(&authority, Certificate::Expired, None).await;
    assert_tls(&fail(&trusting(&authority, &url)).await, TlsProblem::Expired);
    let (other, url) = tls_server(&authority, Certificate::ForAnotherHost, None).await;
    assert_tls(&fail(&trusting(&authority, &url)).await, TlsProblem::WrongHost);
    assert!(server.received().is_empty() && other.received().is_empty());
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    let error = fail(&trusting(&Authority::new("one"), &url)).await;
    server.await.unwrap();
    assert_tls(&error, TlsProblem::Other);
}

#[tokio::test]
async fn client_certificates_are_shown_where_they_are_demanded() {
    let (authority, clients) = (Authority::new("one"), Authority::new("two"));
    let (server, url) = tls_server(&authority, Certificate::Good, Some(&clients)).await;
    assert_tls(
        &fail(&trusting(&authority, &url)).await,
        TlsProblem::ClientCertificate,
    );

    let with_client = |of: &Authority| {
        let (certificate, key) = of.files_of_client();
        discovery::HttpDirectory {
            certificate_file: Some(certificate),
            key_file: Some(key),
            ..trusting(&authority, &url)
        }
    };
    for stranger in ["two", "three"] {
        let error = fail(&with_client(&Authority::new(stranger))).await;
        assert_tls(&error, TlsProblem::ClientCertificate);
    }
    assert!(server.received().is_empty());
    HttpDirectory::open(&with_client(&clients))
        .unwrap()
        .register(&entry("dask", "one"))
        .await
        .unwrap();
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new("one");
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "no certificate here").unwrap();
    let (certificate, key) = authority.files_of_client();
    let base = spec("https://127.0.0.1:1/");
    let cases = [
        discovery::HttpDirectory {
            ca_file: Some(empty.clone()),
            ..base.clone()
        },
        discovery::HttpDirectory {
            ca_file: Some("/nonexistent/ca.pem".into()),
            ..base.clone()
        },
        discovery::HttpDirectory {
            certificate_file: Some(certificate.clone()),
            ..base.clone()
        },
        discovery::HttpDirectory {
            certificate_file: Some(certificate),
            key_file: Some("/nonexistent/key.pem".into()),
            ..base.clone()
        },
        discovery::HttpDirectory {
            certificate_file: Some(empty),
            key_file: Some(key),
            ..base
        },
    ];
    let expected = [
        "empty.pem: there is no certificate",
        "/nonexistent/ca.pem: No such",
        "client.pem: ",
        "/nonexistent/key.pem: No such",
        "empty.pem: ",
    ];
    for (spec, expected) in cases.iter().zip(expected) {
        let error = fail(spec).await;
        assert!(matches!(error, Error::Credential { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}
