//! Where the local platform keeps things: state and instances in the XDG state folder, what can be made again in
//! the cache folder.

use std::{
    ffi::OsString,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::PlatformError;

/// Folders of the local platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// `$XDG_STATE_HOME/seaway`: the store and the folders of instances.
    pub state: PathBuf,
    /// `$XDG_CACHE_HOME/seaway`: Python environments.
    pub cache: PathBuf,
}

impl Paths {
    /// The folders of the user, from `XDG_STATE_HOME`, `XDG_CACHE_HOME` and `HOME`.
    pub fn of_user(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, PlatformError> {
        // The base directory specification says to ignore relative paths.
        let absolute = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let home = absolute("HOME");
        let folder = |name: &'static str, below: &str| {
            absolute(name)
                .or_else(|| home.as_ref().map(|home| home.join(below)))
                .map(|base| base.join("seaway"))
                .ok_or(PlatformError::NoHome(name))
        };
        Ok(Self {
            state: folder("XDG_STATE_HOME", ".local/state")?,
            cache: folder("XDG_CACHE_HOME", ".cache")?,
        })
    }

    /// The store's file.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.state.join("state.db")
    }

    /// The folder that holds the folders of instances.
    #[must_use]
    pub fn instances(&self) -> PathBuf {
        self.state.join("instances")
    }

    /// The folder of one instance. Its random id is part of the name, so that an instance which goes and a new
    /// one of the same name never share a file.
    #[must_use]
    pub fn instance(&self, name: &str, id: &str) -> InstancePaths {
        InstancePaths(
            self.instances()
                .join(format!("{name}-{}", id.get(..8).unwrap_or(id))),
        )
    }
}

/// Files of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePaths(PathBuf);

impl InstancePaths {
    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Held by the supervisor as long as it lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// What the supervisor has to say.
    #[must_use]
    pub fn supervisor_log(&self) -> PathBuf {
        self.0.join("supervisor.log")
    }

    /// The environment of the user who brought the instance up.
    #[must_use]
    pub fn environment(&self) -> PathBuf {
        self.0.join("environment.json")
    }

    /// Output of a task.
    #[must_use]
    pub fn log(&self, task: &str) -> PathBuf {
        self.0.join("logs").join(format!("{task}.log"))
    }

    /// A secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> PathBuf {
        self.0.join("secrets").join(name)
    }

    /// The folder of a file of the plan.
    #[must_use]
    pub fn file_folder(&self, name: &str) -> PathBuf {
        self.0.join("files").join(name)
    }

    /// The working directory of a task.
    #[must_use]
    pub fn work(&self, task: &str) -> PathBuf {
        self.0.join("work").join(task)
    }

    /// A task's folder for temporary data.
    #[must_use]
    pub fn scratch(&self, task: &str) -> PathBuf {
        self.0.join("scratch").join(task)
    }
}

/// Makes a folder and those above it, for the user alone.
pub fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_follow_the_base_directory_specification() {
        let paths = |variables: &[(&str, &str)]| {
            let variables: Vec<_> = variables
                .iter()
                .map(|(k, v)| ((*k).to_owned(), OsString::from(v)))
                .collect();
            Paths::of_user(move |name| variables.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        assert_eq!(
            paths(&[("HOME", "/h")]).unwrap().state,
            Path::new("/h/.local/state/seaway")
        );
        let given = paths(&[
            ("HOME", "/h"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CACHE_HOME", "relative"),
        ])
        .unwrap();
        assert_eq!(given.state, Path::new("/s/seaway"));
        assert_eq!(given.cache, Path::new("/h/.cache/seaway"));
        assert!(paths(&[]).unwrap_err().to_string().contains("HOME"));
    }
}
