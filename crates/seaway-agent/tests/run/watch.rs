//! The agent beside what it did not start: it watches, announces, withdraws, and touches nothing.

use std::{
    net::TcpListener,
    process::{Child, Command},
};

use nix::sys::signal::Signal;

use crate::support::{Agent, Job, Place, free_port, is_alive, until};

/// A process that ends with the test.
struct Engine(Child);

impl Engine {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

fn beside(place: &Place, pid: i32) -> Job {
    let mut job = Job::new(place.path(), &[]);
    job.watch = Some(pid);
    job
}

/// How long it takes to withdraw what is announced, from the signal on.
#[track_caller]
fn stop(place: &Place, agent: &mut Agent, signal: Signal) -> i32 {
    agent.signal(signal);
    let code = agent.end();
    assert!(place.is_clean(), "{}", agent.messages());
    code
}

#[test]
fn a_process_is_announced_until_it_ends_and_is_never_touched() {
    let place = Place::new();
    let mut engine = Engine::start();
    let job = beside(&place, engine.pid());
    for (signal, code) in [(Signal::SIGTERM, 0), (Signal::SIGINT, 130)] {
        let mut agent = job.start();
        place.announced();
        assert_eq!(stop(&place, &mut agent, signal), code, "{}", agent.messages());
        assert!(is_alive(&engine.pid().to_string()));
    }
    let mut agent = job.start();
    place.announced();
    engine.end();
    assert_eq!(agent.end(), 0);
    agent.says(&format!("process {} has ended", engine.pid()));
    assert!(place.is_clean());
}

#[test]
fn a_watched_process_costs_one_thread_however_often_something_happens() {
    let place = Place::new();
    let engine = Engine::start();
    let mut job = beside(&place, engine.pid());
    let port = free_port();
    job.endpoints = vec![format!("client={port}")];
    let agent = job.start();
    let threads = || {
        std::fs::read_dir(format!("/proc/{}/task", agent.child.id()))
            .unwrap()
            .count()
    };
    let mut most = 0;
    for _ in 0..3 {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        place.announced();
        drop(listener);
        place.withdrawn();
        most = most.max(threads());
    }
    // The test program itself has one for its tests.
    assert!(most <= 4, "{most} threads");
}

#[test]
fn endpoints_alone_follow_the_probes() {
    let place = Place::new();
    let port = free_port();
    let mut job = beside(&place, 0);
    job.endpoints = vec![format!("client={port}")];
    let mut agent = job.start();
    until(
        || "the agent has begun",
        || place.exists("state/agents").then_some(()),
    );
    assert_eq!(place.entry(), None);
    for _ in 0..2 {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let entry = place.announced();
        assert_eq!(entry["endpoints"][0]["url"], format!("tcp://127.0.0.1:{port}"));
        drop(listener);
        place.withdrawn();
    }
    assert_eq!(stop(&place, &mut agent, Signal::SIGTERM), 0);
}

#[test]
fn after_a_crash_of_the_agent_alone_the_entry_is_taken_over_without_a_gap() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut job = beside(&place, 0);
    job.endpoints = vec![format!("client={}", listener.local_addr().unwrap().port())];
    let mut first = job.start();
    let entry = place.announced();
    first.signal(Signal::SIGKILL);
    first.end();
    let mut second = job.start();
    second.says("announced in");
    let again = place.announced();
    assert_eq!(again["owner"], entry["owner"]);
    second.signal(Signal::SIGKILL);
    second.end();
    // The engine went together with its agent: the next agent takes the entry out although nothing answers.
    drop(listener);
    let mut third = job.start();
    place.withdrawn();
    assert_eq!(stop(&place, &mut third, Signal::SIGTERM), 0);
}

#[test]
fn an_owner_that_is_given_is_the_same_with_another_state_folder() {
    let place = Place::new();
    let mut job = beside(&place, 0);
    job.owner = Some("pod/7f".into());
    let mut first = job.start();
    assert_eq!(place.announced()["owner"], "pod/7f");
    first.signal(Signal::SIGKILL);
    first.end();
    job.state = place.path().join("anew");
    let mut second = job.start();
    second.says("announced in");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end(), 0);
    assert_eq!(place.entry(), None);
}

#[test]
fn what_is_not_ready_in_time_ends_the_agent_when_asked_to() {
    let place = Place::new();
    let mut job = beside(&place, 0);
    job.endpoints = vec![format!("client={}", free_port())];
    (job.fail_unready, job.start_timeout) = (true, 200);
    let mut agent = job.start();
    assert_eq!(agent.end(), 1);
    assert!(
        agent.messages().contains("error: not ready within 200 ms: "),
        "{}",
        agent.messages()
    );
    assert!(place.is_clean());
}
