//! Directories in figures, each with its goal: from ready to registered beside one round trip, and what the heartbeats
//! of a thousand registrations in one process cost.
//!
//! `cargo bench -p seaway-discovery --bench directories` runs it all, with a real API server, Consul and Redis that
//! `tools/` installs and starts. A goal that is missed is said, and is no failure: whether a machine is quiet is not the
//! code's doing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark"
)]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use seaway_discovery::{Announcer, Defaults, Directory, DirectoryState, Entry, open};
use seaway_model::{
    Endpoint, Name, Period,
    discovery::{self, DirectorySpec},
};

/// Registrations in one process.
const MANY: usize = 1000;
/// How long CPU time is counted.
const COUNTED: Duration = Duration::from_secs(60);
/// Registrations that are timed.
const TIMED: usize = 50;
/// The lease that entries have when nothing is said.
const LEASE: u64 = 30;

fn main() {
    if !std::env::args().any(|word| word == "--bench") {
        println!("cargo bench -p seaway-discovery --bench directories [-- KIND…]");
        return;
    }
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let kinds = ["file", "redis", "consul", "kubernetes"];
    let wanted = |kind: &&&str| only.is_empty() || only.iter().any(|word| word == **kind);
    println!(
        "| directory | round trip | ready to registered | heartbeats of {MANY}, lease {LEASE} s | memory of {MANY} |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for kind in kinds.iter().filter(wanted) {
        // A process for each, so that none pays for what another left.
        if let Ok(kind) = std::env::var("SEAWAY_BENCH_KIND") {
            measure(&kind);
            return;
        }
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--bench", kind])
            .env("SEAWAY_BENCH_KIND", kind)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        print!(
            "{}",
            String::from_utf8_lossy(&status.stdout)
                .lines()
                .filter(|line| line.starts_with(&format!("| {kind} ")))
                .fold(String::new(), |all, line| all + line + "\n")
        );
        if !status.status.success() {
            eprintln!("{kind} failed: {}", String::from_utf8_lossy(&status.stderr));
        }
    }
}

/// A server that ends when this is dropped.
struct Server {
    child: Option<Child>,
    cluster: Option<String>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(name) = &self.cluster {
            tool("cluster", &["down", "--name", name]);
        }
    }
}

fn tool(name: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tools")
        .join(name);
    let output = Command::new(path).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn program(name: &str) -> String {
    let printed = tool("programs", &[name]);
    printed.split_once('=').unwrap().1.to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The directory, and what it needs to run.
fn start(kind: &str) -> (Server, Box<dyn Directory>) {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let lease = Some(Period::from_secs(LEASE));
    let defaults = Defaults::default();
    let (child, cluster, spec) = match kind {
        "file" => {
            let spec = discovery::FileDirectory {
                path: Some(folder.path().join("entries")),
                lease,
            };
            (None, None, DirectorySpec::File(spec))
        }
        "redis" => {
            let child = Command::new(program("redis-server"))
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let spec = discovery::RedisDirectory {
                url: Some(format!("redis://127.0.0.1:{port}")),
                lease,
                ..discovery::RedisDirectory::default()
            };
            (Some(child), None, DirectorySpec::Redis(spec))
        }
        "consul" => {
            let ports = format!(
                "ports {{ http = {port} dns = -1 grpc = -1 serf_lan = {} serf_wan = {} server = {} }}",
                free_port(),
                free_port(),
                free_port()
            );
            // Consul serves 100 connections of one client, and ours uses few; the rest is for a quick start.
            std::fs::write(folder.path().join("consul.hcl"), ports).unwrap();
            let child = Command::new(program("consul"))
                .args(["agent", "-dev", "-log-level", "err", "-config-file"])
                .arg(folder.path().join("consul.hcl"))
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let spec = discovery::ConsulDirectory {
                url: Some(format!("http://127.0.0.1:{port}")),
                lease,
                ..discovery::ConsulDirectory::default()
            };
            (Some(child), None, DirectorySpec::Consul(spec))
        }
        "kubernetes" => {
            let own = std::process::id().to_string();
            let name = format!("bench-{own}");
            let arguments = [
                "up",
                "--own",
                "--control-plane",
                "--name",
                &name,
                "--watchdog",
                &own,
            ];
            let kubeconfig: PathBuf = tool("cluster", &arguments).into();
            let spec = discovery::KubernetesDirectory {
                kubeconfig: Some(kubeconfig),
                lease,
                ..discovery::KubernetesDirectory::default()
            };
            (None, Some(name), DirectorySpec::Kubernetes(spec))
        }
        other => panic!("there is no directory `{other}`"),
    };
    let server = Server {
        child,
        cluster,
        _folder: folder,
    };
    (server, open(&spec, &defaults).unwrap())
}

fn entry(number: usize) -> Entry {
    let endpoint = Endpoint {
        name: Name::literal("client"),
        scheme: "tcp".into(),
        host: "192.0.2.7".into(),
        port: 5555,
        path: String::new(),
        token_file: None,
    };
    let name = format!("engine-{number}").parse().unwrap();
    Entry::new(name, "Command", "bench".parse().unwrap(), vec![endpoint])
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// CPU time of this process so far, and its resident memory in bytes.
fn usage() -> (Duration, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel's unit of time in /proc is a hundredth of a second on every architecture that Linux has today.
    let pages: u64 = fields[21].parse().unwrap();
    (Duration::from_millis(ticks * 10), pages * 4096)
}

fn measure(kind: &str) {
    let (_server, directory) = start(kind);
    let directory: Arc<dyn Directory> = Arc::from(directory);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        wait_for(&*directory).await;
        // The connection is made; from now on it is used.
        let mut trips = Vec::new();
        for _ in 0..TIMED {
            let begun = Instant::now();
            directory.get(&Name::literal("nobody")).await.unwrap();
            trips.push(begun.elapsed());
        }
        let mut registered = Vec::new();
        for number in 0..TIMED {
            let mut announcer = Announcer::sharing(vec![Arc::clone(&directory)]);
            let begun = Instant::now();
            announcer.announce(entry(number));
            let settled = announcer.settled().await;
            registered.push(begun.elapsed());
            assert!(
                matches!(settled[0].state, DirectoryState::Registered { .. }),
                "{settled:?}"
            );
            announcer.withdraw(Duration::from_secs(10)).await;
        }
        let (_, memory_before) = usage();
        let mut all = Vec::new();
        for number in 0..MANY {
            let mut announcer = Announcer::sharing(vec![Arc::clone(&directory)]);
            announcer.announce(entry(number));
            // As they come in life: not all in one moment.
            if number % 20 == 19 {
                announcer.settled().await;
            }
            all.push(announcer);
        }
        for announcer in &all {
            let settled = announcer.settled().await;
            assert!(
                matches!(settled[0].state, DirectoryState::Registered { .. }),
                "{settled:?}"
            );
        }
        // The first round of renewals still has the rhythm of the start.
        tokio::time::sleep(Duration::from_secs(LEASE / 3)).await;
        let (before, _) = usage();
        tokio::time::sleep(COUNTED).await;
        let (after, memory) = usage();
        let share = after.saturating_sub(before).as_secs_f64() / COUNTED.as_secs_f64() * 100.0;
        let (trip, registered) = (millis(median(trips)), millis(median(registered)));
        #[expect(clippy::cast_precision_loss, reason = "mebibytes")]
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "| {kind} | {trip:.1} ms | {registered:.1} ms{} | {share:.2} % of a core{} | {:.1} MiB, {:.1} MiB in all{} |",
            missed(registered > trip + 20.0),
            missed(share > 1.0),
            mebibytes(memory.saturating_sub(memory_before)),
            mebibytes(memory),
            missed(mebibytes(memory) > 30.0),
        );
    });
}

const fn missed(missed: bool) -> &'static str {
    if missed { " (goal missed)" } else { "" }
}

async fn wait_for(directory: &dyn Directory) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match directory.register(&entry(0)).await {
            Ok(()) => return directory.withdraw(&entry(0)).await.unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
