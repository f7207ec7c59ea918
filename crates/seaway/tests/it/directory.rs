//! Where an instance is announced: there when it is ready, gone when it is not.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::harness::{Fake, Home, PATIENCE};

#[test]
fn a_file_has_the_urls_when_it_is_ready_and_goes_with_the_instance() {
    let home = Home::heavy();
    let folder = home.path("entries");
    let status = home.up(
        "dask",
        &[
            "--set",
            &format!("discovery=[{{file: {{path: {}}}}}]", folder.display()),
        ],
    );
    let path = folder.join("dask.json");
    let entry: Value = home.until("the entry is there", PATIENCE, || {
        let text = fs::read(&path).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    });
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(entry["name"], "dask");
    assert_eq!(entry["kind"], "Dask");
    let text = entry.to_string();
    for endpoint in ["client", "dashboard"] {
        assert!(text.contains(status.url(endpoint)), "no {endpoint} in {text}");
    }
    let told = home.until_status("dask", "status says where it is announced", |status| {
        status.0["directories"][0]["announced"] == true
    });
    assert!(
        told.0["directories"][0]["directory"]
            .as_str()
            .unwrap()
            .contains("entries"),
        "{}",
        told.0
    );
    home.down("dask");
    assert!(
        fs::read_dir(&folder).unwrap().next().is_none(),
        "the folder of entries is empty"
    );
    home.nothing_is_left();
}

#[test]
fn nothing_is_announced_of_what_was_never_ready() {
    let home = Home::new();
    let fake = Fake::new(&home, "silent").program("dask", "exec sleep 1000\n");
    let entries = format!(
        "discovery=[{{file: {{path: {}}}}}]",
        home.path("entries").display()
    );
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
    .arguments(["--set", &entries])
    .run()
    .succeeded();
    home.until_status("dask", "its tasks run", |status| status.pids().len() == 3);
    assert!(!home.path("entries/dask.json").exists());
    home.seaway(["down", "dask", "--force"]).run().succeeded();
    home.nothing_is_left();
}

/// A server that takes what it is sent; the requests as `METHOD path body`.
fn server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    // It ends with the test process; nothing connects to it after its test.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = Vec::new();
            while let Some(Ok(line)) = reader
                .by_ref()
                .lines()
                .next()
                .filter(|l| l.as_ref().is_ok_and(|l| !l.is_empty()))
            {
                head.push(line);
            }
            let length = head.iter().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .and_then(|number| number.parse().ok())
            });
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = reader.read_exact(&mut body);
            let line = head.first().cloned().unwrap_or_default();
            seen.lock()
                .unwrap()
                .push(format!("{line} {}", String::from_utf8_lossy(&body)));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (port, requests)
}

#[test]
fn a_server_is_told_when_it_is_ready_and_when_it_goes() {
    let home = Home::heavy();
    let (port, requests) = server();
    let directory = format!("discovery=[{{http: {{url: 'http://127.0.0.1:{port}/engines/{{name}}'}}}}]");
    let status = home.up("dask", &["--set", &directory]);
    let seen = || requests.lock().unwrap().clone();
    home.until("it is announced", PATIENCE, || {
        if seen().is_empty() {
            Err(String::new())
        } else {
            Ok(())
        }
    });
    home.down("dask");
    let all = seen();
    assert!(
        all[0].starts_with("POST /engines/dask HTTP/1.1 {") && all[0].contains(status.url("client")),
        "{all:?}"
    );
    assert!(all.last().unwrap().starts_with("DELETE /engines/dask"), "{all:?}");
    home.nothing_is_left();
}
