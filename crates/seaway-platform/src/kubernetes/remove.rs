//! From an instance to nothing: pods first, then what they used, the inventory last.
//!
//! What is wanted stands in the inventory, so that any later look carries on with it, and nobody has to stay.

use futures_util::future::try_join_all;
use seaway_discovery::{Error, kubernetes::api::Resource};
use seaway_model::status::Target;
use seaway_render::kubernetes::{INSTANCE, Inventory, KEEP};
use serde_json::json;

use super::{
    KubernetesPlatform, MANAGED_BY, TARGET,
    cluster::{Bare, Deletion},
    observe::target_of,
    of_instance,
};
use crate::PlatformError;

/// What keeps pods, and pods.
const PODS: [Resource; 4] = [
    Resource::Deployment,
    Resource::StatefulSet,
    Resource::ReplicaSet,
    Resource::Pod,
];

/// What they use. The API server makes the last two itself, from Services.
const REST: [Resource; 10] = [
    Resource::Service,
    Resource::Secret,
    Resource::NetworkPolicy,
    Resource::PersistentVolumeClaim,
    Resource::ServiceAccount,
    Resource::Role,
    Resource::RoleBinding,
    Resource::ConfigMap,
    Resource::EndpointSlice,
    Resource::Endpoints,
];

/// What Helm notes about a release, and under which annotation objects name theirs.
const HELM_SECRET: &str = "type=helm.sh/release.v1";
const HELM_RELEASE: &str = "meta.helm.sh/release-name";

impl KubernetesPlatform {
    /// Notes that an instance is to go, and begins with it.
    pub(super) async fn begin_removal(&self, name: &str, forced: bool) -> Result<(), PlatformError> {
        let wanted = if forced { Target::ForcedDown } else { Target::Down };
        match self.inventory(name).await? {
            Some(inventory) => {
                // A forced end is never taken back to a gentle one.
                let current = target_of(&inventory);
                if current != Target::ForcedDown && current != wanted {
                    let object = inventory.metadata.name.unwrap_or_default();
                    let patch = json!({"metadata": {"annotations": {TARGET: wanted.as_str()}}});
                    self.cluster.merge(Resource::ConfigMap, &object, &patch).await?;
                }
            }
            None => self.note_remains(name, wanted).await?,
        }
        self.sweep(name, forced).await?;
        Ok(())
    }

    /// Somebody removed the inventory alone. What is left of the instance gets a new one, to be removed with.
    async fn note_remains(&self, name: &str, wanted: Target) -> Result<(), PlatformError> {
        let Ok(instance) = name.parse() else {
            return Err(self.not_found(name).await);
        };
        if self.remains(name, &PODS).await?.is_empty() && self.remains(name, &REST).await?.is_empty() {
            return Err(self.not_found(name).await);
        }
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": Inventory::object_name(&instance),
                "labels": {INSTANCE: name, MANAGED_BY: seaway_render::kubernetes::MANAGER},
                "annotations": {TARGET: wanted.as_str()},
            },
        });
        self.cluster.create(Resource::ConfigMap, &body).await?;
        Ok(())
    }

    /// Deletes what can be deleted now; `true` when nothing is left.
    pub(super) async fn sweep(&self, name: &str, forced: bool) -> Result<bool, PlatformError> {
        let all = self.remains(name, &PODS).await?;
        if !all.is_empty() {
            let (pods, controllers): (Vec<_>, Vec<_>) =
                all.iter().partition(|(resource, _)| *resource == Resource::Pod);
            // First who would make new ones.
            for wave in [controllers, pods] {
                try_join_all(wave.into_iter().map(|(resource, object)| {
                    let deletion = match (forced, resource) {
                        (true, Resource::Pod) => Deletion::Forced,
                        _ => Deletion::Whole,
                    };
                    self.delete_once(*resource, object, deletion)
                }))
                .await?;
            }
            return Ok(false);
        }
        let rest = self.remains(name, &REST).await?;
        if !rest.is_empty() {
            try_join_all(
                rest.iter()
                    // These go with their Services.
                    .filter(|(resource, _)| {
                        !matches!(resource, Resource::EndpointSlice | Resource::Endpoints)
                    })
                    .map(|(resource, object)| self.delete_once(*resource, object, Deletion::Whole)),
            )
            .await?;
            return Ok(false);
        }
        let Some(inventory) = self.inventory(name).await? else {
            return Ok(true);
        };
        let annotations = inventory.metadata.annotations.as_ref();
        if let Some(release) = annotations.and_then(|annotations| annotations.get(HELM_RELEASE)) {
            self.forget_release(release).await?;
        }
        let object = inventory.metadata.name.unwrap_or_default();
        let uid = inventory.metadata.uid.as_deref();
        self.cluster
            .delete(Resource::ConfigMap, &object, uid, Deletion::Alone)
            .await?;
        Ok(true)
    }

    /// Deletes an object, unless it is on its way already and is given its time.
    async fn delete_once(
        &self,
        resource: Resource,
        object: &Bare,
        deletion: Deletion,
    ) -> Result<(), PlatformError> {
        if object.metadata.deletion_timestamp.is_some() && deletion != Deletion::Forced {
            return Ok(());
        }
        // One that is forced already has no time left.
        if object.metadata.deletion_grace_period_seconds == Some(0) {
            return Ok(());
        }
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let uid = object.metadata.uid.as_deref();
        self.cluster.delete(resource, name, uid, deletion).await
    }

    /// What is left of an instance of these kinds. Neither the inventory nor what is to be kept counts.
    async fn remains(&self, name: &str, kinds: &[Resource]) -> Result<Vec<(Resource, Bare)>, PlatformError> {
        let labels = of_instance(name);
        let inventory = name
            .parse()
            .map(|name| Inventory::object_name(&name))
            .unwrap_or_default();
        let lists = try_join_all(kinds.iter().map(|&kind| {
            let labels = &labels;
            async move {
                match self.cluster.list::<Bare>(kind, labels).await {
                    // Who may not even see them has made none.
                    Err(PlatformError::Cluster(Error::Forbidden { .. })) => Ok(Vec::new()),
                    other => other.map(|(all, _)| all),
                }
            }
        }))
        .await?;
        let keep = |object: &Bare| {
            let annotations = object.metadata.annotations.as_ref();
            annotations.is_some_and(|annotations| annotations.contains_key(KEEP))
        };
        Ok(kinds
            .iter()
            .zip(lists)
            .flat_map(|(kind, list)| list.into_iter().map(move |object| (*kind, object)))
            .filter(|(kind, object)| {
                let is_inventory =
                    *kind == Resource::ConfigMap && object.metadata.name.as_deref() == Some(&inventory);
                !is_inventory && !keep(object)
            })
            .collect())
    }

    /// What was installed by Helm is not to be listed by Helm when it is gone.
    async fn forget_release(&self, release: &str) -> Result<(), PlatformError> {
        let secrets: Vec<Bare> = match self.cluster.fields(Resource::Secret, HELM_SECRET).await {
            Err(PlatformError::Cluster(Error::Forbidden { .. })) => Vec::new(),
            other => other?,
        };
        let of_release = |secret: &&Bare| {
            let labels = secret.metadata.labels.as_ref();
            labels.and_then(|labels| labels.get("name")).map(String::as_str) == Some(release)
        };
        try_join_all(
            secrets
                .iter()
                .filter(of_release)
                .map(|secret| self.delete_once(Resource::Secret, secret, Deletion::Whole)),
        )
        .await?;
        Ok(())
    }
}
