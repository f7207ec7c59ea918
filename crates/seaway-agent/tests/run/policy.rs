//! What happens when a directory does not take the entry at the first attempt.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::signal::Signal;
use seaway_model::discovery::{DirectorySpec, HttpDirectory, HttpMethod};

use crate::support::{Job, Place, until};

/// A server that refuses whatever it is asked, and counts.
fn refusing() -> (String, Arc<AtomicUsize>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{{name}}", server.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            if request[..length].starts_with(b"PUT") {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let _ = stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (url, asked)
}

fn http(url: &str) -> DirectorySpec {
    DirectorySpec::Http(HttpDirectory {
        method: HttpMethod::Put,
        retries: Some(0),
        ..HttpDirectory::at(url.into())
    })
}

#[test]
fn fail_stops_the_command_and_says_why() {
    let place = Place::new();
    let (url, _) = refusing();
    let mut job = Job::shell(
        place.path(),
        &format!(
            "trap 'echo stopped >{0}/stopped; exit 0' TERM; echo up >{0}/up; while :; do sleep 0.02; done",
            place.path().display()
        ),
    );
    job.directories.push(http(&url));
    job.probes = vec![format!("command:test -e {}/up", place.path().display())];
    job.on_error = "fail".into();
    let mut agent = job.start();
    assert_eq!(agent.end(), 1);
    let said = agent.messages();
    assert!(
        said.contains(&format!("error: not announced in HTTP server {url}")),
        "{said}"
    );
    assert!(said.contains("was answered with 403"), "{said}");
    assert_eq!(place.file("stopped"), "stopped");
    assert!(place.entry().is_none(), "taken out of the others");
    drop(agent);
    // A process that is only watched stays; the agent alone ends.
    job.watch = Some(0);
    job.probes.clear();
    assert_eq!(job.start().end(), 1);
}

#[test]
fn fail_ends_before_the_command_starts_when_another_agent_has_the_name() {
    let place = Place::new();
    let mut first = Job::new(place.path(), &["sleep", "600"]).start();
    place.announced();
    let mut job = Job::shell(place.path(), &format!("echo up >{}/up", place.path().display()));
    job.on_error = "fail".into();
    let mut second = job.start();
    assert_eq!(second.end(), 1);
    assert!(
        second
            .messages()
            .contains("is announced by another agent on this machine"),
        "{}",
        second.messages()
    );
    assert!(!place.exists("up"));
    first.signal(Signal::SIGTERM);
    first.end();
}

#[test]
fn warn_asks_once_and_again_only_when_it_is_ready_anew() {
    let place = Place::new();
    let (url, asked) = refusing();
    let mut job = Job::new(place.path(), &["sleep", "600"]);
    job.directories.push(http(&url));
    job.on_error = "warn".into();
    let ready = place.path().join("ready");
    job.probes = vec![format!("command:test -e {}", ready.display())];
    std::fs::write(&ready, "").unwrap();
    let mut agent = job.start();
    place.announced();
    agent.says("left alone until it is ready anew");
    std::fs::remove_file(&ready).unwrap();
    place.withdrawn();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    std::fs::write(&ready, "").unwrap();
    place.announced();
    until(
        || "it is asked again",
        || (asked.load(Ordering::Relaxed) == 2).then_some(()),
    );
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 143, "the command was not disturbed");
}
