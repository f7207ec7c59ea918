//! `kill -9` of anything at any moment: the instance comes back by itself or says why not, and `down` clears all.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use rand::{RngExt, seq::SliceRandom};

use crate::harness::{Conversation, Fake, Home, PATIENCE, Status, dice, processes, until};

/// Time in which an instance is ready again, or reported as failed.
const RECOVERY: Duration = Duration::from_secs(60);

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Worker,
    Scheduler,
    Supervisor,
}

/// A home with an instance `dask` that is announced in a folder of files.
fn announced() -> (Home, Status) {
    let home = Home::heavy();
    let file = home.file(
        "dask.yaml",
        "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {name: dask}\nspec:\n  workers: {replicas: 1}\n  \
         notebook: {enabled: false}\n  discovery:\n    - file: {path: entries, lease: 5s}\n",
    );
    let up = home.seaway(["up", "--detach", "--file", &file]).run();
    assert_eq!(up.code, Some(0), "{up}\n{}", home.report());
    let status = home.until_ready("dask");
    (home, status)
}

/// Takes it down, and looks that nothing is left of it anywhere.
fn gone(home: &Home) {
    let last = home.status("dask");
    home.down("dask");
    home.nothing_is_left();
    last.ports_are_free();
    let entries: Vec<_> = fs::read_dir(home.path("entries"))
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    assert!(entries.is_empty(), "{entries:?}");
    assert_eq!(home.seaway(["ls", "--quiet"]).run().succeeded().stdout, "");
}

/// Kills somebody, if it is there at the moment; the supervisor's death is noticed by three commands at once.
fn kill(home: &Home, victim: Victim) {
    let task = match victim {
        Victim::Supervisor => {
            for pid in home.supervisors() {
                processes::kill_hard(pid);
            }
            let looks: Vec<_> = (0..3)
                .map(|_| home.seaway(["status", "dask", "--output", "json"]).start())
                .collect();
            for look in looks {
                look.finish().succeeded();
            }
            // Those that came second see that and go.
            home.supervisor();
            return;
        }
        Victim::Worker => "worker-0",
        Victim::Scheduler => "scheduler-0",
    };
    if let Some(pid) = home.status("dask").running(task) {
        processes::kill_hard(pid);
    }
}

/// Waits until the instance is ready and has noticed all that happened, or has failed for a reason.
fn settled(home: &Home, what: &str) -> Status {
    home.until(what, RECOVERY, || {
        let status = home.status("dask");
        let alive = status.pids().len() == 2
            && status
                .pids()
                .iter()
                .all(|(_, pid)| processes::Process::of(*pid).is_some_and(|p| !p.words.is_empty()));
        match status.state() {
            "Ready" if alive && status.reason().is_empty() => Ok(status),
            "Failed" if !status.reason().is_empty() => Ok(status),
            _ => Err(status.summary()),
        }
    })
}

/// Whether a client can compute.
fn computes(home: &Home, status: &Status) {
    let gate = home.file("open-gate", "");
    let mut client = Conversation::start("gate", &[status.url("client"), &gate, "3"]);
    assert_eq!((client.hear().as_str(), client.hear().as_str()), ("running", "5"));
}

#[test]
fn sixty_kills_at_random_moments_leave_an_instance_that_is_ready_or_says_why_not() {
    let (home, _) = announced();
    let mut dice = dice();
    let mut victims = [Victim::Worker, Victim::Scheduler, Victim::Supervisor]
        .map(|victim| [victim; 20])
        .concat();
    victims.shuffle(&mut dice);
    // Half of the kills meet an instance that is ready, half one that is about to recover from the kill before.
    let mut victims = victims.into_iter().enumerate().peekable();
    let mut failures = 0;
    while let Some((number, victim)) = victims.next() {
        let moment = Instant::now() + Duration::from_millis(dice.random_range(0..1500));
        // The moment is what is tested; nothing is waited for.
        thread::sleep(moment.saturating_duration_since(Instant::now()));
        kill(&home, victim);
        if victims.peek().is_some() && dice.random_bool(0.5) {
            continue;
        }
        let status = settled(
            &home,
            &format!("ready or failed after kill {number} ({victim:?})"),
        );
        assert_eq!(home.supervisors().len(), 1);
        if status.state() == "Failed" {
            eprintln!("failed after kill {number} ({victim:?}): {}", status.reason());
            failures += 1;
            home.seaway(["up", "--detach", "--file", "dask.yaml"])
                .run()
                .succeeded();
        }
    }
    assert!(failures <= 3, "failed {failures} times: giving up should be rare");
    let status = home.until_ready("dask");
    computes(&home, &status);
    gone(&home);
}

#[test]
fn a_supervisor_that_is_killed_is_replaced_and_keeps_tasks_and_entry() {
    let (home, before) = announced();
    let entry = || -> serde_json::Value {
        serde_json::from_slice(&fs::read(home.path("entries/dask.json")).unwrap_or_default())
            .unwrap_or_default()
    };
    let owner = home.until("it is announced", PATIENCE, || {
        let owner = entry()["owner"].clone();
        if owner.is_null() {
            Err(entry().to_string())
        } else {
            Ok(owner)
        }
    });
    processes::kill_hard(home.supervisor());
    let after = home.until_ready("dask");
    assert_eq!(after.pids(), before.pids(), "no task was started again");
    assert_eq!(after.addresses(), before.addresses());
    home.supervisor();
    // Its time grows: the new supervisor renews it.
    let first = entry();
    let renewed = home.until("the entry is renewed", PATIENCE, || {
        let now = entry();
        if now != first && !now.is_null() {
            Ok(now)
        } else {
            Err(now.to_string())
        }
    });
    assert_eq!(renewed["owner"], owner);
    gone(&home);
}

#[test]
fn a_supervisor_and_all_tasks_that_are_killed_at_once_come_back() {
    let (home, before) = announced();
    let supervisor = home.supervisor();
    for pid in [supervisor]
        .into_iter()
        .chain(before.pids().into_iter().map(|(_, pid)| pid))
    {
        processes::kill_hard(pid);
    }
    let after = settled(&home, "ready after everything was killed");
    assert_eq!(after.state(), "Ready", "{}", after.0);
    for (task, pid) in after.pids() {
        assert!(
            !before.pids().contains(&(task.clone(), pid)),
            "{task} is the one that was killed"
        );
        let last = after.task(&task)["lastExit"].as_str().unwrap();
        assert!(last.contains("ended while no supervisor ran"), "{last}");
    }
    computes(&home, &after);
    gone(&home);
}

#[test]
fn a_supervisor_and_a_worker_that_are_killed_at_once_come_back() {
    let (home, before) = announced();
    let supervisor = home.supervisor();
    processes::kill_hard(supervisor);
    processes::kill_hard(before.pid("worker-0"));
    let after = settled(&home, "ready after supervisor and worker were killed");
    assert_eq!(after.state(), "Ready", "{}", after.0);
    assert_eq!(after.pid("scheduler-0"), before.pid("scheduler-0"));
    assert_ne!(after.pid("worker-0"), before.pid("worker-0"));
    assert_eq!(after.number("/roles/worker/restarts"), 1);
    gone(&home);
}

#[test]
fn down_clears_what_a_dead_supervisor_left_without_help() {
    let (home, before) = announced();
    processes::kill_hard(home.supervisor());
    home.down("dask");
    home.nothing_is_left();
    before.ports_are_free();
    assert!(fs::read_dir(home.path("entries")).unwrap().next().is_none());
}

#[test]
fn an_attached_up_that_is_killed_leaves_the_instance_up() {
    let home = Home::heavy();
    let up = home
        .seaway([
            "up",
            "dask",
            "--set",
            "notebook.enabled=false",
            "--set",
            "workers.replicas=1",
        ])
        .start();
    let before = home.until("it is ready", PATIENCE, || {
        let list = home.seaway(["ls", "--output", "json"]).run().succeeded().json();
        match list.as_array().and_then(|list| list.first()) {
            Some(one) if one["state"] == "Ready" => Ok(Status(one.clone())),
            other => Err(format!("{other:?}")),
        }
    });
    processes::kill_hard(up.pid());
    let output = up.finish();
    assert_eq!(output.code, None, "{output}");
    let after = home.until_ready("dask");
    assert_eq!(after.pids(), before.pids());
    home.down("dask");
    home.nothing_is_left();
    before.ports_are_free();
}

#[test]
fn an_up_that_is_killed_while_the_instance_starts_leaves_one_that_gets_ready() {
    let home = Home::heavy();
    let mut dice = dice();
    for _ in 0..5 {
        let up = home
            .seaway([
                "up",
                "dask",
                "--set",
                "notebook.enabled=false",
                "--set",
                "workers.replicas=1",
            ])
            .start();
        thread::sleep(Duration::from_millis(dice.random_range(0..150)));
        processes::kill_hard(up.pid());
        up.finish();
        let there = home.seaway(["ls", "--quiet"]).run().succeeded().stdout;
        if there == "dask\n" {
            home.until_ready("dask");
            home.down("dask");
        } else {
            assert_eq!(there, "");
        }
        // A folder of a command that was killed before it wrote its record goes with a later `up`.
        let left: Vec<String> = home
            .leftovers()
            .into_iter()
            .filter(|left| !left.starts_with("instances/"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let fake = Fake::new(&home, "fake").program("dask", "exec sleep 1000\n");
    let sweep = || {
        let up = [
            "up",
            "dask",
            "--detach",
            "--no-wait",
            "--set",
            "notebook.enabled=false",
            "--set",
        ];
        home.seaway(up).arguments([&fake.setting()]).run().succeeded();
        home.seaway(["down", "dask", "--force"]).run().succeeded();
        home.leftovers()
    };
    until(PATIENCE, || match sweep() {
        left if left.is_empty() => Ok(()),
        left => Err(left.join("\n")),
    })
    .unwrap();
}
