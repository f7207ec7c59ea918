//! Instances of `seaway up` in directories: found there with an address that works, and gone with the instance.

use serde_json::Value;

use crate::harness::{Home, Network, Output, PATIENCE, Status, Store, get as http_get, services};

/// Waits until `seaway status` says that it is announced in so many directories.
#[track_caller]
fn until_announced(home: &Home, count: usize) -> Status {
    home.until("it is announced", PATIENCE, || {
        let status = home.status("dask");
        let announced = directories(&status)
            .iter()
            .filter(|one| one["announced"] == true)
            .count();
        if announced == count {
            Ok(status)
        } else {
            Err(status.0["directories"].to_string())
        }
    })
}

fn directories(status: &Status) -> &[Value] {
    status.0["directories"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn consul_and_redis_have_the_instance_as_long_as_it_lives() {
    let home = Home::heavy();
    let (consul_port, redis_port) = (services::free_port(), services::free_port());
    let _consul = services::consul(&home, consul_port);
    let _redis = services::redis(&home, redis_port);
    let consul = format!("http://127.0.0.1:{consul_port}");
    let redis = format!("redis://127.0.0.1:{redis_port}");
    let places = [
        ["--from", "consul", "--consul-url", &consul],
        ["--from", "redis", "--redis-url", &redis],
    ];
    let get = |place: &[&str], endpoint: &str| -> Output {
        home.seaway([
            "discovery",
            "get",
            "dask",
            "--endpoint",
            endpoint,
            "--output",
            "address",
        ])
        .arguments(place)
        .run()
    };

    home.up(
        "dask",
        &[
            "--set",
            &format!("discovery=[{{consul: {{url: '{consul}'}}}}, {{redis: {{url: '{redis}'}}}}]"),
        ],
    );
    let status = until_announced(&home, 2);
    let named: Vec<&str> = directories(&status)
        .iter()
        .filter_map(|one| one["directory"].as_str())
        .collect();
    assert!(
        named[0].contains(&consul_port.to_string()) && named[1].contains(&redis_port.to_string()),
        "{named:?}"
    );
    assert_eq!(
        status.0["notes"],
        Value::Null,
        "both directories are on this machine"
    );
    let text = home.seaway(["status", "dask"]).run().succeeded().stdout;
    for directory in named {
        assert!(
            text.contains(&format!("\nannounced in {directory}: since ")),
            "{text}"
        );
    }
    for place in &places {
        let client = get(place, "client").succeeded();
        assert_eq!(client.stdout.trim(), status.address("client"), "{place:?}");
        let dashboard = get(place, "dashboard").succeeded().stdout;
        let (code, _) = http_get(dashboard.trim(), "/health").unwrap();
        assert_eq!(code, 200, "{place:?}");
    }

    home.down("dask");
    for place in &places {
        get(place, "client").with_code(3);
    }
    home.nothing_is_left();
}

#[test]
fn each_directory_gets_the_address_that_is_seen_from_there() {
    let home = Home::heavy();
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            println!("skipped: a network of its own cannot be made (root can): {why}");
            return;
        }
    };
    let outside = network.address.as_str();
    let store = Store::at(&format!("{outside}:0"));
    let up = home
        .seaway(["up", "dask", "--name", "dask", "--detach"])
        .arguments([
            "--set",
            "notebook.enabled=false",
            "--set",
            "workers.replicas=1",
            "--set",
            "endpoints.client.host=0.0.0.0",
            "--set",
            &format!("discovery=[{{file: {{}}}}, {{http: {{url: '{}'}}}}]", store.url()),
        ]);
    let up = up.run().succeeded();
    let status = until_announced(&home, 2);
    let port = status.address("client").rsplit_once(':').unwrap().1;
    assert_eq!(
        status.address("client"),
        format!("127.0.0.1:{port}"),
        "as it is reached from here"
    );
    let entry = store.entry("dask").unwrap();
    let address = |name: &str| {
        let endpoints = entry["endpoints"].as_array().unwrap();
        let endpoint = endpoints.iter().find(|endpoint| endpoint["name"] == name);
        endpoint.unwrap()["address"].as_str().unwrap().to_owned()
    };
    assert_eq!(address("client"), format!("{outside}:{port}"));
    assert_eq!(
        address("dashboard"),
        status.address("dashboard"),
        "it is bound to loopback"
    );
    let in_file = home
        .seaway(["discovery", "get", "dask", "--output", "address"])
        .run();
    assert_eq!(in_file.succeeded().stdout.trim(), format!("127.0.0.1:{port}"));

    // Who looks there for the dashboard finds an address of no use; that is said once, with what to do.
    let notes = status.0["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let note = notes[0].as_str().unwrap();
    assert!(
        note.starts_with("dashboard: ") && note.ends_with("; set spec.endpoints.dashboard.host: 0.0.0.0"),
        "{note}"
    );
    assert!(note.contains(outside), "{note}");
    assert_eq!(up.stderr.matches(note).count(), 1, "{up}");
    home.down("dask");
    assert_eq!(store.entry("dask"), None);
    home.nothing_is_left();
}

#[test]
fn other_directories_for_an_instance_that_runs() {
    let home = Home::heavy();
    let [stays, leaves, comes] = ["stays", "leaves", "comes"].map(|name| home.path(name));
    let up = |folders: [&std::path::Path; 2]| {
        let [one, other] = folders.map(|folder| format!("{{file: {{path: {}}}}}", folder.display()));
        home.up("dask", &["--set", &format!("discovery=[{one}, {other}]")])
    };
    let entry = |folder: &std::path::Path| -> Option<Value> {
        let text = std::fs::read(folder.join("dask.json")).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let before = up([&stays, &leaves]);
    until_announced(&home, 2);
    let first = entry(&stays).unwrap();
    assert!(entry(&leaves).is_some());
    let after = up([&stays, &comes]);
    home.until("it goes over to the other directory", PATIENCE, || {
        let kept = entry(&stays).expect("it is never lost where it stays");
        assert_eq!(kept["owner"], first["owner"]);
        if entry(&comes).is_some() && entry(&leaves).is_none() {
            Ok(())
        } else {
            Err(home.status("dask").0["directories"].to_string())
        }
    });
    assert_eq!(before.pids(), after.pids(), "no task was started again");
    home.down("dask");
    assert_eq!((entry(&stays), entry(&comes)), (None, None));
    home.nothing_is_left();
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_before_anything_starts() {
    let home = Home::new();
    let up = home
        .seaway(["up", "dask", "--detach", "--set"])
        .arguments(["discovery=[{redis: {url: 'ftp://127.0.0.1'}}]"])
        .run()
        .with_code(2);
    assert!(up.stderr.starts_with("error: it cannot be announced: "), "{up}");
    home.nothing_is_left();
}
