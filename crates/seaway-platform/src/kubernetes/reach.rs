//! Endpoints as they are reached from this machine: through the API server, by a process that stays in the
//! background until the instance goes.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use nix::sys::signal::Signal;
use seaway_agent::{ProcessIdentity, environment};
use seaway_discovery::kubernetes::api::Resource;
use seaway_model::{
    Endpoint, Name,
    plan::{EndpointPlan, Plan, Role},
};
use seaway_render::kubernetes::{COMPONENT, Inventory, is_numbered, object_name, port_number};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    io::{DuplexStream, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::{
    KubernetesPlatform,
    cluster::{Cluster, refused},
    of_instance, task,
};
use crate::{PlatformError, local::paths::private_folder};

/// Longest time until a forwarder listens.
const LISTEN_WITHIN: Duration = Duration::from_secs(20);

/// How often a file that a process is about to write is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// How a forwarder is started: the program and its arguments, to which the instance's name is added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForwarderCommand {
    /// The program.
    pub program: PathBuf,
    /// Arguments before the instance's name.
    pub arguments: Vec<String>,
    /// Variables that it gets in place of this process's own.
    pub environment: Vec<(String, String)>,
}

/// What a forwarder writes down when it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forwarded {
    /// The process that listens.
    pub process: ProcessIdentity,
    /// A digest of what it forwards; another plan may have other endpoints.
    pub of: String,
    /// The endpoints at their addresses of this machine.
    pub endpoints: Vec<Endpoint>,
}

/// Endpoints as they are known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) all: Vec<Endpoint>,
    /// Whether their addresses are of use outside of the cluster.
    pub(super) from_here: bool,
}

/// The way to pods through the API server.
#[derive(Clone)]
pub(super) struct Pods(Cluster);

/// The labels of a role's pods.
pub(super) fn pods_of_role(plan: &Plan, role: &Role) -> String {
    format!(
        "{},{COMPONENT}={}",
        of_instance(plan.instance.as_str()),
        role.name
    )
}

impl Pods {
    /// The name of the pod with these labels that is ready, or of one that may become so.
    pub(super) async fn find(&self, labels: &str) -> Result<Option<String>, PlatformError> {
        let (pods, _) = self.0.list::<Pod>(Resource::Pod, labels).await?;
        let best = pods
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none() && !task::has_ended(pod))
            .max_by_key(|pod| (task::is_ready(pod), pod.metadata.creation_timestamp.clone()));
        Ok(best.and_then(|pod| pod.metadata.name))
    }

    /// A connection to a port of a pod.
    pub(super) async fn connect(&self, pod: &str, port: u16) -> Result<DuplexStream, PlatformError> {
        let mut forwarder = self
            .api()
            .await?
            .portforward(pod, &[port])
            .await
            .map_err(|error| self.failed(&error, &format!("pods/{pod}/portforward")))?;
        forwarder
            .take_stream(port)
            .ok_or_else(|| PlatformError::Unsupported {
                platform: "kubernetes",
                what: format!("port {port} of pod {pod} was not forwarded"),
            })
    }

    /// The pods of the namespace, for what is more than one request and one answer.
    pub(super) async fn api(&self) -> Result<Api<Pod>, PlatformError> {
        let session = self.0.connection.session().await.map_err(refused)?;
        Ok(Api::namespaced(session.client().clone(), &session.namespace))
    }

    /// What an error of the client means.
    pub(super) fn failed(&self, error: &kube::Error, what: &str) -> PlatformError {
        refused(self.0.connection.explain(error, what))
    }
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pods")
    }
}

impl KubernetesPlatform {
    pub(super) fn pods(&self) -> Pods {
        Pods(self.cluster.clone())
    }

    /// The endpoints of a plan: at addresses of this machine when something forwards them, else of the cluster.
    pub(super) async fn endpoints(&self, plan: &Plan) -> Result<Known, PlatformError> {
        if let Some(forwarded) = self.forwarded(plan.instance.as_str()).await?
            && forwarded.process.is_alive()
            // What an earlier document had leads elsewhere, or nowhere.
            && forwarded.of == digest(plan)
        {
            return Ok(Known {
                all: forwarded.endpoints,
                from_here: true,
            });
        }
        let namespace = self.namespace().await?;
        let all = plan
            .endpoints
            .iter()
            .filter_map(|endpoint| {
                let role = plan.role(endpoint.role.as_str())?;
                let service = object_name(&plan.instance, role.name.as_str());
                let host = if is_numbered(role) {
                    format!("{service}-0.{service}.{namespace}.svc")
                } else {
                    format!("{service}.{namespace}.svc")
                };
                let port = port_number(role.port(endpoint.port.as_str())?);
                Some(at(endpoint, host, port, None))
            })
            .collect();
        Ok(Known {
            all,
            from_here: false,
        })
    }

    /// Makes sure that something forwards the endpoints of an instance, and waits until it does.
    pub(super) async fn ensure_forwarder(&self, name: &str) -> Result<(), PlatformError> {
        let plan = self.plan(name).await?;
        let folder = self.folder(name).await?;
        let is_there = || {
            read(&folder)
                .is_some_and(|forwarded| forwarded.process.is_alive() && forwarded.of == digest(&plan))
        };
        if is_there() {
            return Ok(());
        }
        // One that forwards what an earlier document had.
        self.end_forwarder(name).await?;
        private_folder(&folder).map_err(failed(&folder))?;
        let path = folder.join("log");
        let log = File::options()
            .write(true)
            .truncate(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(&path))?;
        let errors = log.try_clone().map_err(failed(&path))?;
        let ForwarderCommand {
            program,
            arguments,
            environment: variables,
        } = &self.options.forwarder;
        let mut command = Command::new(program);
        command.args(arguments).arg(name);
        for mark in environment::ALL {
            command.env_remove(mark);
        }
        command
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .current_dir("/");
        let unstarted = |reason: String| PlatformError::Forwarder {
            name: name.to_owned(),
            reason,
        };
        let mut child = command
            .spawn()
            .map_err(|error| unstarted(format!("{}: {error}", program.display())))?;
        let deadline = Instant::now() + LISTEN_WITHIN;
        loop {
            if is_there() {
                return Ok(());
            }
            // Another one may have been faster; then this one has ended well.
            let ended = child.try_wait().map_err(|error| unstarted(error.to_string()))?;
            if ended.is_some_and(|status| !status.success()) || Instant::now() > deadline {
                let _ = child.kill();
                let said = fs::read_to_string(&path).unwrap_or_default();
                return Err(unstarted(said.trim().to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the forwarder of an instance that is gone, and removes what it wrote.
    pub(super) async fn end_forwarder(&self, name: &str) -> Result<(), PlatformError> {
        let folder = self.folder(name).await?;
        let Some(forwarded) = read(&folder) else {
            return Ok(());
        };
        if ProcessIdentity::own().as_ref() != Some(&forwarded.process) && forwarded.process.is_alive() {
            let _ = forwarded.process.signal(Signal::SIGTERM);
        }
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&folder)(error)),
            _ => Ok(()),
        }
    }

    /// Forwards the endpoints of an instance until it is gone. `listening` is told where, as soon as that is so.
    pub async fn forward(
        &self,
        name: &str,
        listening: impl FnOnce(&[Endpoint]),
    ) -> Result<(), PlatformError> {
        let plan = self.plan(name).await?;
        let folder = self.folder(name).await?;
        private_folder(&folder).map_err(failed(&folder))?;
        let tokens = self.write_tokens(&plan, &folder).await?;
        let mut endpoints = Vec::new();
        let mut serving = Vec::new();
        for endpoint in &plan.endpoints {
            let Some(role) = plan.role(endpoint.role.as_str()) else {
                continue;
            };
            let Some(port) = role.port(endpoint.port.as_str()).map(port_number) else {
                continue;
            };
            let listener = listen(port).await.map_err(failed(&folder))?;
            let local = listener.local_addr().map_err(failed(&folder))?;
            let token = endpoint
                .token
                .as_ref()
                .and_then(|token| tokens.get(token).cloned());
            endpoints.push(at(endpoint, local.ip().to_string(), local.port(), token));
            serving.push(serve(listener, self.pods(), pods_of_role(&plan, role), port));
        }
        if let Some(process) = ProcessIdentity::own() {
            let forwarded = Forwarded {
                process,
                of: digest(&plan),
                endpoints: endpoints.clone(),
            };
            write(&folder.join("addresses.json"), &json!(forwarded).to_string()).map_err(failed(&folder))?;
        }
        listening(&endpoints);
        let gone = async {
            loop {
                match self.inventory(name).await {
                    Ok(None) => return Ok(()),
                    Ok(Some(_)) => {}
                    // It may be back, with the instance still there.
                    Err(PlatformError::Cluster(error)) if super::cluster::is_passing(&error) => {}
                    Err(error) => return Err(error),
                }
                self.watches
                    .changed(&self.cluster, Duration::from_secs(300))
                    .await;
            }
        };
        let result = tokio::select! {
            _ = join_all(serving) => Ok(()),
            gone = gone => gone,
        };
        self.end_forwarder(name).await?;
        result
    }

    /// Removes what this process wrote when it began to forward.
    pub async fn stop_forwarding(&self, name: &str) -> Result<(), PlatformError> {
        self.end_forwarder(name).await
    }

    /// The plan that an instance follows, for who cannot do without.
    pub(super) async fn plan(&self, name: &str) -> Result<Plan, PlatformError> {
        let Some(inventory) = self.inventory(name).await? else {
            return Err(self.not_found(name).await);
        };
        let read = Inventory::read(&json!(inventory.data)).map_err(|error| PlatformError::Unsupported {
            platform: "kubernetes",
            what: format!("the inventory of `{name}`: {error}"),
        })?;
        Ok(read.plan)
    }

    async fn forwarded(&self, name: &str) -> Result<Option<Forwarded>, PlatformError> {
        Ok(read(&self.folder(name).await?))
    }

    /// The folder of the forwarder of an instance: one for each cluster, namespace and name.
    async fn folder(&self, name: &str) -> Result<PathBuf, PlatformError> {
        let session = self.cluster.connection.session().await.map_err(refused)?;
        let place = format!("{} {}", session.url, session.namespace);
        let digest = hex::encode(&Sha256::digest(place)[..8]);
        Ok(self
            .options
            .state
            .join("forwards")
            .join(format!("{name}-{digest}")))
    }

    /// The tokens that clients need, each in a file that only the user can read.
    async fn write_tokens(
        &self,
        plan: &Plan,
        folder: &Path,
    ) -> Result<BTreeMap<Name, PathBuf>, PlatformError> {
        let mut files = BTreeMap::new();
        if plan.endpoints.iter().all(|endpoint| endpoint.token.is_none()) {
            return Ok(files);
        }
        let object = object_name(&plan.instance, "secrets");
        let secret: Option<Secret> = self.cluster.get(Resource::Secret, &object).await?;
        for (key, value) in secret.and_then(|secret| secret.data).unwrap_or_default() {
            let Ok(name) = key.parse::<Name>() else { continue };
            let path = folder.join(format!("token-{name}"));
            write(&path, &String::from_utf8_lossy(&value.0)).map_err(failed(&path))?;
            files.insert(name, path);
        }
        Ok(files)
    }
}

/// What is forwarded for a plan: its endpoints, and the ports behind them.
fn digest(plan: &Plan) -> String {
    let ports: Vec<Option<u16>> = plan
        .endpoints
        .iter()
        .map(|endpoint| {
            let role = plan.role(endpoint.role.as_str())?;
            role.port(endpoint.port.as_str()).map(port_number)
        })
        .collect();
    let text = json!({"endpoints": plan.endpoints, "ports": ports}).to_string();
    hex::encode(&Sha256::digest(text)[..8])
}

fn at(endpoint: &EndpointPlan, host: String, port: u16, token_file: Option<PathBuf>) -> Endpoint {
    Endpoint {
        name: endpoint.name.clone(),
        scheme: endpoint.scheme.clone(),
        host,
        port,
        path: endpoint.path.clone(),
        token_file,
    }
}

/// The port by which it is known, when that is free on this machine, else any.
async fn listen(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await,
    }
}

/// Takes connections and carries each to the pod that is there at that moment.
async fn serve(listener: TcpListener, pods: Pods, labels: String, port: u16) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files: others have to end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (pods, labels) = (pods.clone(), labels.clone());
        tokio::spawn(async move {
            if let Err(error) = carry(stream, &pods, &labels, port).await {
                tracing::warn!("a connection to port {port} was not forwarded: {error}");
            }
        });
    }
}

async fn carry(mut stream: TcpStream, pods: &Pods, labels: &str, port: u16) -> Result<(), PlatformError> {
    let _ = stream.set_nodelay(true);
    let Some(pod) = pods.find(labels).await? else {
        return Err(PlatformError::Unsupported {
            platform: "kubernetes",
            what: "there is no pod at the moment".into(),
        });
    };
    let mut far = pods.connect(&pod, port).await?;
    // Either side may end it.
    let _ = copy_bidirectional(&mut stream, &mut far).await;
    Ok(())
}

fn read(folder: &Path) -> Option<Forwarded> {
    serde_json::from_slice(&fs::read(folder.join("addresses.json")).ok()?).ok()
}

/// Writes a file that only the user can read, whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> PlatformError {
    let path = path.to_owned();
    |source| PlatformError::File { path, source }
}
