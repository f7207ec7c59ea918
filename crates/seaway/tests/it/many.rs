//! Many commands and instances: at once, side by side, and one after the other.

use std::{collections::BTreeSet, fs};

use crate::harness::{Fake, Home, PATIENCE, Status};

/// An environment in which nothing ever answers, so that instances stay as they are while they start.
fn silent(home: &Home) -> String {
    Fake::new(home, "silent")
        .program("dask", "exec sleep 1000\n")
        .setting()
}

#[test]
fn of_two_ups_of_one_name_at_once_one_wins_and_the_other_says_so() {
    for _ in 0..10 {
        // A new home each time: the two also meet when they make the store.
        let home = Home::new();
        let environment = silent(&home);
        let up = || {
            home.seaway([
                "up",
                "dask",
                "--name",
                "same",
                "--detach",
                "--no-wait",
                "--set",
                "notebook.enabled=false",
            ])
            .arguments(["--set", &environment])
            .start()
        };
        let (first, second) = (up(), up());
        let mut ended = [first.finish(), second.finish()];
        ended.sort_by_key(|output| output.code);
        let [winner, loser] = ended;
        assert_eq!((winner.code, loser.code), (Some(0), Some(4)), "{winner}\n{loser}");
        let said = "error: instance `same` is already coming up: another `seaway up` began it at ";
        assert!(loser.stderr.starts_with(said), "{loser}");
        assert!(
            loser
                .stderr
                .contains("hint: wait for it (`seaway status same --watch`)"),
            "{loser}"
        );
        assert_eq!(home.seaway(["ls", "--quiet"]).run().succeeded().stdout, "same\n");
        home.supervisor();
        home.seaway(["down", "same", "--force"]).run().succeeded();
        home.nothing_is_left();
    }
}

#[test]
fn the_loser_of_two_ups_does_not_disturb_the_winner() {
    let home = Home::heavy();
    let up = || {
        let arguments = [
            "up",
            "dask",
            "--detach",
            "--set",
            "notebook.enabled=false",
            "--set",
            "workers.replicas=1",
        ];
        home.seaway(arguments).start()
    };
    let mut ended = [up(), up()].map(crate::harness::Running::finish);
    ended.sort_by_key(|output| output.code);
    let [winner, loser] = ended;
    assert_eq!((winner.code, loser.code), (Some(0), Some(4)), "{winner}\n{loser}");
    let before = home.until_ready("dask");
    assert_eq!(
        before.number("/roles/worker/restarts") + before.number("/roles/scheduler/restarts"),
        0
    );
    // Who comes when it is ready is told that it is up already.
    let later = home
        .seaway([
            "up",
            "dask",
            "--detach",
            "--set",
            "notebook.enabled=false",
            "--set",
            "workers.replicas=1",
        ])
        .run()
        .succeeded();
    assert!(
        later
            .stderr
            .contains("dask is up already, just so; nothing was changed"),
        "{later}"
    );
    assert_eq!(home.status("dask").pids(), before.pids());
    home.down("dask");
    home.nothing_is_left();
}

#[test]
fn instances_of_two_users_that_start_at_once_find_ports_of_their_own() {
    // Their stores know nothing of each other, and both would like the usual ports.
    let (first, second) = (Home::heavy(), Home::new());
    let up = |home: &Home| {
        home.seaway(["up", "dask", "--detach", "--set", "notebook.enabled=false"])
            .start()
    };
    let (one, other) = (up(&first), up(&second));
    for (home, up) in [(&first, one), (&second, other)] {
        let up = up.finish();
        assert_eq!(up.code, Some(0), "{up}\n{}", home.report());
    }
    let (one, other) = (first.status("dask"), second.status("dask"));
    let addresses: BTreeSet<String> = [one.addresses(), other.addresses()]
        .concat()
        .into_iter()
        .collect();
    assert_eq!(addresses.len(), 4, "{addresses:?}");
    for (home, status) in [(&first, &one), (&second, &other)] {
        let task = status.task("worker-0")["pid"].as_u64().unwrap();
        let worker = crate::harness::processes::Process::of(i32::try_from(task).unwrap()).unwrap();
        assert_eq!(
            worker.variable("DASK_SCHEDULER_ADDRESS"),
            Some(status.url("client"))
        );
        home.down("dask");
        home.nothing_is_left();
    }
}

#[test]
fn twenty_instances_side_by_side_do_not_meet_on_any_port() {
    const NUMBER: usize = 20;
    let home = Home::heavy();
    let names: Vec<String> = (0..NUMBER).map(|number| format!("side-{number:02}")).collect();
    let ups: Vec<_> = names
        .iter()
        .map(|name| {
            home.seaway([
                "up",
                "dask",
                "--name",
                name,
                "--detach",
                "--no-wait",
                "--set",
                "notebook.enabled=false",
            ])
            .arguments(["--set", "workers.replicas=1"])
            .start()
        })
        .collect();
    for up in ups {
        up.finish().succeeded();
    }
    let all = home.until("all are ready", PATIENCE * 3, || {
        let list = home
            .seaway(["status", "--output", "json"])
            .run()
            .succeeded()
            .json();
        let all: Vec<Status> = list.as_array().unwrap().iter().cloned().map(Status).collect();
        let waiting: Vec<String> = all
            .iter()
            .filter(|one| one.state() != "Ready")
            .map(Status::summary)
            .collect();
        if waiting.is_empty() && all.len() == NUMBER {
            Ok(all)
        } else {
            Err(waiting.join("\n"))
        }
    });
    let restarts: u64 = all
        .iter()
        .map(|one| one.number("/roles/worker/restarts") + one.number("/roles/scheduler/restarts"))
        .sum();
    assert_eq!(restarts, 0, "{}", home.report());
    let addresses: Vec<String> = all.iter().flat_map(Status::addresses).collect();
    assert_eq!(
        addresses.iter().collect::<BTreeSet<_>>().len(),
        NUMBER * 2,
        "{addresses:?}"
    );
    assert_eq!(home.supervisors().len(), NUMBER);
    let down = home.seaway(["down", "--all"]).run().succeeded();
    assert_eq!(
        down.stderr.matches("is down, nothing left").count(),
        NUMBER,
        "{down}"
    );
    home.nothing_is_left();
    for one in &all {
        one.ports_are_free();
    }
}

#[test]
fn fifty_ups_and_downs_in_a_row_leave_nothing() {
    let home = Home::heavy();
    let temporary = || -> Vec<_> {
        let entries = fs::read_dir(home.path("tmp")).unwrap().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    for round in 0..50 {
        // A scheduler alone most of the times: the worker is what takes long.
        let replicas = format!("workers.replicas={}", u8::from(round % 5 == 0));
        let status = home.up("again", &["--set", &replicas]);
        home.down("again");
        home.nothing_is_left();
        status.ports_are_free();
        assert!(temporary().is_empty(), "{:?}", temporary());
    }
    let names: BTreeSet<_> = fs::read_dir(home.state())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| *name == "instances" || name.to_string_lossy().starts_with("state.db")),
        "{names:?}"
    );
    let groups = control_groups("seaway-again-");
    assert!(groups.is_empty(), "{groups:?}");
}

/// Control groups of this machine whose name begins so.
fn control_groups(prefix: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path());
            } else {
                folders.push(entry.path());
            }
        }
    }
    found
}
