//! A cluster as the preset describes it, with its notebook, used in all the ways that users have. The tests share one,
//! which they find ready and leave ready.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::OnceLock};

use serde_json::Value;

use crate::harness::{Conversation, Heavy, Home, Output, PATIENCE, Status, get, python, script};

/// The shared cluster, and the turn to use it.
pub(crate) struct Shared {
    pub(crate) home: &'static Home,
    /// What `up` printed.
    up: &'static Output,
    _turn: Heavy,
}

/// The cluster that tests share. It goes when the test process goes.
pub(crate) fn shared() -> Shared {
    static SHARED: OnceLock<(Home, Output)> = OnceLock::new();
    let turn = Heavy::wait();
    python();
    let (home, up) = SHARED.get_or_init(|| {
        let home = Home::new();
        let up = home.seaway(["up", "dask", "--detach", "--output", "json"]).run();
        assert_eq!(up.code, Some(0), "{up}\n{}", home.report());
        (home, up)
    });
    Shared {
        home,
        up,
        _turn: turn,
    }
}

impl Shared {
    fn status(&self) -> Status {
        self.home.until_ready("dask")
    }

    fn token(&self) -> String {
        fs::read_to_string(self.status().text("/endpoints/notebook/tokenFile"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Runs code in a kernel of the notebook server.
    fn kernel(&self, code: &str) -> String {
        let url = format!("http://{}", self.status().address("notebook"));
        script("kernel", [url.as_str(), &self.token(), code])
            .run()
            .succeeded()
            .stdout
    }
}

#[test]
fn up_prints_the_status_of_an_instance_that_is_ready() {
    let shared = shared();
    let printed = Status(shared.up.json());
    assert_eq!(printed.state(), "Ready", "{}", shared.up);
    assert_eq!(printed.0["endpoints"], shared.status().0["endpoints"]);
}

#[test]
fn a_client_from_pypi_sums_200_million_elements() {
    let shared = shared();
    let address = shared.status().url("client").to_owned();
    let output = script("sum", [address.as_str()]).run().succeeded();
    assert_eq!(output.stdout.trim(), "200000000.0 2");
}

#[test]
fn a_kernel_of_the_notebook_does_so_with_a_client_without_arguments() {
    let shared = shared();
    let printed = shared.kernel(
        "import dask.array as da\n\
         from distributed import Client\n\
         with Client() as client:\n    \
             print(client.scheduler.address)\n    \
             print(da.ones(200_000_000, chunks=10_000_000).sum().compute())\n",
    );
    let status = shared.status();
    assert_eq!(
        printed.lines().collect::<Vec<_>>(),
        [status.url("client"), "200000000.0"]
    );
}

#[test]
fn kernels_see_where_the_scheduler_is_for_dask_and_for_the_arl() {
    let shared = shared();
    let printed = shared
        .kernel("import os\nprint(os.environ['DASK_SCHEDULER_ADDRESS'], os.environ['ARL_DASK_SCHEDULER'])\n");
    let status = shared.status();
    assert_eq!(
        printed.trim(),
        format!("{} {}", status.url("client"), status.address("client"))
    );
}

#[test]
fn the_status_in_json_has_all_that_was_promised() {
    let shared = shared();
    let status = shared.status();
    let has = |pointer: &str, fits: fn(&Value) -> bool| {
        let value = status
            .0
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {}", status.0));
        assert!(fits(value), "{pointer} is {value}");
    };
    for (field, value) in [
        ("name", "dask"),
        ("kind", "Dask"),
        ("platform", "local"),
        ("state", "Ready"),
        ("reason", ""),
    ] {
        assert_eq!(status.0[field], value, "{field}");
    }
    for (endpoint, scheme) in [
        ("client", "tcp://"),
        ("dashboard", "http://"),
        ("notebook", "http://"),
    ] {
        let address = status.address(endpoint);
        assert!(address.starts_with("127.0.0.1:"), "{endpoint} is at {address}");
        assert!(
            status.url(endpoint).starts_with(&format!("{scheme}{address}")),
            "{}",
            status.url(endpoint)
        );
    }
    has("/endpoints/notebook/tokenFile", Value::is_string);
    for (role, tasks) in [("scheduler", 1), ("worker", 2), ("notebook", 1)] {
        assert_eq!(status.number(&format!("/roles/{role}/desired")), tasks);
        assert_eq!(status.number(&format!("/roles/{role}/ready")), tasks);
        has(&format!("/roles/{role}/reason"), |reason| reason == "");
        has(&format!("/roles/{role}/restarts"), Value::is_u64);
        assert_eq!(
            status.0["roles"][role]["tasks"].as_array().unwrap().len() as u64,
            tasks
        );
        for index in 0..tasks {
            has(&format!("/roles/{role}/tasks/{index}/pid"), Value::is_u64);
            has(&format!("/roles/{role}/tasks/{index}/state"), |state| {
                state == "Ready"
            });
            has(&format!("/roles/{role}/tasks/{index}/reason"), |reason| {
                reason == ""
            });
        }
    }
    let roles: Vec<&String> = status.0["roles"].as_object().unwrap().keys().collect();
    assert_eq!(roles, ["scheduler", "worker", "notebook"], "in starting order");
}

#[test]
fn the_status_in_json_is_what_its_schema_says() {
    let shared = shared();
    let schema = shared.home.seaway(["schema", "status"]).run().succeeded().json();
    let good = shared.status().0;
    let mut bad = good.clone();
    bad["state"] = "Splendid".into();
    let question = serde_json::json!({"schema": schema, "accept": [good], "refuse": [bad]});
    script("validate", [])
        .input(question.to_string())
        .run()
        .succeeded();
}

#[test]
fn the_notebook_refuses_whoever_has_no_token() {
    let shared = shared();
    let status = shared.status();
    let at = |path: &str| get(status.address("notebook"), path).unwrap().0;
    assert_eq!(at("/api/kernels"), 403);
    assert_eq!(at("/api/kernels?token=guessed"), 403);
    assert_eq!(at(&format!("/api/kernels?token={}", shared.token())), 200);
}

#[test]
fn the_dashboard_answers_where_the_status_says() {
    let shared = shared();
    let status = shared.status();
    assert!(status.url("dashboard").ends_with("/status"));
    assert_eq!(get(status.address("dashboard"), "/status").unwrap().0, 200);
}

#[test]
fn the_token_is_in_private_files_and_nowhere_else() {
    let shared = shared();
    let token = shared.token();
    assert!(token.len() >= 32, "{token}");
    let file = shared.status().text("/endpoints/notebook/tokenFile").to_owned();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for process in shared.home.processes() {
        assert!(
            !process.words.join(" ").contains(&token),
            "in the command line of {process:?}"
        );
    }
    let mut files = Vec::new();
    all_files(&shared.home.state(), &mut files);
    for path in &files {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        let content = fs::read(path).unwrap();
        if content.windows(token.len()).any(|part| part == token.as_bytes()) {
            // Jupyter writes a page for a browser, with the token in it, and makes it readable for all. It is in a
            // folder that nobody else can enter.
            let closed = path
                .ancestors()
                .skip(1)
                .any(|folder| fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o077 == 0));
            let page = path.extension().is_some_and(|extension| extension == "html");
            assert!(
                closed,
                "others can reach {}, which holds the token",
                path.display()
            );
            assert!(
                page || mode & 0o077 == 0,
                "{} can be read by others",
                path.display()
            );
            let name = path.display().to_string();
            assert!(
                !name.contains(".log") && !name.contains("state.db"),
                "the token is in {name}"
            );
        }
    }
    for task in ["scheduler", "worker", "notebook", "supervisor"] {
        let logs = shared
            .home
            .seaway(["logs", "dask", task, "--tail", "100000"])
            .run()
            .succeeded();
        assert!(!logs.stdout.contains(&token), "in the log of {task}");
    }
    let plain = shared.home.seaway(["status", "dask"]).run().succeeded();
    assert!(!plain.stdout.contains(&token));
    let described = shared
        .home
        .seaway(["describe", "dask", "--output", "yaml"])
        .run()
        .succeeded();
    assert!(!described.stdout.contains(&token));
}

fn all_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all_files(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

#[test]
fn what_others_must_not_read_is_private() {
    let shared = shared();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&shared.home.state()), 0o700);
    assert_eq!(mode(&shared.home.state().join("state.db")), 0o600);
    let instances: Vec<_> = fs::read_dir(shared.home.state().join("instances"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(instances.len(), 1);
    assert_eq!(mode(&instances[0].path()), 0o700);
    assert_eq!(mode(&instances[0].path().join("environment.json")), 0o600);
}

#[test]
fn restart_upload_file_and_the_task_stream_work_without_a_nanny() {
    let shared = shared();
    let before = shared.status();
    let output = script("whole_client", [before.url("client")]).run();
    assert_eq!(output.code, Some(0), "{output}\n{}", shared.home.report());
    let said: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        said,
        [
            "nannies [None, None]",
            "uploaded 42",
            "stream True",
            "restarted True",
            "sum 45"
        ],
        "{output}"
    );
    let after = shared.status();
    let restarts = |status: &Status| status.number("/roles/worker/restarts");
    assert_eq!(restarts(&after), restarts(&before) + 2, "{}", after.0);
    assert_eq!(
        after.number("/roles/scheduler/restarts"),
        before.number("/roles/scheduler/restarts")
    );
    for process in shared.home.processes() {
        assert!(
            !process.words.join(" ").contains("nanny ") || process.words.iter().any(|w| w == "--no-nanny")
        );
    }
}

#[test]
fn describe_says_busy_while_a_task_runs_and_idle_afterwards() {
    let shared = shared();
    let activity = || {
        shared
            .home
            .seaway(["describe", "dask", "--output", "json"])
            .run()
            .succeeded()
            .json()["activity"]
            .clone()
    };
    let until = |state: &str| {
        shared.home.until(&format!("it is {state}"), PATIENCE, || {
            let seen = activity();
            if seen["state"] == state {
                Ok(())
            } else {
                Err(seen.to_string())
            }
        });
    };
    until("idle");
    let gate = shared.home.path("describe-gate").display().to_string();
    let address = shared.status().url("client").to_owned();
    let mut computing = Conversation::start("gate", &[&address, &gate, "4"]);
    assert_eq!(computing.hear(), "running");
    until("busy");
    let text = shared.home.seaway(["describe", "dask"]).run().succeeded().stdout;
    assert!(text.contains("activity: busy: tasks are processing"), "{text}");
    assert!(text.contains("worker-1") && text.contains("kind: Dask"), "{text}");
    fs::write(&gate, "").unwrap();
    assert_eq!(computing.hear(), "14");
    until("idle");
}

#[test]
fn logs_show_all_tasks_one_role_or_one_task() {
    let shared = shared();
    shared.status();
    let logs = |arguments: &[&str]| {
        shared
            .home
            .seaway(["logs", "dask"])
            .arguments(arguments)
            .run()
            .succeeded()
            .stdout
    };
    let all = logs(&[]);
    for task in ["scheduler-0", "worker-0", "worker-1", "notebook-0"] {
        assert!(
            all.lines().any(|line| line.starts_with(task)),
            "{task} is missing:\n{all}"
        );
    }
    let workers = logs(&["worker"]);
    assert!(
        workers.lines().all(|line| line.starts_with("worker-")),
        "{workers}"
    );
    let last = logs(&["worker-0", "--tail", "3"]);
    assert_eq!(last.lines().count(), 3, "{last}");
    let supervisor = logs(&["supervisor"]);
    assert!(supervisor.contains("ready"), "{supervisor}");
    let wrong = shared.home.seaway(["logs", "dask", "wroker"]).run().with_code(2);
    assert!(
        wrong.stderr.contains("`wroker`") && wrong.stderr.contains("worker-1"),
        "{wrong}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let shared = shared();
    shared.status();
    let seaway = Path::new(env!("CARGO_BIN_EXE_seaway"))
        .parent()
        .unwrap()
        .display()
        .to_string();
    let folders = format!("{seaway}:{}", std::env::var("PATH").unwrap());
    for command in [
        "seaway logs dask notebook --tail 100000 | head -1; echo",
        // Nothing more is written, so no write can tell that the reader has gone.
        "seaway logs dask notebook --follow | head -1; echo",
        // More than a pipe holds, so that the writer meets the closed pipe for sure.
        "for i in 1 2 3 4 5 6 7 8; do seaway schema; done | head -1; echo",
    ] {
        let bash = crate::harness::Invocation::new("bash", ["-c", command]);
        let output = shared.home.furnish(bash).env("PATH", &folders).run().succeeded();
        assert_eq!(output.stderr, "", "{output}");
        assert_eq!(output.stdout.lines().count(), 2, "{output}");
    }
}

#[test]
fn lists_name_what_is_there() {
    let shared = shared();
    shared.status();
    assert_eq!(
        shared.home.seaway(["ls", "--quiet"]).run().succeeded().stdout,
        "dask\n"
    );
    let table = shared.home.seaway(["ls"]).run().succeeded().stdout;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][..5], ["NAME", "KIND", "PLATFORM", "STATE", "READY"]);
    assert_eq!(rows[1][..5], ["dask", "Dask", "local", "Ready", "4/4"]);
    let json = shared
        .home
        .seaway(["ls", "--output", "json"])
        .run()
        .succeeded()
        .json();
    assert_eq!(json.as_array().unwrap().len(), 1);
    let yaml = shared
        .home
        .seaway(["status", "dask", "--output", "yaml"])
        .run()
        .succeeded()
        .stdout;
    assert!(
        yaml.contains("name: dask\n") && yaml.contains("state: Ready\n"),
        "{yaml}"
    );
}

#[test]
fn a_name_that_nothing_has_is_answered_with_the_nearest() {
    let shared = shared();
    shared.status();
    for arguments in [
        ["down", "dusk"],
        ["status", "daskk"],
        ["logs", "dask1"],
        ["describe", "das"],
    ] {
        let output = shared.home.seaway(arguments).run().with_code(3);
        let expected = format!(
            "error: there is no instance `{}`\nhint: did you mean `dask`?\n",
            arguments[1]
        );
        assert_eq!(
            (output.stdout.as_str(), output.stderr.as_str()),
            ("", expected.as_str())
        );
    }
    let output = shared.home.seaway(["down", "another-thing"]).run().with_code(3);
    assert_eq!(
        output.stderr,
        "error: there is no instance `another-thing`\nhint: `seaway ls` lists the instances\n"
    );
    assert_eq!(shared.status().state(), "Ready");
}

#[test]
fn a_role_that_cannot_be_scaled_is_answered_with_those_that_can() {
    let shared = shared();
    shared.status();
    let scale = |role: &str| {
        shared
            .home
            .seaway(["scale", "dask", role])
            .run()
            .with_code(2)
            .stderr
    };
    assert_eq!(
        scale("wroker=3"),
        "error: instance `dask` has no role `wroker`; its roles are scheduler, worker, notebook\n"
    );
    assert_eq!(
        scale("scheduler=2"),
        "error: role `scheduler` of `dask` cannot be scaled; these can: worker\n"
    );
    for wrong in [
        "worker",
        "worker=",
        "worker=-1",
        "worker=many",
        "worker=1001",
        "worker=99999999999999999999",
    ] {
        let said = scale(wrong);
        assert!(
            said.starts_with(&format!("error: `{wrong}` is not ROLE=N with N from 0 to 1000\n")),
            "{said}"
        );
    }
    let missing = shared
        .home
        .seaway(["scale", "nothing", "worker=3"])
        .run()
        .with_code(3);
    assert!(missing.stderr.contains("no instance `nothing`"), "{missing}");
    assert_eq!(shared.status().number("/roles/worker/desired"), 2);
}

#[test]
fn the_same_document_again_changes_nothing() {
    let shared = shared();
    let before = shared.status();
    let again = shared.home.seaway(["up", "dask", "--detach"]).run().succeeded();
    assert!(
        again
            .stderr
            .contains("dask is up already, just so; nothing was changed"),
        "{again}"
    );
    assert_eq!(shared.status().pids(), before.pids());
}

#[test]
fn down_takes_kernels_and_what_they_started_along() {
    let home = Home::heavy();
    let entries = home.path("entries");
    let up = home
        .seaway(["up", "dask", "--detach", "--set", "workers.replicas=1", "--set"])
        .arguments([&format!("discovery=[{{file: {{path: {}}}}}]", entries.display())])
        .run();
    assert_eq!(up.code, Some(0), "{up}\n{}", home.report());
    let status = home.until_ready("dask");
    let token = fs::read_to_string(status.text("/endpoints/notebook/tokenFile")).unwrap();
    // A process of a session of its own: no signal to a process group reaches it.
    let code = "import subprocess\n\
                print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid)\n";
    let url = format!("http://{}", status.address("notebook"));
    let kept = script("kernel", [url.as_str(), token.trim(), code, "keep"])
        .run()
        .succeeded();
    let stray: i32 = kept.stdout.trim().parse().unwrap();
    let runs =
        |pid| crate::harness::processes::Process::of(pid).is_some_and(|process| !process.words.is_empty());
    assert!(runs(stray), "{kept}");
    home.until("it is announced", PATIENCE, || {
        fs::metadata(entries.join("dask.json"))
            .map(drop)
            .map_err(|error| error.to_string())
    });
    let before: Vec<i32> = home.processes().iter().map(|process| process.pid).collect();
    assert!(
        before.len() >= 6,
        "supervisor, three tasks, a kernel and the stray: {before:?}"
    );
    home.down("dask");
    assert!(!runs(stray), "{stray} still runs");
    home.nothing_is_left();
    status.ports_are_free();
    assert!(fs::read_dir(&entries).unwrap().next().is_none());
    assert!(
        fs::read_dir(home.path("tmp")).unwrap().next().is_none(),
        "temporary files"
    );
}
