//! Agents that forget, and servers that do not do well.

use super::*;

#[tokio::test]
async fn what_the_agent_or_the_datacenter_forgot_is_put_back() {
    let mut consul = Consul::start();
    let directory = open(&spec(consul.url()));
    let entry = two("one");
    directory.register(&entry).await.unwrap();
    let both = ["seaway:dask:client", "seaway:dask:dashboard"];

    consul.request("PUT", "/v1/agent/service/deregister/seaway:dask:client", "");
    directory.renew(&entry).await.unwrap();
    assert_eq!(services(&consul), both);
    consul.request("DELETE", "/v1/kv/seaway/entries/dask", "");
    directory.renew(&entry).await.unwrap();
    assert_eq!(owner(&directory).await.as_deref(), Some("one"));

    // Restarted with everything, with what the datacenter knew, and with nothing.
    for forgotten in [
        &[][..],
        &["services", "checks"],
        &["services", "checks", "raft", "serf"],
    ] {
        consul.forget(forgotten);
        consul.start_again();
        if forgotten.len() < 3 {
            assert_eq!(owner(&directory).await.as_deref(), Some("one"));
        }
        directory.renew(&entry).await.unwrap();
        assert_eq!(services(&consul), both);
        assert_eq!(owner(&directory).await.as_deref(), Some("one"));
    }
    // Without the key, the services are still this owner's to remove.
    consul.request("DELETE", "/v1/kv/seaway/entries/dask", "");
    directory.withdraw(&two("another")).await.unwrap();
    assert_eq!(services(&consul), both);
    directory.withdraw(&entry).await.unwrap();
    assert!(services(&consul).is_empty());
}

#[tokio::test]
async fn what_is_no_entry_is_nobodys_and_one_of_a_later_form_stays() {
    let consul = Consul::start();
    let directory = open(&spec(consul.url()));
    let key = "/v1/kv/seaway/entries/dask";
    consul.request("PUT", key, "{broken");
    assert!(matches!(
        directory.get(&name("dask")).await,
        Err(Error::Entry { .. })
    ));
    assert!(directory.list().await.unwrap().is_empty());
    directory.withdraw(&entry_of("one")).await.unwrap();
    directory.remove_expired().await.unwrap();
    assert_eq!(consul.request("GET", &format!("{key}?raw"), "").1, "{broken");
    directory.register(&entry_of("one")).await.unwrap();
    assert_eq!(owner(&directory).await.as_deref(), Some("one"));
    consul.request("PUT", key, r#"{"version":2}"#);
    assert_says(
        &directory.renew(&entry_of("one")).await.unwrap_err(),
        &["form 2", "seaway/entries/dask"],
    );
}

#[tokio::test]
async fn nothing_hangs_with_a_server_that_does() {
    let mut consul = Consul::start();
    let short = discovery::ConsulDirectory {
        timeout: Some("300ms".parse().unwrap()),
        ..spec(consul.url())
    };
    let directory = open(&short);
    let entry = entry_of("one");
    until("it is registered", async || {
        directory.register(&entry).await.is_ok()
    })
    .await;
    consul.service.pause();
    let begun = Instant::now();
    for directory in [&directory, &open(&short)] {
        let error = directory.renew(&entry).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        directory.withdraw(&entry).await.unwrap_err();
        directory.list().await.unwrap_err();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    consul.service.resume();
    until("it answers again", async || directory.renew(&entry).await.is_ok()).await;
    consul.service.kill();
    let error = directory.renew(&entry).await.unwrap_err();
    assert!(
        matches!(error, Error::Connect { .. } | Error::Timeout { .. }),
        "{error}"
    );
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn an_agent_without_a_leader_is_tried_again() {
    let log = support::log::capture();
    // One of three that are expected: it never gets a leader.
    let lonely = Consul::with(
        &json!({ "bootstrap": false, "bootstrap_expect": 3, "performance": { "rpc_hold_timeout": "10ms" } }),
    );
    let short = discovery::ConsulDirectory {
        timeout: Some("2s".parse().unwrap()),
        ..spec(lonely.url())
    };
    let error = fail(&short).await;
    assert!(matches!(error, Error::Http { status: 500, .. }), "{error}");
    assert!(error.hint().is_some());
    assert!(
        log.text().contains("No cluster leader; trying again"),
        "{}",
        log.text()
    );

    let no_leader = || Reply::Status(500, "No cluster leader".into());
    let server = checks::answering(vec![no_leader(), no_leader()], answer_as_empty).await;
    open(&spec(server.url("")))
        .register(&entry_of("one"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is() {
    let slow_down = Reply::With(429, vec![("retry-after", "1".into())], "slow down".into());
    let server = checks::answering(vec![slow_down], answer_as_empty).await;
    open(&spec(server.url("")))
        .register(&entry_of("one"))
        .await
        .unwrap();
    let received = server.received();
    assert!(received[1].at - received[0].at >= Duration::from_secs(1));

    let server =
        Server::start(|_| Reply::With(429, vec![("retry-after", "3600".into())], String::new())).await;
    let error = fail(&spec(server.url(""))).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(server.received().len(), 1);
}

/// As a Consul that has nothing answers.
fn answer_as_empty(method: &str, path: &str) -> Reply {
    match (method, path) {
        ("GET", _) => Reply::Status(404, String::new()),
        (_, "/v1/txn") => Reply::Status(
            200,
            r#"{"Results":[{"KV":{"ModifyIndex":5}}],"Errors":null}"#.into(),
        ),
        _ => Reply::Status(200, String::new()),
    }
}

#[tokio::test]
async fn what_is_not_consul_is_told() {
    let server = Server::start(|_| Reply::Status(200, "<html>welcome</html>".into())).await;
    let error = fail(&spec(server.url(""))).await;
    assert_says(&error, &["not Consul"]);
    let nobody = discovery::ConsulDirectory {
        timeout: Some("1s".parse().unwrap()),
        ..spec(format!("127.0.0.1:{}", free_port()))
    };
    let error = fail(&nobody).await;
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert_says(&error, &["refused", "check the host name and the port"]);
}

#[tokio::test]
async fn each_trouble_is_named_and_over_in_time() {
    for (reply, kind, words) in [
        (
            (429, "slow down"),
            "throttled",
            ["429 Too Many Requests", "slow down", "longer `lease`"],
        ),
        (
            (500, "disk is full"),
            "server_error",
            ["500 Internal Server Error", "disk is full", "its log says more"],
        ),
        (
            (503, "later"),
            "server_error",
            ["503 Service Unavailable", "later", "its log says more"],
        ),
        (
            (401, "who?"),
            "unauthorized",
            ["401 Unauthorized", "who?", "tokenFile"],
        ),
        ((400, "what?"), "invalid", ["400 Bad Request", "what?", "form"]),
    ] {
        let server = Server::start(move |_| Reply::Status(reply.0, reply.1.into())).await;
        let error = fail_in_time(&server).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert_says(&error, &words);
        let again = matches!(reply.0, 429 | 500 | 503);
        assert_eq!(server.received().len() > 1, again, "{error}");
    }
    // One that hangs, from the first question on or only later.
    let server = Server::start(|_| Reply::Hang).await;
    let error = fail_in_time(&server).await;
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert_says(
        &error,
        &["GET", "/v1/kv/seaway/entries/dask", "1000 ms", "timeout"],
    );
    let server = Server::start(|request| match request.method.as_str() {
        "GET" => answer_as_empty("GET", &request.path),
        _ => Reply::Hang,
    })
    .await;
    assert_says(&fail_in_time(&server).await, &["PUT", "/v1/txn", "1000 ms"]);
    // One that hangs up.
    let server = Server::start(|_| Reply::Break).await;
    let error = fail_in_time(&server).await;
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(server.received().len() > 1, "{error}");
}

/// Why this server takes nothing, said within the timeout of a second.
async fn fail_in_time(server: &Server) -> Error {
    let short = discovery::ConsulDirectory {
        timeout: Some("1s".parse().unwrap()),
        ..spec(server.url(""))
    };
    let begun = Instant::now();
    let error = fail(&short).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    error
}

#[tokio::test]
async fn many_at_once_do_not_use_up_the_connections_of_the_agent() {
    // Consul refuses the one after the last.
    let consul = Consul::with(&json!({ "limits": { "http_max_conns_per_client": 10 } }));
    let directory = open(&spec(consul.url()));
    let all = (0..100).map(|number| {
        let entry = entry(&format!("dask-{number}"), "one");
        let directory = &directory;
        async move {
            directory.register(&entry).await.unwrap();
            directory.renew(&entry).await.unwrap();
        }
    });
    // One that waits for news holds up no other.
    let waiting = async {
        directory.changed().await.unwrap();
        directory.changed().await.unwrap();
    };
    tokio::join!(futures_util::future::join_all(all), waiting);
    assert_eq!(directory.list().await.unwrap().len(), 100);
}
