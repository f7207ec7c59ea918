//! What can go wrong with Python environments, for people.

use std::{
    io,
    path::{Path, PathBuf},
};

use seaway_agent::Exit;
use thiserror::Error;

/// Why there is no Python environment.
#[derive(Debug, Error)]
pub enum PythonError {
    /// The folder the user named is not there.
    #[error("the Python environment `{}` does not exist", .0.display())]
    NoFolder(PathBuf),
    /// The folder the user named is no environment.
    #[error("`{}` is no Python environment: it has no `bin/python`", .0.display())]
    NoEnvironment(PathBuf),
    /// Its Python is no program.
    #[error("`{}` cannot be executed", .0.display())]
    NotExecutable(PathBuf),
    /// Its Python is a link to one that is gone.
    #[error("`{}` is a link to `{}`, which is gone", link.display(), target.display())]
    Dangling {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A requirement is not one.
    #[error("`{requirement}` is no Python requirement: {reason}")]
    Requirement {
        /// As it stands in the document.
        requirement: String,
        /// Why.
        reason: &'static str,
    },
    /// No Python that would do.
    #[error("{}", missing(wanted.as_deref(), found))]
    PythonMissing {
        /// The version asked for.
        wanted: Option<String>,
        /// Those that were found and will not do, with their versions.
        found: Vec<(PathBuf, String)>,
    },
    /// Python cannot make environments.
    #[error("Python {version} (`{}`) cannot make environments: {missing} is missing", python.display())]
    VenvMissing {
        /// The Python.
        python: PathBuf,
        /// Its version.
        version: String,
        /// The module.
        missing: &'static str,
        /// What the tools said.
        log: PathBuf,
    },
    /// A package does not exist, not for this Python or machine, or cannot be built.
    #[error("package `{requirement}` cannot be installed{}", said(lines))]
    NotInstallable {
        /// The requirement.
        requirement: String,
        /// The installer's last words.
        lines: Vec<String>,
        /// All it said.
        log: PathBuf,
    },
    /// The requirements, or a requirement and the constraints, exclude each other.
    #[error("the Python packages exclude each other{}", said(lines))]
    Conflict {
        /// The installer's last words.
        lines: Vec<String>,
        /// All it said.
        log: PathBuf,
    },
    /// The package index cannot be reached.
    #[error("the Python packages cannot be fetched{}", said(lines))]
    Network {
        /// The installer's last words.
        lines: Vec<String>,
        /// All it said.
        log: PathBuf,
    },
    /// No space left.
    #[error("the disk is full: there is no room for the Python environment in `{}`", folder.display())]
    DiskFull {
        /// Where environments are kept.
        folder: PathBuf,
        /// What the installer said, if it was started.
        log: Option<PathBuf>,
    },
    /// Everything is installed, yet a module cannot be imported.
    #[error("the Python packages are installed, but `{module}` cannot be imported: {reason}")]
    Import {
        /// The module.
        module: String,
        /// What Python said.
        reason: String,
        /// All it said.
        log: PathBuf,
    },
    /// The installer failed for another reason.
    #[error("{tool} {exit}{}", said(lines))]
    Installer {
        /// The program.
        tool: String,
        /// How it ended.
        exit: Exit,
        /// Its last words.
        lines: Vec<String>,
        /// All it said.
        log: PathBuf,
    },
    /// A program cannot be started.
    #[error("`{}` cannot be started: {reason}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file or folder of the cache cannot be used.
    #[error("cannot {action} `{}`: {reason}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

fn said(lines: &[String]) -> String {
    if lines.is_empty() {
        String::new()
    } else {
        format!(": {}", lines.join("\n"))
    }
}

fn missing(wanted: Option<&str>, found: &[(PathBuf, String)]) -> String {
    let wanted = wanted.map_or_else(
        || "Python 3.10 or newer".to_owned(),
        |version| format!("Python {version}"),
    );
    let found: Vec<_> = found
        .iter()
        .map(|(path, version)| format!("`{}` is {version}", path.display()))
        .collect();
    if found.is_empty() {
        format!("{wanted} was not found on PATH")
    } else {
        format!("{wanted} was not found on PATH: {}", found.join(", "))
    }
}

impl PythonError {
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>, reason: io::Error) -> Self {
        let path = path.into();
        if matches!(
            reason.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return Self::DiskFull {
                folder: path,
                log: None,
            };
        }
        Self::File { action, path, reason }
    }

    /// The file with everything that the installer said.
    #[must_use]
    pub fn log(&self) -> Option<&Path> {
        match self {
            Self::VenvMissing { log, .. }
            | Self::NotInstallable { log, .. }
            | Self::Conflict { log, .. }
            | Self::Network { log, .. }
            | Self::Import { log, .. }
            | Self::Installer { log, .. } => Some(log),
            Self::DiskFull { log, .. } => log.as_deref(),
            _ => None,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoFolder(root) | Self::NoEnvironment(root) => {
                format!(
                    "make one with `python3 -m venv {0}` and `{0}/bin/pip install …`",
                    root.display()
                )
            }
            Self::NotExecutable(python) => format!("try `chmod +x {}`", python.display()),
            Self::Dangling { link, .. } => {
                let root = link.parent().and_then(Path::parent).unwrap_or(link);
                format!(
                    "the Python it was made with was removed or upgraded; make it anew with `python3 -m venv --clear {}`",
                    root.display()
                )
            }
            Self::Requirement { .. } => {
                "write it as pip takes it: `numpy`, `numpy>=2`, `dask[complete]==2026.8.0`".into()
            }
            Self::PythonMissing { wanted, .. } => {
                let version = wanted.as_deref().map(short).unwrap_or_default();
                let (with_dot, conda) = if version.is_empty() {
                    ("3", "3.12")
                } else {
                    (version, version)
                };
                let brew = if version.is_empty() {
                    String::new()
                } else {
                    format!("@{version}")
                };
                format!(
                    "Debian and Ubuntu: `sudo apt install python{with_dot} python{with_dot}-venv`; macOS: `brew install \
                     python{brew}`; conda: `conda create -n seaway python={conda}` and `conda activate seaway`; uv: \
                     `uv python install {conda}`"
                )
            }
            Self::VenvMissing { version, .. } => format!(
                "Debian and Ubuntu: `sudo apt install python{}-venv`; or install uv, which needs no venv module: \
                 `curl -LsSf https://astral.sh/uv/install.sh | sh`",
                short(version)
            ),
            Self::NotInstallable { log, .. } => {
                format!(
                    "check its name and version, and that it supports this Python; more in {}",
                    log.display()
                )
            }
            Self::Conflict { log, .. } => format!(
                "ask for a version that goes with the others, or leave its version out; more in {}",
                log.display()
            ),
            Self::Network { log, .. } => format!(
                "check the connection; another index or a proxy is taken from PIP_INDEX_URL, pip.conf, UV_DEFAULT_INDEX \
                 and HTTPS_PROXY; more in {}",
                log.display()
            ),
            Self::DiskFull { folder, .. } => {
                format!(
                    "make room on the disk of {}, or set XDG_CACHE_HOME to a folder with room",
                    folder.display()
                )
            }
            Self::Import { log, .. } | Self::Installer { log, .. } => format!("more in {}", log.display()),
            Self::Start { .. } | Self::File { .. } => return None,
        };
        Some(hint)
    }
}

/// `3.12` of `3.12.4`.
fn short(version: &str) -> &str {
    version
        .match_indices('.')
        .nth(1)
        .map_or(version, |(second_dot, _)| &version[..second_dot])
}
