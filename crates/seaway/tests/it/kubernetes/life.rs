//! Instances that come and go: attached to a terminal, made by other tools, and those that cannot be made.

use nix::sys::signal::Signal;

use super::SMALL;
use crate::harness::{
    Home, Running,
    kubernetes::{Namespace, Turn, cluster},
    processes,
};

/// Waits until a command that goes on has said something.
fn until_said(namespace: &Namespace, running: &mut Running, said: impl Fn(&Running) -> String, what: &str) {
    namespace.until(what, || {
        let text = said(running);
        if text.contains(what) {
            return Ok(());
        }
        assert!(!running.has_ended(), "it ended: {text}\n{}", namespace.report());
        Err(text)
    });
}

#[test]
fn an_attached_up_takes_it_down_at_its_end_and_who_follows_the_logs_is_told() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let mut up = namespace.seaway(["up", "dask"]).arguments(SMALL).start();
    until_said(&namespace, &mut up, Running::stderr, "Ctrl-C takes it down");
    assert!(
        up.stdout().contains("client      tcp://127.0.0.1:"),
        "{}",
        up.stdout()
    );
    let mut logs = namespace.seaway(["logs", "dask", "--follow"]).start();
    until_said(&namespace, &mut logs, Running::stdout, "Registered to:");
    // A worker that comes later is followed too.
    namespace.seaway(["scale", "dask", "worker=2"]).run().succeeded();
    until_said(&namespace, &mut logs, Running::stdout, "worker-1");

    processes::signal(up.pid(), Signal::SIGINT);
    let up = up.finish().succeeded();
    assert!(up.stderr.contains("dask is down, nothing left"), "{up}");
    let logs = logs.finish().succeeded();
    assert!(logs.stderr.contains("dask is gone"), "{logs}");
    assert!(logs.stdout.contains("worker-0    | "), "{logs}");
    namespace.nothing_is_left("dask", &[]);
    // Nor is anything on this machine: the way to the cluster went too.
    namespace.home.nothing_is_left();
}

#[test]
fn what_kubectl_applied_is_an_instance_like_any_other() {
    let _turn = Turn::wait();
    let namespace = Namespace::new();
    let words = [&["dask", "--namespace", &namespace.name], &SMALL[..]].concat();
    let rendered = namespace
        .seaway(["render"])
        .arguments(words)
        .run()
        .succeeded()
        .stdout;
    namespace
        .kubectl(["apply", "-f", "-"])
        .input(rendered)
        .run()
        .succeeded();
    let status = namespace.until_ready("dask");
    // Nobody made a way there yet.
    assert_eq!(
        status.address("client"),
        format!("dask-scheduler.{}.svc:8786", namespace.name)
    );
    let names = namespace.seaway(["ls", "--quiet"]).run().succeeded();
    assert_eq!(names.stdout, "dask\n");
    // What is rendered and what `up` makes are the same, to the API server's own judgement.
    let preview = namespace
        .seaway(["up", "dask", "--dry-run", "--output", "json"])
        .arguments(SMALL)
        .run()
        .succeeded()
        .json();
    let differing: Vec<_> = preview
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["action"] != "keep")
        .collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(preview.as_array().unwrap().len() > 5, "{preview}");
    let pods = namespace.pods("dask");
    let same = namespace
        .seaway(["up", "dask", "--detach"])
        .arguments(SMALL)
        .run()
        .succeeded();
    assert_eq!(
        namespace.pods("dask").keys().collect::<Vec<_>>(),
        pods.keys().collect::<Vec<_>>(),
        "{same}"
    );
    let reached = namespace.status("dask");
    assert!(
        reached.address("client").starts_with("127.0.0.1:"),
        "{}",
        reached.0
    );
    namespace.down("dask");
    namespace.nothing_is_left("dask", &[]);
    namespace.home.nothing_is_left();
}

#[test]
fn a_cluster_that_cannot_be_had_is_told_of_with_what_to_do() {
    let home = Home::new();
    let cluster = cluster();
    let refused = |arguments: &[&str], kubeconfig: &str, code: i32, said: &[&str]| {
        let up = home
            .seaway(["up", "dask", "--on", "kubernetes", "--detach"])
            .arguments(arguments);
        let up = up.env("KUBECONFIG", kubeconfig).env("HOME", home.folder()).run();
        assert_eq!(up.code, Some(code), "{up}");
        for words in said {
            assert!(up.stderr.contains(words), "`{words}` is not in {up}");
        }
        assert_eq!(up.stdout, "");
    };
    let kubeconfig = cluster.kubeconfig.display().to_string();
    refused(
        &["--namespace", "nowhere"],
        &kubeconfig,
        2,
        &["nowhere", "seaway setup kubernetes"],
    );
    refused(
        &["--context", "nobody"],
        &kubeconfig,
        1,
        &["nobody", "--kubeconfig"],
    );
    let missing = home.path("missing").display().to_string();
    refused(&[], &missing, 1, &[&missing]);
    let status = home
        .seaway(["status", "--on", "kubernetes", "dask"])
        .env("KUBECONFIG", &kubeconfig)
        .run();
    assert_eq!(status.code, Some(3), "{status}");
    home.nothing_is_left();
}
