//! What is selected by its labels, and what is removed of it.

use futures_util::future::try_join_all;
use http::{Method, StatusCode};
use jiff::Timestamp;
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use seaway_model::{Name, discovery::KubernetesPlacement};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use super::{
    KubernetesDirectory,
    api::Form,
    api::{Resource, Target, What},
    held::Mark,
    objects::{ENTRY, LEASE_UID, MANAGED_BY, MANAGER, Object},
    record::{self, Holder},
};
use crate::{Entry, EntryError, Result};

/// A list of objects, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct List<T> {
    #[serde(default)]
    pub(super) metadata: ListMetadata,
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// An object of which only its name, its labels and who made it matter.
#[derive(Debug, Deserialize)]
pub(super) struct Bare {
    metadata: ObjectMeta,
}

impl Bare {
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        Some(self.metadata.labels.as_ref()?.get(key)?.as_str())
    }

    pub(super) fn mark(self, resource: Resource) -> Mark {
        Mark {
            resource,
            name: self.metadata.name.unwrap_or_default(),
            version: self.metadata.resource_version.unwrap_or_default(),
        }
    }

    fn lease(&self) -> Option<&str> {
        Some(self.metadata.annotations.as_ref()?.get(LEASE_UID)?.as_str())
    }

    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn manager(&self) -> String {
        let managers = self.metadata.managed_fields.as_deref().unwrap_or_default();
        managers
            .first()
            .and_then(|first| first.manager.clone())
            .unwrap_or_default()
    }
}

impl KubernetesDirectory {
    /// Kinds of object that an entry may have beside its Lease.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Resource> + use<> {
        let outside = match (self.placement(), self.spec.legacy_endpoints) {
            (KubernetesPlacement::Inside, _) => None,
            (KubernetesPlacement::Outside, true) => Some(Resource::Endpoints),
            (KubernetesPlacement::Outside, false) => Some(Resource::EndpointSlice),
        };
        std::iter::once(Resource::Service).chain(outside)
    }

    /// The labels that all our objects carry; with names, those of these entries alone.
    pub(super) fn selector(names: &[Name]) -> String {
        match names {
            [] => format!("{MANAGED_BY}={MANAGER},{ENTRY}"),
            [name] => format!("{MANAGED_BY}={MANAGER},{ENTRY}={name}"),
            names => {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                format!("{MANAGED_BY}={MANAGER},{ENTRY} in ({})", names.join(","))
            }
        }
    }

    /// All of a kind that are ours; with names, those of these entries alone.
    pub(super) async fn select<T: DeserializeOwned>(
        &self,
        resource: Resource,
        names: &[Name],
    ) -> Result<List<T>> {
        let mut all: Option<List<T>> = None;
        loop {
            let next = all.as_ref().and_then(|list| list.metadata.next.clone());
            let target = Target {
                resource,
                what: What::Selected(Self::selector(names), next),
            };
            let answer = self.connection.send(Method::GET, &target, None, &[]).await?;
            let page: List<T> = answer.read(&format!("the list of {}", resource.plural()))?;
            let more = page.metadata.next.as_deref().is_some_and(|next| !next.is_empty());
            all = Some(match all {
                None => page,
                Some(mut list) => {
                    list.items.extend(page.items);
                    list.metadata = page.metadata;
                    list
                }
            });
            if !more {
                return Ok(all.unwrap_or_else(|| List {
                    metadata: ListMetadata::default(),
                    items: Vec::new(),
                }));
            }
        }
    }

    /// Deletes an object in just this version; one that has been changed since, or is gone, is left.
    pub(super) async fn delete(&self, resource: Resource, metadata: &ObjectMeta) -> Result<bool> {
        let name = metadata.name.clone().unwrap_or_default();
        let body = json!({ "preconditions": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
        } });
        let answer = self
            .connection
            .send(
                Method::DELETE,
                &Target::named(resource, name),
                Some((Form::Json, &body)),
                &[StatusCode::NOT_FOUND, StatusCode::CONFLICT],
            )
            .await?;
        Ok(answer.status != StatusCode::CONFLICT)
    }

    /// Deletes objects, in whatever version; those that another Lease made in the meantime stay.
    pub(super) async fn delete_objects(&self, resource: Resource, objects: &[&Bare]) -> Result<()> {
        let all = objects.iter().map(|object| async {
            // The control plane changes Services and Endpoints on its own account.
            let metadata = ObjectMeta {
                resource_version: None,
                ..object.metadata.clone()
            };
            self.delete(resource, &metadata).await
        });
        try_join_all(all).await.map(drop)
    }

    /// Removes what the entry had before and does not have now: a Service of another name, addresses of another
    /// family.
    pub(super) async fn remove_former(&self, entry: &Entry, objects: &[Object]) -> Result<()> {
        for resource in self.kinds() {
            let present: List<Bare> = self.select(resource, std::slice::from_ref(&entry.name)).await?;
            let former: Vec<&Bare> = present
                .items
                .iter()
                .filter(|one| {
                    !objects
                        .iter()
                        .any(|object| object.resource == resource && object.name == one.name())
                })
                .collect();
            self.delete_objects(resource, &former).await?;
        }
        Ok(())
    }

    /// Removes the entries whose Lease has run out, and what belongs to no Lease any more.
    pub(super) async fn collect(&self) -> Result<Vec<Entry>> {
        // Objects before Leases: of an object in this list, its Lease is in the next one, or gone for good.
        let mut objects = Vec::new();
        for resource in self.kinds() {
            let list: List<Bare> = self.select(resource, &[]).await?;
            objects.extend(list.items.into_iter().map(|object| (resource, object)));
        }
        let leases: List<Lease> = self.select(Resource::Lease, &[]).await?;
        let now: Timestamp = self.connection.clock.now();
        let mut removed = Vec::new();
        let mut live: Vec<String> = Vec::new();
        for lease in &leases.items {
            let uid = lease.metadata.uid.clone().unwrap_or_default();
            // In just this version: one that is renewed at this moment stays.
            let expired = record::holder(lease, now) == Holder::None && !is_foreign_form(lease);
            if expired && self.delete(Resource::Lease, &lease.metadata).await? {
                removed.extend(self.entries(std::slice::from_ref(lease)));
            } else {
                live.push(uid);
            }
        }
        for (resource, object) in &objects {
            let orphan = object
                .lease()
                .is_some_and(|uid| !live.iter().any(|live| live == uid));
            // Whoever has taken it over since has written another Lease into it, which makes it another version.
            if orphan {
                self.delete(*resource, &object.metadata).await?;
            }
        }
        Ok(removed)
    }

    pub(super) fn entries(&self, leases: &[Lease]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = leases
            .iter()
            .filter_map(|lease| match record::read(lease, &self.connection.clock) {
                Ok(entry) => Some(entry),
                Err(error) => {
                    tracing::warn!("left out: {error}");
                    None
                }
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        entries
    }
}

/// Whether a newer Seaway wrote it in a form that we do not know; it may well be live.
fn is_foreign_form(lease: &Lease) -> bool {
    let text = lease
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(record::ANNOTATION));
    matches!(
        text.map(|text| Entry::from_json(text.as_bytes())),
        Some(Err(EntryError::Version(_)))
    )
}
