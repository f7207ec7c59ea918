//! `seaway discovery`: what is announced, for people, scripts and whoever waits.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Home, Invocation, Output, PATIENCE, Running, Store, processes};

#[track_caller]
fn register(home: &Home, name: &str, more: &[&str]) -> Output {
    let register = home.seaway(["register", "--name", name]).arguments(more);
    register.run().succeeded()
}

/// Waits until it has printed so many lines, and gives them back.
#[track_caller]
fn lines(home: &Home, of: &Running, count: usize) -> Vec<String> {
    home.until("it prints", PATIENCE, || {
        let text = of.stdout();
        let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            Ok(lines)
        } else {
            Err(format!("{text}{}", of.stderr()))
        }
    })
}

#[track_caller]
fn interrupt(running: Running) {
    assert!(processes::signal(running.pid(), Signal::SIGINT));
    running.finish().with_code(130);
}

#[test]
fn lists_for_people_and_programs() {
    let home = Home::new();
    let empty = home.seaway(["discovery", "ls"]).run().succeeded();
    assert_eq!(empty.stdout, "nothing is announced\n");
    let hinted = home
        .seaway(["discovery", "ls"])
        .env("REDIS_URL", "redis://user:word@h")
        .run()
        .succeeded();
    assert_eq!(
        hinted.stderr,
        "hint: REDIS_URL is set: look there with --from redis\n"
    );
    register(
        &home,
        "engine",
        &["--endpoint", "client=node1:5555", "--owner", "me"],
    );
    register(
        &home,
        "old",
        &["--endpoint", "ui=http://node1/lab", "--lease", "1s"],
    );
    let expired = || home.seaway(["discovery", "ls", "--all"]).run().succeeded().stdout;
    home.until("a lease runs out", PATIENCE, || {
        let text = expired();
        if text.contains("expired") {
            Ok(())
        } else {
            Err(text)
        }
    });
    let table = home.seaway(["discovery", "ls"]).run().succeeded().stdout;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(
        table.contains("client=tcp://node1:5555") && table.contains("me"),
        "{table}"
    );
    let all = home
        .seaway(["discovery", "ls", "--all", "--output", "json"])
        .run()
        .succeeded()
        .json();
    let live: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["live"]))
        .collect();
    assert_eq!(
        live,
        [
            (&Value::from("engine"), &Value::from(true)),
            (&Value::from("old"), &Value::from(false))
        ]
    );
    assert_eq!(all[1]["endpoints"][0]["url"], "http://node1:80/lab");
    // What is removed and what is not.
    let gc = |more: &[&str]| {
        let gc = home.seaway(["discovery", "gc"]).arguments(more);
        gc.run().succeeded().stdout
    };
    assert!(gc(&["--dry-run"]).starts_with("would remove old of "));
    let removed: Value = serde_json::from_str(&gc(&["--output", "json"])).unwrap();
    assert_eq!(removed["entry"]["name"], "old");
    assert_eq!(gc(&[]), "");
    let names = home.seaway(["discovery", "ls", "--all"]).run().succeeded().stdout;
    assert!(names.contains("engine") && !names.contains("old"), "{names}");
    home.seaway(["deregister", "--name", "engine", "--owner", "me"])
        .run()
        .succeeded();
    home.nothing_is_left();
}

#[test]
fn a_collector_goes_on_until_it_is_told_to_stop() {
    let home = Home::new();
    let collector = home.seaway(["discovery", "gc", "--every", "100ms"]).start();
    for name in ["one", "two"] {
        register(&home, name, &["--endpoint", "client=1", "--lease", "1s"]);
    }
    let removed = lines(&home, &collector, 2);
    assert!(
        removed.iter().all(|line| line.starts_with("removed ")),
        "{removed:?}"
    );
    interrupt(collector);
    home.nothing_is_left();
}

#[test]
fn a_watcher_sees_each_change_once() {
    let home = Home::new();
    let watcher = home
        .seaway(["discovery", "ls", "--watch", "--output", "json"])
        .start();
    let table = home.seaway(["discovery", "ls", "--watch"]).start();
    register(&home, "engine", &["--endpoint", "client=1"]);
    lines(&home, &watcher, 1);
    // A renewal is no change.
    register(&home, "engine", &["--endpoint", "client=1"]);
    register(&home, "engine", &["--endpoint", "client=2"]);
    lines(&home, &watcher, 2);
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    lines(&home, &watcher, 3);
    // That a lease runs out is seen without anybody doing anything. A short one is given only to what was seen already:
    // who looks late might miss all of it.
    register(&home, "brief", &["--endpoint", "client=3", "--lease", "1h"]);
    lines(&home, &watcher, 4);
    home.until("the table has it", PATIENCE, || {
        let text = table.stdout();
        if text.contains("brief") { Ok(()) } else { Err(text) }
    });
    register(&home, "brief", &["--endpoint", "client=3", "--lease", "1s"]);
    let told = lines(&home, &watcher, 5);
    let told: Vec<Value> = told
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = told
        .iter()
        .map(|line| (&line["event"], &line["entry"]["endpoints"][0]["port"]))
        .collect();
    let expected = [
        ("added", 1),
        ("changed", 2),
        ("removed", 2),
        ("added", 3),
        ("removed", 3),
    ];
    let expected = expected.map(|(event, port)| (Value::from(event), Value::from(port)));
    assert!(
        events
            .iter()
            .copied()
            .eq(expected.iter().map(|(event, port)| (event, port))),
        "{told:?}"
    );
    home.until("the table is empty again", PATIENCE, || {
        let text = table.stdout();
        if text.contains("brief") && text.ends_with("nothing is announced\n") {
            Ok(())
        } else {
            Err(text)
        }
    });
    interrupt(watcher);
    interrupt(table);
    home.seaway(["discovery", "gc"]).run().succeeded();
    home.nothing_is_left();
}

#[test]
fn get_prints_what_a_script_needs() {
    let home = Home::new();
    let store = Store::start();
    let url = store.url();
    let http = ["--from", "http", "--http-url", &url];
    register(
        &home,
        "engine",
        &[
            "--endpoint",
            "client=node1:5555",
            "--endpoint",
            "my-ui=http://[::1]/lab",
            "--register",
            "file,http",
            "--http-url",
            &url,
        ],
    );
    let get = |more: &[&str]| home.seaway(["discovery", "get", "engine"]).arguments(more).run();
    let printed = |more: &[&str]| get(more).succeeded().stdout;
    for from in [&[][..], &http] {
        let with = |more: &[&'static str]| [from, more].concat();
        assert_eq!(printed(&with(&[])), "tcp://node1:5555\n");
        assert_eq!(printed(&with(&["--output", "address"])), "node1:5555\n");
        assert_eq!(printed(&with(&["--endpoint", "my-ui"])), "http://[::1]:80/lab\n");
    }
    let json: Value = serde_json::from_str(&printed(&["--output", "json"])).unwrap();
    assert_eq!(json["endpoints"][1]["name"], "my-ui");
    let shell = format!(
        "{} discovery get engine --output env",
        env!("CARGO_BIN_EXE_seaway")
    );
    let words =
        format!("eval \"$({shell})\"; echo \"$SEAWAY_CLIENT_PORT $SEAWAY_MY_UI_URL $SEAWAY_MY_UI_HOST\"");
    let read = home
        .furnish(Invocation::new("sh", ["-c", &words]))
        .run()
        .succeeded();
    assert_eq!(read.stdout, "5555 http://[::1]:80/lab ::1\n");
    let none = home.seaway(["discovery", "get", "nobody"]).run().with_code(3);
    assert!(none.stderr.contains("hint: there is: engine"), "{none}");
    get(&["--endpoint", "metrics"]).with_code(3);
    let none = home
        .seaway(["discovery", "get", "nobody"])
        .arguments(http)
        .run()
        .with_code(3);
    assert_eq!(none.stdout, "");
    home.seaway(["discovery", "get", "nobody", "--wait", "100ms"])
        .run()
        .with_code(3);
    home.seaway(["discovery", "ls"])
        .arguments(http)
        .run()
        .with_code(1);
    home.seaway(["discovery", "ls", "--from", "stdout"])
        .run()
        .with_code(2);
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    home.nothing_is_left();
}

#[test]
fn get_waits_and_watches() {
    let home = Home::new();
    let waiting = home
        .seaway(["discovery", "get", "engine", "--wait", "10m"])
        .start();
    let later = home
        .seaway([
            "discovery",
            "get",
            "engine",
            "--endpoint",
            "metrics",
            "--wait",
            "10m",
        ])
        .start();
    let watching = home
        .seaway(["discovery", "get", "engine", "--watch", "-o", "address"])
        .start();
    let client = ["--endpoint", "client=node1:1"];
    register(&home, "engine", &client);
    assert_eq!(waiting.finish().succeeded().stdout, "tcp://node1:1\n");
    assert_eq!(lines(&home, &watching, 1), ["node1:1"]);
    register(
        &home,
        "engine",
        &["--endpoint", "client=node2:1", "--endpoint", "metrics=node2:2"],
    );
    assert_eq!(later.finish().succeeded().stdout, "tcp://node2:2\n");
    assert_eq!(lines(&home, &watching, 2)[1], "node2:1");
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    home.until("it is told", PATIENCE, || {
        let said = watching.stderr();
        if said.contains("engine is gone") {
            Ok(())
        } else {
            Err(said)
        }
    });
    register(&home, "engine", &client);
    assert_eq!(lines(&home, &watching, 3)[2], "node1:1");
    interrupt(watching);
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    home.nothing_is_left();
}

#[test]
fn a_watcher_ends_with_its_reader() {
    let home = Home::new();
    register(&home, "engine", &["--endpoint", "client=node1:1"]);
    let watch = format!(
        "{} discovery ls --watch --output json | head -1",
        env!("CARGO_BIN_EXE_seaway")
    );
    let read = home
        .furnish(Invocation::new("sh", ["-c", &watch]))
        .run()
        .succeeded();
    assert!(read.stdout.contains("\"added\""), "{read}");
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    home.nothing_is_left();
}
