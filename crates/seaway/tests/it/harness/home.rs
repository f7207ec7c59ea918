//! A home for one test: its own state folder, in which nothing may be left.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Invocation, PATIENCE, cache, is_free,
    processes::{self, Process},
    python, reaper, scratch, until,
};

/// Variables of whoever runs the tests that would change what Seaway prints or does.
const LEFT_OUT: [&str; 26] = [
    "SEAWAY_ON",
    "SEAWAY_LOG",
    "SEAWAY_INSTANCE",
    "SEAWAY_INSTANCE_ID",
    "SEAWAY_TASK",
    "SEAWAY_START_ID",
    "DASK_SCHEDULER_ADDRESS",
    "KUBECONFIG",
    "K8S_HOST",
    "NAMESPACE",
    "CACERT_FILE",
    "CERT_FILE",
    "KEY_FILE",
    "SSL_TOKEN",
    "CONSUL_HTTP_ADDR",
    "CONSUL_HTTP_TOKEN",
    "CONSUL_HTTP_TOKEN_FILE",
    "REDIS_URL",
    "EXTERNAL_SERVICE_NAME",
    "EXTERNAL_SERVICE_PORT",
    "EXTERNAL_SERVICE_TARGET_PORT",
    "METRICS_SERVICE_NAME",
    "METRICS_SERVICE_PORT",
    "METRICS_SERVICE_TARGET_PORT",
    "METRICS_SERVER_PORT",
    "ENDPOINT_NAME",
];

/// The right to load the machine.
#[derive(Debug)]
pub(crate) struct Heavy(#[expect(dead_code, reason = "the lock ends when it is dropped")] File);

impl Heavy {
    /// Waits for it. A lock on a file, because runners may start a process for each test.
    pub(crate) fn wait() -> Self {
        fs::create_dir_all(scratch()).expect("the scratch folder can be made");
        let file = File::create(scratch().join("heavy.lock")).expect("a file can be made");
        file.lock().expect("a file can be locked");
        Self(file)
    }
}

/// A home. What runs in it ends when it is dropped, and the test fails when something stays.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
    /// Disks to be taken out of it at its end.
    mounts: Vec<PathBuf>,
    heavy: Option<Heavy>,
}

/// An instance as `seaway status --output json` tells it.
#[derive(Debug, Clone)]
pub(crate) struct Status(pub(crate) Value);

impl Home {
    /// A home for a test that loads the machine little.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("h")
            .tempdir_in(reaper::homes())
            .expect("a folder can be made");
        fs::create_dir(folder.path().join("tmp")).expect("a folder can be made");
        Self {
            folder,
            mounts: Vec::new(),
            heavy: None,
        }
    }

    /// A home for a test with real clusters. Waits until it is its turn, and for the Python environment.
    pub(crate) fn heavy() -> Self {
        let heavy = Heavy::wait();
        python();
        let mut home = Self::new();
        home.heavy = Some(heavy);
        home
    }

    /// The folder with all of it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A place in the folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// A file with this in it.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path.display().to_string()
    }

    /// `$XDG_STATE_HOME`.
    pub(crate) fn state_home(&self) -> PathBuf {
        self.path("state")
    }

    /// The state folder of Seaway.
    pub(crate) fn state(&self) -> PathBuf {
        self.state_home().join("seaway")
    }

    /// Puts a small disk in a place of it; says why it cannot.
    pub(crate) fn mount_small_disk(&mut self, at: &Path) -> Result<(), String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let mount = ["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"].map(OsStr::new);
        let mount = Invocation::new("mount", mount).arguments([at]).run();
        if mount.code == Some(0) {
            self.mounts.push(at.to_owned());
            Ok(())
        } else {
            Err(mount.stderr.trim().to_owned())
        }
    }

    /// Sets a command up for this home.
    pub(crate) fn furnish(&self, invocation: Invocation) -> Invocation {
        let invocation = LEFT_OUT
            .iter()
            .fold(invocation, super::command::Invocation::without_env);
        invocation
            .env("XDG_STATE_HOME", self.state_home())
            .env("XDG_CACHE_HOME", cache())
            .env("TMPDIR", self.path("tmp"))
            // What Jupyter, IPython and Dask write into the user's home otherwise.
            .env("JUPYTER_CONFIG_DIR", self.path("jupyter"))
            .env("JUPYTER_DATA_DIR", self.path("jupyter"))
            .env("IPYTHONDIR", self.path("ipython"))
            .env("DASK_CONFIG", self.path("dask"))
            .within_folder(self.folder())
    }

    /// `seaway` with these arguments.
    pub(crate) fn seaway<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        self.furnish(Invocation::seaway(arguments))
    }

    /// Brings a cluster up that is quick: one worker, no notebook.
    #[track_caller]
    pub(crate) fn up(&self, name: &str, more: &[&str]) -> Status {
        let up = self.seaway([
            "up",
            "dask",
            "--name",
            name,
            "--detach",
            "--set",
            "notebook.enabled=false",
        ]);
        let up = up
            .arguments(["--set", "workers.replicas=1"])
            .arguments(more)
            .run();
        assert_eq!(up.code, Some(0), "{up}\n{}", self.report());
        self.status(name)
    }

    /// Takes an instance down.
    #[track_caller]
    pub(crate) fn down(&self, name: &str) {
        let down = self.seaway(["down", name]).run();
        assert_eq!(down.code, Some(0), "{down}\n{}", self.report());
    }

    /// How an instance is.
    #[track_caller]
    pub(crate) fn status(&self, name: &str) -> Status {
        Status(
            self.seaway(["status", name, "--output", "json"])
                .run()
                .succeeded()
                .json(),
        )
    }

    /// Looks until there is something to see, or fails with how everything is.
    #[track_caller]
    pub(crate) fn until<T>(
        &self,
        what: &str,
        within: Duration,
        look: impl FnMut() -> Result<T, String>,
    ) -> T {
        match until(within, look) {
            Ok(seen) => seen,
            Err(why) => panic!("{what}: {why}\n{}", self.report()),
        }
    }

    /// Waits until an instance is as it should be.
    #[track_caller]
    pub(crate) fn until_status(&self, name: &str, what: &str, look: impl Fn(&Status) -> bool) -> Status {
        self.until(what, PATIENCE, || {
            let status = self.status(name);
            if look(&status) {
                Ok(status)
            } else {
                Err(status.summary())
            }
        })
    }

    /// Waits until an instance is ready.
    #[track_caller]
    pub(crate) fn until_ready(&self, name: &str) -> Status {
        self.until_status(name, "it is ready", |status| status.state() == "Ready")
    }

    /// All processes that were started from this home, however long ago and by whom.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let state = self.state_home().display().to_string();
        let own = i32::try_from(std::process::id()).expect("process ids fit");
        let mut found = processes::all();
        found.retain(|process| process.pid != own && process.variable("XDG_STATE_HOME") == Some(&state));
        found
    }

    /// The supervisors that run.
    pub(crate) fn supervisors(&self) -> Vec<i32> {
        self.processes()
            .iter()
            .filter(|process| process.is_supervisor())
            .map(|process| process.pid)
            .collect()
    }

    /// The supervisor of the only instance.
    #[track_caller]
    pub(crate) fn supervisor(&self) -> i32 {
        self.until("there is one supervisor", PATIENCE, || {
            match self.supervisors().as_slice() {
                [one] => Ok(*one),
                others => Err(format!("supervisors: {others:?}")),
            }
        })
    }

    /// What is left of instances: processes and files. Nothing, when they are gone.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> = self
            .processes()
            .iter()
            .map(|p| format!("process {} {}", p.pid, p.words.join(" ")))
            .collect();
        let names = |folder: &Path| -> Vec<String> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        };
        let state = self.state();
        left.extend(
            names(&state)
                .into_iter()
                .filter(|name| {
                    !name.starts_with("state.db")
                        && !["instances", "directory", "agents", "forwards"].contains(&name.as_str())
                })
                .map(|name| format!("file {name}")),
        );
        for folder in ["instances", "directory", "agents", "forwards"] {
            left.extend(
                names(&state.join(folder))
                    .into_iter()
                    .map(|name| format!("{folder}/{name}")),
            );
        }
        left
    }

    /// Fails the test when something is left of instances that were taken down. A supervisor that told the command
    /// it is done may need a moment to end itself.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        self.until("nothing is left", Duration::from_secs(10), || {
            match self.leftovers() {
                left if left.is_empty() => Ok(()),
                left => Err(left.join("\n")),
            }
        });
    }

    /// Everything that helps to understand why a test failed.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        let all = self.seaway(["ls"]).start().finish_quietly();
        let _ = writeln!(text, "=== ls\n{all}");
        let names = self.seaway(["ls", "--quiet"]).start().finish_quietly();
        for name in names.lines() {
            let _ = writeln!(text, "=== status {name}");
            let _ = writeln!(text, "{}", self.seaway(["status", name]).start().finish_quietly());
        }
        let instances = fs::read_dir(self.state().join("instances"))
            .into_iter()
            .flatten()
            .flatten();
        for instance in instances.map(|entry| entry.path()) {
            let logs = fs::read_dir(instance.join("logs"))
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path());
            for log in std::iter::once(instance.join("supervisor.log")).chain(logs) {
                let content = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = content.lines().collect();
                let last = lines[lines.len().saturating_sub(25)..].join("\n");
                let _ = writeln!(text, "=== {}\n{last}", log.display());
            }
        }
        for process in self.processes() {
            let _ = writeln!(text, "=== process {} {}", process.pid, process.words.join(" "));
        }
        text
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let down = self.seaway(["down", "--all", "--force"]).start().finish_quietly();
        let gone = until(Duration::from_secs(10), || match self.leftovers() {
            left if left.is_empty() => Ok(()),
            left => Err(left.join("\n")),
        });
        for process in self.processes() {
            processes::kill_hard(process.pid);
        }
        for mount in &self.mounts {
            Invocation::new("umount", ["-l".as_ref(), mount.as_os_str()])
                .start()
                .finish_quietly();
        }
        if let Err(left) = gone {
            let text = format!("left after `seaway down --all --force`:\n{left}\n{down}");
            assert!(failed, "{text}");
            eprintln!("{text}");
        }
    }
}

impl Status {
    /// The state of the whole.
    pub(crate) fn state(&self) -> &str {
        self.text("/state")
    }

    /// The reason of the whole.
    pub(crate) fn reason(&self) -> &str {
        self.text("/reason")
    }

    /// A text in it, by JSON pointer; empty when it is not there.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.0
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number in it.
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        self.0
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no number {pointer} in {}", self.0))
    }

    /// All tasks.
    pub(crate) fn tasks(&self) -> Vec<&Value> {
        let roles = self.0["roles"].as_object().expect("there are roles");
        roles
            .values()
            .flat_map(|role| role["tasks"].as_array().expect("a role has tasks"))
            .collect()
    }

    /// A task by its name.
    #[track_caller]
    pub(crate) fn task(&self, name: &str) -> &Value {
        let found = self.tasks().into_iter().find(|task| task["name"] == name);
        found.unwrap_or_else(|| panic!("no task {name} in {}", self.0))
    }

    /// The process of a task; of one that runs.
    #[track_caller]
    pub(crate) fn pid(&self, task: &str) -> i32 {
        self.running(task)
            .unwrap_or_else(|| panic!("{task} does not run: {}", self.0))
    }

    /// The process of a task, if one runs.
    pub(crate) fn running(&self, task: &str) -> Option<i32> {
        let found = self
            .tasks()
            .into_iter()
            .find(|candidate| candidate["name"] == task)?;
        i32::try_from(found["pid"].as_i64()?).ok()
    }

    /// The processes of all tasks that run, by the tasks' names.
    pub(crate) fn pids(&self) -> Vec<(String, i32)> {
        let tasks = self.tasks().into_iter().filter_map(|task| task["name"].as_str());
        tasks
            .filter_map(|name| Some((name.to_owned(), self.running(name)?)))
            .collect()
    }

    /// The address of an endpoint.
    #[track_caller]
    pub(crate) fn address(&self, endpoint: &str) -> &str {
        let address = self.text(&format!("/endpoints/{endpoint}/address"));
        assert!(!address.is_empty(), "no endpoint {endpoint} in {}", self.0);
        address
    }

    /// The URL of an endpoint.
    #[track_caller]
    pub(crate) fn url(&self, endpoint: &str) -> &str {
        self.text(&format!("/endpoints/{endpoint}/url"))
    }

    /// The addresses of all endpoints.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let endpoints = self.0["endpoints"].as_object().expect("there are endpoints");
        endpoints
            .values()
            .filter_map(|endpoint| endpoint["address"].as_str().map(str::to_owned))
            .collect()
    }

    /// Fails the test when somebody still listens on its ports.
    #[track_caller]
    pub(crate) fn ports_are_free(&self) {
        for address in self.addresses() {
            assert!(is_free(&address), "{address} is still in use");
        }
    }

    /// In one line.
    pub(crate) fn summary(&self) -> String {
        let states: Vec<String> = self
            .tasks()
            .iter()
            .map(|task| format!("{} {} ({})", task["name"], task["state"], task["reason"]))
            .collect();
        format!("{}: {}; {}", self.state(), self.reason(), states.join(", "))
    }
}
