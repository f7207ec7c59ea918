//! Where a certificate and its key are kept: a Secret, a folder, or both.

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use seaway_discovery::kubernetes::api::Resource;
use serde_json::{Value, json};

use super::STEP;
use crate::{Certificate, Cluster, Error, Result, cluster::is_ours, files, pki::Facts};

/// What the Secret, and the file, with the key of a certificate to come are called.
const PENDING: &str = "-pending";

const KEY: &str = "tls.key";
const CERTIFICATE: &str = "tls.crt";

/// What is there.
pub(super) struct Kept {
    /// Where, in words.
    pub(super) place: String,
    key: Option<String>,
    pub(super) certificate: Option<String>,
    /// The key of a certificate that was asked for.
    pub(super) pending: Option<String>,
}

impl Kept {
    /// Reads what is there. The Secret counts; without one, the folder.
    pub(super) async fn load(cluster: &Cluster<'_>, asked: &Certificate) -> Result<Self> {
        if let Some(name) = &asked.secret {
            let mut found = [None, None];
            if cluster.has_namespace {
                for (place, name) in found.iter_mut().zip([name.clone(), format!("{name}{PENDING}")]) {
                    *place = cluster.get(STEP, Resource::Secret, &name).await?;
                }
            }
            let [secret, pending] = found;
            let what = format!("Secret {name}");
            if secret.as_ref().is_some_and(|secret| !is_ours(secret)) {
                return Err(Error::Occupied { step: STEP, what });
            }
            let text =
                |secret: &Option<Value>, key: &str| secret.as_ref().and_then(|secret| value(secret, key));
            return Ok(Self {
                place: what,
                key: text(&secret, KEY),
                certificate: text(&secret, CERTIFICATE),
                pending: text(&pending, KEY),
            });
        }
        let folder = folder(asked)?;
        let text = |name: String| -> Result<Option<String>> {
            let bytes = files::read(&folder.join(name))?;
            Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
        };
        Ok(Self {
            place: folder.join(CERTIFICATE).display().to_string(),
            key: text(KEY.to_owned())?,
            certificate: text(CERTIFICATE.to_owned())?,
            pending: text(format!("{KEY}{PENDING}"))?,
        })
    }

    /// Whether it is what is asked for, and lasts.
    pub(super) fn serves(&self, asked: &Certificate, now: Timestamp) -> bool {
        let (Some(key), Some(certificate)) = (&self.key, &self.certificate) else {
            return false;
        };
        Facts::read(certificate.as_bytes()).is_some_and(|facts| {
            let sorted = |groups: &[String]| {
                let mut groups = groups.to_vec();
                groups.sort();
                groups
            };
            facts.user == asked.user
                && sorted(&facts.groups) == sorted(&asked.groups)
                && facts.belongs_to(key)
                && facts.lasts(now)
        })
    }

    /// Keeps a key before a certificate for it is asked for.
    pub(super) async fn keep_pending(
        &self,
        cluster: &Cluster<'_>,
        asked: &Certificate,
        key: &str,
    ) -> Result<()> {
        let Some(name) = &asked.secret else {
            let file = folder(asked)?.join(format!("{KEY}{PENDING}"));
            return files::write(&file, key.as_bytes(), true);
        };
        let name = format!("{name}{PENDING}");
        let object = cluster.labelled(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name },
            "type": "Opaque",
            "data": { KEY: BASE64_STANDARD.encode(key) },
        }));
        cluster
            .apply(STEP, Resource::Secret, &name, &object, false)
            .await
            .map(drop)
    }

    /// Puts the new certificate in the place of what was there.
    pub(super) async fn replace(
        &self,
        cluster: &Cluster<'_>,
        asked: &Certificate,
        key: &str,
        certificate: &str,
    ) -> Result<()> {
        if let Some(name) = &asked.secret {
            let object = cluster.labelled(json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": { "name": name },
                "type": "kubernetes.io/tls",
                "data": { KEY: BASE64_STANDARD.encode(key), CERTIFICATE: BASE64_STANDARD.encode(certificate) },
            }));
            cluster
                .apply(STEP, Resource::Secret, name, &object, false)
                .await?;
            cluster
                .delete(STEP, Resource::Secret, &format!("{name}{PENDING}"))
                .await?;
        }
        if let Some(folder) = &asked.folder {
            write(folder, key, certificate)?;
            files::delete(&folder.join(format!("{KEY}{PENDING}")))?;
        }
        Ok(())
    }

    /// Writes the files of a certificate that is kept, where they are missing or another's.
    pub(super) fn export(&self, cluster: &Cluster<'_>, asked: &Certificate) -> Result<()> {
        let (Some(folder), Some(key), Some(certificate)) = (&asked.folder, &self.key, &self.certificate)
        else {
            return Ok(());
        };
        let same = |name: &str, text: &str| -> Result<bool> {
            Ok(files::read(&folder.join(name))?.is_some_and(|bytes| bytes == text.as_bytes()))
        };
        if cluster.dry_run || same(KEY, key)? && same(CERTIFICATE, certificate)? {
            return Ok(());
        }
        write(folder, key, certificate)
    }
}

fn write(folder: &Path, key: &str, certificate: &str) -> Result<()> {
    files::write(&folder.join(KEY), key.as_bytes(), true)?;
    files::write(&folder.join(CERTIFICATE), certificate.as_bytes(), false)
}

fn folder(asked: &Certificate) -> Result<PathBuf> {
    asked.folder.clone().ok_or_else(|| Error::Asked {
        field: "certificate",
        reason: "name a Secret or a folder that it is put into".to_owned(),
    })
}

/// A value of a Secret, as text.
pub(crate) fn value(secret: &Value, key: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(secret["data"][key].as_str()?).ok()?;
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}
