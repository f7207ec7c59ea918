//! A Dask instance with its notebook, used in all the ways that users have. The tests share one, which they find ready
//! and leave ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::OnceLock,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::harness::{
    Heavy, Home, Output, Status, get,
    kubernetes::{Namespace, Turn},
    python, script,
};

/// The document of a user who tried it on the laptop first.
const DOCUMENT: &str = "\
apiVersion: seaway.dev/v1alpha1
kind: Dask
metadata:
  name: lab
spec:
  workers:
    replicas: 2
  env:
    WHERE: anywhere
";

/// The sum that every client computes, and how many workers it sees.
const SUM: &str = "200000000.0 2";

/// The shared instance, and the turn to use it.
struct Shared {
    namespace: &'static Namespace,
    /// What `up` printed, and when it ended.
    up: &'static (Output, Timestamp),
    _turn: Turn,
}

/// The instance that tests share. It goes when the test process goes.
fn shared() -> Shared {
    static SHARED: OnceLock<(Namespace, (Output, Timestamp))> = OnceLock::new();
    let turn = Turn::wait();
    python();
    let (namespace, up) = SHARED.get_or_init(|| {
        let namespace = Namespace::new();
        let up = bring_up(&namespace);
        (namespace, up)
    });
    Shared {
        namespace,
        up,
        _turn: turn,
    }
}

/// Brings the instance up. Gives back what `up` printed and when it ended, and prints how long that was after the last
/// pod was ready.
fn bring_up(namespace: &Namespace) -> (Output, Timestamp) {
    let file = namespace.home.file("lab.yaml", DOCUMENT);
    let readiness = r#"jsonpath={.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}"#;
    let pods = namespace
        .kubectl(["get", "pods", "--watch", "--output", readiness])
        .start();
    let mut up = namespace
        .seaway(["up", "-f", &file, "--on", "kubernetes", "--detach"])
        .start();
    let mut ready = None;
    namespace.until("`up` ends", || {
        let has_ended = up.has_ended();
        let said = pods.stdout();
        let last: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once(' ')).collect();
        if last.len() == 4 && last.values().all(|status| *status == "True") {
            ready.get_or_insert_with(Instant::now);
        }
        if has_ended { Ok(()) } else { Err(said) }
    });
    let ended = Timestamp::now();
    if let Some(ready) = ready {
        eprintln!("`up` ended {:?} after the last pod was ready", ready.elapsed());
    }
    let up = up.finish();
    assert_eq!(up.code, Some(0), "{up}\n{}", namespace.report());
    (up, ended)
}

impl Shared {
    fn status(&self) -> Status {
        self.namespace.until_ready("lab")
    }

    fn token(&self) -> String {
        let file = self.status().text("/endpoints/notebook/tokenFile").to_owned();
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Runs a command in the container of a task.
    fn exec(&self, task: &str, command: &[&str], input: &str) -> Output {
        let exec = self.namespace.seaway(["exec", "lab", task, "--stdin", "--"]);
        exec.arguments(command).input(input).run()
    }
}

#[test]
fn a_file_for_the_laptop_does_the_same_on_the_cluster() {
    let shared = shared();
    let on_laptop = {
        let _heavy = Heavy::wait();
        let home = Home::new();
        let file = shared.namespace.home.path("lab.yaml").display().to_string();
        home.seaway(["up", "-f", &file, "--detach"]).run().succeeded();
        let status = home.status("lab");
        let sum = script("sum", [status.url("client")]).run().succeeded();
        home.down("lab");
        home.nothing_is_left();
        sum.stdout
    };
    // The address is of this machine: `up` made the way there, which an unmodified client goes.
    let status = shared.status();
    assert!(status.address("client").starts_with("127.0.0.1:"), "{}", status.0);
    let on_cluster = script("sum", [status.url("client")]).run().succeeded().stdout;
    assert_eq!((on_laptop.trim(), on_cluster.trim()), (SUM, SUM));
}

#[test]
fn up_ends_after_the_last_pod_is_ready_with_addresses_that_work_from_here() {
    let shared = shared();
    let (up, ended) = shared.up;
    let status = shared.status();
    for (endpoint, suffix) in [
        ("client", ""),
        ("dashboard", ""),
        ("notebook", &*format!("?token={}", shared.token())),
    ] {
        let line = format!("{}{suffix}", status.url(endpoint));
        assert!(up.stdout.contains(&line), "{line} is not in {up}");
    }
    assert_eq!(get(status.address("dashboard"), "/status").unwrap().0, 200);
    let pods = shared.namespace.pods("lab");
    assert_eq!(pods.len(), 4, "{:?}", pods.keys());
    let nodes: BTreeSet<_> = pods
        .values()
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
        .collect();
    assert_eq!(nodes.len(), 2, "they are on both nodes");
    for (name, pod) in &pods {
        let conditions = pod["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|one| one["type"] == "Ready").unwrap();
        let since: Timestamp = ready["lastTransitionTime"].as_str().unwrap().parse().unwrap();
        assert!(
            since <= *ended,
            "{name} was ready at {since}, `up` ended at {ended}"
        );
    }
}

#[test]
fn a_client_in_a_pod_computes_through_the_service() {
    let shared = shared();
    let address = format!("tcp://lab-scheduler.{}.svc:8786", shared.namespace.name);
    let program = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python/sum.py")).unwrap();
    // The program comes over standard input.
    let output = shared.exec("notebook-0", &["python", "-", &address], &program);
    assert_eq!(output.succeeded().stdout.trim(), SUM);
}

#[test]
fn a_cell_of_the_notebook_uses_the_cluster_without_being_told_where_it_is() {
    let shared = shared();
    let status = shared.status();
    let url = format!("http://{}", status.address("notebook"));
    assert_eq!(get(status.address("notebook"), "/api/kernels").unwrap().0, 403);
    let code = "import os, socket\n\
                import dask.array as da\n\
                from distributed import Client\n\
                with Client() as client:\n    \
                    hosts = client.run(socket.gethostname)\n    \
                    print(sorted(hosts.values()), da.ones(200_000_000, chunks=10_000_000).sum().compute())\n\
                print(os.environ['WHERE'], socket.gethostname().rsplit('-', 2)[0])\n";
    let printed = script("kernel", [url.as_str(), &shared.token(), code])
        .run()
        .succeeded();
    assert_eq!(
        printed.stdout,
        "['lab-worker-0', 'lab-worker-1'] 200000000.0\nanywhere lab-notebook\n"
    );
}

#[test]
fn exec_passes_input_output_and_the_exit_code_on() {
    let shared = shared();
    let said = shared.exec(
        "worker-1",
        &["sh", "-c", "read word; echo $word; echo aside >&2; exit 7"],
        "hello\n",
    );
    assert_eq!(
        (said.code, &*said.stdout, &*said.stderr),
        (Some(7), "hello\n", "aside\n"),
        "{said}"
    );
    // Without --stdin the command has none to wait for.
    let none = shared
        .namespace
        .seaway(["exec", "lab", "scheduler-0", "--", "cat"])
        .run();
    assert_eq!(none.succeeded().stdout, "");
    let missing = shared.exec("worker-9", &["true"], "");
    assert_ne!(missing.code, Some(0), "{missing}");
    assert!(missing.stderr.contains("worker-9"), "{missing}");
    let command = shared.exec("worker-0", &["no-such-program"], "");
    assert_ne!(command.code, Some(0), "{command}");
    assert!(command.stderr.contains("no-such-program"), "{command}");
}

#[test]
fn logs_show_all_tasks_or_one_and_as_many_lines_as_asked_for() {
    let shared = shared();
    let logs = |more: &[&str]| {
        let logs = shared.namespace.seaway(["logs", "lab"]).arguments(more).run();
        logs.succeeded().stdout
    };
    let all = logs(&[]);
    for task in ["scheduler-0", "worker-0", "worker-1", "notebook-0"] {
        assert!(
            all.lines().any(|line| line.starts_with(&format!("{task} "))),
            "{task} is not in {all}"
        );
    }
    assert!(logs(&["scheduler"]).contains("Scheduler at:"));
    let workers = logs(&["worker", "--tail", "1"]);
    assert_eq!(workers.lines().count(), 2, "{workers}");
    let one = logs(&["worker-1"]);
    assert!(
        one.contains("Registered to:") && !one.contains("worker-0 |"),
        "{one}"
    );
    assert!(!all.contains(&shared.token()), "the token is in {all}");
    let unknown = shared
        .namespace
        .seaway(["logs", "lab", "wrker"])
        .run()
        .with_code(2);
    assert!(unknown.stderr.contains("`wrker`"), "{unknown}");
}

#[test]
fn status_describe_and_ls_say_what_was_promised() {
    let shared = shared();
    let status = shared.status();
    for (field, value) in [
        ("name", "lab"),
        ("kind", "Dask"),
        ("platform", "kubernetes"),
        ("reason", ""),
    ] {
        assert_eq!(status.0[field], value, "{field}");
    }
    let roles: Vec<&String> = status.0["roles"].as_object().unwrap().keys().collect();
    assert_eq!(roles, ["scheduler", "worker", "notebook"], "in starting order");
    for (role, tasks) in [("scheduler", 1), ("worker", 2), ("notebook", 1)] {
        assert_eq!(status.number(&format!("/roles/{role}/desired")), tasks);
        assert_eq!(status.number(&format!("/roles/{role}/ready")), tasks);
    }
    let schema = shared
        .namespace
        .seaway(["schema", "status"])
        .run()
        .succeeded()
        .json();
    let mut bad = status.0.clone();
    bad["state"] = "Splendid".into();
    let question = serde_json::json!({"schema": schema, "accept": [status.0], "refuse": [bad]});
    script("validate", [])
        .input(question.to_string())
        .run()
        .succeeded();

    let described = shared
        .namespace
        .seaway(["describe", "lab", "--output", "json"])
        .run()
        .succeeded()
        .json();
    assert_eq!(described["status"]["state"], "Ready");
    assert_eq!(described["document"]["spec"]["env"]["WHERE"], "anywhere");
    assert_eq!(described["plan"]["instance"], "lab");
    let ls = shared
        .namespace
        .seaway(["ls", "--output", "json"])
        .run()
        .succeeded()
        .json();
    let names: Vec<&Value> = ls.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["lab"]);
    let elsewhere = shared
        .namespace
        .seaway(["ls", "--quiet", "--namespace", "default"])
        .run();
    assert_eq!(elsewhere.succeeded().stdout, "");
}

#[test]
fn a_second_up_without_a_change_writes_nothing() {
    let shared = shared();
    shared.status();
    let before = shared.namespace.versions("lab");
    assert!(before.len() > 10, "{before:?}");
    let file = shared.namespace.home.path("lab.yaml").display().to_string();
    let began = Instant::now();
    let up = shared
        .namespace
        .seaway(["up", "-f", &file, "--detach"])
        .run()
        .succeeded();
    let took = began.elapsed();
    assert!(
        up.stderr
            .contains("lab is up already, just so; nothing was changed"),
        "{up}"
    );
    assert_eq!(shared.namespace.versions("lab"), before);
    eprintln!("the second `up` took {took:?}");
    let dry = shared
        .namespace
        .seaway(["up", "-f", &file, "--dry-run"])
        .run()
        .succeeded();
    let (all, last) = dry
        .stdout
        .trim_end()
        .rsplit_once('\n')
        .unwrap_or(("", dry.stdout.trim_end()));
    assert_eq!(all, "");
    assert!(last.starts_with("0 to make, 0 to change, 0 to delete, "), "{dry}");
    assert_eq!(shared.namespace.versions("lab"), before);
    assert!(took < Duration::from_secs(60), "nothing was waited for");
}
