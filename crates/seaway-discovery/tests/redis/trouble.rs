//! Servers that do not do well.

use super::*;

#[tokio::test]
async fn after_a_restart_it_goes_on() {
    let mut redis = Redis::start();
    let directory = open(&spec(redis.url()));
    let entry = entry("dask", "one");
    directory.register(&entry).await.unwrap();
    // With its data: the entry is there, and so is its owner's right to it.
    redis.service.kill();
    redis.start_again();
    assert_eq!(owner(&directory).await.as_deref(), Some("one"));
    directory.renew(&entry).await.unwrap();
    // Without.
    for words in [
        &["FLUSHALL"][..],
        &["SCRIPT", "FLUSH"],
        &["DEL", "seaway:{default}:entry:dask"],
    ] {
        let _: redis::Value = redis.command(words);
        directory.renew(&entry).await.unwrap();
        assert_eq!(owner(&directory).await.as_deref(), Some("one"));
        assert_eq!(directory.list().await.unwrap().len(), 1);
    }
    redis.service.kill();
    let error = open(&discovery::RedisDirectory {
        timeout: Some("2s".parse().unwrap()),
        ..spec(redis.url())
    })
    .renew(&entry)
    .await
    .unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn nothing_hangs_with_a_server_that_does() {
    let redis = Redis::start();
    let short = discovery::RedisDirectory {
        timeout: Some("300ms".parse().unwrap()),
        ..spec(redis.url())
    };
    let (used, new) = (open(&short), open(&short));
    let entry = entry("dask", "one");
    used.register(&entry).await.unwrap();
    redis.service.pause();
    for directory in [&used, &new] {
        for _ in 0..2 {
            let begun = Instant::now();
            let error = directory.renew(&entry).await.unwrap_err();
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        }
        let begun = Instant::now();
        directory.list().await.unwrap_err();
        directory.changed().await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    redis.service.resume();
    until("it answers again", async || used.renew(&entry).await.is_ok()).await;
    new.renew(&entry).await.unwrap();
}

#[tokio::test]
async fn why_a_server_takes_nothing_is_said() {
    let redis = Redis::start();
    let short = |url: String| discovery::RedisDirectory {
        timeout: Some("1s".parse().unwrap()),
        ..spec(url)
    };
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_says(
        &fail(&short(redis.url())).await,
        &["memory is full", "OOM", "maxmemory-policy"],
    );
    redis.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);

    let replica = Redis::with(&["--replicaof", "127.0.0.1", &redis.port.to_string()]);
    until("the replica follows", async || {
        replica
            .command::<String>(&["INFO", "replication"])
            .contains("master_link_status:up")
    })
    .await;
    assert_says(
        &fail(&short(replica.url())).await,
        &["replica", "READONLY", "redis-sentinel"],
    );
    // What was announced at the master is read there.
    open(&spec(redis.url()))
        .register(&entry("dask", "one"))
        .await
        .unwrap();
    until("it is there", async || {
        owner(&open(&spec(replica.url()))).await.is_some()
    })
    .await;

    let web = Server::start(|_| Reply::Status(400, "no".into())).await;
    let error = fail(&short(web.url("").replace("http", "redis"))).await;
    assert_says(&error, &["check"]);
    let nobody = short(format!("redis://127.0.0.1:{}", free_port()));
    assert!(matches!(fail(&nobody).await, Error::Connect { .. }));
    assert!(matches!(
        fail(&short("redis://nowhere.invalid".into())).await,
        Error::Connect { .. }
    ));
}
