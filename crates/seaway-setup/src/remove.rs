//! Takes out what setup made, and nothing else.

use seaway_discovery::kubernetes::api::Resource;
use serde_json::{Value, json};

use crate::{
    Cluster, Error, Request, Result,
    cluster::{FOR, is_ours, ours},
    report::Did,
};

const STEP: &str = "remove";
const WHY: &str = "setup made it";

/// Kinds in the namespace: what runs before what it needs, permissions before those who have them.
const KINDS: [Resource; 8] = [
    Resource::Deployment,
    Resource::Service,
    Resource::PersistentVolumeClaim,
    Resource::RoleBinding,
    Resource::Role,
    Resource::Secret,
    Resource::ConfigMap,
    Resource::ServiceAccount,
];

/// Kinds outside of namespaces.
const CLUSTER_WIDE: [Resource; 3] = [
    Resource::ClusterRoleBinding,
    Resource::ClusterRole,
    Resource::CertificateSigningRequest,
];

/// Kinds that keep a namespace from being deleted when somebody else made them.
const OTHERS: [Resource; 9] = [
    Resource::Pod,
    Resource::Deployment,
    Resource::StatefulSet,
    Resource::PersistentVolumeClaim,
    Resource::Service,
    Resource::Secret,
    Resource::ConfigMap,
    Resource::Lease,
    Resource::ServiceAccount,
];

/// Removes all of it from the namespace, and what was made for it outside.
pub(crate) async fn all(cluster: &mut Cluster<'_>, request: &Request) -> Result<()> {
    let name = cluster.namespace.clone();
    let namespace = match cluster.get(STEP, Resource::Namespace, &name).await {
        // Who may not look at namespaces may still work in one, and did not make it.
        Err(error) if error.is_forbidden() => Some(Value::Null),
        other => other?,
    };
    if namespace.is_some() {
        detach(cluster).await?;
        for resource in KINDS {
            if resource == Resource::PersistentVolumeClaim && request.keep_data {
                continue;
            }
            remove(cluster, resource, &ours()).await?;
        }
    }
    for resource in CLUSTER_WIDE {
        let labels = format!("{},{FOR}={name}", ours());
        match remove(cluster, resource, &labels).await {
            // Who may only work in the namespace made nothing outside of it.
            Err(error) if error.is_forbidden() => {
                cluster.note(format!(
                    "whether there is a {} of ours is not known: {error}",
                    resource.kind()
                ));
            }
            other => other?,
        }
    }
    if namespace.is_some_and(|namespace| is_ours(&namespace)) {
        remove_namespace(cluster, &name).await?;
    }
    Ok(())
}

/// Takes our Secrets out of service accounts of others.
async fn detach(cluster: &mut Cluster<'_>) -> Result<()> {
    let secrets = cluster.list(STEP, Resource::Secret, &ours()).await?;
    let is_ours_by_name = |name: &Value| secrets.iter().any(|secret| secret["metadata"]["name"] == *name);
    for account in cluster.list(STEP, Resource::ServiceAccount, "").await? {
        let uses = account["imagePullSecrets"].as_array();
        let uses = uses.is_some_and(|all| all.iter().any(|one| is_ours_by_name(&one["name"])));
        if is_ours(&account) || !uses {
            continue;
        }
        let name = account["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let what = format!("imagePullSecrets of ServiceAccount {name}");
        if cluster.dry_run {
            cluster.done(STEP, what, Did::WouldRemove, WHY);
            continue;
        }
        // Applying less than before gives up the rest, which nobody else wants.
        let empty = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        cluster
            .apply(STEP, Resource::ServiceAccount, &name, &empty, false)
            .await?;
        cluster.done(STEP, what, Did::Removed, WHY);
    }
    Ok(())
}

async fn remove(cluster: &mut Cluster<'_>, resource: Resource, labels: &str) -> Result<()> {
    for object in cluster.list(STEP, resource, labels).await? {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        remove_one(cluster, resource, name).await?;
    }
    Ok(())
}

async fn remove_one(cluster: &mut Cluster<'_>, resource: Resource, name: &str) -> Result<()> {
    let what = format!("{} {name}", resource.kind());
    if cluster.dry_run {
        cluster.done(STEP, what, Did::WouldRemove, WHY);
        return Ok(());
    }
    if cluster.delete(STEP, resource, name).await? {
        if let Some(patience) = cluster.patience {
            let gone = cluster
                .until(STEP, resource, name, patience, |object| {
                    Ok(object.is_none().then_some(()))
                })
                .await?;
            gone.ok_or_else(|| Error::Late {
                step: STEP,
                what: format!("{what} is not gone"),
                after: patience,
                reason: None,
                hint:
                    "`kubectl describe` shows what holds it: finalizers, or a controller manager that is down"
                        .to_owned(),
            })?;
        }
        cluster.done(STEP, what, Did::Removed, WHY);
    }
    Ok(())
}

/// Deletes the namespace that setup made, when nothing of others is in it.
async fn remove_namespace(cluster: &mut Cluster<'_>, name: &str) -> Result<()> {
    let mut left = Vec::new();
    for resource in OTHERS {
        for object in cluster.list(STEP, resource, "").await? {
            let ours = cluster.dry_run && is_ours(&object);
            if !ours && !is_the_cluster_s(resource, &object) {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                left.push(format!("{} {name}", resource.kind()));
            }
        }
    }
    if left.is_empty() {
        return remove_one(cluster, Resource::Namespace, name).await;
    }
    let more = left.len().saturating_sub(5);
    left.truncate(5);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    cluster.note(format!(
        "namespace {name} stays, because others have something in it: {}{more}; `kubectl delete namespace {name}` deletes \
         all of that",
        left.join(", ")
    ));
    Ok(())
}

/// What every namespace has, and what goes with something else.
fn is_the_cluster_s(resource: Resource, object: &Value) -> bool {
    let name = &object["metadata"]["name"];
    let has_owner = object["metadata"]["ownerReferences"]
        .as_array()
        .is_some_and(|owners| !owners.is_empty());
    has_owner
        || (resource == Resource::ConfigMap && name == "kube-root-ca.crt")
        || (resource == Resource::ServiceAccount && name == "default")
        || (resource == Resource::Service && name == "kubernetes")
}
