//! What makes an entry reachable: the objects beside its Lease, and for an engine inside the label of its pod.

use std::net::IpAddr;

use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use seaway_model::discovery::KubernetesPlacement;
use serde_json::json;

use super::{
    KubernetesDirectory,
    api::Form,
    api::configuration,
    api::{Resource, Target, What},
    held::Mark,
    objects::{ENTRY, Object, Owner},
    sweep::Bare,
};
use crate::{Directory, Entry, Error, Result};

impl KubernetesDirectory {
    /// The entry with IP addresses instead of host names, as endpoint slices want them.
    pub(super) async fn resolved(&self, entry: &Entry) -> Result<Entry> {
        let mut entry = entry.clone();
        if self.placement() == KubernetesPlacement::Inside {
            return Ok(entry);
        }
        for endpoint in &mut entry.endpoints {
            if endpoint.host.parse::<IpAddr>().is_ok() {
                continue;
            }
            let unknown = |reason: String| {
                configuration(
                    "endpoints",
                    format!("`{}` has no IP address: {reason}", endpoint.host),
                )
            };
            let found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
                .await
                .map_err(|error| unknown(error.to_string()))?;
            let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            // The same each time, or every renewal would move it.
            found.sort();
            endpoint.host = found
                .first()
                .ok_or_else(|| unknown("the name is known, but not where it is".to_owned()))?
                .to_string();
        }
        Ok(entry)
    }

    /// The pod the engine runs in.
    pub(super) async fn pod(&self) -> Result<Owner> {
        let name = self.connection.settings.pod.clone().ok_or_else(|| {
            configuration(
                "placement",
                "this is not a pod, so that the engine cannot be inside of the cluster; `POD_NAME` may name one",
            )
        })?;
        let target = Target::named(Resource::Pod, name.clone());
        let answer = self.connection.send(Method::GET, &target, None, &[]).await?;
        let pod: Pod = answer.read(&format!("the pod `{name}`"))?;
        Ok(Owner {
            resource: Resource::Pod,
            name,
            uid: pod.metadata.uid.unwrap_or_default(),
        })
    }

    /// Labels the pod, so that the Service finds it.
    pub(super) async fn label_pod(&self, pod: &Owner, entry: &Entry) -> Result<()> {
        let target = Target::named(Resource::Pod, pod.name.clone());
        let body = json!({ "metadata": { "labels": { ENTRY: entry.name } } });
        self.connection
            .send(Method::PATCH, &target, Some((Form::Merge, &body)), &[])
            .await
            .map(drop)
    }

    /// Fails when something that is not ours has the name of one of our objects.
    pub(super) async fn check_free(&self, object: &Object, entry: &Entry) -> Result<()> {
        let target = Target::named(object.resource, object.name.clone());
        let answer = self
            .connection
            .send(Method::GET, &target, None, &[StatusCode::NOT_FOUND])
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        let what = format!("{} `{}`", object.resource.kind(), object.name);
        let present: Bare = answer.read(&what)?;
        match present.label(ENTRY) {
            Some(name) if name == entry.name.as_str() => Ok(()),
            Some(other) => Err(Error::Occupied {
                what,
                directory: self.describe(),
                holder: format!("the entry `{other}`"),
            }),
            None => Err(Error::Occupied {
                what,
                directory: self.describe(),
                holder: present.manager(),
            }),
        }
    }

    /// Makes an object as it should be.
    pub(super) async fn apply(&self, object: &Object, owner: &Owner, lease_uid: &str) -> Result<Mark> {
        let target = Target {
            resource: object.resource,
            what: What::Applied(object.name.clone()),
        };
        let body = object.owned(owner, lease_uid);
        let answer = self
            .connection
            .send(Method::PATCH, &target, Some((Form::Apply, &body)), &[])
            .await?;
        let applied: Bare = answer.read(&format!("{} `{}`", object.resource.kind(), object.name))?;
        Ok(applied.mark(object.resource))
    }
}
