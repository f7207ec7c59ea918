//! The objects that hold what tasks read: files, secrets, claims for data.

use seaway_model::document::{AccessMode, ClaimVolume, VolumeSpec};
use serde_json::{Map, Value, json};

use super::{KEEP, Object, RenderError, Scope, object_name};

impl Scope<'_> {
    /// The ConfigMap with the plan's files, when it has some.
    pub(super) fn files(&self) -> Option<Object> {
        let own = self
            .plan
            .files
            .iter()
            .map(|file| (file.file_name.clone(), file.content.clone().into()));
        let files: Map<String, Value> = own.chain(self.discovery_file()).collect();
        if files.is_empty() {
            return None;
        }
        let name = object_name(&self.plan.instance, "files");
        Some(self.object(("v1", "ConfigMap"), name, None, json!({"data": files})))
    }

    /// The Secret with the plan's secrets, when it has some.
    pub(super) fn secrets(&self) -> Result<Option<Object>, RenderError> {
        if self.plan.secrets.is_empty() {
            return Ok(None);
        }
        let mut values = Map::new();
        for secret in &self.plan.secrets {
            let value = self
                .setting
                .secrets
                .get(&secret.name)
                .ok_or_else(|| RenderError::NoSecret(secret.name.clone()))?;
            values.insert(secret.name.to_string(), value.clone().into());
        }
        let name = object_name(&self.plan.instance, "secrets");
        let rest = json!({"type": "Opaque", "stringData": values});
        Ok(Some(self.object(("v1", "Secret"), name, None, rest)))
    }

    /// The claims that are to be made.
    pub(super) fn claims(&self) -> Result<Vec<Object>, RenderError> {
        let of_data = self
            .plan
            .data
            .iter()
            .map(|data| (&data.name, data.volume.as_ref()));
        let kubernetes = &self.plan.kubernetes;
        let of_pods = std::iter::once(&kubernetes.pods)
            .chain(kubernetes.roles.values())
            .flat_map(|pods| &pods.volumes)
            .map(|mount| (&mount.name, Some(&mount.volume)));
        let mut objects = Vec::new();
        for (volume, source) in of_data.chain(of_pods) {
            let Some(VolumeSpec::Claim(claim @ ClaimVolume { size: Some(size), .. })) = source else {
                continue;
            };
            let name = self.name_of(volume.as_str())?;
            let modes: Vec<&str> = if claim.access_modes.is_empty() {
                vec![AccessMode::ReadWriteMany.as_str()]
            } else {
                claim.access_modes.iter().map(|mode| mode.as_str()).collect()
            };
            let mut spec =
                json!({"accessModes": modes, "resources": {"requests": {"storage": size.to_string()}}});
            if let Some(class) = &claim.storage_class {
                spec["storageClassName"] = class.clone().into();
            }
            let mut object = self.object(("v1", "PersistentVolumeClaim"), name, None, json!({"spec": spec}));
            if !claim.delete_with_instance {
                object.body["metadata"]["annotations"] = json!({KEEP: "true"});
            }
            objects.push(object);
        }
        Ok(objects)
    }
}
