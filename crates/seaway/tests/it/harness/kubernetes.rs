//! A real cluster with two nodes for all tests of this process, and a namespace of it for each test.
//!
//! The first test that needs the cluster starts it and loads the images; `tools/cluster` removes it when this process
//! ends, however it ends. With `SEAWAY_TEST_CLUSTER`, the tests use a cluster of that name, which has the images and stays.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::{Home, Invocation, Output, PATIENCE, Status, scratch, services, services::Cluster, until};

/// How many tests use the cluster at the same time: all of its nodes share the cores of this machine.
const AT_ONCE: usize = 2;

/// Time for what all tests wait for: the images, and the tests before.
const LONG: Duration = Duration::from_secs(3600);

/// The label by which all objects of an instance are found.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// The cluster.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| with_images(2))
}

/// A cluster with that many nodes, which have the images; or the one that `SEAWAY_TEST_CLUSTER` names.
pub(crate) fn with_images(nodes: u32) -> Cluster {
    if let Ok(name) = std::env::var("SEAWAY_TEST_CLUSTER") {
        return Cluster::existing(name);
    }
    // Nothing is built when nothing changed since the step `images` of `.ci/run`.
    let archives = services::images(&["seaway", "dask"]);
    let cluster = Cluster::with_nodes(nodes);
    for archive in &archives {
        cluster.load(archive);
    }
    cluster
}

/// The right to use the cluster.
#[derive(Debug)]
pub(crate) struct Turn(#[expect(dead_code, reason = "the locks end when it is dropped")] Vec<File>);

impl Turn {
    /// Waits for it.
    pub(crate) fn wait() -> Self {
        let mut places = places();
        let free = until(LONG, || {
            let free = places.iter().position(|place| place.try_lock().is_ok());
            free.ok_or_else(|| "other tests use the cluster".to_owned())
        });
        Self(vec![places.swap_remove(free.expect("other tests end"))])
    }

    /// Waits for the right to use it alone, for who breaks it.
    pub(crate) fn alone() -> Self {
        let places = places();
        // In order: two who want this do not wait for each other.
        for place in &places {
            place.lock().expect("a file can be locked");
        }
        Self(places)
    }
}

/// Files to be locked, because runners may start a process for each test.
fn places() -> Vec<File> {
    fs::create_dir_all(scratch()).expect("the scratch folder can be made");
    (0..AT_ONCE)
        .map(|number| scratch().join(format!("kubernetes-{number}.lock")))
        .map(|path| File::create(path).expect("a file can be made"))
        .collect()
}

/// A namespace of the cluster, under the restricted Pod Security profile, with a home on this machine. When it is
/// dropped, what is in it goes.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) home: Home,
    pub(crate) name: String,
    /// For the administrator, in this namespace.
    pub(crate) kubeconfig: PathBuf,
}

impl Namespace {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self::with("restricted")
    }

    /// One whose pods may do anything.
    pub(crate) fn permissive() -> Self {
        Self::with("privileged")
    }

    fn with(profile: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("it-{}-{number}", std::process::id());
        let home = Home::new();
        let kubeconfig = home.path("kubeconfig");
        let mut settings: Value =
            serde_json::from_slice(&fs::read(&cluster().kubeconfig).expect("the cluster has a kubeconfig"))
                .expect("`tools/cluster` writes JSON");
        settings["contexts"][0]["context"]["namespace"] = json!(name);
        write_private(&kubeconfig, &settings);
        let new = Self {
            home,
            name,
            kubeconfig,
        };
        let labels = json!({"pod-security.kubernetes.io/enforce": profile});
        new.apply(&json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new.name, "labels": labels},
        }));
        new
    }

    /// `seaway` on the cluster, in this namespace.
    pub(crate) fn seaway<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        self.home
            .seaway(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("SEAWAY_ON", "kubernetes")
    }

    /// `kubectl` in this namespace.
    pub(crate) fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> Invocation {
        static KUBECTL: OnceLock<String> = OnceLock::new();
        let program = KUBECTL.get_or_init(|| services::program("kubectl"));
        Invocation::new(program, arguments).env("KUBECONFIG", &self.kubeconfig)
    }

    /// Makes an object be so.
    #[track_caller]
    pub(crate) fn apply(&self, object: &Value) {
        self.kubectl(["apply", "-f", "-"])
            .input(object.to_string())
            .run()
            .succeeded();
    }

    /// Objects of a kind with these labels: `pod`, `app.kubernetes.io/component=worker`.
    #[track_caller]
    pub(crate) fn get(&self, kind: &str, labels: &str) -> Vec<Value> {
        let got = self.kubectl(["get", kind, "--selector", labels, "--output", "json"]);
        let list = got.run().succeeded().json();
        list["items"].as_array().expect("it is a list").clone()
    }

    /// The pods of an instance, by name.
    #[track_caller]
    pub(crate) fn pods(&self, instance: &str) -> BTreeMap<String, Value> {
        let pods = self.get("pod", &format!("{INSTANCE}={instance}"));
        pods.into_iter().map(|pod| (name_of(&pod), pod)).collect()
    }

    /// Everything of an instance, of whatever kind: the version of each object.
    #[track_caller]
    pub(crate) fn versions(&self, instance: &str) -> BTreeMap<String, String> {
        let labels = format!("{INSTANCE}={instance}");
        let objects = self.get(kinds(), &labels);
        objects
            .iter()
            .map(|object| {
                let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
                let name = format!("{}/{}", text(&object["kind"]), name_of(object));
                (name, text(&object["metadata"]["resourceVersion"]))
            })
            .collect()
    }

    /// Fails the test when something of an instance is left, but for these objects.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self, instance: &str, but: &[&str]) {
        let left: Vec<String> = self.versions(instance).into_keys().collect();
        assert_eq!(left, but, "left of {instance}\n{}", self.report());
    }

    /// Brings an instance up, and leaves it so.
    #[track_caller]
    pub(crate) fn up(&self, arguments: &[&str]) -> Status {
        let up = self
            .seaway(["up", "--detach", "--output", "json"])
            .arguments(arguments)
            .run();
        assert_eq!(up.code, Some(0), "{up}\n{}", self.report());
        Status(up.json())
    }

    /// Takes an instance down.
    #[track_caller]
    pub(crate) fn down(&self, name: &str) -> Output {
        let down = self.seaway(["down", name]).run();
        assert_eq!(down.code, Some(0), "{down}\n{}", self.report());
        down
    }

    /// How an instance is.
    #[track_caller]
    pub(crate) fn status(&self, name: &str) -> Status {
        let status = self.seaway(["status", name, "--output", "json"]).run();
        assert_eq!(status.code, Some(0), "{status}\n{}", self.report());
        Status(status.json())
    }

    /// Looks until there is something to see, or fails with how everything is.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, look: impl FnMut() -> Result<T, String>) -> T {
        match until(PATIENCE, look) {
            Ok(seen) => seen,
            Err(why) => panic!("{what}: {why}\n{}", self.report()),
        }
    }

    /// Waits until an instance is as it should be.
    #[track_caller]
    pub(crate) fn until_status(&self, name: &str, what: &str, look: impl Fn(&Status) -> bool) -> Status {
        self.until(what, || {
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

    /// Everything that helps to understand why a test failed.
    pub(crate) fn report(&self) -> String {
        let events =
            "custom-columns=LAST:.lastTimestamp,OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message";
        let all = [
            self.seaway(["status"]),
            self.kubectl(["get", "all,configmap,persistentvolumeclaim", "--output", "wide"]),
            self.kubectl(["get", "events", "--sort-by", ".lastTimestamp", "--output", events]),
            self.kubectl([
                "logs",
                "--selector",
                INSTANCE,
                "--all-containers",
                "--prefix",
                "--tail",
                "20",
                "--max-log-requests",
                "50",
                "--ignore-errors",
            ]),
        ];
        let all = all.map(|command| command.start().finish_quietly());
        format!(
            "=== namespace {}\n{}\n{}",
            self.name,
            all.join("\n---\n"),
            self.home.report()
        )
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        // The processes on this machine end with their instances.
        let down = self.seaway(["down", "--all", "--force"]);
        down.start().finish_quietly();
        let delete = [
            "delete",
            "namespace",
            &self.name,
            "--wait=false",
            "--ignore-not-found",
        ];
        self.kubectl(delete).start().finish_quietly();
    }
}

/// An object's name.
pub(crate) fn name_of(object: &Value) -> String {
    object["metadata"]["name"]
        .as_str()
        .expect("an object has a name")
        .to_owned()
}

/// All kinds of objects that a namespace can have, for `kubectl get`.
fn kinds() -> &'static str {
    static KINDS: OnceLock<String> = OnceLock::new();
    KINDS.get_or_init(|| {
        let list = [
            "api-resources",
            "--namespaced",
            "--verbs",
            "list",
            "--output",
            "name",
        ];
        let output = Invocation::new(services::program("kubectl"), list)
            .env("KUBECONFIG", &cluster().kubeconfig)
            .run()
            .succeeded();
        let kinds: Vec<&str> = output.stdout.lines().collect();
        assert!(kinds.contains(&"statefulsets.apps"), "{output}");
        kinds.join(",")
    })
}

/// Writes settings with keys in them.
pub(crate) fn write_private(path: &Path, content: &Value) {
    use std::io::Write;
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    let written = file.and_then(|mut file| file.write_all(content.to_string().as_bytes()));
    written.expect("a file can be written");
}
