//! Whose an entry is: its Lease, which is taken, renewed and given back.
//!
//! The Lease is only ever changed in the version that was read or written last, so that of two who want it one wins.

use futures_util::future::join_all;
use http::{Method, StatusCode};
use k8s_openapi::api::coordination::v1::Lease;
use seaway_model::Name;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    KubernetesDirectory,
    api::configuration,
    api::{Answer, Form},
    api::{Resource, Target, What, lease_name},
    objects::{self, MANAGED_BY, MANAGER, Owner},
    record::{self, Holder},
    sweep::{Bare, List},
};
use crate::{Directory, Entry, Error, Result};

/// How often a Lease that somebody else changes at the same moment is looked at again.
const TURNS: usize = 16;

/// A Lease that is ours.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) uid: String,
    pub(super) version: String,
    /// Whether there was none before.
    pub(super) fresh: bool,
}

/// A Lease of which only this matters: it is read at every renewal.
#[derive(Debug, Deserialize)]
struct Written {
    metadata: Identity,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl KubernetesDirectory {
    pub(super) async fn read_lease(&self, name: &Name) -> Result<Option<Lease>> {
        let target = Target::named(Resource::Lease, lease_name(name));
        let answer = self
            .connection
            .send(Method::GET, &target, None, &[StatusCode::NOT_FOUND])
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        answer
            .read(&format!("the Lease `{}`", lease_name(name)))
            .map(Some)
    }

    /// Makes the Lease ours: a new one, our own, or one that nobody holds any more.
    pub(super) async fn claim(&self, entry: &Entry, pod: Option<&Owner>) -> Result<Claim> {
        let duration = super::seconds(self.lease);
        for _ in 0..TURNS {
            let wanted = objects::lease(entry, duration, self.connection.clock.now(), pod)?;
            let target = Target {
                resource: Resource::Lease,
                what: What::New,
            };
            let answer = self
                .connection
                .send(
                    Method::POST,
                    &target,
                    Some((Form::Json, &wanted)),
                    &[StatusCode::CONFLICT],
                )
                .await?;
            if answer.status != StatusCode::CONFLICT {
                return claim_of(&answer, true);
            }
            let Some(present) = self.read_lease(&entry.name).await? else {
                continue;
            };
            self.check_holder(entry, &present)?;
            if let Some(claim) = self.take_over(entry, wanted, &present).await? {
                return Ok(claim);
            }
        }
        Err(Error::Deadline {
            directory: self.describe(),
            after: self.connection.settings.timeout,
        })
    }

    /// Whether another owner holds the Lease.
    fn check_holder(&self, entry: &Entry, present: &Lease) -> Result<()> {
        let labels = present.metadata.labels.as_ref();
        if labels.and_then(|all| all.get(MANAGED_BY)).map(String::as_str) != Some(MANAGER) {
            return Err(Error::Occupied {
                what: format!("Lease `{}`", lease_name(&entry.name)),
                directory: self.describe(),
                holder: String::new(),
            });
        }
        match record::holder(present, self.connection.clock.now()) {
            Holder::Until(owner, end) if owner != entry.owner => Err(Error::Held {
                name: entry.name.clone(),
                owner,
                until: Some(self.connection.clock.to_local(end)),
                directory: self.describe(),
            }),
            _ => Ok(()),
        }
    }

    /// Replaces the Lease, unless it has been changed since it was read.
    async fn take_over(&self, entry: &Entry, mut wanted: Value, present: &Lease) -> Result<Option<Claim>> {
        let before = present.spec.clone().unwrap_or_default();
        wanted["metadata"]["resourceVersion"] = json!(present.metadata.resource_version);
        let transitions = before.lease_transitions.unwrap_or_default();
        if before.holder_identity.as_deref() == Some(entry.owner.as_str()) {
            wanted["spec"]["acquireTime"] = json!(before.acquire_time);
            wanted["spec"]["leaseTransitions"] = json!(transitions);
        } else {
            wanted["spec"]["leaseTransitions"] = json!(transitions.saturating_add(1));
        }
        let target = Target::named(Resource::Lease, lease_name(&entry.name));
        let answer = self
            .connection
            .send(
                Method::PUT,
                &target,
                Some((Form::Json, &wanted)),
                &[StatusCode::CONFLICT, StatusCode::NOT_FOUND],
            )
            .await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        claim_of(&answer, false).map(Some)
    }

    /// Moves the end of the Lease, if nobody has changed it since this version of it.
    pub(super) async fn extend(&self, name: &Name, version: &str) -> Result<bool> {
        let body = json!({
            "metadata": { "resourceVersion": version },
            "spec": { "renewTime": objects::micro(self.connection.clock.now()) },
        });
        let target = Target::named(Resource::Lease, lease_name(name));
        let answer = self
            .connection
            .send(
                Method::PATCH,
                &target,
                Some((Form::Merge, &body)),
                &[StatusCode::CONFLICT, StatusCode::NOT_FOUND],
            )
            .await?;
        if !answer.status.is_success() {
            return Ok(false);
        }
        self.held.extended(name, claim_of(&answer, false)?.version);
        Ok(true)
    }

    /// Takes the entry away if it is its owner's: what makes it reachable first, then the Lease.
    pub(super) async fn give_back(&self, entry: &Entry) -> Result<()> {
        for _ in 0..TURNS {
            let Some(lease) = self.read_lease(&entry.name).await? else {
                return Ok(());
            };
            let spec = lease.spec.as_ref();
            if spec.and_then(|spec| spec.holder_identity.as_deref()) != Some(entry.owner.as_str()) {
                return Ok(());
            }
            let removals = join_all(self.kinds().map(|resource| async move {
                let present: List<Bare> = self.select(resource, std::slice::from_ref(&entry.name)).await?;
                self.delete_objects(resource, &present.items.iter().collect::<Vec<_>>())
                    .await
            }));
            for removal in removals.await {
                removal?;
            }
            // The Lease last: until then nobody else can take the name.
            if self.delete(Resource::Lease, &lease.metadata).await? {
                return Ok(());
            }
        }
        Err(Error::Deadline {
            directory: self.describe(),
            after: self.connection.settings.timeout,
        })
    }
}

fn claim_of(answer: &Answer, fresh: bool) -> Result<Claim> {
    let written: Written = answer.read("the Lease")?;
    match (written.metadata.uid, written.metadata.resource_version) {
        (Some(uid), Some(version)) => Ok(Claim { uid, version, fresh }),
        _ => Err(configuration(
            "server",
            "it answered with a Lease that has no identity; this is no Kubernetes API server",
        )),
    }
}
