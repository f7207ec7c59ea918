//! What is in a namespace, for the rules.

use http::Method;
use seaway_discovery::kubernetes::api::{Connection, Resource, Target, What};
use serde_json::Value;

use super::{
    Surroundings,
    object::{Object, all},
};
use crate::{Error, Result, report::blotted};

const STEP: &str = "check";

/// Kinds that are looked at.
const KINDS: [Resource; 12] = [
    Resource::ClusterRole,
    Resource::ClusterRoleBinding,
    Resource::ConfigMap,
    Resource::Deployment,
    Resource::PersistentVolumeClaim,
    Resource::Pod,
    Resource::Role,
    Resource::RoleBinding,
    Resource::Secret,
    Resource::Service,
    Resource::ServiceAccount,
    Resource::StatefulSet,
];

/// Reads what is in the namespace of the connection. What we may not list is noted.
pub async fn namespace(connection: &Connection) -> Result<Surroundings> {
    let session = connection
        .session()
        .await
        .map_err(Error::api(STEP, "the way to the API server"))?;
    let mut found = Surroundings::default();
    found.world.namespace = Some(session.namespace.clone());
    let place = format!("{} ({})", session.namespace, session.url);
    for resource in KINDS {
        let objects = match list(connection, resource).await {
            Ok(objects) => objects,
            Err(error) if error.is_forbidden() => {
                found.world.unknown.push(resource.kind());
                found
                    .notes
                    .push(format!("{} could not be looked at: {error}", resource.plural()));
                continue;
            }
            Err(error) => return Err(error),
        };
        for value in objects {
            if matters(resource, &value, &session.namespace) {
                found.world.objects.push(Object {
                    place: place.clone(),
                    line: None,
                    value: blotted(&value),
                    judged: false,
                });
            }
        }
    }
    Ok(found)
}

async fn list(connection: &Connection, resource: Resource) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut from = None;
    loop {
        let target = Target {
            resource,
            what: What::Selected(String::new(), from.take()),
        };
        let answer = connection.send(Method::GET, &target, None, &[]).await;
        let list: Value = answer
            .and_then(|answer| answer.read(resource.kind()))
            .map_err(Error::api(STEP, resource.plural()))?;
        for item in all(&list["items"]) {
            let mut item = item.clone();
            // Items of a list do not say what they are.
            item["apiVersion"] = resource.api_version().into();
            item["kind"] = resource.kind().into();
            found.push(item);
        }
        match list["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => from = Some(next.to_owned()),
            _ => return Ok(found),
        }
    }
}

/// Whether it is the namespace's own: not what controllers made, and not what holds the cluster together.
fn matters(resource: Resource, value: &Value, namespace: &str) -> bool {
    let metadata = &value["metadata"];
    let controlled = all(&metadata["ownerReferences"]).any(|owner| owner["controller"] == true);
    let name = metadata["name"].as_str().unwrap_or_default();
    match resource {
        Resource::ClusterRoleBinding => {
            !name.starts_with("system:")
                && all(&value["subjects"]).any(|subject| subject["namespace"] == namespace)
        }
        Resource::ClusterRole => {
            // Kubernetes' own have `*` where it belongs.
            metadata["labels"]["kubernetes.io/bootstrapping"].is_null()
        }
        _ => !controlled,
    }
}
