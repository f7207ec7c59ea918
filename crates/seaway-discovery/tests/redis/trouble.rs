//! Servers that do not do well.

use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

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

#[tokio::test]
async fn a_server_with_as_many_clients_as_it_takes_is_tried_again() {
    let redis = Redis::start();
    let client = redis::Client::open(redis.url()).unwrap();
    redis.command::<()>(&["CONFIG", "SET", "maxclients", "1"]);
    let only = client.get_connection().unwrap();
    let short = discovery::RedisDirectory {
        timeout: Some("1s".parse().unwrap()),
        ..spec(redis.url())
    };
    let begun = Instant::now();
    let log = support::log::capture();
    // It says why, and closes the connection before that is read.
    let error = fail(&short).await;
    assert!(
        matches!(error, Error::Connect { .. } | Error::Refused { .. }),
        "{error}"
    );
    assert!(error.hint().is_some(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(log.text().contains("trying again"), "{}", log.text());
    drop(only);
    open(&spec(redis.url()))
        .register(&entry("dask", "one"))
        .await
        .unwrap();
}

/// A server that answers scripts with what it is told to, one after the other and the last for ever; nothing at all where
/// that is empty.
async fn scripted(answers: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let asked = Arc::new(AtomicUsize::new(0));
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(command) = read_command(&mut stream).await {
                    let answer = if command.eq_ignore_ascii_case("EVALSHA") {
                        let number = asked.fetch_add(1, Ordering::Relaxed);
                        answers[number.min(answers.len() - 1)]
                    } else {
                        "+OK\r\n"
                    };
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// The first word of the next command.
async fn read_command(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let number = async |stream: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        line.trim_end().get(1..)?.parse::<usize>().ok()
    };
    let words = number(stream).await?;
    let mut first = None;
    for _ in 0..words {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        first.get_or_insert_with(|| String::from_utf8_lossy(&word).trim_end().to_owned());
    }
    first
}

#[tokio::test]
async fn each_trouble_is_named_and_over_in_time() {
    for (answers, words, transient) in [
        (
            &["-LOADING Redis is loading the dataset in memory\r\n"][..],
            ["LOADING", "wait until"],
            true,
        ),
        (
            &["-ERR max number of clients reached\r\n"],
            ["max number of clients", "`maxclients`"],
            true,
        ),
        (
            &["-BUSY Redis is busy running a script.\r\n"],
            ["BUSY", "SCRIPT KILL"],
            true,
        ),
        (
            &["-MISCONF Errors writing to the AOF file\r\n"],
            ["MISCONF", "its disk is full"],
            true,
        ),
        (
            &["-WRONGTYPE Operation against a key\r\n"],
            ["WRONGTYPE", "namespace"],
            false,
        ),
        (&["?\r\n"], ["does not speak as Redis", "rediss://"], false),
        (&[""], ["EVALSHA", "`timeout`"], false),
        // Half an answer.
        (&["*1\r\n"], ["EVALSHA", "`timeout`"], false),
    ] {
        let short = discovery::RedisDirectory {
            timeout: Some("1s".parse().unwrap()),
            ..spec(scripted(answers).await)
        };
        let begun = Instant::now();
        let log = support::log::capture();
        assert_says(&fail(&short).await, &words);
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        assert_eq!(log.text().contains("trying again"), transient, "{}", log.text());
    }
    // What passes is waited for.
    let loading = "-LOADING Redis is loading the dataset in memory\r\n";
    let answers: &'static [&'static str] = vec![loading, loading, "*1\r\n:1\r\n"].leak();
    open(&spec(scripted(answers).await))
        .register(&entry("dask", "one"))
        .await
        .unwrap();
}
