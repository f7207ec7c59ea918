//! Whenever something is not up, it is said why, in words, with what to do.

use std::{fs, net::TcpListener};

use insta::assert_snapshot;

use crate::harness::{
    Fake, Home, Output, PATIENCE, filters, folder_with_programs, processes, script, without_numbers,
};

/// Words that bring a quick cluster up and leave it.
const UP: [&str; 7] = [
    "up",
    "dask",
    "--detach",
    "--set",
    "notebook.enabled=false",
    "--set",
    "workers.replicas=1",
];

/// The end of what a command says: the error with its hint.
fn error(output: &Output) -> String {
    let from = output
        .stderr
        .find("error: ")
        .unwrap_or_else(|| panic!("no error: {output}"));
    output.stderr[from..].to_owned()
}

#[test]
fn a_fixed_port_that_is_taken_names_who_has_it() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let up = home
        .seaway(UP)
        .arguments(["--set", &format!("endpoints.client.port={port}")])
        .run()
        .with_code(1);
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    let expected = format!(
        "error: port {port} (client) is taken by `{}` (pid {})\nhint: choose another port under spec.endpoints, or \
         none for a free one\n",
        own.trim(),
        std::process::id()
    );
    assert_eq!(up.stderr, expected);
    home.nothing_is_left();
}

#[test]
fn a_fixed_port_of_another_instance_names_that_instance() {
    let home = Home::new();
    let fake = Fake::new(&home, "silent").program("dask", "exec sleep 1000\n");
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let up = |name: &str| {
        home.seaway(UP)
            .arguments(["--no-wait", "--name", name, "--set", &fake.setting()])
            .arguments(["--set", &format!("endpoints.client.port={free}")])
            .run()
    };
    up("first").succeeded();
    let second = up("second").with_code(1);
    assert!(
        second.stderr.starts_with(&format!(
            "error: port {free} (client) is taken by instance `first`\n"
        )),
        "{second}"
    );
    assert_eq!(home.seaway(["ls", "--quiet"]).run().succeeded().stdout, "first\n");
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let home = Home::new();
    let up = home
        .seaway(UP)
        .arguments(["--set", "endpoints.client.host=192.0.2.1"])
        .run()
        .with_code(1);
    filters(&home).bind(|| {
        assert_snapshot!(without_numbers(&up.stderr), @"
    error: port N (client) cannot be bound at `N.N.N.N`: Cannot assign requested address (os error N)
    hint: the host under spec.endpoints must be an address of this machine
    ");
    });
    home.nothing_is_left();
}

#[test]
fn no_python() {
    let home = Home::new();
    let path = folder_with_programs(&home, &["sh", "env", "sleep"]);
    let up = home.seaway(UP).env("PATH", &path).run().with_code(5);
    filters(&home).bind(|| assert_snapshot!(error(&up), @"
    error: dask is not ready: Python 3.10 or newer was not found on PATH; Debian and Ubuntu: `sudo apt install python3 python3-venv`; macOS: `brew install python`; conda: `conda create -n seaway python=3.12` and `conda activate seaway`; uv: `uv python install 3.12`
    hint: `seaway logs dask` shows what its tasks wrote; `seaway down dask` removes it
    "));
    let status = home.status("dask");
    assert_eq!(status.state(), "Failed");
    filters(&home).bind(|| assert_snapshot!(status.reason(), @"Python 3.10 or newer was not found on PATH; Debian and Ubuntu: `sudo apt install python3 python3-venv`; macOS: `brew install python`; conda: `conda create -n seaway python=3.12` and `conda activate seaway`; uv: `uv python install 3.12`"));
    for task in status.tasks() {
        assert_eq!(task["reason"], "cannot start: its software is missing", "{task}");
    }
    // The same command where there is Python goes on from there.
    home.seaway(["down", "dask"]).run().succeeded();
    home.nothing_is_left();
}

#[test]
fn a_package_that_cannot_be_installed() {
    let home = Home::heavy();
    let package = "python.packages=[no-such-package-seaway-test]";
    let up = home
        .seaway(UP)
        .arguments(["--set", package])
        .within(PATIENCE * 5)
        .run()
        .with_code(5);
    let said = error(&up);
    for part in [
        "error: dask is not ready: package `no-such-package-seaway-test` cannot be installed: ",
        "No matching distribution found for no-such-package-seaway-test",
        "; check its name and version, and that it supports this Python",
    ] {
        assert!(said.contains(part), "{up}");
    }
    let status = home.status("dask");
    assert_eq!(status.state(), "Failed");
    assert!(
        status.reason().contains("no-such-package-seaway-test"),
        "{}",
        status.reason()
    );
    home.down("dask");
    home.nothing_is_left();
    // Nothing half made stays for later instances to trip over.
    let environments = crate::harness::cache().join("seaway/python");
    let half: Vec<_> = fs::read_dir(environments)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir() && !entry.path().join("complete.json").exists())
        .collect();
    assert!(half.is_empty(), "{half:?}");
}

#[test]
fn an_environment_that_is_not_there() {
    let home = Home::new();
    let up = home
        .seaway(UP)
        .arguments(["--set", "python.environment=nowhere"])
        .run()
        .with_code(5);
    filters(&home).bind(|| assert_snapshot!(error(&up), @"
    error: dask is not ready: the Python environment `[HOME]/nowhere` does not exist; make one with `python3 -m venv [HOME]/nowhere` and `[HOME]/nowhere/bin/pip install …`
    hint: `seaway logs dask` shows what its tasks wrote; `seaway down dask` removes it
    "));
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn a_command_that_is_not_found() {
    let home = Home::new();
    let path = folder_with_programs(&home, &["sh", "env", "sleep"]);
    let fake = Fake::new(&home, "empty");
    let up = home
        .seaway(UP)
        .env("PATH", &path)
        .arguments(["--set", &fake.setting()])
        .run()
        .with_code(5);
    filters(&home).bind(|| {
        assert_snapshot!(error(&up), @"
    error: dask is not ready: scheduler: command not found: `dask` is not in [HOME]/empty/bin, [HOME]/programs
    hint: `seaway logs dask` shows what its tasks wrote; `seaway down dask` removes it
    ");
    });
    let status = home.status("dask");
    assert_eq!(
        (status.state(), status.number("/roles/scheduler/restarts")),
        ("Failed", 0),
        "it will not pass"
    );
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn a_crash_at_the_start_is_given_up_with_its_last_lines() {
    let home = Home::new();
    let tried = home.path("tries");
    let fake = Fake::new(&home, "broken").program(
        "dask",
        &format!(
            "echo $1 >> {}\necho 'Traceback (most recent call last):'\necho '  File \"x.py\", line 1, in <module>'\n\
             echo 'ValueError: the moon is in the wrong phase' >&2\nexit 1\n",
            tried.display()
        ),
    );
    let up = home
        .seaway(UP)
        .arguments(["--set", &fake.setting()])
        .run()
        .with_code(5);
    filters(&home).bind(|| assert_snapshot!(error(&up), @"
    error: dask is not ready: scheduler: ended with code 1: ValueError: the moon is in the wrong phase (given up after 5 tries)
    hint: `seaway logs dask` shows what its tasks wrote; `seaway down dask` removes it
    "));
    let status = home.status("dask");
    let scheduler = status.task("scheduler-0");
    assert_eq!(status.state(), "Failed");
    assert_eq!(scheduler["state"], "Failed");
    assert_eq!(scheduler["restarts"], 4, "five tries");
    assert_eq!(
        scheduler["lastExit"],
        "ended with code 1: ValueError: the moon is in the wrong phase"
    );
    assert_eq!(
        scheduler["lastLog"],
        serde_json::json!([
            "Traceback (most recent call last):",
            "  File \"x.py\", line 1, in <module>",
            "ValueError: the moon is in the wrong phase"
        ])
    );
    let shown = home.seaway(["status", "dask"]).run().succeeded().stdout;
    assert!(
        shown.contains("last lines of scheduler-0:\n  Traceback (most recent call last):\n"),
        "{shown}"
    );
    assert_eq!(
        fs::read_to_string(&tried).unwrap().matches("scheduler").count(),
        5
    );
    // `up` again is another chance, with as many tries.
    home.seaway(UP)
        .arguments(["--set", &fake.setting()])
        .run()
        .with_code(5);
    assert_eq!(
        fs::read_to_string(&tried).unwrap().matches("scheduler").count(),
        10
    );
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn a_worker_that_is_killed_for_memory_comes_back_and_says_so() {
    let home = Home::heavy();
    let before = home.up("dask", &["--set", "workers.resources.memory=300Mi"]);
    let keeper = before.text("/roles/worker/memory/keptBy");
    if keeper != "cgroup" {
        println!("skipped: memory limits are kept by {keeper} here; the kernel must keep them for this");
        return;
    }
    assert_eq!(before.text("/roles/worker/memory/limit"), "300Mi");
    let hungry = script("hungry", [before.url("client")]).start();
    let killed = "was killed for memory: it used more than its limit of 300Mi";
    home.until_status("dask", "status says that it was killed", |status| {
        status.state() == "Degraded" && status.reason().contains(killed)
    });
    // Dask gives the task up when four workers died of it.
    let said = hungry.finish();
    assert_eq!(said.stdout.trim(), "KilledWorker", "{said}");
    let after = home.until_ready("dask");
    assert_eq!(after.task("worker-0")["lastExit"], killed);
    assert!(after.number("/roles/worker/restarts") >= 1, "{}", after.0);
    assert_eq!(after.number("/roles/scheduler/restarts"), 0);
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn a_scheduler_that_is_killed_is_the_reason_while_it_is_away() {
    let home = Home::heavy();
    let before = home.up("dask", &[]);
    processes::kill_hard(before.pid("scheduler-0"));
    home.until_status("dask", "status says what happened", |status| {
        status.state() == "Degraded"
            && status.reason().starts_with("scheduler: ")
            && status
                .reason()
                .contains("was killed (SIGKILL), by hand or by the kernel for memory")
    });
    let after = home.until_status("dask", "it is ready again", |status| {
        status.state() == "Ready" && status.number("/roles/scheduler/restarts") == 1
    });
    assert_eq!(
        after.addresses(),
        before.addresses(),
        "clients find it where it was"
    );
    assert_eq!(
        after.task("scheduler-0")["lastExit"],
        "was killed (SIGKILL), by hand or by the kernel for memory"
    );
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn a_disk_that_is_full_is_said_and_takes_nothing_down() {
    let mut home = Home::heavy();
    let at = home.state_home();
    if let Err(why) = home.mount_small_disk(&at) {
        println!("skipped: a small disk cannot be mounted (root can): {why}");
        return;
    }
    let before = home.up("dask", &[]);
    assert!(before.0.get("notes").is_none(), "{}", before.0);
    let fill = at.join("fill");
    let mut size = 8 << 20;
    let file = fs::File::create(&fill).unwrap();
    let mut filled = 0;
    while size > 0 {
        use std::os::unix::fs::FileExt;
        match file.write_at(&vec![0; size], filled) {
            Ok(written) => filled += written as u64,
            Err(_) => size /= 2,
        }
    }
    let full = format!(
        "the disk that holds `{}` is full: output of tasks may be lost",
        home.state().display()
    );
    let says = |status: &crate::harness::Status| {
        status.0["notes"]
            .as_array()
            .is_some_and(|notes| notes.iter().any(|n| *n == full))
    };
    let status = home.until_status("dask", "status says that the disk is full", says);
    assert_eq!(status.pids(), before.pids());
    let shown = home.seaway(["status", "dask"]).run().succeeded().stdout;
    assert!(shown.contains(&full), "{shown}");
    let doctor = home.seaway(["doctor"]).run().with_code(1);
    assert!(doctor.stdout.contains("is full"), "{doctor}");

    // It goes on working, and what dies comes back, though nothing can be written.
    let gate = home.file("gate", "");
    let computed = script("gate", [before.url("client"), &gate, "3"])
        .run()
        .succeeded();
    assert_eq!(computed.stdout, "running\n5\n");
    processes::kill_hard(before.pid("worker-0"));
    // What was written last is not true any more, and what is true cannot be written.
    home.until_status("dask", "status sees that the worker is gone", |status| {
        status.state() != "Ready"
    });
    let other = home.seaway(UP).arguments(["--name", "other"]).run();
    assert_ne!(other.code, Some(0), "{other}");
    assert!(
        other.stderr.contains("full") || other.stderr.contains("No space left"),
        "{other}"
    );

    // What is open is not given back when it is removed.
    drop(file);
    fs::remove_file(&fill).unwrap();
    let after = home.until_status("dask", "it is ready, and no disk is full", |status| {
        status.state() == "Ready"
            && status.0.get("notes").is_none()
            && status.number("/roles/worker/restarts") > 0
    });
    assert_eq!(after.pid("scheduler-0"), before.pid("scheduler-0"));
    home.seaway(["down", "--all"]).run().succeeded();
    home.nothing_is_left();
}

#[test]
fn a_log_that_grows_is_cut_while_the_task_writes() {
    let home = Home::new();
    let script = "while :; do yes 'a line of no interest, repeated' | head -c 1000000; sleep 0.01; done\n";
    let fake = Fake::new(&home, "chatty").program("dask", script);
    home.seaway(UP)
        .arguments(["--no-wait", "--set", &fake.setting()])
        .run()
        .succeeded();
    let logs = |suffix: &str| {
        let instance = fs::read_dir(home.state().join("instances"))
            .unwrap()
            .flatten()
            .next()
            .unwrap()
            .path();
        fs::metadata(instance.join(format!("logs/scheduler-0.log{suffix}"))).map(|meta| meta.len())
    };
    home.until("the log was cut twice", PATIENCE, || {
        logs(".2").map_err(|error| error.to_string())
    });
    assert!(logs(".4").is_err(), "old ones go");
    let tail = home
        .seaway(["logs", "dask", "scheduler-0", "--tail", "2"])
        .run()
        .succeeded();
    assert_eq!(tail.stdout.lines().count(), 2);
    home.seaway(["down", "dask", "--force"]).run().succeeded();
    home.nothing_is_left();
}
