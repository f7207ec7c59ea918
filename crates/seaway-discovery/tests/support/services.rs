//! Real servers for the tests: Redis and Consul, on free ports of this machine.
//!
//! A server ends when its handle is dropped, and also when the test program ends in any way, even by SIGKILL: a small
//! shell stands beside it, waits until its input is closed, then ends the server and removes its folder.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a program for tests is; it is fetched when it is not there yet.
pub(crate) fn program(name: &str) -> PathBuf {
    static KNOWN: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(path) = known.get(name) {
        return path.clone();
    }
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/programs");
    let done = Command::new(tool).arg(name).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let path = PathBuf::from(text.trim().strip_prefix(&format!("{name}=")).unwrap());
    known.insert(name.to_owned(), path.clone());
    path
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A server, and the shell that stands beside it.
struct Process {
    shell: Child,
    pid: String,
}

const SHELL: &str = r#"
"$@" >>"$0/log" 2>&1 </dev/null &
echo $!
if read -r _; then gone=false; else gone=true; fi
kill -9 $!; wait $!
if $gone; then rm -rf "$0"; fi
"#;

impl Process {
    fn start(folder: &Path, program: &Path, arguments: &[String]) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", SHELL])
            .arg(folder)
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap())
            .read_line(&mut pid)
            .unwrap();
        Self {
            shell,
            pid: pid.trim().to_owned(),
        }
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.pid]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut input) = self.shell.stdin.take() {
            let _ = input.write_all(b"stop\n");
        }
        let _ = self.shell.wait();
    }
}

/// What every server has: a folder, a process that can be ended and started again.
pub(crate) struct Service {
    folder: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Service {
    fn new(program_name: &str) -> Self {
        Self {
            folder: tempfile::Builder::new()
                .prefix("seaway-test-")
                .tempdir()
                .unwrap()
                .keep(),
            program: program(program_name),
            arguments: Vec::new(),
            process: None,
        }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn start(&mut self) {
        self.process = Some(Process::start(&self.folder, &self.program, &self.arguments));
    }

    fn wait_until(&self, ready: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            assert!(Instant::now() < deadline, "not up in time: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it as SIGSTOP does: connections stay, nobody answers.
    pub(crate) fn pause(&self) {
        self.process.as_ref().unwrap().signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.process.as_ref().unwrap().signal("-CONT");
    }
}

/// A Redis server.
pub(crate) struct Redis {
    pub(crate) service: Service,
    pub(crate) port: u16,
    /// For commands of the tests.
    admin: String,
}

impl Redis {
    /// One that writes everything down at once.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        let port = free_port();
        Self::serving(port, format!("redis://127.0.0.1:{port}"), options)
    }

    /// One that serves TLS at its port, with these PEM files of certificate, key and authority of its clients.
    pub(crate) fn with_tls([certificate, key, authority]: [&Path; 3], demand: bool) -> Self {
        let port = free_port();
        let admin = free_port();
        let tls = port.to_string();
        let plain = admin.to_string();
        let demand = if demand { "yes" } else { "no" };
        let options = [
            "--tls-port",
            &tls,
            "--port",
            &plain,
            "--tls-auth-clients",
            demand,
            "--tls-cert-file",
            certificate.to_str().unwrap(),
            "--tls-key-file",
            key.to_str().unwrap(),
            "--tls-ca-cert-file",
            authority.to_str().unwrap(),
        ];
        Self::serving(port, format!("redis://127.0.0.1:{admin}"), &options)
    }

    fn serving(port: u16, admin: String, options: &[&str]) -> Self {
        let mut service = Service::new("redis-server");
        let text = port.to_string();
        let mut words = vec![
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ];
        if !options.contains(&"--port") {
            words.extend(["--port", &text]);
        }
        words.extend(options);
        service.arguments = words.into_iter().map(str::to_owned).collect();
        let mut redis = Self { service, port, admin };
        redis.start_again();
        redis
    }

    /// A Sentinel that watches this server as `main`.
    pub(crate) fn sentinel(&self, options: &str) -> Self {
        let mut service = Service::new("redis-sentinel");
        let port = free_port();
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n{options}\n",
            self.port
        );
        service.arguments = vec![service.file("sentinel.conf", &configuration)];
        let mut sentinel = Self {
            service,
            port,
            admin: format!("redis://127.0.0.1:{port}"),
        };
        sentinel.start_again();
        sentinel
    }

    pub(crate) fn start_again(&mut self) {
        self.service.start();
        let url = self.admin.clone();
        self.service.wait_until(|| {
            let answer = redis::Client::open(url.as_str())
                .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(1)))
                .and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection));
            // One that refuses is up as well, unless it is still loading.
            answer.map_or_else(
                |error| error.code().is_some_and(|code| code == "NOAUTH"),
                |_| true,
            )
        });
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Gives the server a command, as its administrator.
    pub(crate) fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).unwrap()
    }

    pub(crate) fn try_command<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.admin.as_str())?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection)
    }
}

/// A Consul server with one agent, which is itself.
pub(crate) struct Consul {
    pub(crate) service: Service,
    pub(crate) port: u16,
    /// Where the tests ask, without TLS.
    admin: u16,
    pub(crate) token: Option<String>,
}

impl Consul {
    pub(crate) fn start() -> Self {
        Self::with(&json!({}))
    }

    /// One with more settings. Its `https` port is `port` when they have certificates.
    pub(crate) fn with(more: &Value) -> Self {
        let mut service = Service::new("consul");
        let (admin, https) = (free_port(), free_port());
        let secure = more.get("cert_file").is_some();
        let mut settings = json!({
            "server": true, "bootstrap": true, "node_name": "test", "data_dir": service.folder.join("data"),
            "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": true, "log_level": "WARN",
            "performance": { "raft_multiplier": 1 },
            "ports": {
                "http": admin, "https": if secure { i32::from(https) } else { -1 }, "dns": -1, "grpc": -1,
                "serf_lan": free_port(), "serf_wan": -1, "server": free_port(),
            },
        });
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        service.arguments = vec![
            "agent".to_owned(),
            "-config-file".to_owned(),
            service.file("consul.json", &settings.to_string()),
        ];
        let port = if secure { https } else { admin };
        let token = more["acl"]["tokens"]["master"].as_str().map(str::to_owned);
        let mut consul = Self {
            service,
            port,
            admin,
            token,
        };
        if more.get("bootstrap_expect").is_some() {
            // It waits for others, and has no leader until then.
            consul.service.start();
            let answers = || consul.try_request("GET", "/v1/status/leader", "").is_some();
            consul.service.wait_until(answers);
        } else {
            consul.start_again();
        }
        consul
    }

    pub(crate) fn start_again(&mut self) {
        self.service.start();
        self.service.wait_until(|| {
            // Writes work only once there is a leader, and it has read everything.
            self.try_request("PUT", "/v1/kv/ready", "yes")
                .is_some_and(|(status, _)| status == 200)
        });
    }

    /// Ends it and forgets everything it knew; or only what the agent knew.
    pub(crate) fn forget(&mut self, what: &[&str]) {
        self.service.kill();
        for folder in what {
            fs::remove_dir_all(self.service.folder.join("data").join(folder)).unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks the server, as its administrator.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.try_request(method, path, body).unwrap()
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn try_request(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let token = self.token.as_deref().unwrap_or_default();
        // Of the old version, so that the answer ends where the connection does.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nx-consul-token: {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}
