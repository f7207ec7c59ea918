//! The files of an instance: its lock, folders, secrets, and what the plan asks for.

use std::{fs::File, path::Path};

use super::{Supervisor, SupervisorError};
use crate::local::paths::{InstancePaths, private_folder};

/// Takes the lock of an instance; `None` when another supervisor has it.
pub(super) fn lock(files: &InstancePaths) -> Result<Option<File>, SupervisorError> {
    let path = files.lock();
    let failed = |source| SupervisorError::File {
        path: path.clone(),
        source,
    };
    private_folder(files.root()).map_err(failed)?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

impl Supervisor {
    /// Makes the folders, secrets and files of the instance, where they are not there yet.
    pub(super) fn lay_out(&self) -> Result<(), SupervisorError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SupervisorError::File { path, source }
        };
        for folder in ["logs", "secrets", "files", "work", "scratch"] {
            let folder = self.files.root().join(folder);
            private_folder(&folder).map_err(failed(&folder))?;
        }
        for secret in &self.record.plan.secrets {
            let path = self.files.secret(secret.name.as_str());
            if !path.exists() {
                let given = secret.given().map_err(std::io::Error::other);
                given
                    .and_then(|given| write_secret(&path, given))
                    .map_err(failed(&path))?;
            }
        }
        for file in &self.record.plan.files {
            let folder = self.files.file_folder(file.name.as_str());
            private_folder(&folder).map_err(failed(&folder))?;
            let path = folder.join(&file.file_name);
            std::fs::write(&path, &file.content).map_err(failed(&path))?;
        }
        Ok(())
    }
}

/// Writes a secret, readable by the user alone from the start: the one given, or 256 random bits as hexadecimal digits.
fn write_secret(path: &Path, given: Option<String>) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let secret = given.unwrap_or_else(|| hex::encode(rand::random::<[u8; 32]>()));
    let partial = path.with_extension("new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(secret.as_bytes())?;
    drop(file);
    std::fs::rename(&partial, path)
}
