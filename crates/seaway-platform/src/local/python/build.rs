//! Makes environments, one at a time for each key.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use seaway_agent::{Exit, process::find_program};
use seaway_model::plan::PythonPackages;
use serde::{Deserialize, Serialize};

use super::{
    Prepared, PythonError, Request,
    diagnosis::{diagnose, last_words},
    installer::{Step, Workshop, end_orphan},
    interpreter::{self, Interpreter},
    key::{FORMAT, key},
    progress::Progress,
    settings,
};

/// How often to try to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// With less room than this on the disk, it is the disk.
const FULL: u64 = 1 << 20;

/// Writes the exact versions into a file and imports modules.
const CHECK: &str = include_str!("check.py");

/// How the line of [`CHECK`] about a module begins.
const IMPORT_FAILED: &str = "SEAWAY-IMPORT ";

/// Says that an environment is complete. Written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    python: String,
    executable: PathBuf,
    tool: String,
    requirements: Vec<String>,
    /// Modules that were imported.
    modules: Vec<String>,
    created: Timestamp,
}

const MARKER: &str = "complete.json";

/// How an environment is.
enum State {
    Usable,
    /// Complete, but not all modules have been tried.
    Untried(Marker),
    Missing,
}

fn state(root: &Path, packages: &PythonPackages) -> State {
    let marker = fs::read(root.join(MARKER))
        .ok()
        .and_then(|text| serde_json::from_slice::<Marker>(&text).ok());
    match marker {
        // The Python that it was made with may have gone: then this is a link to nothing.
        Some(marker) if marker.format == FORMAT && root.join("bin/python").exists() => {
            if packages
                .modules
                .iter()
                .all(|module| marker.modules.contains(module))
            {
                State::Usable
            } else {
                State::Untried(marker)
            }
        }
        _ => State::Missing,
    }
}

pub(super) async fn prepare(
    packages: &PythonPackages,
    request: &Request<'_>,
) -> Result<Prepared, PythonError> {
    let folder = request.folder();
    let failed = |reason| PythonError::file("make the folder", &folder, reason);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(failed)?;
    let folder = folder.canonicalize().map_err(failed)?;
    let interpreter = interpreter::find(packages.python.as_deref(), request).await?;
    let key = key(packages, &interpreter)?;
    let root = folder.join(&key);
    if matches!(state(&root, packages), State::Usable) {
        return Ok(Prepared::at(root));
    }
    let record = folder.join(format!("{key}.builder.json"));
    let lock = lock(&folder.join(format!("{key}.lock")), &record, request).await?;
    let log = folder.join(format!("{key}.log"));
    let build = Build {
        packages,
        request,
        interpreter,
        workshop: Workshop {
            folder,
            log,
            record,
            lock,
        },
        root: root.clone(),
    };
    // Another may have made it while we waited.
    match state(&root, packages) {
        State::Usable => {}
        State::Untried(marker) => build.check(marker).await?,
        State::Missing => build.make().await?,
    }
    Ok(Prepared::at(root))
}

/// Waits for the lock on an environment. It ends when the file and all its clones are closed.
async fn lock(path: &Path, record: &Path, request: &Request<'_>) -> Result<File, PythonError> {
    let failed = |reason| PythonError::file("lock", path, reason);
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(reason)) => return Err(failed(reason)),
        }
        if !told {
            (request.progress)("waiting for another instance that makes the same Python environment");
            told = true;
        }
        end_orphan(record);
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

/// The program that installs.
enum Tool {
    Uv(PathBuf),
    Pip,
}

struct Build<'a> {
    packages: &'a PythonPackages,
    request: &'a Request<'a>,
    interpreter: Interpreter,
    workshop: Workshop,
    root: PathBuf,
}

impl Build<'_> {
    async fn make(&self) -> Result<(), PythonError> {
        self.sweep().await;
        self.wipe().await?;
        self.workshop.begin_log()?;
        let made = self.install().await;
        if made.is_err() {
            // The error that was there first is the one to tell.
            let _ = self.wipe().await;
        }
        let _ = fs::remove_file(&self.workshop.record);
        made
    }

    async fn install(&self) -> Result<(), PythonError> {
        let tool = match find_program("uv", &self.request.path()) {
            // It may be a script of pyenv with nothing behind it.
            Ok(uv)
                if interpreter::answer(&uv, &["--version"], self.request)
                    .await
                    .is_some() =>
            {
                Tool::Uv(uv)
            }
            _ => Tool::Pip,
        };
        let (name, variables) = match &tool {
            Tool::Uv(_) => ("uv", settings::for_uv(self.request)),
            Tool::Pip => ("pip", settings::for_pip(self.request)),
        };
        (self.request.progress)(&format!(
            "making a Python {} environment with {name}",
            self.interpreter.version
        ));
        let python = self.root.join("bin/python");
        let root = self.root.as_os_str();
        let executable = &self.interpreter.executable;
        let venv = match &tool {
            Tool::Uv(uv) => Step {
                program: uv,
                arguments: words(
                    &["venv", "--no-project", "--python"],
                    &[executable.as_os_str(), root],
                ),
                variables: &variables,
            },
            // Isolated: neither the working folder nor variables bring modules in.
            Tool::Pip => Step {
                program: executable,
                arguments: words(&["-I", "-m", "venv"], &[root]),
                variables: &variables,
            },
        };
        self.step(venv, if name == "uv" { "uv venv" } else { "python -m venv" })
            .await?;
        // What was asked for stays in the environment, for people who look.
        let requirements = self.write(
            "requirements.txt",
            &(self.packages.requirements.join("\n") + "\n"),
        )?;
        let constraints = self.write("constraints.txt", &self.packages.constraints)?;
        let files = [
            OsString::from("-r"),
            requirements.into(),
            "-c".into(),
            constraints.into(),
        ];
        let mut install = match &tool {
            Tool::Uv(uv) => Step {
                program: uv,
                arguments: words(
                    &["pip", "install", "--compile-bytecode", "--python"],
                    &[python.as_os_str()],
                ),
                variables: &variables,
            },
            Tool::Pip => Step {
                program: &python,
                arguments: words(
                    &[
                        "-I",
                        "-m",
                        "pip",
                        "install",
                        "--disable-pip-version-check",
                        "--no-input",
                    ],
                    &[],
                ),
                variables: &variables,
            },
        };
        install.arguments.extend(files);
        self.step(
            install,
            if name == "uv" {
                "uv pip install"
            } else {
                "pip install"
            },
        )
        .await?;
        self.check(Marker {
            format: FORMAT,
            python: self.interpreter.version.clone(),
            executable: self.interpreter.executable.clone(),
            tool: name.to_owned(),
            requirements: self.packages.requirements.clone(),
            modules: Vec::new(),
            created: Timestamp::now(),
        })
        .await
    }

    /// Tries the modules and writes the marker.
    async fn check(&self, mut marker: Marker) -> Result<(), PythonError> {
        let modules = &self.packages.modules;
        if !modules.is_empty() {
            (self.request.progress)(&format!("checking that {} can be imported", modules.join(", ")));
        }
        let python = self.root.join("bin/python");
        let mut arguments = words(&["-I", "-c", CHECK], &[self.root.join("lock.txt").as_os_str()]);
        arguments.extend(modules.iter().map(OsString::from));
        let step = Step {
            program: &python,
            arguments,
            variables: &settings::for_pip(self.request),
        };
        let (exit, output) = self.workshop.run(step, &mut |_| {}).await?;
        if !exit.success() {
            return Err(self.import_error(exit, &output));
        }
        marker.modules.extend(
            modules
                .iter()
                .filter(|module| !marker.modules.contains(module))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let text = serde_json::to_string_pretty(&marker)
            .map_err(|reason| PythonError::file("write", self.root.join(MARKER), reason.into()))?;
        let draft = self.write("complete.json.draft", &text)?;
        fs::rename(&draft, self.root.join(MARKER)).map_err(|reason| PythonError::file("write", draft, reason))
    }

    fn import_error(&self, exit: Exit, output: &str) -> PythonError {
        if let Some(error @ PythonError::DiskFull { .. }) = self.diagnose(output) {
            return error;
        }
        let told = output
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(IMPORT_FAILED)?.split_once(": "));
        let (module, reason) = match told {
            Some((module, reason)) => (module.to_owned(), reason.to_owned()),
            // A module that ends Python itself.
            None => (self.packages.modules.join(", "), format!("Python {exit}")),
        };
        PythonError::Import {
            module,
            reason,
            log: self.workshop.log.clone(),
        }
    }

    async fn step(&self, step: Step<'_>, tool: &str) -> Result<(), PythonError> {
        let mut progress = Progress::default();
        let mut heard = |line: &str| {
            if let Some(line) = progress.line(line) {
                (self.request.progress)(&line);
            }
        };
        let (exit, output) = self.workshop.run(step, &mut heard).await?;
        if exit.success() {
            return Ok(());
        }
        if let Some(error) = self.diagnose(&output) {
            return Err(error);
        }
        let log = self.workshop.log.clone();
        for (missing, signs) in [
            ("venv", &["No module named venv"][..]),
            (
                "ensurepip",
                &[
                    "ensurepip is not available",
                    "'ensurepip'",
                    "No module named ensurepip",
                ],
            ),
        ] {
            if tool.ends_with("venv") && signs.iter().any(|sign| output.contains(sign)) {
                return Err(PythonError::VenvMissing {
                    python: self.interpreter.executable.clone(),
                    version: self.interpreter.version.clone(),
                    missing,
                    log,
                });
            }
        }
        Err(PythonError::Installer {
            tool: tool.to_owned(),
            exit,
            lines: last_words(&output),
            log,
        })
    }

    fn diagnose(&self, output: &str) -> Option<PythonError> {
        let folder = &self.workshop.folder;
        // On a full disk the log has no room for the reason either.
        let room = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if room.is_ok_and(|room| room < FULL) {
            return Some(PythonError::DiskFull {
                folder: folder.clone(),
                log: Some(self.workshop.log.clone()),
            });
        }
        diagnose(output, &self.workshop.log, folder)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, PythonError> {
        let path = self.root.join(name);
        fs::write(&path, text).map_err(|reason| PythonError::file("write", &path, reason))?;
        Ok(path)
    }

    /// Removes what there is of the environment.
    async fn wipe(&self) -> Result<(), PythonError> {
        let root = self.root.clone();
        let lock = self
            .workshop
            .lock
            .try_clone()
            .map_err(|reason| PythonError::file("lock", &root, reason))?;
        remove_under(lock, root).await
    }

    /// Removes environments that were never completed and that nobody is making.
    async fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.workshop.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let (name, path) = (entry.file_name(), entry.path());
            let is_key = name.len() == 16
                && name
                    .to_string_lossy()
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit());
            if !is_key || path == self.root || path.join(MARKER).exists() {
                continue;
            }
            let lock = File::options()
                .read(true)
                .write(true)
                .open(path.with_extension("lock"));
            if let Ok(lock) = lock
                && lock.try_lock().is_ok()
                && !path.join(MARKER).exists()
            {
                // It is in nobody's way; the next sweep tries again.
                let _ = remove_under(lock, path).await;
            }
        }
    }
}

/// Removes a folder while holding a lock. The lock is held to the end even if nobody waits for it any more.
async fn remove_under(lock: File, folder: PathBuf) -> Result<(), PythonError> {
    let removal = tokio::task::spawn_blocking(move || {
        // The marker first: what is half removed is not complete.
        let _ = fs::remove_file(folder.join(MARKER));
        let removed = match fs::remove_dir_all(&folder) {
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                Err(PythonError::file("remove", &folder, reason))
            }
            _ => Ok(()),
        };
        drop(lock);
        removed
    });
    // It is neither cancelled nor does it panic.
    removal.await.unwrap_or(Ok(()))
}

fn words(first: &[&str], then: &[&std::ffi::OsStr]) -> Vec<OsString> {
    first
        .iter()
        .map(OsString::from)
        .chain(then.iter().map(OsString::from))
        .collect()
}
