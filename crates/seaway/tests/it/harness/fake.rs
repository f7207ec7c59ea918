//! Environments whose programs do as they are told.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::Home;

/// A folder that passes for a Python environment.
#[derive(Debug)]
pub(crate) struct Fake {
    root: PathBuf,
}

impl Fake {
    /// An environment in a home, with a `python` and nothing else.
    pub(crate) fn new(home: &Home, name: &str) -> Self {
        let root = home.path(name);
        fs::create_dir_all(root.join("bin")).expect("a folder can be made");
        let fake = Self { root };
        fake.program("python", "exit 1\n")
    }

    /// The same with a shell script as one of its programs.
    pub(crate) fn program(self, name: &str, script: &str) -> Self {
        let path = self.root.join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}")).expect("a script can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
        self
    }

    /// The override by which an instance uses it.
    pub(crate) fn setting(&self) -> String {
        format!("python.environment={}", self.root.display())
    }

    /// Its root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

/// A folder of links to some of the programs of this machine, for a `PATH` that has no others.
pub(crate) fn folder_with_programs(home: &Home, programs: &[&str]) -> PathBuf {
    let folder = home.path("programs");
    fs::create_dir_all(&folder).expect("a folder can be made");
    for program in programs {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join(program))
            .find(|path| path.exists());
        symlink(
            found.unwrap_or_else(|| panic!("there is no `{program}`")),
            folder.join(program),
        )
        .expect("a link can be made");
    }
    folder
}
