//! What is told on standard output, and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use seaway_discovery::{Directory, Error, StdoutDirectory};
use serde_json::Value;
use support::entry;

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[tokio::test]
async fn one_line_for_each_change() {
    let paper = Paper::default();
    let directory = StdoutDirectory::with_writer(paper.clone());
    assert_eq!(directory.lease(), None);
    let mut entry = entry("dask", "one");
    directory.register(&entry).await.unwrap();
    directory.register(&entry).await.unwrap();
    directory.renew(&entry).await.unwrap();
    entry.endpoints[0].port = 1;
    directory.register(&entry).await.unwrap();
    directory.withdraw(&entry).await.unwrap();
    directory.withdraw(&entry).await.unwrap();
    let told: Vec<_> = paper
        .lines()
        .iter()
        .map(|line| {
            format!(
                "{} {}",
                line["event"].as_str().unwrap(),
                line["entry"]["endpoints"][0]["url"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "registered \"tcp://127.0.0.1:8786\"",
            "registered \"tcp://127.0.0.1:1\"",
            "withdrawn \"tcp://127.0.0.1:1\"",
        ]
    );
}

#[tokio::test]
async fn another_owner_is_refused_and_left_alone() {
    let paper = Paper::default();
    let directory = StdoutDirectory::with_writer(paper.clone());
    directory.register(&entry("dask", "one")).await.unwrap();
    let error = directory.register(&entry("dask", "two")).await.unwrap_err();
    assert!(
        matches!(&error, Error::Held { owner, .. } if owner.as_str() == "one"),
        "{error}"
    );
    directory.withdraw(&entry("dask", "two")).await.unwrap();
    assert_eq!(paper.lines().len(), 1);
    directory.withdraw(&entry("dask", "one")).await.unwrap();
    directory.register(&entry("dask", "two")).await.unwrap();
    assert_eq!(paper.lines().len(), 3);
}

#[tokio::test]
async fn a_closed_pipe_is_an_error_and_it_cannot_be_read_back() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let directory = StdoutDirectory::with_writer(Closed);
    let error = directory.register(&entry("dask", "one")).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot write to standard output: broken pipe");
    let error = directory.list().await.unwrap_err();
    assert_eq!(error.to_string(), "a stdout directory cannot list its entries");
}
