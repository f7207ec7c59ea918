//! The Redis directory against real servers: alone, under Sentinel, as a cluster, and when they do not do well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod access;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use seaway_discovery::{Defaults, Directory, Error, RedisDirectory, TlsProblem, redis::COMMANDS, variables};
use seaway_model::{Period, discovery};
use support::{
    Reply, Server,
    checks::{self, assert_only_the_right_server_is_trusted, assert_tls, owner, refusal, use_fully},
    entry, name,
    pki::{Authority, Certificate},
    services::{Redis, free_port},
    until,
};

const PASSWORD: &str = "correct-horse:/@battery";

fn spec(url: impl Into<String>) -> discovery::RedisDirectory {
    discovery::RedisDirectory {
        url: Some(url.into()),
        lease: Some(Period::from_secs(60)),
        ..discovery::RedisDirectory::default()
    }
}

fn open(spec: &discovery::RedisDirectory) -> RedisDirectory {
    RedisDirectory::open(spec, &Defaults::default()).unwrap()
}

async fn fail(spec: &discovery::RedisDirectory) -> Error {
    refusal(&open(spec)).await
}

fn password_file(password: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("{password}\n")).unwrap();
    file
}

fn assert_says(error: &Error, words: &[&str]) {
    checks::assert_says(error, words, "battery");
    assert!(error.hint().is_some(), "{error}");
}

#[tokio::test]
async fn keys_end_by_themselves_and_the_index_is_cleaned() {
    let redis = Redis::start();
    let directory = open(&discovery::RedisDirectory {
        lease: Some(Period::from_secs(1)),
        namespace: Some(name("lab")),
        ..spec(redis.url())
    });
    directory.register(&entry("dask", "one")).await.unwrap();
    let left: i64 = redis.command(&["PTTL", "seaway:{lab}:entry:dask"]);
    assert!((1..=1000).contains(&left), "{left}");
    let score: f64 = redis.command(&["ZSCORE", "seaway:{lab}:index", "dask"]);
    #[expect(clippy::cast_precision_loss)]
    let off = score - Timestamp::now().as_millisecond() as f64;
    assert!(off.abs() < 5000.0, "{off}");
    until("the key has ended", async || {
        redis.command::<i64>(&["EXISTS", "seaway:{lab}:entry:dask"]) == 0
    })
    .await;
    assert!(directory.list().await.unwrap().is_empty());
    let log = support::log::capture();
    until("the index is empty", async || {
        directory.remove_expired().await.unwrap();
        redis.command::<i64>(&["ZCARD", "seaway:{lab}:index"]) == 0
    })
    .await;
    // Only its name is left to be told.
    let text = log.text();
    assert!(
        text.contains("name=dask") && text.contains("ended by itself"),
        "{text}"
    );
}

#[tokio::test]
async fn only_news_are_published() {
    let redis = Redis::start();
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut messages = connection.as_pubsub();
    messages.subscribe("seaway:{default}:events").unwrap();
    let directory = open(&spec(redis.url()));
    let mut entry = entry("dask", "one");
    directory.register(&entry).await.unwrap();
    directory.register(&entry).await.unwrap();
    directory.renew(&entry).await.unwrap();
    entry.endpoints[0].port = 1;
    directory.renew(&entry).await.unwrap();
    directory.renew(&entry).await.unwrap();
    directory.withdraw(&entry).await.unwrap();
    directory.withdraw(&entry).await.unwrap();
    redis.command::<i64>(&["PUBLISH", "seaway:{default}:events", "the end"]);
    let mut heard = Vec::new();
    loop {
        let message: String = messages.get_message().unwrap().get_payload().unwrap();
        if message == "the end" {
            break;
        }
        let message: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!(
            (&message["name"], &message["owner"]),
            (&"dask".into(), &"one".into())
        );
        heard.push(message["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(heard, ["up", "up", "down"]);
}

#[tokio::test]
async fn the_clocks_of_writer_and_reader_do_not_matter() {
    let redis = Redis::start();
    let directory = open(&spec(redis.url()));
    // As somebody wrote it whose clock is an hour behind; and one an hour before.
    for hours in [-1, 1] {
        let mut skewed = entry("dask", "other").with_lease(Some(Duration::from_secs(60)));
        let off = jiff::SignedDuration::from_hours(hours);
        skewed.renewed_at += off;
        skewed.expires_at = skewed.expires_at.map(|at| at + off);
        let json = String::from_utf8(skewed.to_json().unwrap()).unwrap();
        redis.command::<()>(&["SET", "seaway:{default}:entry:dask", &json, "PX", "30000"]);
        let found = directory.get(&name("dask")).await.unwrap().unwrap();
        let left = found
            .expires_at
            .unwrap()
            .duration_since(Timestamp::now())
            .as_secs();
        assert!((20..=30).contains(&left), "{left}");
        match directory.register(&entry("dask", "one")).await {
            Err(Error::Held { owner, until, .. }) => {
                assert_eq!(owner.as_str(), "other");
                assert!(until.unwrap() > Timestamp::now());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_entry_is_nobodys_and_one_of_a_later_form_stays() {
    let redis = Redis::start();
    let directory = open(&spec(redis.url()));
    let key = "seaway:{default}:entry:dask";
    redis.command::<()>(&["SET", key, "{broken"]);
    redis.command::<()>(&["ZADD", "seaway:{default}:index", "9999999999999", "dask"]);
    assert!(matches!(
        directory.get(&name("dask")).await,
        Err(Error::Entry { .. })
    ));
    assert!(directory.list().await.unwrap().is_empty());
    directory.withdraw(&entry("dask", "one")).await.unwrap();
    assert_eq!(redis.command::<String>(&["GET", key]), "{broken");
    directory.register(&entry("dask", "one")).await.unwrap();
    assert_eq!(owner(&directory).await.as_deref(), Some("one"));

    let later = r#"{"version":2,"owner":"one"}"#;
    redis.command::<()>(&["SET", key, later]);
    assert_says(
        &directory.register(&entry("dask", "one")).await.unwrap_err(),
        &["form 2", key],
    );
    assert_eq!(redis.command::<String>(&["GET", key]), later);
    redis.command::<()>(&["DEL", key]);
    redis.command::<()>(&["LPUSH", key, "a"]);
    let error = directory.register(&entry("dask", "one")).await.unwrap_err();
    assert_says(&error, &["not Seaway's", "namespace"]);
}
