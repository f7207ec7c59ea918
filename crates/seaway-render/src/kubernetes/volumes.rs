//! The volumes of a pod, and where its containers see them.

use std::path::Path;

use seaway_model::{
    Name,
    document::{ClaimVolume, VolumeSpec},
    plan::{Reference, Role},
};
use serde_json::{Map, Value, json};

use super::{
    RenderError, Scope, object_name,
    resolve::{FILES, SCRATCH, SECRETS, WORK, is_ours},
};

/// Temporary files of a container; emptied when the pod goes.
const TEMPORARY: &str = "/tmp";

/// Volumes with their mounts.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    pub(super) volumes: Vec<Value>,
    pub(super) mounts: Vec<Value>,
}

impl Volumes {
    fn add(&mut self, name: &str, path: &str, read_only: bool, (kind, source): (&str, Value)) {
        let mut volume = Map::from_iter([("name".to_owned(), name.into())]);
        volume.insert(kind.to_owned(), source);
        self.volumes.push(volume.into());
        let mut mount = json!({"name": name, "mountPath": path});
        if read_only {
            mount["readOnly"] = true.into();
        }
        self.mounts.push(mount);
    }

    /// Adds a volume that the engine does not see, for a container beside it, with its mount there.
    pub(super) fn beside(&mut self, name: &str, path: &str, (kind, source): (&str, Value)) -> Value {
        let mut volume = Map::from_iter([("name".to_owned(), name.into())]);
        volume.insert(kind.to_owned(), source);
        self.volumes.push(volume.into());
        json!({"name": name, "mountPath": path, "readOnly": true})
    }

    fn covers(&self, path: &Path) -> bool {
        is_ours(path)
            || self
                .mounts
                .iter()
                .filter_map(|mount| mount["mountPath"].as_str())
                .any(|mounted| path.starts_with(mounted))
    }
}

impl Scope<'_> {
    /// The volumes of the engine's container.
    pub(super) fn volumes(&self, role: &Role) -> Result<Volumes, RenderError> {
        let instance = &self.plan.instance;
        let mut volumes = Volumes::default();
        volumes.add("work", WORK, false, ("emptyDir", json!({})));
        volumes.add("tmp", TEMPORARY, false, ("emptyDir", json!({})));
        let refers = |wanted: fn(&Reference) -> bool| {
            role.templates().any(|template| template.references().any(wanted))
        };
        if refers(|reference| *reference == Reference::Scratch) {
            let limit = self.plan.kubernetes.scratch_size.to_string();
            volumes.add(
                "scratch",
                SCRATCH,
                false,
                ("emptyDir", json!({"sizeLimit": limit})),
            );
        }
        if refers(|reference| matches!(reference, Reference::File(_))) {
            let source = json!({"name": object_name(instance, "files")});
            volumes.add("files", FILES, true, ("configMap", source));
        }
        if refers(|reference| matches!(reference, Reference::SecretFile(_))) {
            // The group of the pod may read it, because the files are root's and the pod is not.
            let source = json!({"secretName": object_name(instance, "secrets"), "defaultMode": 0o440});
            volumes.add("secrets", SECRETS, true, ("secret", source));
        }
        for (index, data) in self.plan.data.iter().enumerate() {
            let volume = data.volume.as_ref().ok_or_else(|| RenderError::Unsupported {
                field: format!("spec.data[{index}].volume"),
                why: format!(
                    "pods do not see the directory `{}` of this machine; say which volume a cluster has there, for \
                     example `volume: {{nfs: {{server: 10.0.0.1}}}}` or `volume: {{claim: {{size: 10Gi}}}}`",
                    data.path.display()
                ),
            })?;
            let source = self.source(&data.name, volume)?;
            volumes.add(
                &format!("data-{}", data.name),
                &text(&data.path)?,
                data.read_only,
                source,
            );
        }
        let kubernetes = &self.plan.kubernetes;
        let own = kubernetes.roles.get(&role.name).into_iter();
        for mount in std::iter::once(&kubernetes.pods)
            .chain(own)
            .flat_map(|pods| &pods.volumes)
        {
            let source = self.source(&mount.name, &mount.volume)?;
            volumes.add(
                &format!("volume-{}", mount.name),
                &text(&mount.path)?,
                mount.read_only,
                source,
            );
        }
        if let Some(directory) = &role.working_directory
            && !volumes.covers(directory)
        {
            // A directory of the user's machine; here it is a new one.
            volumes.add("directory", &text(directory)?, false, ("emptyDir", json!({})));
        }
        Ok(volumes)
    }

    fn source(&self, name: &Name, volume: &VolumeSpec) -> Result<(&'static str, Value), RenderError> {
        Ok(match volume {
            VolumeSpec::EmptyDir(empty) => (
                "emptyDir",
                empty
                    .size_limit
                    .map_or_else(|| json!({}), |limit| json!({"sizeLimit": limit.to_string()})),
            ),
            VolumeSpec::Claim(ClaimVolume {
                name: Some(claim), ..
            }) => ("persistentVolumeClaim", json!({"claimName": claim})),
            VolumeSpec::Claim(_) => (
                "persistentVolumeClaim",
                json!({"claimName": self.name_of(name.as_str())?}),
            ),
            VolumeSpec::HostPath(host) => ("hostPath", json!({"path": host.path})),
            VolumeSpec::Nfs(nfs) => ("nfs", json!({"server": nfs.server, "path": nfs.path})),
            VolumeSpec::ConfigMap(map) => ("configMap", json!({"name": map.name})),
            VolumeSpec::Secret(secret) => {
                ("secret", json!({"secretName": secret.name, "defaultMode": 0o440}))
            }
        })
    }
}

/// A path as an object can hold it.
pub(super) fn text(path: &Path) -> Result<String, RenderError> {
    let refuse = |why: &str| RenderError::Unsupported {
        field: format!("path `{}`", path.display()),
        why: why.to_owned(),
    };
    let text = path.to_str().ok_or_else(|| refuse("it is not UTF-8"))?;
    if !path.is_absolute() {
        return Err(refuse("a path in a container begins with `/`"));
    }
    if text.contains(':') {
        return Err(refuse("a path in a container cannot have `:` in it"));
    }
    Ok(text.to_owned())
}
