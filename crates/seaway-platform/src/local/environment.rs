//! The environment that tasks get: the caller's when the instance was brought up, kept in a file for its supervisor.

use std::{
    collections::BTreeMap, ffi::OsString, fs::File, io::Write, os::unix::fs::OpenOptionsExt, path::Path,
};

use seaway_agent::environment;

/// Variables of the shell that are of no use to tasks, or wrong for them.
const LEFT_OUT: [&str; 6] = ["_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES"];

/// The environment that tasks get: the caller's, without what belongs to its shell or to another instance.
pub(super) fn of_caller() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()) && !environment::ALL.contains(&name.as_str()))
        .collect()
}

/// Writes the environment of this process, as tasks are to get it.
pub(super) fn write(path: &Path) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&serde_json::to_vec(&of_caller())?)
}

/// The user's environment as it was when the instance was brought up; this process's own when that is lost.
pub(super) fn read(path: &Path) -> BTreeMap<OsString, OsString> {
    let stored = std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<BTreeMap<String, String>>(&bytes).ok());
    match stored {
        Some(stored) => stored
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        None => std::env::vars_os().collect(),
    }
}
