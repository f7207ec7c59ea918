//! `seaway agent` and `seaway run` as their users have them: sidecars, crashes, metrics, directories that are down.

use std::net::TcpListener;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Home, Invocation, PATIENCE, Running, Store, get, processes};

/// The entry as `seaway discovery get` tells it.
fn entry(home: &Home, name: &str) -> Option<Value> {
    let found = home.seaway(["discovery", "get", name, "--output", "json"]).run();
    match found.code {
        Some(0) => Some(found.json()),
        Some(3) => None,
        _ => panic!("{found}"),
    }
}

#[track_caller]
fn announced(home: &Home, name: &str) -> Value {
    home.until("it is announced", PATIENCE, || {
        entry(home, name).ok_or_else(String::new)
    })
}

#[track_caller]
fn withdrawn(home: &Home, name: &str) {
    home.until("it is withdrawn", PATIENCE, || match entry(home, name) {
        Some(entry) => Err(entry.to_string()),
        None => Ok(()),
    });
}

#[track_caller]
fn says(home: &Home, agent: &Running, text: &str) -> String {
    home.until("it says so", PATIENCE, || {
        let said = agent.stderr();
        let line = said.lines().find(|line| line.contains(text)).map(str::to_owned);
        line.ok_or_else(|| format!("not `{text}` but {said}"))
    })
}

/// Asks it to stop, and waits until it has.
#[track_caller]
fn stop(agent: Running, code: i32) {
    assert!(processes::signal(agent.pid(), Signal::SIGTERM));
    agent.finish().with_code(code);
}

/// Where it serves metrics and health.
#[track_caller]
fn served(home: &Home, agent: &Running) -> String {
    let line = says(home, agent, "metrics and health on http://");
    line.rsplit_once("http://").unwrap().1.to_owned()
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_sidecar_follows_its_engine() {
    let home = Home::new();
    let port = free_port();
    let agent = home
        .seaway([
            "agent",
            "--name",
            "engine",
            "--listen",
            "0",
            "--probe-interval",
            "100ms",
        ])
        .arguments(["--endpoint", &format!("client={port}"), "--label", "team=a"])
        .start();
    let address = served(&home, &agent);
    let (code, page) = get(&address, "/readyz").unwrap();
    assert!(code == 503 && page.contains("not ready: "), "{page}");
    assert_eq!(get(&address, "/healthz").unwrap().0, 200);
    for _ in 0..2 {
        let engine = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let entry = announced(&home, "engine");
        assert_eq!(entry["endpoints"][0]["url"], format!("tcp://127.0.0.1:{port}"));
        assert_eq!(entry["labels"]["team"], "a");
        assert_eq!(get(&address, "/readyz").unwrap().0, 200);
        drop(engine);
        withdrawn(&home, "engine");
    }
    let (_, page) = get(&address, "/metrics").unwrap();
    for line in [
        "seaway_agent_ready 0",
        "seaway_endpoint_up{endpoint=\"client\"} 0",
        "seaway_directory_registered{directory=\"file\"} 0",
        "seaway_directory_registrations_total{directory=\"file\"} 2",
        "seaway_directory_withdrawals_total{directory=\"file\"} 2",
        "seaway_directory_lease_seconds{directory=\"file\"} 30.0",
        "# EOF",
    ] {
        assert!(page.lines().any(|one| one == line), "no `{line}` in {page}");
    }
    stop(agent, 0);
    home.nothing_is_left();
}

#[test]
fn an_agent_ends_with_the_process_it_watches_and_never_touches_it() {
    let home = Home::new();
    let engine = Invocation::new("sleep", ["600"]).start();
    let watch = || {
        home.seaway(["agent", "--name", "engine", "--endpoint", "client=node1:5555"])
            .arguments(["--probe", "none", "--pid", &engine.pid().to_string()])
            .start()
    };
    let agent = watch();
    assert_eq!(
        announced(&home, "engine")["endpoints"][0]["address"],
        "node1:5555"
    );
    stop(agent, 0);
    assert!(processes::Process::of(engine.pid()).is_some());
    withdrawn(&home, "engine");
    let agent = watch();
    announced(&home, "engine");
    processes::kill_hard(engine.pid());
    // It is a zombie until somebody waits for it, which is an end too.
    let ended = agent.finish().with_code(0);
    assert!(ended.stderr.contains("has ended"), "{ended}");
    withdrawn(&home, "engine");
    drop(engine);
    home.nothing_is_left();
}

#[test]
fn a_restart_after_kill_9_takes_over_at_once() {
    let home = Home::new();
    let engine = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("client={}", engine.local_addr().unwrap().port());
    let start = || {
        home.seaway([
            "agent",
            "--name",
            "engine",
            "--lease",
            "10m",
            "--endpoint",
            &endpoint,
        ])
        .start()
    };
    let first = start();
    let before = announced(&home, "engine");
    processes::kill_hard(first.pid());
    drop(first);
    assert_eq!(
        announced(&home, "engine")["owner"],
        before["owner"],
        "its lease is long"
    );
    let second = start();
    says(&home, &second, "seaway: announced in folder");
    assert_eq!(announced(&home, "engine")["owner"], before["owner"]);
    stop(second, 0);
    withdrawn(&home, "engine");
    home.nothing_is_left();
}

#[test]
fn the_example_of_the_guide() {
    let home = Home::new();
    let port = free_port();
    let example = || {
        home.seaway(["run", "--name", "eng"])
            .arguments([
                "--endpoint",
                &format!("client={port}"),
                "--register",
                "file",
                "--",
            ])
            .arguments(["python3", "-m", "http.server", &port.to_string()])
            .start()
    };
    let first = example();
    let url = home
        .seaway(["discovery", "get", "eng", "--endpoint", "client", "--wait", "2m"])
        .run()
        .succeeded();
    assert_eq!(url.stdout, format!("tcp://127.0.0.1:{port}\n"));
    let address = home
        .seaway(["discovery", "get", "eng", "-o", "address"])
        .run()
        .succeeded();
    assert_eq!(get(address.stdout.trim(), "/").unwrap().0, 200);
    let owner = announced(&home, "eng")["owner"].clone();
    processes::kill_hard(first.pid());
    // What it left is stopped, and the name taken over.
    let second = example();
    says(&home, &second, "left by an earlier run");
    says(&home, &second, "seaway: announced in folder");
    assert_eq!(announced(&home, "eng")["owner"], owner);
    stop(second, 143);
    drop(first);
    home.nothing_is_left();
}

/// An agent whose engine is ready, and whose directory is not there.
fn beside_a_closed_port(home: &Home, port: u16, policy: &str) -> Running {
    home.seaway(["agent", "--name", "engine", "--probe", "none", "--listen", "0"])
        .arguments(["--endpoint", "client=node1:5555", "--register", "http"])
        .arguments(["--http-method", "put", "--http-timeout", "1s"])
        .arguments(["--http-url", &format!("http://127.0.0.1:{port}/{{name}}")])
        .arguments(["--on-directory-error", policy])
        .start()
}

/// Nobody can say that the entry is not in a directory that does not answer: who announced it stays on record, so that
/// the next agent of the name can take it out.
#[track_caller]
fn only_its_identity_is_left(home: &Home) {
    let record = std::fs::read_dir(home.state().join("agents"))
        .unwrap()
        .flatten()
        .next()
        .unwrap();
    assert!(record.file_name().to_str().unwrap().starts_with("engine@"));
    std::fs::remove_file(record.path()).unwrap();
    home.nothing_is_left();
}

#[test]
fn a_directory_that_is_down_ends_it_when_asked_to() {
    let home = Home::new();
    let port = free_port();
    let ended = beside_a_closed_port(&home, port, "fail").finish().with_code(1);
    assert!(
        ended.stderr.contains(&format!(
            "error: not announced in HTTP server http://127.0.0.1:{port}/"
        )),
        "{ended}"
    );
    assert!(
        ended.stderr.contains("refused") && ended.stderr.contains("\nhint: check the host name"),
        "{ended}"
    );
    only_its_identity_is_left(&home);
}

#[test]
fn a_directory_that_is_down_is_left_alone_when_asked_to() {
    let home = Home::new();
    let port = free_port();
    let agent = beside_a_closed_port(&home, port, "warn");
    says(&home, &agent, "left alone until it is ready anew");
    let address = served(&home, &agent);
    assert_eq!(
        get(&address, "/readyz").unwrap().0,
        200,
        "it is ready all the same"
    );
    let (_, page) = get(&address, "/metrics").unwrap();
    let failed = "seaway_directory_failures_total{directory=\"http\",kind=\"unreachable\"} 1";
    assert!(page.lines().any(|line| line == failed), "{page}");
    stop(agent, 0);
    only_its_identity_is_left(&home);
}

#[test]
fn a_directory_that_is_down_gets_the_entry_when_it_comes_up() {
    let home = Home::new();
    let port = free_port();
    let agent = beside_a_closed_port(&home, port, "retry");
    says(&home, &agent, "still trying");
    let store = Store::at(&format!("127.0.0.1:{port}"));
    says(&home, &agent, "seaway: announced in HTTP server");
    assert_eq!(
        store.entry("engine").unwrap()["endpoints"][0]["address"],
        "node1:5555"
    );
    stop(agent, 0);
    assert_eq!(store.entry("engine"), None);
    home.nothing_is_left();
}

#[test]
fn a_renewal_that_fails_stops_nothing() {
    let home = Home::new();
    let folder = home.path("entries");
    let agent = home
        .seaway([
            "agent", "--name", "engine", "--probe", "none", "--listen", "0", "--lease", "1s",
        ])
        .arguments(["--endpoint", "client=node1:5555", "--on-directory-error", "fail"])
        .arguments(["--file", folder.to_str().unwrap()])
        .start();
    let address = served(&home, &agent);
    says(&home, &agent, "seaway: announced in folder");
    assert_eq!(get(&address, "/readyz").unwrap().0, 200);
    // Something that is no folder in its place: nothing can be written any more.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    says(&home, &agent, "still trying");
    home.until("it is no longer counted as announced", PATIENCE, || {
        let (code, page) = get(&address, "/readyz").unwrap();
        if code == 503 && page.contains("not announced in folder") {
            Ok(())
        } else {
            Err(page)
        }
    });
    std::fs::remove_file(&folder).unwrap();
    home.until("it is announced again", PATIENCE, || {
        match get(&address, "/readyz").unwrap() {
            (200, _) => Ok(()),
            (_, page) => Err(page),
        }
    });
    stop(agent, 0);
    home.nothing_is_left();
}

#[test]
fn a_document_says_where() {
    let home = Home::new();
    let store = Store::start();
    let document = home.file(
        "engine.yaml",
        format!(
            "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: engine}}\nspec:\n  discovery:\n  - file: \
             {{path: entries}}\n  - http: {{url: '{}', method: PUT}}\n",
            store.url()
        ),
    );
    let agent = home
        .seaway([
            "agent",
            "-f",
            &document,
            "--probe",
            "none",
            "--endpoint",
            "client=node1:5555",
        ])
        .arguments(["--lease", "5m"])
        .start();
    home.until("it is announced", PATIENCE, || {
        store.entry("engine").ok_or_else(String::new)
    });
    assert_eq!(store.entry("engine").unwrap()["leaseSeconds"], 300, "options win");
    assert!(home.path("entries/engine.json").exists());
    let url = home
        .seaway(["discovery", "get", "engine", "-f", &document])
        .run()
        .succeeded();
    assert_eq!(url.stdout, "tcp://node1:5555\n");
    stop(agent, 0);
    assert_eq!(store.entry("engine"), None);
    home.nothing_is_left();
}

#[test]
fn what_cannot_work_is_said_before_anything_starts() {
    let home = Home::new();
    let wrong = |arguments: &[&str], said: &str, code| {
        let output = home.furnish(Invocation::seaway(arguments)).run().with_code(code);
        assert!(output.stderr.contains(said), "{output}");
    };
    wrong(&["agent", "--name", "x"], "nothing to watch", 2);
    wrong(&["agent", "--endpoint", "a=1"], "needs a name", 2);
    wrong(
        &["agent", "--name", "x", "--pid", "2147483647"],
        "there is no process",
        1,
    );
    wrong(
        &["agent", "--name", "x", "--endpoint", "a=1", "--address", "::"],
        "not one to connect to",
        2,
    );
    wrong(
        &["agent", "--name", "x", "--endpoint", "a=1", "--redis-user", "u"],
        "add `redis` to --register",
        2,
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    wrong(
        &["run", "--listen", &address, "--", "true"],
        "cannot listen at",
        1,
    );
    home.nothing_is_left();
}
