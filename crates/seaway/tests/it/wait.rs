//! `seaway wait`: as long as it takes, and no longer than told.

use crate::harness::{Home, PATIENCE, Store};

#[test]
fn it_returns_when_all_have_answered_or_says_what_is_missing() {
    let home = Home::new();
    let store = Store::start();
    let port = store
        .url()
        .rsplit_once(':')
        .unwrap()
        .1
        .split_once('/')
        .unwrap()
        .0
        .to_owned();
    home.seaway([
        "wait",
        "--probe",
        &format!("tcp:{port}"),
        "--probe",
        "command:true",
    ])
    .run()
    .succeeded();
    let late = home
        .seaway([
            "wait",
            "--timeout",
            "200ms",
            "--probe",
            "command:true",
            "--probe",
            "tcp:1",
        ])
        .run()
        .with_code(5);
    assert!(
        late.stderr.starts_with("error: not within 200ms: ") && late.stderr.contains("127.0.0.1:1"),
        "{late}"
    );
    let wrong = home
        .seaway(["wait", "--probe", "http://127.0.0.1:1/#a"])
        .run()
        .with_code(2);
    assert!(wrong.stderr.contains("#KEY.KEY=VALUE"), "{wrong}");
    home.nothing_is_left();
}

#[test]
fn it_waits_for_what_comes_later_and_says_so() {
    let home = Home::new();
    let mark = home.path("there");
    let waiting = home
        .seaway(["wait", "--probe", &format!("command:test -e {}", mark.display())])
        .start();
    home.until("it says what it waits for", PATIENCE, || match waiting.stderr() {
        said if said.starts_with("waiting: ") => Ok(()),
        said => Err(said),
    });
    std::fs::write(&mark, "").unwrap();
    waiting.finish().succeeded();
    home.nothing_is_left();
}
