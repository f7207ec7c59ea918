//! A real cluster for the tests of one program, and namespaces in it. `tools/cluster` removes it when the program ends.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{
        authentication::v1::SelfSubjectReview,
        authorization::v1::SelfSubjectAccessReview,
        core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount},
        rbac::v1::{ClusterRole, Role, RoleBinding},
    },
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Client, Config,
    api::{ListParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use seaway_discovery::{
    Variables,
    kubernetes::api::{Connection, Settings},
};
use seaway_model::discovery::KubernetesDirectory;
use seaway_setup::{Did, Report, Request, Result};
use serde_json::{Value, json};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Runs a tool of the repository; gives back what it prints.
#[track_caller]
pub(crate) fn tool(name: &str, arguments: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tools")
        .join(name);
    let output = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "tools/{name} {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The cluster of this program: an API server with its controllers. Always one of its own: users and objects of the whole
/// cluster are made in it.
pub(crate) fn kubeconfig() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let own = std::process::id().to_string();
        let arguments = [
            "up",
            "--own",
            "--control-plane",
            "--with",
            "kube-controller-manager",
            "--name",
            &cluster_name(),
            "--watchdog",
            &own,
        ];
        tool("cluster", &arguments).into()
    })
}

pub(crate) fn cluster_name() -> String {
    format!("setup-{}", std::process::id())
}

/// A kubeconfig of a user without any rights.
pub(crate) fn user(name: &str, namespace: &str) -> PathBuf {
    kubeconfig();
    let arguments = ["user", name, "--name", &cluster_name(), "--namespace", namespace];
    let printed = tool("cluster", &arguments);
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("kubeconfig="))
        .unwrap();
    line.into()
}

pub(crate) async fn config_of(kubeconfig: &Path) -> Config {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap()
}

/// A namespace of its own; it is not made.
pub(crate) struct Space {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) files: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Space {
    pub(crate) async fn new() -> Self {
        Self::of(kubeconfig()).await
    }

    pub(crate) async fn of(kubeconfig: &Path) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("setup-{}-{number}", std::process::id()),
            client: Client::try_from(config_of(kubeconfig).await).unwrap(),
            files: tempfile::tempdir().unwrap(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    pub(crate) fn connection(&self) -> Connection {
        self.connection_of(&self.kubeconfig)
    }

    pub(crate) fn connection_of(&self, kubeconfig: &Path) -> Connection {
        let spec = KubernetesDirectory {
            kubeconfig: Some(kubeconfig.to_owned()),
            namespace: Some(self.name.parse().unwrap()),
            ..KubernetesDirectory::default()
        };
        Connection::new(Settings::new(&spec, &Variables::default()).unwrap())
    }

    pub(crate) async fn setup(&self, request: &Request) -> (Report, Result<()>) {
        seaway_setup::kubernetes(&self.connection(), request).await
    }

    /// Does it, and fails when a step fails.
    #[track_caller]
    pub(crate) fn made(&self, request: &Request) -> impl Future<Output = Report> {
        let place = std::panic::Location::caller();
        async move {
            let (report, outcome) = self.setup(request).await;
            assert!(outcome.is_ok(), "{place}: {}\n{report:#?}", outcome.unwrap_err());
            report
        }
    }

    pub(crate) async fn remove(&self, request: &Request) -> Report {
        let (report, outcome) = seaway_setup::remove(&self.connection(), request).await;
        outcome.unwrap();
        report
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub(crate) async fn make_namespace(&self) {
        let body: Namespace = from(json!({ "metadata": { "name": self.name } }));
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.create(&PostParams::default(), &body).await.unwrap();
    }

    pub(crate) async fn has_namespace(&self) -> bool {
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.get_opt(&self.name).await.unwrap().is_some()
    }

    /// A value of a Secret.
    pub(crate) async fn secret(&self, name: &str, key: &str) -> Option<Vec<u8>> {
        let secret = self.api::<Secret>().get_opt(name).await.unwrap()?;
        secret.data?.remove(key).map(|bytes| bytes.0)
    }

    /// Kind, name and version of all that is in the namespace, and of cluster roles.
    pub(crate) async fn versions(&self) -> Vec<String> {
        async fn of<K>(api: Api<K>, labels: &str, found: &mut Vec<String>)
        where
            K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
        {
            for one in api.list(&ListParams::default().labels(labels)).await.unwrap() {
                let meta = one.meta();
                let (name, version) = (meta.name.as_deref(), meta.resource_version.as_deref());
                found.push(format!("{} {} {}", K::kind(&()), name.unwrap(), version.unwrap()));
            }
        }
        let mut found = Vec::new();
        of::<Secret>(self.api(), "", &mut found).await;
        of::<ConfigMap>(self.api(), "", &mut found).await;
        of::<Service>(self.api(), "", &mut found).await;
        of::<ServiceAccount>(self.api(), "", &mut found).await;
        of::<Role>(self.api(), "", &mut found).await;
        of::<RoleBinding>(self.api(), "", &mut found).await;
        of::<k8s_openapi::api::apps::v1::Deployment>(self.api(), "", &mut found).await;
        // Other tests have theirs.
        let labels = format!("seaway.dev/setup-namespace={}", self.name);
        of::<ClusterRole>(Api::all(self.client.clone()), &labels, &mut found).await;
        of::<k8s_openapi::api::certificates::v1::CertificateSigningRequest>(
            Api::all(self.client.clone()),
            &labels,
            &mut found,
        )
        .await;
        found
    }
}

/// Who a client is, as the API server sees it.
pub(crate) async fn who(client: &Client) -> String {
    let all: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = all
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    review.status.unwrap().user_info.unwrap().username.unwrap()
}

/// Whether a client may do something.
pub(crate) async fn may(client: &Client, verb: &str, group: &str, resource: &str, namespace: &str) -> bool {
    let all: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let body: SelfSubjectAccessReview = from(json!({ "spec": { "resourceAttributes": {
        "namespace": namespace, "group": group, "resource": resource, "verb": verb,
    } } }));
    let review = all.create(&PostParams::default(), &body).await.unwrap();
    review.status.unwrap().allowed
}

/// Asks until the answer is yes; fails after thirty seconds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(Instant::now() < deadline, "not within thirty seconds: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// What was done about an object.
#[track_caller]
pub(crate) fn did(report: &Report, object: &str) -> Did {
    let step = report.steps.iter().find(|step| step.object == object);
    step.unwrap_or_else(|| panic!("no step about {object}: {report:#?}"))
        .did
}
