//! `seaway register` and `seaway deregister`: once, for scripts.

use crate::harness::{Home, Store};

#[test]
fn what_is_put_in_is_taken_out_again() {
    let home = Home::new();
    let store = Store::start();
    let url = store.url();
    let places = ["--register", "file,http", "--http-url", &url];
    let register = || {
        home.seaway([
            "register",
            "--name",
            "engine",
            "--endpoint",
            "client=5555",
            "--lease",
            "2h",
        ])
        .arguments(places)
    };
    let said = register().run().succeeded();
    assert_eq!(said.stdout.lines().count(), 2, "{said}");
    assert!(
        said.stdout.starts_with("engine is registered in folder ") && said.stdout.contains(" until "),
        "{said}"
    );
    let first = store.entry("engine").unwrap();
    assert_eq!(
        first["endpoints"][0]["url"], "tcp://127.0.0.1:5555",
        "as seen from the server"
    );
    assert_eq!(first["leaseSeconds"], 7200);
    // Again: the same owner, and a new lease.
    let again = register()
        .arguments(["--output", "json"])
        .run()
        .succeeded()
        .json();
    assert_eq!(again["owner"], first["owner"]);
    assert!(
        again["directories"][0]["done"] == true && again["directories"][1]["kind"] == "http",
        "{again}"
    );
    let out = || {
        home.seaway(["deregister", "--name", "engine"])
            .arguments(places)
            .run()
    };
    out().succeeded();
    assert_eq!(store.entry("engine"), None);
    out().succeeded();
    home.nothing_is_left();
}

#[test]
fn an_entry_of_another_owner_stays() {
    let home = Home::new();
    let store = Store::start();
    let url = store.url();
    let register = |owner: &str, places: &str| {
        home.seaway(["register", "--name", "engine", "--endpoint", "client=node1:5555"])
            .arguments(["--owner", owner, "--register", places])
    };
    register("one", "file").run().succeeded();
    // Refused in one directory, done in the other.
    let held = register("two", "file,http")
        .arguments(["--http-url", &url])
        .run()
        .with_code(4);
    assert!(
        held.stderr.contains("`engine` is held by one in the folder"),
        "{held}"
    );
    assert!(
        held.stdout.contains("engine is registered in HTTP server"),
        "{held}"
    );
    let out = |owner: &str| {
        home.seaway(["deregister", "--name", "engine", "--owner", owner])
            .run()
    };
    let held = out("two").with_code(4);
    assert!(held.stderr.contains("is held by one"), "{held}");
    let json = home
        .seaway(["deregister", "--name", "engine", "--output", "json"])
        .run()
        .with_code(4)
        .json();
    assert!(json["directories"][0]["done"] == false, "{json}");
    assert!(
        json["directories"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("is held by one"),
        "{json}"
    );
    out("one").succeeded();
    home.nothing_is_left();
}

#[test]
fn a_directory_that_fails_does_not_stop_the_others() {
    let home = Home::new();
    let file = home.file("file", "");
    let failed = home
        .seaway([
            "register",
            "--name",
            "engine",
            "--endpoint",
            "client=1",
            "--register",
            "http,file",
        ])
        .arguments(["--http-url", "http://127.0.0.1:1/{name}", "--http-timeout", "1s"])
        .run()
        .with_code(1);
    assert!(
        failed.stderr.contains("error: ") && failed.stderr.contains("127.0.0.1:1"),
        "{failed}"
    );
    assert!(
        failed.stdout.contains("engine is registered in folder"),
        "{failed}"
    );
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    let failed = home
        .seaway([
            "register",
            "--name",
            "engine",
            "--endpoint",
            "client=1",
            "--file",
            &file,
        ])
        .run()
        .with_code(1);
    assert!(
        failed.stderr.contains("(something that is not a folder"),
        "{failed}"
    );
    home.seaway(["register", "--name", "engine"]).run().with_code(2);
    home.seaway(["register", "--endpoint", "client=1"])
        .run()
        .with_code(2);
    home.seaway(["deregister", "--name", "engine", "--register", "none"])
        .run()
        .with_code(2);
    home.nothing_is_left();
}

#[test]
fn the_address_can_be_given() {
    let home = Home::new();
    home.seaway(["register", "--name", "engine", "--address", "node7.example"])
        .arguments(["--endpoint", "client=5555", "--endpoint", "ui=http://8080/lab"])
        .run()
        .succeeded();
    let get = |what: &str| {
        let found = home
            .seaway(["discovery", "get", "engine", "--endpoint", what])
            .run();
        found.succeeded().stdout
    };
    assert_eq!(get("client"), "tcp://node7.example:5555\n");
    assert_eq!(get("ui"), "http://node7.example:8080/lab\n");
    home.seaway(["deregister", "--name", "engine"]).run().succeeded();
    home.nothing_is_left();
}
