//! Tokens and passwords: they work, and nobody is told.

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::{
    Heavy, Home, Invocation, PATIENCE, processes,
    services::{self, Cluster},
};

/// A word that is found nowhere by chance.
const PASSWORD: &str = "correct-horse-battery";
const CONSUL_TOKEN: &str = "7d0c1c5e-0b1a-4e0e-9a51-0f6c3d2b1a90";

/// Every text below a folder.
fn texts(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            texts(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            found.push((
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ));
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn secrets_work_and_stand_in_no_log_no_argument_and_no_file() {
    let _heavy = Heavy::wait();
    let home = Home::new();
    let cluster = Cluster::control_plane();
    let kubectl = services::program("kubectl");
    let kubectl = |words: &[&str]| Invocation::new(&kubectl, words).env("KUBECONFIG", &cluster.kubeconfig);
    let rbac = home.seaway(["rbac"]).run().succeeded().stdout;
    kubectl(&["apply", "-f", "-"]).input(rbac).run().succeeded();
    let token = kubectl(&["create", "token", "seaway"]).run().succeeded().stdout;
    let token = token.trim().to_owned();
    let view = ["config", "view", "--raw", "--output", "json"];
    let config: Value = kubectl(&view).run().succeeded().json();
    let server = config["clusters"][0]["cluster"]["server"]
        .as_str()
        .unwrap()
        .to_owned();
    let authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
        .as_str()
        .unwrap();
    let authority = Invocation::new("base64", ["-d"])
        .input(authority)
        .run()
        .succeeded();
    let authority = home.file("ca.crt", authority.stdout);
    let (redis_port, consul_port) = (services::free_port(), services::free_port());
    let _redis = services::redis(&home, redis_port);
    let _consul = services::consul(&home, consul_port);
    let acl = [
        "-p",
        &redis_port.to_string(),
        "config",
        "set",
        "requirepass",
        PASSWORD,
    ];
    Invocation::new(services::program("redis-cli"), acl)
        .run()
        .succeeded();

    let with_secrets = |invocation: Invocation| {
        invocation
            .env("K8S_HOST", &server)
            .env("NAMESPACE", "default")
            .env("CACERT_FILE", &authority)
            .env("SSL_TOKEN", &token)
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{consul_port}"))
            .env("CONSUL_HTTP_TOKEN", CONSUL_TOKEN)
            .env("REDIS_URL", format!("redis://:{PASSWORD}@127.0.0.1:{redis_port}"))
            .env("SEAWAY_LOG", "trace")
    };
    let agent = with_secrets(home.seaway([
        "run",
        "--name",
        "eng",
        "--register",
        "kubernetes,redis,consul",
        "--listen",
        "127.0.0.1:0",
        "--endpoint",
        "client=192.0.2.7:5555",
        "--probe",
        "none",
        "--",
        "sleep",
        "1000",
    ]))
    .start();
    for kind in ["kubernetes", "redis"] {
        let get = [
            "discovery",
            "get",
            "eng",
            "--from",
            kind,
            "--wait",
            "60s",
            "--output",
            "json",
        ];
        let found = with_secrets(home.seaway(get)).run().succeeded();
        assert!(!found.stdout.contains(PASSWORD) && !found.stdout.contains(&token));
    }
    // While all of it runs: who looks at processes sees nothing.
    let arguments: Vec<(String, String)> = home
        .processes()
        .into_iter()
        .map(|process| (format!("arguments of {}", process.pid), process.words.join(" ")))
        .collect();
    let mut seen = arguments;
    texts(&home.state_home(), &mut seen);
    // Wrong ones are told about, and not told.
    let wrong = with_secrets(home.seaway([
        "register",
        "--name",
        "other",
        "--register",
        "kubernetes,redis",
        "--endpoint",
        "client=192.0.2.7:5555",
    ]))
    .env("SSL_TOKEN", format!("{token}wrong"))
    .env(
        "REDIS_URL",
        format!("redis://:{PASSWORD}wrong@127.0.0.1:{redis_port}"),
    )
    .run();
    assert_ne!(wrong.code, Some(0), "{wrong}");
    seen.push(("wrong secrets".to_owned(), wrong.stdout + &wrong.stderr));
    processes::signal(agent.pid(), nix::sys::signal::Signal::SIGTERM);
    let output = agent.finish();
    assert!(
        output.stderr.contains("TRACE") || output.stderr.contains("DEBUG"),
        "the log is on"
    );
    seen.push(("the agent".to_owned(), output.stdout + &output.stderr));
    for (place, text) in &seen {
        for secret in [token.as_str(), PASSWORD, CONSUL_TOKEN] {
            assert!(!text.contains(secret), "a secret stands in {place}");
        }
    }
    home.until("nothing is left of it", PATIENCE, || {
        let left = kubectl(&["get", "leases,services", "--output", "name"])
            .run()
            .stdout;
        if left.contains("eng") { Err(left) } else { Ok(()) }
    });
    home.nothing_is_left();
}
