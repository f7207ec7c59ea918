//! Python environments: made once, pinned, and shared by all instances with the same list of packages.
//!
//! An environment's folder is named by a hash of everything that decides what is in it (Python, requirements,
//! constraints), and a marker written last says that it is complete. So an environment that exists is found by
//! reading two small files, without starting Python; one that is not complete is made anew; of many that want the
//! same at once, one makes it under a lock and the others wait. `uv` makes it where it is installed, else Python's
//! own `venv` and `pip`. The user's settings of both (indexes, proxies, certificates) stay in force.

mod build;
mod diagnosis;
mod error;
mod installer;
mod interpreter;
mod key;
mod progress;
mod settings;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use seaway_agent::process::search_path;
use seaway_model::plan::PythonEnvironment;

pub use self::error::PythonError;

/// A Python environment that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its root.
    pub root: PathBuf,
    /// The folder with its programs.
    pub bin: PathBuf,
}

impl Prepared {
    fn at(root: PathBuf) -> Self {
        Self {
            bin: root.join("bin"),
            root,
        }
    }
}

/// What making an environment needs to know besides the environment.
#[derive(Clone)]
pub struct Request<'a> {
    /// The folder for what can be made again: `$XDG_CACHE_HOME/seaway`. Environments are kept in `python` in it.
    pub cache: PathBuf,
    /// The user's environment variables, by which Python and uv are found and set up.
    pub variables: BTreeMap<OsString, OsString>,
    /// Is given short lines that say what is being done.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

impl Request<'_> {
    /// Where environments are kept.
    fn folder(&self) -> PathBuf {
        self.cache.join("python")
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// The folders that programs are looked for in.
    fn path(&self) -> Vec<PathBuf> {
        self.variable("PATH").map(search_path).unwrap_or_default()
    }
}

/// Makes an environment usable: checks one that the user has, finds or makes one with the packages asked for.
///
/// May be dropped at any time: the installer and what it started are killed, and what they left is wiped by the
/// next call. The same after Seaway itself was killed.
pub async fn prepare(
    environment: &PythonEnvironment,
    request: &Request<'_>,
) -> Result<Prepared, PythonError> {
    match environment {
        PythonEnvironment::Existing(root) => existing(root),
        PythonEnvironment::Packages(packages) => build::prepare(packages, request).await,
    }
}

fn existing(root: &Path) -> Result<Prepared, PythonError> {
    let failed = |reason| PythonError::file("look at", root, reason);
    // Absolute, because tasks have working folders of their own.
    let root = std::path::absolute(root).map_err(failed)?;
    let python = root.join("bin/python");
    match fs::metadata(&python) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
            Ok(Prepared::at(root))
        }
        Ok(_) => Err(PythonError::NotExecutable(python)),
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(&python) {
            // A link to a Python that was removed.
            Ok(_) => Err(PythonError::Dangling {
                target: fs::read_link(&python).unwrap_or_default(),
                link: python,
            }),
            Err(_) if root.is_dir() => Err(PythonError::NoEnvironment(root)),
            Err(_) => Err(PythonError::NoFolder(root)),
        },
        Err(reason) if reason.kind() == io::ErrorKind::NotADirectory => Err(PythonError::NoFolder(root)),
        Err(reason) => Err(PythonError::file("look at", python, reason)),
    }
}

#[cfg(test)]
mod tests;
