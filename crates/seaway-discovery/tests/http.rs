//! What is particular about the HTTP directory: what it sends, when it tries again, whom it trusts, and what it
//! tells of what went wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use seaway_discovery::{Directory, Error, HttpDirectory};
use seaway_model::{
    Period,
    discovery::{self, HttpFormat, HttpMethod},
};
use serde_json::Value;
use support::{Reply, Server, entry, fail, name, spec};

const TOKEN: &str = "correct-horse-battery-staple";

fn token_file(folder: &tempfile::TempDir, token: &str) -> PathBuf {
    let path = folder.path().join("token");
    fs::write(&path, format!("{token}\n")).unwrap();
    path
}

#[tokio::test]
async fn sends_what_the_document_says() {
    let server = Server::start(|_| Reply::Status(200, String::new())).await;
    let folder = tempfile::tempdir().unwrap();
    let methods = [
        (HttpMethod::Post, "POST"),
        (HttpMethod::Put, "PUT"),
        (HttpMethod::Patch, "PATCH"),
        (HttpMethod::Delete, "DELETE"),
    ];
    for (method, text) in methods {
        let directory = HttpDirectory::open(&discovery::HttpDirectory {
            method,
            withdraw_method: HttpMethod::Post,
            withdraw_url: Some(server.url("/gone?who={name}")),
            token_file: Some(token_file(&folder, TOKEN)),
            lease: Some(Period::from_secs(20)),
            ..spec(server.url("/up/{name}/now"))
        })
        .unwrap();
        directory.register(&entry("dask", "one")).await.unwrap();
        directory.withdraw(&entry("dask", "one")).await.unwrap();
        let mut received = server.received();
        let (withdrawn, announced) = (received.pop().unwrap(), received.pop().unwrap());
        assert_eq!(
            (announced.method.as_str(), announced.path.as_str()),
            (text, "/up/dask/now")
        );
        assert_eq!(announced.headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(announced.headers["seaway-owner"], "one");
        assert!(announced.headers["user-agent"].starts_with("seaway/"));
        if method == HttpMethod::Delete {
            assert_eq!(announced.body, "");
        } else {
            assert_eq!(announced.headers["content-type"], "application/json");
            let body: Value = serde_json::from_str(&announced.body).unwrap();
            assert_eq!(body["endpoints"][0]["url"], "tcp://127.0.0.1:8786");
            assert_eq!(body["leaseSeconds"], 20);
        }
        assert_eq!(
            (withdrawn.method.as_str(), withdrawn.path.as_str()),
            ("POST", "/gone?who=dask")
        );
        assert!(withdrawn.body.contains("\"owner\":\"one\""));
    }
}

#[tokio::test]
async fn text_is_one_line_for_each_endpoint() {
    let server = Server::start(|_| Reply::Status(204, String::new())).await;
    let directory = HttpDirectory::open(&discovery::HttpDirectory {
        format: HttpFormat::Text,
        ..spec(server.url("/{name}"))
    })
    .unwrap();
    let mut two = entry("dask", "one");
    two.endpoints.push(two.endpoints[0].clone());
    two.endpoints[1].name = name("dashboard");
    two.endpoints[1].scheme = "http".into();
    directory.register(&two).await.unwrap();
    let received = server.received();
    assert_eq!(
        received[0].body,
        "client=tcp://127.0.0.1:8786\ndashboard=http://127.0.0.1:8786\n"
    );
    assert_eq!(received[0].headers["content-type"], "text/plain; charset=utf-8");
    assert!(matches!(
        directory.get(&name("dask")).await,
        Err(Error::Unsupported { .. })
    ));
}

#[tokio::test]
async fn the_token_is_read_again_for_every_request() {
    let server = Server::start(|_| Reply::Status(200, String::new())).await;
    let folder = tempfile::tempdir().unwrap();
    let path = token_file(&folder, "first");
    let directory = HttpDirectory::open(&discovery::HttpDirectory {
        token_file: Some(path.clone()),
        ..spec(server.url("/"))
    })
    .unwrap();
    directory.register(&entry("dask", "one")).await.unwrap();
    token_file(&folder, "second");
    directory.renew(&entry("dask", "one")).await.unwrap();
    let sent: Vec<_> = server
        .received()
        .iter()
        .map(|request| request.headers["authorization"].clone())
        .collect();
    assert_eq!(sent, ["Bearer first", "Bearer second"]);
    fs::write(&path, " \n").unwrap();
    let error = directory.renew(&entry("dask", "one")).await.unwrap_err();
    assert!(error.to_string().ends_with("token: the file is empty"), "{error}");
    fs::remove_file(&path).unwrap();
    let error = directory.renew(&entry("dask", "one")).await.unwrap_err();
    assert!(error.to_string().contains("cannot use the token in"), "{error}");
    assert_eq!(server.received().len(), 2, "without its token nothing is sent");
}

#[tokio::test]
async fn refusals_carry_status_and_body_and_are_not_repeated() {
    let cases = [
        (400, "Bad Request", "form"),
        (401, "Unauthorized", "does not know us"),
        (403, "Forbidden", "permission"),
        (404, "Not Found", "check `url`"),
        (405, "Method Not Allowed", "method"),
        (409, "Conflict", "another name"),
        (422, "Unprocessable Entity", "form"),
        (501, "Not Implemented", "log"),
    ];
    for (code, words, hint) in cases {
        let server =
            Server::start(move |_| Reply::Status(code, format!("because\n\u{1b}[31m of {code}"))).await;
        let error = fail(&discovery::HttpDirectory {
            retries: None,
            ..spec(server.url("/up?key=opensesame"))
        })
        .await;
        let expected = format!(
            "POST http://{}/up?… was answered with {code} {words}: because\\n\\u{{1b}}[31m of {code}",
            server.address
        );
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains(hint), "{code}: {:?}", error.hint());
        assert_eq!(server.received().len(), 1, "{code} is not tried again");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::start(|_| Reply::Status(200, String::new())).await;
    let target = other.url("/");
    for code in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server =
            Server::start(move |_| Reply::With(code, vec![("location", target.clone())], String::new()))
                .await;
        let folder = tempfile::tempdir().unwrap();
        let error = fail(&discovery::HttpDirectory {
            token_file: Some(token_file(&folder, TOKEN)),
            ..spec(server.url("/"))
        })
        .await;
        assert!(
            matches!(error, Error::Http { status, .. } if status == code),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("redirects are not followed"));
    }
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn waits_as_long_as_it_is_told_to() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::With(429, vec![("retry-after", "1".into())], "slowly".into()),
        _ => Reply::Status(200, String::new()),
    })
    .await;
    let directory = HttpDirectory::open(&discovery::HttpDirectory {
        retries: None,
        ..spec(server.url("/"))
    })
    .unwrap();
    directory.register(&entry("dask", "one")).await.unwrap();
    let received = server.received();
    assert_eq!(received.len(), 2);
    assert!(received[1].at - received[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn does_not_wait_longer_than_it_has_time() {
    let server =
        Server::start(|_| Reply::With(429, vec![("retry-after", "600".into())], "slowly".into())).await;
    let begun = Instant::now();
    let error = fail(&discovery::HttpDirectory {
        retries: None,
        ..spec(server.url("/"))
    })
    .await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_then_told() {
    for code in [500, 502, 503, 504] {
        let server = Server::start(move |_| Reply::Status(code, "broken".into())).await;
        let error = fail(&discovery::HttpDirectory {
            retries: Some(2),
            ..spec(server.url("/"))
        })
        .await;
        assert!(
            matches!(&error, Error::Http { status, body, .. } if *status == code && body == "broken"),
            "{error}"
        );
        let received = server.received();
        assert_eq!(received.len(), 3);
        let pauses: Vec<_> = received.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        assert!(
            pauses[0] >= Duration::from_millis(200) && pauses[1] >= Duration::from_millis(400),
            "{pauses:?}"
        );
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::Break,
        1 => Reply::Status(503, String::new()),
        _ => Reply::Status(200, String::new()),
    })
    .await;
    let directory = HttpDirectory::open(&discovery::HttpDirectory {
        retries: Some(2),
        ..spec(server.url("/"))
    })
    .unwrap();
    directory.register(&entry("dask", "one")).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_told_with_the_cause() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fail(&discovery::HttpDirectory {
        retries: Some(1),
        ..spec(format!("http://{address}/up"))
    })
    .await;
    assert!(matches!(error, Error::Connect { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot reach http://{address}/up: ")),
        "{text}"
    );
    assert!(text.to_lowercase().contains("connection refused"), "{text}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_server_that_hangs_ends_by_timeout() {
    let server = Server::start(|_| Reply::Hang).await;
    let begun = Instant::now();
    let error = fail(&discovery::HttpDirectory {
        timeout: Some(Period::from_millis(200)),
        retries: Some(2),
        ..spec(server.url("/up"))
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(
        error.to_string(),
        format!("POST http://{}/up was not answered within 200 ms", server.address)
    );
    assert_eq!(server.received().len(), 3);
    assert!(error.hint().unwrap().contains("`timeout`"));
}

#[tokio::test]
async fn withdrawing_what_is_not_there_is_success() {
    for (code, good) in [(404, true), (410, true), (204, true), (403, false), (409, false)] {
        let server = Server::start(move |_| Reply::Status(code, String::new())).await;
        let directory = HttpDirectory::open(&spec(server.url("/"))).unwrap();
        assert_eq!(
            directory.withdraw(&entry("dask", "one")).await.is_ok(),
            good,
            "{code}"
        );
    }
}

#[tokio::test]
async fn nonsense_read_back_is_an_error() {
    let server = Server::start(|_| Reply::Status(200, "<html>".into())).await;
    let directory = HttpDirectory::open(&spec(server.url("/{name}"))).unwrap();
    let error = directory.get(&name("dask")).await.unwrap_err();
    assert!(error.to_string().contains("/dask: it is not an entry"), "{error}");
    let directory = HttpDirectory::open(&spec(server.url("/"))).unwrap();
    assert!(matches!(
        directory.get(&name("dask")).await,
        Err(Error::Unsupported { .. })
    ));
}

#[test]
fn documents_are_checked_before_anything_is_sent() {
    let with_token = |url: &str| discovery::HttpDirectory {
        token_file: Some("/t".into()),
        ..spec(url)
    };
    let refused = |spec: &discovery::HttpDirectory| HttpDirectory::open(spec).unwrap_err().to_string();
    for url in [
        "http://host.example/",
        "http://10.0.0.1/{name}",
        "http://127.0.0.1.example/",
        "http://[fe80::1]/",
    ] {
        assert!(refused(&with_token(url)).contains("in the clear"), "{url}");
    }
    assert!(refused(&spec("http://me:swordfish@host/")).contains("in the clear to http://host/"));
    for url in [
        "http://127.0.0.1/",
        "http://127.9.9.9:1/",
        "http://[::1]:1/",
        "http://localhost/",
        "https://h/",
    ] {
        assert!(HttpDirectory::open(&with_token(url)).is_ok(), "{url}");
    }
    let elsewhere = discovery::HttpDirectory {
        withdraw_url: Some("http://host.example/".into()),
        ..with_token("https://host.example/")
    };
    assert!(refused(&elsewhere).starts_with("`withdrawUrl` of the http directory"));
    assert!(refused(&spec("host.example/swordfish")).contains("it is not a URL"));
    assert!(!refused(&spec("host.example/swordfish")).contains("swordfish"));
    assert!(refused(&spec("ftp://host/")).contains("`ftp` URLs"));
    assert!(refused(&spec("https://host/{nmae}")).contains("only placeholder is `{name}`"));
    let key = discovery::HttpDirectory {
        key_file: Some("/k".into()),
        ..spec("https://host/")
    };
    assert!(refused(&key).contains("`certificateFile` beside it"));
    let short = discovery::HttpDirectory {
        lease: Some(Period::from_millis(10)),
        ..spec("https://host/")
    };
    assert!(refused(&short).contains("too short"));
    let clear = HttpDirectory::open(&spec("http://host.example:81/a/{name}?key=1#x")).unwrap();
    assert_eq!(
        clear.describe(),
        "HTTP server http://host.example:81/a/{name}?… (not encrypted)"
    );
    let safe = HttpDirectory::open(&spec("https://me:swordfish@{name}.example/name")).unwrap();
    assert_eq!(safe.describe(), "HTTP server https://{name}.example/name");
    assert_eq!(
        format!("{safe:?}"),
        "HttpDirectory { url: \"https://{name}.example/name\", .. }"
    );
}

#[tokio::test]
async fn secrets_are_told_nowhere() {
    let log = support::log::capture();
    // A server that says everything it has heard, in the body and across the place where it is cut.
    let server = Server::start(|request| {
        let heard = format!("{} {:?}", request.path, request.headers);
        Reply::Status(
            503,
            format!(
                "{heard} {} {TOKEN}",
                "x".repeat(480_usize.saturating_sub(heard.len()))
            ),
        )
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let with_secrets = |host: String| discovery::HttpDirectory {
        token_file: Some(token_file(&folder, TOKEN)),
        retries: Some(1),
        timeout: Some(Period::from_millis(500)),
        ..spec(format!("http://me:swordfish@{host}/up/{{name}}?key=opensesame"))
    };
    let mut told = Vec::new();
    let closed = "127.0.0.1:1".to_owned();
    for spec in [with_secrets(server.address.to_string()), with_secrets(closed)] {
        let directory = HttpDirectory::open(&spec).unwrap();
        told.push(format!("{directory:?} {}", directory.describe()));
        let mut announcer = seaway_discovery::Announcer::new(vec![Box::new(directory)]);
        announcer.announce(entry("dask", "one"));
        let settled = announcer.settled().await;
        told.push(format!(
            "{settled:?} {}",
            serde_json::to_string(&settled).unwrap()
        ));
        told.push(format!(
            "{announcer:?} {:?}",
            announcer.withdraw(Duration::from_secs(5)).await
        ));
        let error = fail(&spec).await;
        told.push(format!("{error} {error:?} {error:#?} {:?}", error.hint()));
    }
    assert!(
        server.received()[0].headers["authorization"].contains(TOKEN),
        "the token was really sent"
    );
    let log = log.text();
    assert!(
        log.contains("trying again in") && log.contains("not announced"),
        "the log was really kept: {log}"
    );
    told.push(log);
    for text in told {
        for secret in [TOKEN, "correct-horse", "swordfish", "opensesame"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        // Nor as basic authentication: me:swordfish.
        assert!(!text.contains("bWU6c3dvcmRmaXNo"), "{text}");
    }
}
