//! Commands that start nothing, and those that follow what happens.

use insta::assert_snapshot;
use serde_json::json;

use crate::harness::{Fake, Home, Invocation, PATIENCE, filters, script};

#[test]
fn plan_shows_what_would_be_started_and_leaves_nothing() {
    let home = Home::new();
    let plan = home.seaway(["plan", "dask"]).run().succeeded();
    assert_eq!(plan.stderr, "");
    filters(&home).bind(|| assert_snapshot!("plan_of_the_preset", plan.stdout));
    assert!(!home.state_home().exists());
    assert!(home.processes().is_empty());
}

#[test]
fn plans_are_what_their_schema_says() {
    let home = Home::new();
    let schema = home.seaway(["schema", "plan"]).run().succeeded().json();
    let plan = home
        .seaway(["plan", "dask", "--output", "json"])
        .run()
        .succeeded()
        .json();
    let other = home
        .seaway([
            "plan",
            "dask",
            "--output",
            "json",
            "--set",
            "notebook.enabled=false",
        ])
        .arguments([
            "--set",
            "python.environment=/opt/python",
            "--set",
            "discovery=[{file: {}}, {stdout: {}}]",
        ])
        .run()
        .succeeded()
        .json();
    let mut wrong = plan.clone();
    wrong["rolls"] = json!([]);
    valid(&json!({"schema": schema, "accept": [plan, other], "refuse": [wrong]}));
}

#[test]
fn the_schema_of_documents_accepts_the_preset_and_refuses_unknown_keys() {
    let home = Home::new();
    let schema = home.seaway(["schema"]).run().succeeded().json();
    let document = json!({
        "apiVersion": "seaway.dev/v1alpha1",
        "kind": "Dask",
        "metadata": {"name": "dask"},
        "spec": {
            "workers": {"replicas": 2, "threads": 1, "resources": {"cpu": 1, "memory": "2Gi"}},
            "notebook": {"enabled": true},
        },
    });
    let with = |pointer: &str, key: &str, value: serde_json::Value| {
        let mut changed = document.clone();
        changed.pointer_mut(pointer).unwrap()[key] = value;
        changed
    };
    let refuse = [
        with("/spec", "worker", json!({})),
        with("/spec/workers", "replica", json!(2)),
        with("/spec/workers", "replicas", json!(-1)),
        with("/metadata", "name", json!("Bad_Name")),
        with("", "kind", json!("Dusk")),
        with("/spec/workers/resources", "memory", json!("many")),
    ];
    valid(&json!({"schema": schema, "accept": [document], "refuse": refuse}));
}

/// Fails the test unless the schema is one, accepts what it should and refuses what it should.
#[track_caller]
fn valid(question: &serde_json::Value) {
    script("validate", [])
        .input(question.to_string())
        .run()
        .succeeded();
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let home = Home::new();
    let bash = home.seaway(["completion", "bash"]).run().succeeded();
    let path = home.file("completion.bash", &bash.stdout);
    home.furnish(Invocation::new("bash", ["-n", &path]))
        .run()
        .succeeded();
    let words = "source completion.bash; COMP_WORDS=(seaway up --det); COMP_CWORD=2; _seaway seaway --det up; echo ${COMPREPLY[@]}";
    let completed = home
        .furnish(Invocation::new("bash", ["-c", words]))
        .run()
        .succeeded();
    assert_eq!(completed.stdout.trim(), "--detach", "{completed}");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = home.seaway(["completion", shell]).run().succeeded();
        assert!(
            script.stdout.contains("supervise") == bash.stdout.contains("supervise"),
            "{shell}"
        );
        assert!(script.stdout.contains("detach"), "{shell}");
    }
    home.seaway(["completion", "tcsh"]).run().with_code(2);
}

#[test]
fn doctor_looks_at_everything_and_leaves_nothing() {
    let home = Home::new();
    let doctor = home.seaway(["doctor"]).run().succeeded();
    let checks = home
        .seaway(["doctor", "--output", "json"])
        .run()
        .succeeded()
        .json();
    let names: Vec<&str> = checks
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["what"].as_str().unwrap())
        .collect();
    let expected = [
        "state folder",
        "cache folder",
        "Python",
        "venv and pip",
        "uv",
        "memory limits",
        "process clean-up",
    ];
    assert_eq!(names, expected);
    for (name, check) in expected.iter().zip(checks.as_array().unwrap()) {
        assert!(doctor.stdout.contains(name), "{doctor}");
        let verdict = check["verdict"].as_str().unwrap();
        assert!(["ok", "optional"].contains(&verdict), "{check}");
        assert_eq!(check["remedy"].is_string(), verdict != "ok", "{check}");
    }
    assert!(home.leftovers().is_empty(), "{:?}", home.leftovers());
}

#[test]
fn doctor_says_how_to_get_what_is_missing() {
    let home = Home::new();
    let empty = home.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let doctor = home.seaway(["doctor"]).env("PATH", &empty).run().with_code(1);
    assert!(
        doctor
            .stdout
            .contains("Python             MISSING    no `python3` on PATH"),
        "{doctor}"
    );
    assert!(doctor.stdout.contains("apt install python3"), "{doctor}");
    let file = home.file("a-file", "");
    let doctor = home
        .seaway(["doctor"])
        .env("XDG_STATE_HOME", &file)
        .run()
        .with_code(1);
    assert!(
        doctor.stdout.contains("cannot be made") && doctor.stdout.contains("XDG_STATE_HOME"),
        "{doctor}"
    );
}

#[test]
fn commands_that_look_find_nothing_and_make_nothing() {
    let home = Home::new();
    assert_eq!(home.seaway(["ls", "--quiet"]).run().succeeded().stdout, "");
    assert_eq!(
        home.seaway(["ls"]).run().succeeded().stdout,
        "no instances; `seaway up dask` brings one up\n"
    );
    assert_eq!(
        home.seaway(["ls", "--output", "json"]).run().succeeded().json(),
        json!([])
    );
    assert_eq!(
        home.seaway(["status", "--output", "json"])
            .run()
            .succeeded()
            .json(),
        json!([])
    );
    assert_eq!(
        home.seaway(["down", "--all"]).run().succeeded().stderr,
        "no instances\n"
    );
    for command in ["status", "describe", "logs", "down"] {
        let output = home.seaway([command, "dask"]).run().with_code(3);
        assert_eq!(
            output.stderr,
            "error: there is no instance `dask`\nhint: `seaway ls` lists the instances\n"
        );
    }
    assert!(!home.state_home().exists(), "looking makes nothing");
}

/// An instance that starts for ever and writes a line.
fn talkative(home: &Home) {
    let fake = Fake::new(home, "fake").program("dask", "echo hello from $2 $SEAWAY_TASK; exec sleep 1000\n");
    home.seaway([
        "up",
        "dask",
        "--detach",
        "--no-wait",
        "--set",
        "notebook.enabled=false",
        "--set",
        &fake.setting(),
    ])
    .run()
    .succeeded();
}

#[test]
fn logs_are_followed_until_the_instance_is_gone() {
    let home = Home::new();
    talkative(&home);
    home.until("the tasks have written", PATIENCE, || {
        let logs = home.seaway(["logs", "dask"]).run().succeeded().stdout;
        if logs.matches("hello from").count() == 3 {
            Ok(())
        } else {
            Err(logs)
        }
    });
    let mut following = home.seaway(["logs", "dask", "--follow"]).start();
    // Into a file, so that the test sees when the first look was printed.
    let watch = "exec \"$0\" status dask --watch > watched";
    let shell = Invocation::new("sh", ["-c", watch, env!("CARGO_BIN_EXE_seaway")]);
    let mut watching = home.furnish(shell).start();
    home.until("the first look is printed", PATIENCE, || {
        let watched = std::fs::read_to_string(home.path("watched")).unwrap_or_default();
        if watched.contains("worker ") {
            Ok(())
        } else {
            Err(watched)
        }
    });
    home.seaway(["scale", "dask", "worker=3", "--timeout", "1ms"])
        .run()
        .with_code(1);
    home.until("the change is printed", PATIENCE, || {
        let watched = std::fs::read_to_string(home.path("watched")).unwrap_or_default();
        if watched.contains("0/3") {
            Ok(())
        } else {
            Err(watched)
        }
    });
    let log = std::fs::read_dir(home.state().join("instances"))
        .unwrap()
        .flatten()
        .next()
        .unwrap();
    let log = log.path().join("logs/worker-1.log");
    assert!(!following.has_ended() && !watching.has_ended());
    let mut content = std::fs::read(&log).unwrap();
    content.extend_from_slice(b"and another line\n");
    std::fs::write(&log, content).unwrap();
    home.seaway(["down", "dask", "--force"]).run().succeeded();
    let followed = following.finish().succeeded();
    assert!(
        followed.stdout.contains("worker-0    | hello from "),
        "{followed}"
    );
    assert!(followed.stderr.contains("dask is gone"), "{followed}");
    let ended = watching.finish().succeeded();
    assert!(ended.stderr.contains("dask is gone"), "{ended}");
    let watched = std::fs::read_to_string(home.path("watched")).unwrap();
    assert!(watched.starts_with("dask (Dask on local): Starting"), "{watched}");
    home.nothing_is_left();
}

#[test]
fn the_environment_of_the_user_reaches_tasks_and_marks_of_other_instances_do_not() {
    let home = Home::new();
    let fake = Fake::new(&home, "fake").program("dask", "env; echo that was all; exec sleep 1000\n");
    home.seaway([
        "up",
        "dask",
        "--detach",
        "--no-wait",
        "--set",
        "notebook.enabled=false",
        "--set",
        &fake.setting(),
    ])
    .arguments([
        "--set",
        "workers.env={OWN: '1', SHARED: worker}",
        "--set",
        "env={SHARED: all}",
    ])
    .env("FROM_THE_USER", "yes")
    .env("SEAWAY_INSTANCE_ID", "another")
    .env("PYTHONPATH", "/elsewhere")
    .run()
    .succeeded();
    let environment = |task: &str| {
        home.until("it has written all", PATIENCE, || {
            let logs = home
                .seaway(["logs", "dask", task, "--tail", "1000"])
                .run()
                .succeeded()
                .stdout;
            if logs.contains("that was all") {
                Ok(logs)
            } else {
                Err(logs)
            }
        })
    };
    let (scheduler, worker) = (environment("scheduler-0"), environment("worker-1"));
    let has = |text: &str, line: &str| text.lines().any(|candidate| candidate == line);
    assert!(has(&scheduler, "FROM_THE_USER=yes") && has(&worker, "FROM_THE_USER=yes"));
    assert!(has(&scheduler, "SHARED=all") && has(&worker, "SHARED=worker") && has(&worker, "OWN=1"));
    assert!(!scheduler.contains("OWN=1") && !worker.contains("PYTHONPATH"));
    assert!(has(&worker, "SEAWAY_TASK=worker-1") && has(&worker, "SEAWAY_INSTANCE=dask"));
    assert!(!worker.contains("SEAWAY_INSTANCE_ID=another"));
    let path = format!("PATH={}", fake.root().join("bin").display());
    assert!(worker.lines().any(|line| line.starts_with(&path)), "{worker}");
    home.seaway(["down", "dask", "--force"]).run().succeeded();
    home.nothing_is_left();
}
