//! A real Kubernetes API server with its controllers, for the tests of one program; namespaces and service accounts in
//! it. `tools/cluster` starts it and removes it when the program ends.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api, Client, Config,
    api::{DynamicObject, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use seaway_discovery::{
    Defaults,
    kubernetes::access::{self, Work},
};
use seaway_model::discovery::{KubernetesDirectory, KubernetesPlacement};
use serde_json::{Value, json};

use super::until;

/// Announcing an engine outside of the cluster.
pub(crate) const ANNOUNCE: Work = Work::Announce {
    placement: KubernetesPlacement::Outside,
    legacy_endpoints: false,
    selector: false,
};

/// All work for engines outside of the cluster.
pub(crate) const OUTSIDE: [Work; 3] = [ANNOUNCE, Work::Discover, Work::Collect];

static NUMBER: AtomicUsize = AtomicUsize::new(0);

fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/cluster")
}

/// Runs `tools/cluster`; gives back what it prints.
#[track_caller]
pub(crate) fn cluster_tool(arguments: &[&str]) -> String {
    let output = Command::new(tool())
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "tools/cluster {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The cluster of this test program: the user's own, when `KUBECONFIG` names one.
pub(crate) fn kubeconfig() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let own = std::process::id().to_string();
        let name = format!("tests-{own}");
        let arguments = [
            "up",
            "--control-plane",
            "--with",
            "kube-controller-manager",
            "--name",
            &name,
            "--watchdog",
            &own,
        ];
        cluster_tool(&arguments).into()
    })
}

/// A client with all rights, for this runtime.
pub(crate) async fn admin() -> Client {
    client_of(kubeconfig()).await
}

pub(crate) async fn client_of(kubeconfig: &Path) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// A namespace of its own, removed when this is dropped.
pub(crate) struct Space {
    pub(crate) name: String,
    pub(crate) client: Client,
    kubeconfig: PathBuf,
    /// What the documents name: tokens, and the certificate of the authority.
    files: tempfile::TempDir,
}

impl Space {
    pub(crate) async fn new() -> Self {
        Self::of(kubeconfig()).await
    }

    pub(crate) async fn of(kubeconfig: &Path) -> Self {
        let client = client_of(kubeconfig).await;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let body: Namespace = from(json!({ "metadata": { "name": name } }));
        Api::all(client.clone())
            .create(&PostParams::default(), &body)
            .await
            .unwrap();
        Self {
            name,
            client,
            kubeconfig: kubeconfig.to_owned(),
            files: tempfile::tempdir().unwrap(),
        }
    }

    /// A document of a service account that may do no more than what is needed for an engine outside of the cluster.
    pub(crate) async fn spec(&self) -> KubernetesDirectory {
        self.least(&OUTSIDE).await
    }

    /// A document with all rights.
    pub(crate) fn spec_of_admin(&self) -> KubernetesDirectory {
        KubernetesDirectory {
            kubeconfig: Some(self.kubeconfig.clone()),
            namespace: Some(self.name.parse().unwrap()),
            ..KubernetesDirectory::default()
        }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates any object.
    pub(crate) async fn create(&self, body: Value) {
        let object: DynamicObject = from(body);
        let types = object.types.clone().unwrap();
        let (group, version) = types
            .api_version
            .split_once('/')
            .unwrap_or(("", &types.api_version));
        let kind = kube::core::GroupVersionKind::gvk(group, version, &types.kind);
        let resource = kube::core::ApiResource::from_gvk(&kind);
        Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.name, &resource)
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    /// A document of a service account that holds exactly what `seaway rbac` prints for this work. One in each
    /// namespace.
    pub(crate) async fn least(&self, work: &[Work]) -> KubernetesDirectory {
        let folder = self.files.path();
        self.create(
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "engine" } }),
        )
        .await;
        for object in access::role("engine", &self.name, "engine", work) {
            self.create(object).await;
        }
        let token = folder.join("token");
        std::fs::write(&token, self.token("engine", None).await).unwrap();
        let config = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let cluster = config.clusters[0].cluster.clone().unwrap();
        let authority = folder.join("ca.crt");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options).await.unwrap();
        std::fs::write(&authority, pem(&config.root_cert.unwrap()[0])).unwrap();
        let spec = KubernetesDirectory {
            server: cluster.server,
            namespace: Some(self.name.parse().unwrap()),
            token_file: Some(token),
            ca_file: Some(authority),
            ..KubernetesDirectory::default()
        };
        let directory = seaway_discovery::KubernetesDirectory::open(&spec, &Defaults::default()).unwrap();
        until("the API server knows the role", async || {
            let access = directory.access(work).await.unwrap();
            access.iter().all(|one| one.allowed)
        })
        .await;
        spec
    }

    /// A token of a service account, which ends with the Secret it is bound to.
    pub(crate) async fn token(&self, account: &str, secret: Option<&str>) -> String {
        use k8s_openapi::api::authentication::v1::TokenRequest;
        let mut body = json!({ "spec": { "audiences": [], "expirationSeconds": 3600 }, "metadata": {} });
        if let Some(name) = secret {
            body["spec"]["boundObjectRef"] = json!({ "kind": "Secret", "apiVersion": "v1", "name": name });
        }
        let request: TokenRequest = from(body);
        let accounts: Api<ServiceAccount> = self.api();
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await
            .unwrap();
        answer.status.unwrap().token
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // The whole cluster goes with the program, unless it is the user's; then this is what is left.
        if std::env::var_os("KUBECONFIG").is_some() {
            let name = &self.name;
            let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
            let _ = Command::new("kubectl")
                .args([kubeconfig.as_str(), "delete", "namespace", name, "--wait=false"])
                .output();
        }
    }
}

pub(crate) fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// DER as PEM.
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let bits = chunk
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
