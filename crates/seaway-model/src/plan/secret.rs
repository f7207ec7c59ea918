//! Secrets of an instance: made by the platform, or given by the user in a file.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Name;

/// The fewest characters of a secret that a user gives.
const FEWEST: usize = 8;
/// The most.
const MOST: usize = 1024;

/// A secret made by the platform: 256 random bits, as 64 hexadecimal digits, unless the user has given one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretPlan {
    /// The secret's name.
    pub name: Name,
    /// What it is for.
    pub purpose: String,
    /// The user's file with the secret in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
}

/// Why the user's file cannot be taken. The secret is not told.
#[derive(Debug, Error)]
#[error("the secret that {purpose} cannot be taken from `{}`: {why}", path.display())]
pub struct SecretError {
    purpose: String,
    path: PathBuf,
    why: Unfit,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
enum Unfit {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("it is not a file")]
    NoFile,
    #[error("others than its owner can read it; `chmod 600` it first")]
    Open,
    #[error("it has {FEWEST} to {MOST} characters in one line")]
    Length,
    #[error("it has letters, digits and signs of ASCII, and nothing else")]
    Character,
}

impl SecretPlan {
    /// The secret that the user has given. A platform asks when it makes an instance, and keeps what it got until the
    /// instance goes.
    pub fn given(&self) -> Result<Option<String>, SecretError> {
        let Some(path) = &self.from else {
            return Ok(None);
        };
        read(path).map(Some).map_err(|why| SecretError {
            purpose: self.purpose.clone(),
            path: path.clone(),
            why,
        })
    }
}

fn read(path: &Path) -> Result<String, Unfit> {
    // A pipe would wait for whoever writes into it.
    if !path.metadata()?.is_file() {
        return Err(Unfit::NoFile);
    }
    let file = File::open(path)?;
    if is_open(&file.metadata()?) {
        return Err(Unfit::Open);
    }
    let mut text = String::new();
    let most = u64::try_from(MOST).unwrap_or(u64::MAX).saturating_add(3);
    match file.take(most).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Unfit::Character),
        Err(error) => return Err(error.into()),
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    if !(FEWEST..=MOST).contains(&secret.len()) || secret.contains(['\r', '\n']) {
        return Err(Unfit::Length);
    }
    // It stands in headers and in URLs.
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Unfit::Character);
    }
    Ok(secret.to_owned())
}

#[cfg(unix)]
fn is_open(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
const fn is_open(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn given(content: impl AsRef<[u8]>, mode: u32) -> Result<Option<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let secret = SecretPlan {
            name: Name::literal("token"),
            purpose: "opens it".into(),
            from: Some(path),
        };
        let told = format!("{secret:?}");
        assert!(!told.contains("swordfish"), "{told}");
        secret.given().map_err(|error| {
            let told = format!("{error} {error:?}");
            assert!(!told.contains("swordfish"), "{told}");
            error.to_string()
        })
    }

    #[test]
    fn the_line_of_the_users_file() {
        for content in ["swordfish", "swordfish\n", "swordfish\r\n"] {
            assert_eq!(given(content, 0o600), Ok(Some("swordfish".into())));
        }
        assert_eq!(
            given("s".repeat(MOST) + "\r\n", 0o400).unwrap().unwrap().len(),
            MOST
        );
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for (content, mode, why) in [
            ("swordfish", 0o640, "chmod 600"),
            ("swordfish", 0o604, "chmod 600"),
            ("", 0o600, "8 to 1024"),
            ("sword\n", 0o600, "8 to 1024"),
            ("swordfish\nswordfish\n", 0o600, "8 to 1024"),
            ("sword fish", 0o600, "ASCII"),
            ("swordfish\u{e9}", 0o600, "ASCII"),
        ] {
            let error = given(content, mode).unwrap_err();
            assert!(error.contains(why), "{content:?} {mode:o}: {error}");
        }
        assert!(given([b'a', 0xff], 0o600).unwrap_err().contains("ASCII"));
        assert!(
            given("s".repeat(MOST + 1), 0o600)
                .unwrap_err()
                .contains("8 to 1024")
        );
        let folder = SecretPlan {
            name: Name::literal("token"),
            purpose: "opens it".into(),
            from: Some("/".into()),
        };
        assert_eq!(
            folder.given().unwrap_err().to_string(),
            "the secret that opens it cannot be taken from `/`: it is not a file"
        );
    }
}
