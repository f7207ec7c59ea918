//! One command with its agent, from the outside: exit codes, signals, and what stands in a directory when.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

mod owner;
mod policy;
mod server;
mod support;
mod terminal;
mod watch;

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use nix::{sys::signal::Signal, unistd::Pid};
use seaway_model::discovery::{DirectorySpec, HttpDirectory};
use support::{Job, Place, free_port, is_alive, until};

#[test]
#[ignore = "not a test: the agent that the tests start"]
fn agent_process() {
    support::act_as_agent();
}

/// A script that begins to listen on a port when the file `go` appears.
const LISTENER: &str = "
import os, socket, sys, time
folder, port = sys.argv[1], int(sys.argv[2])
print('up', file=open(folder + '/started', 'w'), flush=True)
while not os.path.exists(folder + '/go'): time.sleep(0.01)
server = socket.create_server(('127.0.0.1', port))
while True: server.accept()[0].close()
";

/// A script that answers GET with the status that stands in the file `status`.
const HTTP_SERVER: &str = "
import http.server, sys
folder, port = sys.argv[1], int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(open(folder + '/status').read()))
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(('127.0.0.1', port), Handler).serve_forever()
";

fn python(place: &Place, script: &str, port: u16) -> Job {
    let folder = place.path().to_str().unwrap();
    Job::new(
        place.path(),
        &["python3", "-c", script, folder, &port.to_string()],
    )
}

#[test]
fn ends_as_the_command_does() {
    let place = Place::new();
    let code = |words: &[&str]| {
        let mut agent = Job::new(place.path(), words).start();
        (agent.end(), agent.messages(), agent.output())
    };
    let (code_of_true, messages, output) = code(&["echo", "hello"]);
    assert_eq!(code_of_true, 0, "{messages}");
    assert!(
        output.contains("hello\n") && !output.contains("seaway"),
        "{output}"
    );
    assert_eq!(code(&["sh", "-c", "exit 7"]).0, 7);
    assert_eq!(code(&["sh", "-c", "kill -9 $$"]).0, 137);
    let (missing, messages, _) = code(&["no-such-program-here"]);
    assert_eq!(missing, 127);
    assert!(
        messages.contains("command not found: `no-such-program-here`"),
        "{messages}"
    );
    let text = place.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    assert_eq!(code(&[text.to_str().unwrap()]).0, 126);
    assert!(place.is_clean());
}

#[test]
fn announced_when_the_port_answers_and_withdrawn_at_the_end() {
    let place = Place::new();
    let port = free_port();
    let mut job = python(&place, LISTENER, port);
    job.endpoints = vec![
        format!("client={port}"),
        format!("ui=http://127.0.0.1:{port}/lab"),
    ];
    let mut agent = job.start();
    place.file("started");
    assert_eq!(place.entry(), None, "nothing listens yet");
    std::fs::write(place.path().join("go"), "").unwrap();
    let entry = place.announced();
    assert_eq!(entry["name"], "engine");
    assert_eq!(entry["kind"], "Command");
    assert_eq!(entry["endpoints"][0]["url"], format!("tcp://127.0.0.1:{port}"));
    assert_eq!(
        entry["endpoints"][1]["url"],
        format!("http://127.0.0.1:{port}/lab")
    );
    agent.says("seaway: ready after");
    agent.says("seaway: announced in folder");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 143, "{}", agent.messages());
    assert!(place.is_clean(), "nothing is left");
}

#[test]
fn withdrawn_before_the_command_hears_of_the_end() {
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
    ] {
        let place = Place::new();
        let script = "trap 'if test -e directory/engine.json; then echo there; else echo gone; fi >seen; exit 5' \
                      SIGNAL; echo up >up; while :; do sleep 0.02; done";
        let script = format!(
            "cd {}; {}",
            place.path().display(),
            script.replace("SIGNAL", name)
        );
        let mut agent = Job::shell(place.path(), &script).start();
        place.announced();
        place.file("up");
        agent.signal(signal);
        assert_eq!(agent.end(), 5, "{}", agent.messages());
        assert_eq!(place.file("seen"), "gone", "{signal}");
        assert!(agent.messages().contains(&format!("{signal}: stopping")));
    }
}

#[test]
fn withdrawn_when_the_command_is_killed() {
    let place = Place::new();
    let script = format!("echo $$ >{}/pid; exec sleep 600", place.path().display());
    let mut agent = Job::shell(place.path(), &script).start();
    place.announced();
    let pid = place.file("pid").parse().unwrap();
    nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(agent.end(), 137);
    assert!(
        agent.messages().contains("the command was ended by SIGKILL"),
        "{}",
        agent.messages()
    );
    assert!(place.is_clean());
}

#[test]
fn other_signals_are_passed_on() {
    let place = Place::new();
    let script = format!(
        "cd {}; trap 'echo 1 >one' USR1; trap 'echo 2 >two' USR2; trap 'echo w >winch' WINCH; echo up >up; \
         while :; do sleep 0.02; done",
        place.path().display()
    );
    let mut agent = Job::shell(place.path(), &script).start();
    place.announced();
    place.file("up");
    for (signal, file) in [
        (Signal::SIGUSR1, "one"),
        (Signal::SIGUSR2, "two"),
        (Signal::SIGWINCH, "winch"),
    ] {
        agent.signal(signal);
        place.file(file);
    }
    assert!(place.entry().is_some(), "they do not withdraw");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 143);
}

#[test]
fn a_command_that_does_not_end_gets_stronger_signals() {
    let place = Place::new();
    let script = format!(
        "trap '' INT; trap 'echo t >{0}/term' TERM; echo up >{0}/up; while :; do sleep 0.02; done",
        place.path().display()
    );
    let mut job = Job::shell(place.path(), &script);
    job.stop_timeout = 300;
    let mut agent = job.start();
    place.file("up");
    place.announced();
    agent.signal(Signal::SIGINT);
    assert_eq!(agent.end(), 137, "{}", agent.messages());
    assert_eq!(place.file("term"), "t", "SIGTERM came before SIGKILL");
    assert!(place.is_clean());
}

#[test]
fn the_same_signal_again_does_not_wait() {
    let place = Place::new();
    let script = format!(
        "trap '' TERM; echo up >{}/up; while :; do sleep 0.02; done",
        place.path().display()
    );
    let mut job = Job::shell(place.path(), &script);
    job.stop_timeout = 600_000;
    let mut agent = job.start();
    place.file("up");
    agent.signal(Signal::SIGTERM);
    agent.says("SIGTERM: stopping");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 137, "{}", agent.messages());
}

#[test]
fn an_ignored_hangup_stays_ignored() {
    let place = Place::new();
    let job = Job::shell(
        place.path(),
        &format!("kill -HUP $$; echo alive >{}/alive", place.path().display()),
    );
    let mut agent = std::process::Command::new("nohup");
    let direct = job.command();
    agent.arg(direct.get_program()).args(direct.get_args());
    agent.envs(direct.get_envs().filter_map(|(key, value)| Some((key, value?))));
    agent
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    assert!(agent.status().unwrap().success());
    assert_eq!(place.file("alive"), "alive");
}

#[test]
fn an_http_probe_wants_success_and_keeps_asking() {
    let place = Place::new();
    let port = free_port();
    let status = |code: &str| {
        // In one step, since the server may read it at any time.
        std::fs::write(place.path().join("draft"), code).unwrap();
        std::fs::rename(place.path().join("draft"), place.path().join("status")).unwrap();
    };
    status("503");
    let mut job = python(&place, HTTP_SERVER, port);
    job.endpoints = vec![format!("http={port}")];
    job.probes = vec![format!("http://127.0.0.1:{port}/health")];
    job.start_timeout = 300;
    let agent = job.start();
    agent.says("not ready after 0.3 s: ");
    until(
        || "the port is open",
        || {
            std::net::TcpStream::connect(("127.0.0.1", port))
                .is_ok()
                .then_some(())
        },
    );
    assert_eq!(place.entry(), None);
    status("200");
    place.announced();
    agent.says("ready after");
    status("503");
    place.withdrawn();
    agent.says("no longer ready, withdrawn: ");
    assert!(
        agent.messages().contains("/health answered 503"),
        "{}",
        agent.messages()
    );
    status("200");
    place.announced();
}

#[test]
fn a_command_probe_and_a_limit() {
    let place = Place::new();
    let mut job = Job::new(place.path(), &["sleep", "600"]);
    job.probes = vec![format!("command:test -e {}/go", place.path().display())];
    let agent = job.start();
    until(
        || "the agent has begun",
        || place.exists("state/agents").then_some(()),
    );
    assert_eq!(place.entry(), None);
    std::fs::write(place.path().join("go"), "").unwrap();
    place.announced();
    drop(agent);
    std::fs::remove_file(place.path().join("go")).unwrap();
    (job.fail_unready, job.start_timeout) = (true, 200);
    let mut agent = job.start();
    assert_eq!(agent.end(), 1);
    assert!(
        agent.messages().contains("not ready within 200 ms: "),
        "{}",
        agent.messages()
    );
    assert!(place.is_clean());
}

#[test]
fn what_the_command_leaves_behind_is_ended() {
    let place = Place::new();
    // One in the group that ignores SIGTERM, one in a session of its own, known by its mark alone.
    let script = format!(
        "cd {}; sh -c 'trap \"\" TERM; echo $$ >one; while :; do sleep 0.02; done' & \
         python3 -c 'import os, time; os.setsid(); print(os.getpid(), file=open(\"two\", \"w\"), flush=True); time.sleep(600)' & \
         while ! test -s one || ! test -s two; do sleep 0.01; done; exit 3",
        place.path().display()
    );
    let mut agent = Job::shell(place.path(), &script).start();
    assert_eq!(agent.end(), 3, "{}", agent.messages());
    assert!(
        agent.messages().contains("that the command left behind"),
        "{}",
        agent.messages()
    );
    assert!(!is_alive(&place.file("one")) && !is_alive(&place.file("two")));
}

#[test]
fn a_directory_that_is_down_holds_nothing_up_and_no_secret_is_told() {
    let place = Place::new();
    let token = place.path().join("token");
    std::fs::write(&token, "very-secret-word\n").unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut buffer = vec![0; 4096];
        let count = stream.read(&mut buffer).unwrap();
        let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let body = "no very-secret-word here";
        write!(
            stream,
            "HTTP/1.1 403 No\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        // From now on it accepts and never answers.
        (request, server)
    });
    let mut job = Job::new(place.path(), &["sleep", "600"]);
    job.directories.push(DirectorySpec::Http(HttpDirectory {
        method: seaway_model::discovery::HttpMethod::Put,
        token_file: Some(token),
        retries: Some(0),
        ..HttpDirectory::at(format!("http://{address}/engines/{{name}}"))
    }));
    let mut agent = job.start();
    place.announced();
    agent.says("was answered with 403");
    let (request, _hanging) = asked.join().unwrap();
    assert!(
        request.contains("very-secret-word"),
        "the server was given the token"
    );
    let asked_at = std::time::Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), 143);
    assert!(
        asked_at.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        asked_at.elapsed()
    );
    assert!(
        agent.messages().contains("not withdrawn from HTTP server"),
        "{}",
        agent.messages()
    );
    assert_eq!(place.entry(), None, "the others are not held up");
    assert!(!agent.messages().contains("very-secret"), "{}", agent.messages());
}
