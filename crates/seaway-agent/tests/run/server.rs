//! Metrics and health, as those see them who ask over HTTP.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use nix::sys::signal::Signal;
use seaway_model::discovery::DirectorySpec;

use crate::support::{Agent, Job, Place, free_port, until};

/// The whole answer to one request.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that has said all may close before everything was read.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: &str, path: &str) -> String {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    )
}

/// The address that the agent tells.
fn address(agent: &Agent) -> String {
    agent.says("metrics and health on http://");
    let said = agent.messages();
    let line = said
        .lines()
        .find(|line| line.contains("metrics and health"))
        .unwrap();
    line.rsplit_once("http://").unwrap().1.to_owned()
}

/// The value of a metric without the words that say what it is.
fn value(page: &str, metric: &str) -> Option<f64> {
    page.lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '))
        .map(|number| number.parse().unwrap())
}

#[test]
fn pages_say_how_it_is() {
    let place = Place::new();
    let port = free_port();
    let mut job = Job::new(place.path(), &[]);
    job.watch = Some(0);
    job.listen = Some("127.0.0.1:0".into());
    job.endpoints = vec![format!("client={port}")];
    let mut agent = job.start();
    let address = address(&agent);
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    let unready = until(
        || "the reason is there",
        || Some(get(&address, "/readyz")).filter(|page| page.contains("does not accept connections")),
    );
    assert!(unready.starts_with("HTTP/1.1 503 "), "{unready}");
    let page = get(&address, "/metrics");
    assert_eq!(value(&page, "seaway_agent_ready"), Some(0.0), "{page}");
    assert_eq!(
        value(&page, "seaway_directory_registered{directory=\"file\"}"),
        Some(0.0)
    );
    assert_eq!(
        value(&page, "seaway_directory_lease_age_seconds{directory=\"file\"}"),
        None
    );
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    place.announced();
    until(
        || "it is ready",
        || {
            get(&address, "/readyz")
                .starts_with("HTTP/1.1 200 OK\r\n")
                .then_some(())
        },
    );
    let page = get(&address, "/metrics");
    assert!(
        page.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{page}"
    );
    assert!(page.ends_with("# EOF\n"), "{page}");
    for (metric, expected) in [
        ("seaway_agent_ready", 1.0),
        ("seaway_endpoint_up{endpoint=\"client\"}", 1.0),
        ("seaway_directory_registered{directory=\"file\"}", 1.0),
        ("seaway_directory_held{directory=\"file\"}", 0.0),
        ("seaway_directory_registrations_total{directory=\"file\"}", 1.0),
        ("seaway_directory_renewals_total{directory=\"file\"}", 0.0),
        ("seaway_directory_withdrawals_total{directory=\"file\"}", 0.0),
        ("seaway_directory_lease_seconds{directory=\"file\"}", 600.0),
    ] {
        assert_eq!(value(&page, metric), Some(expected), "{metric} in {page}");
    }
    let age = value(&page, "seaway_directory_lease_age_seconds{directory=\"file\"}").unwrap();
    assert!((0.0..60.0).contains(&age), "{page}");
    assert!(page.contains("seaway_build_info{version="), "{page}");
    assert!(get(&address, "/").starts_with("HTTP/1.1 404 "));
    let refused = ask(
        &address,
        "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(
        refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD"),
        "{refused}"
    );
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 0);
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn nobody_who_asks_is_in_the_way() {
    let place = Place::new();
    let mut job = Job::new(place.path(), &["sleep", "600"]);
    job.listen = Some("127.0.0.1:0".into());
    if let DirectorySpec::File(file) = &mut job.directories[0] {
        file.lease = Some("1s".parse().unwrap());
    }
    let mut agent = job.start();
    let address = address(&agent);
    // More than are served at once: some say nothing, some a little, some far too much.
    let mut silent = Vec::new();
    for number in 0..24 {
        let mut stream = TcpStream::connect(&address).unwrap();
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET /metr").unwrap(),
            _ => {
                let _ = stream.write_all(&vec![b'a'; 64 << 10]);
            }
        }
        silent.push(stream);
    }
    let renewed = || place.announced()["renewedAt"].as_str().unwrap().to_owned();
    let mut before = renewed();
    for _ in 0..3 {
        before = until(
            || "it is renewed all the same",
            || Some(renewed()).filter(|now| *now != before),
        );
    }
    // Those who are too slow are sent away, and everybody else gets a turn.
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 143);
    assert!(place.is_clean());
}

#[test]
fn an_address_in_use_is_an_error_before_anything_starts() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut job = Job::shell(place.path(), &format!("echo up >{}/up", place.path().display()));
    job.listen = Some(taken.local_addr().unwrap().to_string());
    let mut agent = job.start();
    assert_eq!(agent.end(), 1);
    assert!(
        agent.messages().contains("error: cannot listen at 127.0.0.1:"),
        "{}",
        agent.messages()
    );
    assert!(!place.exists("up") && place.is_clean());
}
