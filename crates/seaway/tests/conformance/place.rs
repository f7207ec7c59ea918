//! Where a case runs: a platform with nothing in it yet, of which everything goes at the end.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use seaway_discovery::Variables;
use seaway_model::discovery::KubernetesDirectory;
use seaway_platform::{
    Platform,
    kubernetes::{ForwarderCommand, KubernetesOptions, KubernetesPlatform},
    local::{LocalPlatform, Paths, SupervisorCommand},
};
use serde_json::json;

use crate::{
    fleet::Fleet,
    harness::{
        Home, Invocation, PATIENCE, cache,
        kubernetes::with_images,
        processes,
        services::{self, Cluster},
        until,
    },
    toy,
};

const SEAWAY: &str = env!("CARGO_BIN_EXE_seaway");

/// How long what is left of a case may take to go.
const CLEARING: Duration = Duration::from_secs(60);

/// A platform for one case.
#[derive(Debug)]
pub(crate) struct Place {
    home: Home,
    /// The namespace; none on this machine.
    namespace: Option<String>,
}

/// The cluster of this process: one node, its images, its administrator's kubeconfig. `tools/cluster` removes it when
/// the process ends, however it ends. With `SEAWAY_TEST_CLUSTER`, one of that name is used, which has the images and
/// stays.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| with_images(1))
}

fn kubectl(words: &[&str]) -> Invocation {
    static KUBECTL: OnceLock<String> = OnceLock::new();
    let program = KUBECTL.get_or_init(|| services::program("kubectl"));
    Invocation::new(program, words.iter().copied()).env("KUBECONFIG", &cluster().kubeconfig)
}

impl Place {
    /// This machine, with a state folder of its own.
    pub(crate) fn local() -> Self {
        Self {
            home: Home::new(),
            namespace: None,
        }
    }

    /// A new namespace of the cluster, under the restricted Pod Security profile.
    pub(crate) fn kubernetes() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("conformance-{}-{number}", std::process::id());
        let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels},
        });
        kubectl(&["apply", "-f", "-"])
            .input(object.to_string())
            .run()
            .succeeded();
        Self {
            home: Home::new(),
            namespace: Some(namespace),
        }
    }

    /// Runs a case, and clears the place whatever comes of it.
    pub(crate) fn run(self, case: impl AsyncFnOnce(&Self)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("there is a runtime");
        let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(case(&self))));
        if outcome.is_err() {
            eprintln!("{}", self.report());
        }
        let cleared = catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.clear())));
        drop(runtime);
        if let Err(panic) = outcome.and(cleared) {
            resume_unwind(panic);
        }
    }

    /// The platform, as a command has it that is started now.
    pub(crate) fn platform(&self) -> Box<dyn Platform> {
        match &self.namespace {
            None => Box::new(self.processes()),
            Some(namespace) => Box::new(self.pods(namespace)),
        }
    }

    /// What a case does with the platform.
    pub(crate) fn fleet(&self) -> Fleet {
        Fleet::new(self.platform())
    }

    fn processes(&self) -> LocalPlatform {
        let paths = Paths {
            state: self.home.state(),
            cache: cache().join("seaway"),
        };
        // A supervisor finds its folders by the environment, which is that of this process.
        let folder = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        let supervisor = SupervisorCommand {
            program: "/usr/bin/env".into(),
            arguments: vec![
                folder("XDG_STATE_HOME", self.home.state_home()),
                folder("XDG_CACHE_HOME", cache()),
                SEAWAY.into(),
                "supervise".into(),
            ],
        };
        LocalPlatform::new(paths, supervisor)
    }

    fn pods(&self, namespace: &str) -> KubernetesPlatform {
        let kubeconfig = &cluster().kubeconfig;
        let words = [
            "port-forward",
            "--detached",
            "--on",
            "kubernetes",
            "--namespace",
            namespace,
            "--kubeconfig",
        ];
        let mut arguments: Vec<String> = words.map(str::to_owned).into();
        arguments.push(kubeconfig.display().to_string());
        let options = KubernetesOptions {
            cluster: KubernetesDirectory {
                kubeconfig: Some(kubeconfig.clone()),
                namespace: Some(toy::name(namespace)),
                ..KubernetesDirectory::default()
            },
            variables: Variables::default(),
            agent_image: concat!("seaway:", env!("CARGO_PKG_VERSION")).into(),
            state: self.home.state(),
            forwarder: ForwarderCommand {
                program: SEAWAY.into(),
                arguments,
                environment: vec![(
                    "XDG_STATE_HOME".into(),
                    self.home.state_home().display().to_string(),
                )],
            },
        };
        KubernetesPlatform::new(options).expect("the settings are right")
    }

    /// Whether tasks of roles that others depend on end after those others. A cluster is told all at once, so that
    /// nobody has to stay.
    pub(crate) fn keeps_order_of_removal(&self) -> bool {
        self.namespace.is_none()
    }

    /// Whether the lines of a task's earlier starts are kept beside those of its last.
    pub(crate) fn keeps_earlier_lines(&self) -> bool {
        self.namespace.is_none()
    }

    /// Kills what keeps tasks running, as `kill -9` does: the supervisor, or the controllers of the cluster.
    pub(crate) fn kill_controller(&self) {
        match self.namespace {
            None => {
                processes::kill_hard(self.home.supervisor());
            }
            Some(_) => cluster().change("kill", "kube-controller-manager"),
        }
    }

    /// Starts it again where it does not start by itself with the next look.
    pub(crate) fn start_controller(&self) {
        if self.namespace.is_some() {
            cluster().change("start", "kube-controller-manager");
        }
    }

    /// Fails when there is something of an instance that is gone.
    pub(crate) fn nothing_is_left(&self, instance: &str) {
        let Some(namespace) = &self.namespace else {
            self.home.nothing_is_left();
            return;
        };
        let kinds = "deployments,statefulsets,replicasets,controllerrevisions,pods,services,endpoints,endpointslices,\
                     configmaps,secrets,persistentvolumeclaims,networkpolicies,serviceaccounts,roles,rolebindings";
        let labels = format!("app.kubernetes.io/instance={instance}");
        let words = [
            "get",
            kinds,
            "--namespace",
            namespace,
            "--selector",
            &labels,
            "--output",
            "name",
        ];
        let left = until(PATIENCE, || {
            let left = kubectl(&words).run().succeeded().stdout;
            if left.is_empty() { Ok(()) } else { Err(left) }
        });
        left.unwrap_or_else(|left| panic!("left of {instance}: {left}"));
        let forwards = fs::read_dir(self.home.state().join("forwards"));
        assert_eq!(
            forwards.into_iter().flatten().count(),
            0,
            "files of a forwarder are left"
        );
    }

    /// Takes everything down.
    async fn clear(&self) {
        let platform = self.platform();
        let names = platform.list().await.expect("there is a list");
        for name in &names {
            // One that is gone meanwhile is what is wanted.
            let _ = platform.remove(name.as_str(), true).await;
        }
        let deadline = Instant::now() + CLEARING;
        for name in &names {
            while platform
                .observe(name.as_str())
                .await
                .expect("it can be seen")
                .is_some()
            {
                assert!(Instant::now() < deadline, "{name} does not go\n{}", self.report());
                platform
                    .changed(Duration::from_secs(1))
                    .await
                    .expect("it is told");
            }
        }
        if let Some(namespace) = &self.namespace {
            kubectl(&["delete", "namespace", namespace, "--wait=false"])
                .run()
                .succeeded();
        }
    }

    /// Everything that helps to understand why a case failed.
    fn report(&self) -> String {
        let Some(namespace) = &self.namespace else {
            return self.home.report();
        };
        let words = |words: &[&str]| {
            kubectl(&[words, &["--namespace", namespace]].concat())
                .start()
                .finish_quietly()
        };
        let events =
            "custom-columns=LAST:.lastTimestamp,OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message";
        [
            words(&["get", "all,configmaps", "--output", "wide"]),
            words(&["get", "events", "--sort-by", ".lastTimestamp", "--output", events]),
            words(&[
                "logs",
                "--selector",
                "app.kubernetes.io/instance",
                "--all-containers",
                "--prefix",
                "--tail",
                "20",
                "--max-log-requests",
                "50",
                "--ignore-errors",
            ]),
        ]
        .join("---\n")
    }
}
