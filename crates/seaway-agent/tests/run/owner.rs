//! Who announces a name: after a crash, beside another agent, against a stranger.

use nix::{sys::signal::Signal, unistd::Pid};

use crate::support::{Job, Place, is_alive, until};

#[test]
fn a_restart_after_a_crash_is_the_same_owner_and_ends_what_was_left() {
    let place = Place::new();
    let job = Job::shell(
        place.path(),
        &format!("echo $$ >{}/pid; exec sleep 600", place.path().display()),
    );
    let mut first = job.start();
    let entry = place.announced();
    let orphan = place.file("pid");
    first.signal(Signal::SIGKILL);
    assert_eq!(first.end(), 137);
    assert_eq!(
        place.entry().unwrap()["owner"],
        entry["owner"],
        "nobody was there to withdraw"
    );
    assert!(is_alive(&orphan));
    // The lease is ten minutes: a stranger would be refused.
    let mut second = job.start();
    second.says("seaway: announced in");
    assert!(!is_alive(&orphan), "{}", second.messages());
    assert!(
        second.messages().contains(&format!("stopped process {orphan}")),
        "{}",
        second.messages()
    );
    let again = place.announced();
    assert_eq!(again["owner"], entry["owner"]);
    assert_ne!(again["registeredAt"], entry["registeredAt"]);
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end(), 143);
    assert!(place.is_clean());
}

#[test]
fn a_restart_can_take_over_the_running_command() {
    let place = Place::new();
    let mut job = Job::shell(
        place.path(),
        &format!("echo $$ >{}/pid; exec sleep 600", place.path().display()),
    );
    let mut first = job.start();
    place.announced();
    let pid = place.file("pid");
    // The command is written down a moment after it is started.
    until(
        || "it is on record",
        || {
            let mut files = std::fs::read_dir(place.path().join("state/agents"))
                .unwrap()
                .flatten();
            files
                .any(|file| {
                    std::fs::read_to_string(file.path())
                        .unwrap_or_default()
                        .contains(&pid)
                })
                .then_some(())
        },
    );
    first.signal(Signal::SIGKILL);
    first.end();
    job.adopt = true;
    let mut second = job.start();
    second.says(&format!("took over process {pid}"));
    second.says("announced in");
    assert!(is_alive(&pid));
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end(), 1, "its code went to another parent");
    assert!(!is_alive(&pid));
    assert!(place.is_clean());
}

#[test]
fn another_command_of_the_same_name_is_left_alone() {
    let place = Place::new();
    let job = Job::shell(
        place.path(),
        &format!("echo $$ >{}/pid; exec sleep 600", place.path().display()),
    );
    let mut first = job.start();
    place.announced();
    let pid = place.file("pid");
    first.signal(Signal::SIGKILL);
    first.end();
    let mut second = Job::new(place.path(), &["true"]).start();
    assert_eq!(second.end(), 0, "{}", second.messages());
    assert!(
        second
            .messages()
            .contains(&format!("left process {pid}; left alone")),
        "{}",
        second.messages()
    );
    assert!(is_alive(&pid));
    nix::sys::signal::kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
}

#[test]
fn of_two_agents_of_one_name_the_second_waits_for_the_first() {
    let place = Place::new();
    let job = Job::new(place.path(), &["sleep", "600"]);
    let mut first = job.start();
    let entry = place.announced();
    let mut second = job.start();
    second.says(&format!(
        "`engine` is announced by another agent on this machine (process {})",
        first.child.id()
    ));
    second.says("ready after");
    assert_eq!(place.entry().unwrap()["registeredAt"], entry["registeredAt"]);
    first.signal(Signal::SIGTERM);
    assert_eq!(first.end(), 143);
    second.says("announced in");
    assert!(place.announced()["owner"] != entry["owner"]);
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end(), 143);
    assert!(place.is_clean());
}

#[test]
fn a_live_entry_of_a_stranger_is_refused_and_its_owner_named() {
    let place = Place::new();
    let job = Job::new(place.path(), &["sleep", "600"]);
    let stranger = Job {
        state: place.path().join("elsewhere"),
        ..job.clone()
    };
    let mut first = stranger.start();
    let entry = place.announced();
    let owner = entry["owner"].as_str().unwrap();
    let mut second = job.start();
    second.says(&format!("`engine` is held by {owner}"));
    assert_eq!(place.entry().unwrap()["owner"], owner);
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end(), 143, "the command ran all the time");
    assert_eq!(
        place.entry().unwrap()["owner"],
        owner,
        "a stranger's entry is not withdrawn"
    );
    first.signal(Signal::SIGTERM);
    first.end();
    assert_eq!(place.entry(), None);
}
