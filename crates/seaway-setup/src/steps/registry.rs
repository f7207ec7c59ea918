//! A registry in the namespace, with an authority of its own, where who has the password pushes and pulls.

mod objects;

use std::path::Path;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use seaway_discovery::kubernetes::api::Resource;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{certificate::value, pull};
use crate::{
    Cluster, Error, Login, Registry, Result, Secret,
    cluster::Others,
    files,
    pki::{self, Facts, Pair},
    report::Did,
};

const STEP: &str = "registry";
/// Port of the Service and of the pod.
const PORT: u16 = 5000;

/// Name of the Secret with which nodes pull from it.
pub(super) fn pull_secret(name: &str) -> String {
    format!("{name}-pull")
}

/// What is generated once and kept.
struct Generated {
    authority: Pair,
    password: String,
    /// The password's hash, as the registry wants it.
    hash: String,
    /// What the registry signs the state of uploads with.
    seal: String,
}

/// Makes it, and waits until it answers.
pub(super) async fn run(cluster: &mut Cluster<'_>, asked: &Registry) -> Result<()> {
    let generated = generated(cluster, asked).await?;
    let why = "who may push and pull, and the authority that the registry's certificate is from";
    cluster
        .ensure(STEP, objects::secret(asked, &generated), Others::Refuse, why)
        .await?;
    let service = cluster
        .ensure(
            STEP,
            objects::service(asked),
            Others::Refuse,
            "the name and the address of the registry",
        )
        .await?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .filter(|address| *address != "None");
    let server = server(cluster, asked, &generated.authority, address).await?;
    let object = objects::certificate(asked, &server, &generated.authority.certificate);
    cluster
        .ensure(
            STEP,
            object,
            Others::Refuse,
            "proves to clients that it is the registry",
        )
        .await?;
    let object = objects::settings(asked);
    cluster
        .ensure(STEP, object, Others::Refuse, "how the registry is set up")
        .await?;
    if asked.storage.is_some() {
        let object = objects::claim(asked);
        cluster
            .ensure(STEP, object, Others::Refuse, "where the images are kept")
            .await?;
    }
    // Other certificates or another password: a new pod.
    let digest = Sha256::digest([server.certificate.as_str(), generated.hash.as_str()].concat());
    let deployment = objects::deployment(asked, &hex::encode(&digest[..8]));
    cluster
        .ensure(STEP, deployment, Others::Refuse, "the registry itself")
        .await?;
    let host = host(cluster, asked);
    let login = Login {
        server: host.clone(),
        user: asked.user.clone(),
        password: Secret::new(generated.password.clone()),
    };
    pull::run(cluster, &pull_secret(&asked.name), &login).await?;
    if let Some(folder) = &asked.folder {
        write_files(cluster, asked, folder, &generated.authority, &login, address)?;
    }
    explain(cluster, asked, &host, address);
    wait(cluster, asked).await
}

/// The name that images have in front: it is the same inside and outside of the cluster.
fn host(cluster: &Cluster<'_>, asked: &Registry) -> String {
    format!("{}.{}.svc:{PORT}", asked.name, cluster.namespace)
}

/// What an earlier run generated, or anew.
async fn generated(cluster: &Cluster<'_>, asked: &Registry) -> Result<Generated> {
    let present = if cluster.has_namespace {
        cluster
            .get(STEP, Resource::Secret, &objects::secret_name(&asked.name))
            .await?
    } else {
        None
    };
    let present = present.unwrap_or_default();
    let kept = |key: &str| value(&present, key);
    let authority = match (kept("ca.crt"), kept("ca.key")) {
        (Some(certificate), Some(key)) if Facts::read(certificate.as_bytes()).is_some() => {
            Pair { certificate, key }
        }
        _ => pki::authority(
            STEP,
            &format!("{} of namespace {}", asked.name, cluster.namespace),
        )?,
    };
    let password = kept("password").unwrap_or_else(|| hex::encode(rand::random::<[u8; 24]>()));
    let user = format!("{}:", asked.user);
    let hash = if let Some(hash) = kept("htpasswd").filter(|hash| hash.starts_with(&user)) {
        hash.trim_end().to_owned()
    } else {
        // Checked at every request; the password has 192 bits, so that guessing is hopeless anyway.
        let hash = bcrypt::hash(&password, 6).map_err(|error| Error::Crypto {
            step: STEP,
            what: "a password's hash",
            reason: error.to_string(),
        })?;
        format!("{user}{hash}")
    };
    Ok(Generated {
        authority,
        password,
        hash,
        seal: kept("seal").unwrap_or_else(|| hex::encode(rand::random::<[u8; 32]>())),
    })
}

/// The registry's certificate: kept while it lasts and names all hosts.
async fn server(
    cluster: &Cluster<'_>,
    asked: &Registry,
    authority: &Pair,
    address: Option<&str>,
) -> Result<Pair> {
    let (name, namespace) = (&asked.name, &cluster.namespace);
    let mut hosts = vec![
        format!("{name}.{namespace}.svc"),
        name.clone(),
        format!("{name}.{namespace}"),
        // Through a port-forward.
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    hosts.extend(address.map(str::to_owned));
    hosts.extend(asked.hosts.iter().cloned());
    let name = objects::certificate_name(name);
    let present = if cluster.has_namespace {
        cluster
            .get(STEP, Resource::Secret, &name)
            .await?
            .unwrap_or_default()
    } else {
        Value::Null
    };
    if let (Some(certificate), Some(key)) = (value(&present, "tls.crt"), value(&present, "tls.key")) {
        let serves = value(&present, "ca.crt").as_ref() == Some(&authority.certificate)
            && Facts::read(certificate.as_bytes()).is_some_and(|facts| {
                hosts.iter().all(|host| facts.hosts.contains(host))
                    && facts.belongs_to(&key)
                    && facts.lasts(Timestamp::now())
            });
        if serves {
            return Ok(Pair { certificate, key });
        }
    }
    pki::server(STEP, authority, &hosts)
}

/// What clients and nodes need.
fn write_files(
    cluster: &mut Cluster<'_>,
    asked: &Registry,
    folder: &Path,
    authority: &Pair,
    login: &Login,
    address: Option<&str>,
) -> Result<()> {
    let mut settings = pull::settings(login);
    // Through a port-forward it has this name, and clients look logins up by name.
    settings["auths"][format!("localhost:{PORT}")] = settings["auths"][login.server.as_str()].clone();
    let settings = format!("{settings:#}\n");
    let mut all = vec![
        (
            "ca.crt",
            authority.certificate.clone(),
            false,
            "clients and nodes trust the registry by it",
        ),
        (
            "config.json",
            settings,
            true,
            "the login: a folder for DOCKER_CONFIG, a file for `--authfile`",
        ),
    ];
    if let Some(address) = address {
        let text = objects::hosts_toml(&login.server, address);
        all.push((
            "hosts.toml",
            text,
            false,
            "tells a node's containerd where the registry is",
        ));
    }
    for (name, text, secret, why) in all {
        let path = folder.join(name);
        let there = files::read(&path)?;
        let did = match (&there, cluster.dry_run) {
            (Some(bytes), _) if bytes == text.as_bytes() => Did::Unchanged,
            (Some(_), true) => Did::WouldChange,
            (None, true) => Did::WouldCreate,
            (Some(_), false) => Did::Changed,
            (None, false) => Did::Created,
        };
        if did.wrote() {
            files::write(&path, text.as_bytes(), secret)?;
        }
        cluster.done(STEP, path.display().to_string(), did, why);
    }
    if asked.storage.is_none() {
        cluster.note("the images of the registry go with its pod; `--registry-storage 20Gi` keeps them");
    }
    Ok(())
}

/// What is left to do, because no API does it.
fn explain(cluster: &mut Cluster<'_>, asked: &Registry, host: &str, address: Option<&str>) {
    let files = asked.folder.as_ref().map_or_else(
        || "what `--registry-files DIR` writes".to_owned(),
        |folder| folder.display().to_string(),
    );
    let address = address.map_or_else(
        || "its ClusterIP".to_owned(),
        |address| format!("{address}:{PORT}"),
    );
    cluster.note(format!(
        "each node has to trust the registry, once: copy ca.crt and hosts.toml (in {files}) to \
         /etc/containerd/certs.d/{host}/ there; containerd needs `config_path = \"/etc/containerd/certs.d\"` and reads them at \
         each pull"
    ));
    cluster.note(format!(
        "push: `kubectl port-forward service/{name} {PORT} --namespace {namespace}`, then push to localhost:{PORT} with the \
         authority and the login of these files; where this machine reaches {address}, push there. Pods use images as \
         {host}/NAME:TAG",
        name = asked.name,
        namespace = cluster.namespace,
    ));
}

/// Waits until the registry runs.
async fn wait(cluster: &mut Cluster<'_>, asked: &Registry) -> Result<()> {
    let Some(patience) = cluster.patience.filter(|_| !cluster.dry_run) else {
        return Ok(());
    };
    let mut reason = None;
    let ready = cluster
        .until(STEP, Resource::Deployment, &asked.name, patience, |deployment| {
            let Some(deployment) = deployment else {
                return Ok(None);
            };
            reason = trouble(deployment);
            let (status, wanted) = (&deployment["status"], &deployment["metadata"]["generation"]);
            let count = |field: &str| status[field].as_i64().unwrap_or_default();
            let done = status["observedGeneration"] == *wanted
                && count("updatedReplicas") == 1
                && count("replicas") == 1
                && count("availableReplicas") == 1;
            Ok(done.then_some(()))
        })
        .await?;
    if ready.is_some() {
        return Ok(());
    }
    let labels = format!(
        "app.kubernetes.io/instance={},app.kubernetes.io/name=registry",
        asked.name
    );
    let pods = cluster
        .list(STEP, Resource::Pod, &labels)
        .await
        .unwrap_or_default();
    let of_pod = pods.iter().find_map(waiting);
    Err(Error::Late {
        step: STEP,
        what: format!("Deployment {} is not available", asked.name),
        after: patience,
        reason: of_pod.or(reason),
        hint: format!(
            "`kubectl describe pods --selector app.kubernetes.io/instance={}` shows more; nodes must be able to pull {}, or \
             `--registry-image` names another image",
            asked.name, asked.image
        ),
    })
}

fn trouble(deployment: &Value) -> Option<String> {
    let all = deployment["status"]["conditions"].as_array()?;
    let bad = all.iter().find(|one| {
        (one["type"] == "ReplicaFailure" && one["status"] == "True")
            || (one["type"] == "Available" && one["status"] == "False")
    })?;
    bad["message"].as_str().map(str::to_owned)
}

/// Why a pod does not run.
fn waiting(pod: &Value) -> Option<String> {
    let mut containers = pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten();
    let of_container = containers.find_map(|one| {
        let state = [&one["state"]["waiting"], &one["lastState"]["terminated"]]
            .into_iter()
            .find(|state| !state.is_null())?;
        let message = state["message"].as_str().unwrap_or_default();
        let reason = state["reason"].as_str().unwrap_or_default();
        Some(format!("{reason} {message}"))
    });
    let unschedulable = || {
        let all = pod["status"]["conditions"].as_array()?;
        let one = all
            .iter()
            .find(|one| one["status"] == "False" && one["message"].is_string())?;
        one["message"].as_str().map(str::to_owned)
    };
    of_container
        .or_else(unschedulable)
        .map(|text| text.trim().to_owned())
}

/// A value of a Secret.
fn encoded(text: &str) -> Value {
    json!(BASE64_STANDARD.encode(text))
}
