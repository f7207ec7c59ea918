//! What types cannot say of the part for Kubernetes.

use std::collections::HashMap;

use super::Checker;
use crate::{
    Name,
    document::{
        common::DataSpec,
        kubernetes::{KubernetesSpec, PodSpec, VolumeSpec},
        node::{At, Path},
        suggest,
    },
};

impl Checker<'_> {
    /// `roles` are those that the engine has.
    pub(super) fn kubernetes(&mut self, path: &Path, spec: &KubernetesSpec, roles: &[&str]) {
        self.pods(&path.key("pods"), &spec.pods);
        let here = path.key("roles");
        for (role, pods) in &spec.roles {
            if !roles.contains(&role.as_str()) {
                let hint = suggest::hint(role.as_str(), "roles", roles);
                self.refuse_key(&here, role.as_str(), &format!("there is no role `{role}`"), &hint);
            }
            self.pods(&here.key(role.as_str()), pods);
        }
    }

    /// The volumes of data.
    pub(super) fn data_volumes(&mut self, path: &Path, data: &[DataSpec]) {
        for (index, data) in data.iter().enumerate() {
            if let Some(volume) = &data.volume {
                self.volume(&path.index(index).key("volume"), volume);
            }
        }
    }

    fn pods(&mut self, path: &Path, pods: &PodSpec) {
        let mut names: HashMap<&Name, usize> = HashMap::new();
        for (index, mount) in pods.volumes.iter().enumerate() {
            let here = path.key("volumes").index(index);
            if !mount.path.is_absolute() {
                self.refuse(
                    At::Value,
                    &here.key("path"),
                    "a path in a container begins with `/`",
                    "",
                );
            }
            let first = *names.entry(&mount.name).or_insert(index);
            if first != index {
                let message = format!(
                    "`{}` is already the name of `{}`",
                    mount.name,
                    path.key("volumes").index(first)
                );
                self.refuse(At::Value, &here.key("name"), &message, "give each its own name");
            }
            self.volume(&here.key("volume"), &mount.volume);
        }
    }

    fn volume(&mut self, path: &Path, volume: &VolumeSpec) {
        if let VolumeSpec::Claim(claim) = volume
            && claim.name.is_some() == claim.size.is_some()
        {
            let message = if claim.name.is_some() {
                "`name` and `size` cannot be given together"
            } else {
                "it needs a `name` or a `size`"
            };
            let hint = "`name` is that of a claim that exists; with a `size` Seaway makes one";
            self.refuse(At::Value, &path.key("claim"), message, hint);
        }
    }
}
