//! Real servers for one test: Redis, Consul, a Kubernetes API server. Each can be killed and started again, with the
//! same port.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{Home, Invocation, PATIENCE, Running, http, processes, until};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A tool of the repository.
fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tools")
        .join(name)
}

/// Runs a tool of the repository to its end, and gives back what it prints.
#[track_caller]
fn run_tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool(name))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the tools of the repository can be run");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "tools/{name} {arguments:?} failed: {shown}"
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Where a program is; installed when it is not there.
pub(crate) fn program(name: &str) -> String {
    let printed = run_tool("programs", &[name]);
    let path = printed
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    path.expect("tools/programs prints where the program is")
        .to_owned()
}

/// The archives of images with the Seaway of this repository; built when they are out of date.
pub(crate) fn images(names: &[&str]) -> Vec<String> {
    let printed = run_tool("images", &[&["build", "--quick"], names].concat());
    printed.lines().map(str::to_owned).collect()
}

/// A port that nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.local_addr().expect("it has an address").port()
}

/// A server that ends when this is dropped, or when this process ends however it ends.
#[derive(Debug)]
pub(crate) struct Service {
    command: Vec<String>,
    folder: PathBuf,
    running: Option<Running>,
}

impl Service {
    fn new(home: &Home, command: Vec<String>) -> Self {
        let mut service = Self {
            command,
            folder: home.folder().to_owned(),
            running: None,
        };
        service.start();
        service
    }

    /// Starts it again.
    pub(crate) fn start(&mut self) {
        // With the signal that the kernel sends when we die, so that not even `kill -9` leaves it behind.
        let words = ["--pdeathsig", "KILL", "--"].map(str::to_owned);
        let words = words.into_iter().chain(self.command.iter().cloned());
        let invocation = Invocation::new("setpriv", words)
            .within_folder(&self.folder)
            .within(Duration::from_secs(3600));
        self.running = Some(invocation.start());
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            processes::kill_hard(running.pid());
            drop(running);
        }
    }
}

/// A Redis server without persistence: killed, it forgets everything.
pub(crate) fn redis(home: &Home, port: u16) -> Service {
    let words = [
        program("redis-server"),
        "--port".into(),
        port.to_string(),
        "--bind".into(),
        "127.0.0.1".into(),
        "--save".into(),
        String::new(),
        "--appendonly".into(),
        "no".into(),
    ];
    let service = Service::new(home, words.to_vec());
    let address = format!("127.0.0.1:{port}");
    until(PATIENCE, || {
        (!http::is_free(&address))
            .then_some(())
            .ok_or_else(|| address.clone())
    })
    .expect("Redis accepts connections");
    service
}

/// A Consul agent and server in one, which keeps its data in the home.
pub(crate) fn consul(home: &Home, port: u16) -> Service {
    let [serf, wan, server] = [free_port(), free_port(), free_port()];
    let configuration = serde_json::json!({
        "server": true,
        "bootstrap_expect": 1,
        "node_name": "test",
        "data_dir": home.path("consul"),
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "log_level": "err",
        "disable_update_check": true,
        "performance": { "raft_multiplier": 1 },
        "ports": {
            "http": port, "dns": -1, "grpc": -1, "https": -1,
            "serf_lan": serf, "serf_wan": wan, "server": server,
        },
    });
    let file = home.file("consul.json", configuration.to_string());
    let words = [program("consul"), "agent".into(), "-config-file".into(), file];
    let service = Service::new(home, words.to_vec());
    let address = format!("127.0.0.1:{port}");
    until(PATIENCE, || match http::get(&address, "/v1/status/leader") {
        Ok((200, leader)) if leader.contains(':') => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .expect("Consul has a leader");
    service
}

/// A cluster. `tools/cluster` removes it when this is dropped, or when this process ends.
#[derive(Debug)]
pub(crate) struct Cluster {
    name: String,
    pub(crate) kubeconfig: PathBuf,
    /// This machine's address in the cluster's network.
    pub(crate) address: String,
}

impl Cluster {
    /// An API server with etcd and controllers; no pods.
    pub(crate) fn control_plane() -> Self {
        Self::with(&["--control-plane", "--with", "kube-controller-manager"])
    }

    /// With nodes, pods, cluster DNS and kube-proxy.
    pub(crate) fn with_nodes(number: u32) -> Self {
        Self::with(&["--nodes", &number.to_string()])
    }

    fn with(more: &[&str]) -> Self {
        let own = std::process::id().to_string();
        let name = format!("it-{own}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let arguments = [&["up", "--own", "--name", &name, "--watchdog", &own], more].concat();
        run_tool("cluster", &arguments);
        Self::existing(name)
    }

    /// One that was started already.
    pub(crate) fn existing(name: String) -> Self {
        let kubeconfig = run_tool("cluster", &["kubeconfig", "--own", "--name", &name]).into();
        let status = run_tool("cluster", &["status", "--name", &name, "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&status).expect("the status is JSON");
        Self {
            name,
            kubeconfig,
            address: status[0]["address"]
                .as_str()
                .expect("a cluster has an address")
                .to_owned(),
        }
    }

    /// Gives an image to every node.
    pub(crate) fn load(&self, archive: &str) {
        run_tool("cluster", &["load", "--name", &self.name, archive]);
    }

    /// Kills, stops or starts a component, cuts a node off or connects it again.
    pub(crate) fn change(&self, action: &str, what: &str) {
        run_tool("cluster", &[action, what, "--name", &self.name]);
    }

    /// The kubeconfig of a user who may do nothing yet.
    pub(crate) fn user(&self, name: &str, namespace: &str) -> PathBuf {
        let user = ["user", name, "--name", &self.name, "--namespace", namespace];
        let printed = run_tool("cluster", &user);
        let path = printed.lines().find_map(|line| line.strip_prefix("kubeconfig="));
        path.expect("tools/cluster prints where it is").into()
    }

    /// Kills the API server as `kill -9` does.
    pub(crate) fn kill_api_server(&self) {
        run_tool("cluster", &["kill", "kube-apiserver", "--name", &self.name]);
    }

    /// Starts the API server again, with the same data.
    pub(crate) fn start_api_server(&self) {
        run_tool("cluster", &["start", "kube-apiserver", "--name", &self.name]);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(tool("cluster"))
            .args(["down", "--name", &self.name])
            .output();
    }
}
