//! The Secret with which nodes pull images.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{Cluster, Login, Request, Result, cluster::Others};

const STEP: &str = "images";

/// Names of the Secrets that pods of the service account use without being told.
pub(super) fn attached(request: &Request) -> Vec<String> {
    let pull = request
        .pull
        .iter()
        .filter(|pull| pull.attach)
        .map(|pull| pull.secret.clone());
    let registry = request.registry.iter().filter(|one| one.attach);
    pull.chain(registry.map(|one| super::registry::pull_secret(&one.name)))
        .collect()
}

/// Makes it. That of somebody else is not overwritten.
pub(super) async fn run(cluster: &mut Cluster<'_>, secret: &str, login: &Login) -> Result<()> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": secret },
        "type": "kubernetes.io/dockerconfigjson",
        "data": { ".dockerconfigjson": BASE64_STANDARD.encode(settings(login).to_string()) },
    });
    let why = format!("nodes pull images from {} with it", login.server);
    cluster.ensure(STEP, object, Others::Refuse, why).await.map(drop)
}

/// The file that `docker login` writes.
pub(super) fn settings(login: &Login) -> Value {
    let (user, password) = (&login.user, login.password.reveal());
    json!({ "auths": { login.server.as_str(): {
        "username": user,
        "password": password,
        "auth": BASE64_STANDARD.encode(format!("{user}:{password}")),
    } } })
}
