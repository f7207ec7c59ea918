//! Several documents in a file, and documents that change.

use std::net::TcpListener;

use crate::harness::{Fake, Home, processes::Process};

/// A document with this name and spec.
fn document(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: {name}}}\nspec:\n  notebook: {{enabled: false}}\n  \
         workers: {{replicas: 1}}\n{spec}"
    )
}

#[test]
fn documents_of_one_file_come_up_and_go_together() {
    let home = Home::heavy();
    let file = home.file(
        "both.yaml",
        format!("{}---\n{}", document("first", ""), document("second", "")),
    );
    let up = home.seaway(["up", "--detach", "--file", &file]).run().succeeded();
    assert!(
        up.stderr.contains("first is ready after") && up.stderr.contains("second is ready after"),
        "{up}"
    );
    assert_eq!(
        home.seaway(["ls", "--quiet"]).run().succeeded().stdout,
        "first\nsecond\n"
    );
    for name in ["first", "second"] {
        assert_eq!(home.status(name).state(), "Ready");
    }
    home.seaway(["down", "--file", &file]).run().succeeded();
    home.nothing_is_left();
    // What is gone already is no failure: the file says what should not be there.
    home.seaway(["down", "--file", &file]).run().succeeded();
}

#[test]
fn when_one_document_cannot_start_none_is_left() {
    let home = Home::new();
    let fake = Fake::new(&home, "silent").program("dask", "exec sleep 1000\n");
    let python = format!("  python: {{environment: {}}}\n", fake.root().display());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = format!("{python}  endpoints: {{dashboard: {{port: {port}}}}}\n");
    let file = home.file(
        "both.yaml",
        format!(
            "{}---\n{}",
            document("first", &python),
            document("second", &taken)
        ),
    );
    let up = home
        .seaway(["up", "--detach", "--file", &file])
        .run()
        .with_code(1);
    let said = format!("error: port {port} (dashboard) is taken by `");
    assert!(up.stderr.starts_with(&said), "{up}");
    assert!(
        up.stderr.contains(&format!("(pid {})", std::process::id())),
        "{up}"
    );
    home.until("the first one goes", crate::harness::PATIENCE, || {
        let names = home.seaway(["ls", "--quiet"]).run().succeeded().stdout;
        if names.is_empty() { Ok(()) } else { Err(names) }
    });
    home.nothing_is_left();
}

#[test]
fn a_document_that_is_wrong_keeps_the_others_from_starting() {
    let home = Home::new();
    let file = home.file(
        "both.yaml",
        format!(
            "{}---\n{}",
            document("first", ""),
            document("second", "  workes: {}\n")
        ),
    );
    let up = home
        .seaway(["up", "--detach", "--file", &file])
        .run()
        .with_code(2);
    assert!(up.stderr.contains("both.yaml:14:3: unknown key `workes`"), "{up}");
    assert!(!home.state_home().exists());
    let named = home.seaway([
        "up",
        "--name",
        "one",
        "--file",
        &home.file(
            "two.yaml",
            format!("{}---\n{}", document("a", ""), document("b", "")),
        ),
    ]);
    let named = named.run().with_code(2);
    assert_eq!(
        named.stderr,
        "error: --name is for one document; this file has 2\n"
    );
}

#[test]
fn a_changed_document_starts_only_what_it_changes_again() {
    let home = Home::heavy();
    let file = home.file("dask.yaml", document("dask", ""));
    let up = |content: &str| {
        home.file("dask.yaml", content);
        home.seaway(["up", "--detach", "--file", &file]).run().succeeded()
    };
    up(&document("dask", ""));
    let before = home.status("dask");
    let same = up(&document("dask", ""));
    assert!(
        same.stderr
            .contains("dask is up already, just so; nothing was changed"),
        "{same}"
    );
    assert_eq!(home.status("dask").pids(), before.pids());

    let changed = up(&document("dask", "").replace("{replicas: 1}", "{replicas: 1, env: {COLOUR: green}}"));
    assert!(
        changed
            .stderr
            .contains("dask was up already; it changes to the new document"),
        "{changed}"
    );
    let after = home.until_status("dask", "the worker is another one", |status| {
        status.state() == "Ready"
            && status
                .running("worker-0")
                .is_some_and(|pid| pid != before.pid("worker-0"))
    });
    assert_eq!(
        after.pid("scheduler-0"),
        before.pid("scheduler-0"),
        "the scheduler did not change"
    );
    assert_eq!(after.number("/roles/scheduler/restarts"), 0);
    let worker = Process::of(after.pid("worker-0")).unwrap();
    assert_eq!(worker.variable("COLOUR"), Some("green"));
    assert_eq!(after.addresses(), before.addresses());

    let more = up(&document("dask", "").replace("{replicas: 1}", "{replicas: 2, env: {COLOUR: green}}"));
    assert!(more.stderr.contains("it changes to the new document"), "{more}");
    let grown = home.until_status("dask", "there are two workers", |status| {
        status.state() == "Ready" && status.running("worker-1").is_some()
    });
    assert_eq!(
        grown.pid("worker-0"),
        after.pid("worker-0"),
        "the first worker did not change"
    );
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn up_waits_until_a_changed_document_has_taken_effect() {
    let home = Home::heavy();
    let file = home.file("dask.yaml", document("dask", ""));
    let up = || home.seaway(["up", "--detach", "--file", &file]).run().succeeded();
    up();
    home.file(
        "dask.yaml",
        document("dask", "").replace("{replicas: 1}", "{replicas: 1, env: {COLOUR: blue}}"),
    );
    up();
    let after = home.status("dask");
    assert_eq!(after.state(), "Ready");
    assert_eq!(after.number("/roles/worker/ready"), 1, "{}", after.summary());
    let worker = Process::of(after.pid("worker-0")).unwrap();
    assert_eq!(worker.variable("COLOUR"), Some("blue"), "{}", after.summary());
}

#[test]
fn a_scheduler_that_moves_takes_the_notebook_along() {
    let home = Home::heavy();
    let file = home.path("dask.yaml").display().to_string();
    let up = |endpoints: &str| {
        let document = format!(
            "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: dask}}\nspec:\n  workers: {{replicas: 0}}\n\
             {endpoints}"
        );
        home.file("dask.yaml", document);
        home.seaway(["up", "--detach", "--file", &file]).run().succeeded()
    };
    up("");
    let before = home.status("dask");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    up(&format!("  endpoints: {{client: {{port: {port}}}}}\n"));
    let after = home.until_status("dask", "all moved", |status| {
        let moved = |task| status.running(task).is_some_and(|pid| pid != before.pid(task));
        status.state() == "Ready" && moved("scheduler-0") && moved("notebook-0")
    });
    assert_eq!(after.address("client"), format!("127.0.0.1:{port}"));
    let notebook = Process::of(after.pid("notebook-0")).unwrap();
    assert_eq!(
        notebook.variable("DASK_SCHEDULER_ADDRESS"),
        Some(after.url("client"))
    );
    assert_eq!(
        after.address("dashboard"),
        before.address("dashboard"),
        "what did not change stays"
    );
}
