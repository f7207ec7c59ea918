//! Scripts that start Arkouda with its own integration, behind `seaway run`.

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;

use crate::harness::{Home, PATIENCE, Running, Store, processes};

/// A program that writes down its arguments and stays; the folder it does that in.
fn server(home: &Home) -> String {
    let arguments = home.path("arguments").display().to_string();
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >{arguments}.draft\nmv {arguments}.draft {arguments}\nexec sleep 600\n"
    );
    let path = home.file("arkouda_server", script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[track_caller]
fn stop(agent: Running) {
    assert!(processes::signal(agent.pid(), Signal::SIGTERM));
    agent.finish().with_code(143);
}

#[track_caller]
fn arguments(home: &Home) -> Vec<String> {
    let read = || std::fs::read_to_string(home.path("arguments")).map_err(|error| error.to_string());
    let text = home.until("the server runs", PATIENCE, read);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_script_of_the_documentation() {
    let home = Home::new();
    let server = server(&home);
    let store = Store::start();
    // `--register` wins over the script, and the server is no real one that could be asked.
    let agent = home
        .seaway([
            "run",
            "--register",
            "http",
            "--http-method",
            "put",
            "--http-url",
            &store.url(),
            "--probe",
            "none",
            "--",
            &server,
        ])
        .arguments(["-nl", "3", "--ServerPort=7000"])
        .arguments(["--ExternalIntegration.systemType=SystemType.KUBERNETES"])
        .arguments([
            "--ServerDaemon.daemonTypes=ServerDaemonType.INTEGRATION,ServerDaemonType.METRICS",
            "a b",
        ])
        .start();
    let entry = home.until("it is announced", PATIENCE, || {
        store.entry("arkouda-server").ok_or_else(|| agent.stderr())
    });
    let endpoints: Vec<_> = entry["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["url"].as_str().unwrap())
        .collect();
    assert_eq!(endpoints, ["tcp://127.0.0.1:7000", "tcp://127.0.0.1:5556"]);
    let left = "--ServerDaemon.daemonTypes=ServerDaemonType.DEFAULT,ServerDaemonType.METRICS";
    assert_eq!(arguments(&home), ["-nl", "3", "--ServerPort=7000", left, "a b"]);
    let said = agent.stderr();
    let told: Vec<_> = said.lines().filter(|line| line.contains("taken over")).collect();
    assert!(
        told.len() == 1 && told[0].contains("is now --register kubernetes"),
        "{said}"
    );
    stop(agent);
    assert_eq!(store.entry("arkouda-server"), None);
    home.nothing_is_left();
}

#[test]
fn no_system_is_no_directory() {
    let home = Home::new();
    let server = server(&home);
    let agent = home
        .seaway([
            "run",
            "--probe",
            "none",
            "--",
            &server,
            "--externalSystem",
            "NONE",
            "-nl",
            "1",
        ])
        .start();
    assert_eq!(arguments(&home), ["-nl", "1"]);
    stop(agent);
    home.nothing_is_left();
}

#[test]
fn what_nobody_knows_is_refused_before_anything_starts() {
    let home = Home::new();
    let server = server(&home);
    let refused = home
        .seaway([
            "run",
            "--",
            &server,
            "--ExternalIntegration.systemType=SystemType.ETCD",
        ])
        .run()
        .with_code(2);
    assert!(
        refused
            .stderr
            .contains("SystemType.KUBERNETES, SystemType.CONSUL"),
        "{refused}"
    );
    let refused = home
        .seaway(["run", "--", &server, "--systemType=KUBERNETES"])
        .env("EXTERNAL_SERVICE_PORT", "http")
        .run()
        .with_code(2);
    assert!(
        refused
            .stderr
            .contains("EXTERNAL_SERVICE_PORT: `http` is not a port"),
        "{refused}"
    );
    assert!(!home.path("arguments").exists());
    home.nothing_is_left();
}
