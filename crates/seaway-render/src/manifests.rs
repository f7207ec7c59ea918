//! Objects as plain manifests, for `kubectl apply`.

use crate::kubernetes::Object;

/// Why a manifest could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{object} cannot be written as YAML: {source}")]
pub struct ManifestError {
    /// `Deployment/lab-scheduler`.
    object: String,
    source: serde_saphyr::SerializeError,
}

/// One object as YAML.
pub fn manifest(object: &Object) -> Result<String, ManifestError> {
    serde_saphyr::to_string(&object.body).map_err(|source| ManifestError {
        object: object.path(),
        source,
    })
}

/// All objects as one stream of YAML documents.
pub fn stream(objects: &[Object]) -> Result<String, ManifestError> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&manifest(object)?);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

/// All objects as files in the order in which they are to be made: `00-configmap-lab-seaway.yaml`.
pub fn files(objects: &[Object]) -> Result<Vec<(String, String)>, ManifestError> {
    objects
        .iter()
        .enumerate()
        .map(|(index, object)| {
            let name = format!("{index:02}-{}-{}.yaml", object.kind.to_lowercase(), object.name);
            Ok((name, manifest(object)?))
        })
        .collect()
}
