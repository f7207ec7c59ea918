//! Finds the Python that environments are made with, and remembers what was found out about it.
//!
//! A program on `PATH` called `python3` may be anything: a link, a script of pyenv that chooses one, the Python of an
//! environment that is active. What it really is takes starting it, so that is done once and remembered in a file,
//! and asked again when the program or the Python behind it has changed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use seaway_agent::process::find_program;
use serde::{Deserialize, Serialize};

use super::{PythonError, Request, installer::Group};

/// Oldest version that will do.
const OLDEST: (u32, u32) = (3, 10);

/// Newest version that has a name here; a newer one is found as `python3`.
const NEWEST: u32 = 14;

/// How long a program may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it is remembered that a program is no Python: a script of pyenv becomes one when the user chooses a
/// version, without having changed itself.
const FORGIVING: Duration = Duration::from_secs(600);

/// Says which Python it is, of an environment the one that it was made with.
const QUESTION: &str = "import sys, sysconfig\nprint(getattr(sys, '_base_executable', None) or sys.executable)\n\
                        print('%d.%d.%d' % sys.version_info[:3])\nprint(sysconfig.get_config_var('EXT_SUFFIX') or '')";

/// A Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interpreter {
    /// Its program.
    pub(super) executable: PathBuf,
    /// `3.12.4`.
    pub(super) version: String,
    /// How names of compiled modules end, which tells implementation, system and processor.
    pub(super) suffix: String,
}

impl Interpreter {
    /// The first two numbers of the version.
    pub(super) fn release(&self) -> String {
        self.version.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    fn is_new_enough(&self) -> bool {
        let mut numbers = self
            .version
            .split('.')
            .map(|number| number.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
    }

    /// Whether this is the version asked for: `3.12.4` is `3.12` and `3`.
    fn is(&self, wanted: &str) -> bool {
        let mut numbers = self.version.split('.');
        wanted.split('.').all(|number| numbers.next() == Some(number))
    }
}

/// What tells that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    modified: (i64, i64),
    size: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.len(),
        })
    }
}

/// What was found out about a program.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    /// The program as it was found.
    program: PathBuf,
    /// What else decides which Python it is.
    chosen_by: String,
    stamp: Stamp,
    /// The Python behind it; none when it does not answer.
    interpreter: Option<(Interpreter, Stamp)>,
    asked: Timestamp,
}

impl Remembered {
    fn is_valid(&self) -> bool {
        Stamp::of(&self.program) == Some(self.stamp)
            && match &self.interpreter {
                Some((interpreter, stamp)) => Stamp::of(&interpreter.executable) == Some(*stamp),
                None => Timestamp::now().duration_since(self.asked).unsigned_abs() < FORGIVING,
            }
    }
}

/// Finds the Python for an environment: of the version asked for, else the newest.
pub(super) async fn find(wanted: Option<&str>, request: &Request<'_>) -> Result<Interpreter, PythonError> {
    let mut memory = Memory::open(request);
    let path = request.path();
    let mut unfit: Vec<(PathBuf, String)> = Vec::new();
    for name in names(wanted) {
        // All of that name: the first may be a script of pyenv with nothing behind it.
        for folder in &path {
            let Ok(program) = find_program(&name, std::slice::from_ref(folder)) else {
                continue;
            };
            let Some(interpreter) = memory.ask(&program, request).await else {
                continue;
            };
            if interpreter.is_new_enough() && wanted.is_none_or(|wanted| interpreter.is(wanted)) {
                return Ok(interpreter);
            }
            if !unfit.iter().any(|(_, version)| *version == interpreter.version) {
                unfit.push((program, interpreter.version));
            }
        }
    }
    // uv knows of those that it installed itself, which are not on PATH.
    if let Ok(uv) = find_program("uv", &path) {
        let asked_for = wanted.map_or_else(|| format!(">={}.{}", OLDEST.0, OLDEST.1), ToOwned::to_owned);
        if let Some(interpreter) = memory.ask_uv(&uv, &asked_for, request).await {
            return Ok(interpreter);
        }
    }
    Err(PythonError::PythonMissing {
        wanted: wanted.map(ToOwned::to_owned),
        found: unfit,
    })
}

/// The names under which a version may be found, best first.
fn names(wanted: Option<&str>) -> Vec<String> {
    let mut numbers = wanted.unwrap_or("3").split('.');
    let (major, minor) = (numbers.next().unwrap_or("3"), numbers.next());
    let mut names = match minor {
        Some(minor) => vec![format!("python{major}.{minor}")],
        None => (OLDEST.1..=NEWEST)
            .rev()
            .map(|minor| format!("python{major}.{minor}"))
            .collect(),
    };
    names.push(format!("python{major}"));
    // Environments of conda and pyenv have this one too.
    names.push("python".to_owned());
    // It becomes part of a path.
    names.retain(|name| !name.contains('/'));
    names
}

/// What is known of programs, in a file.
struct Memory {
    file: PathBuf,
    known: Vec<Remembered>,
}

impl Memory {
    fn open(request: &Request<'_>) -> Self {
        let file = request.folder().join("interpreters.json");
        // Whatever is wrong with the file, all it costs is asking again.
        let known = fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self { file, known }
    }

    fn recall(&self, program: &Path, chosen_by: &str) -> Option<&Remembered> {
        self.known
            .iter()
            .find(|known| known.program == program && known.chosen_by == chosen_by)
            .filter(|known| known.is_valid())
    }

    /// Which Python a program is.
    async fn ask(&mut self, program: &Path, request: &Request<'_>) -> Option<Interpreter> {
        let chosen_by = request
            .variable("PYENV_VERSION")
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(known) = self.recall(program, &chosen_by) {
            return known.interpreter.clone().map(|(interpreter, _)| interpreter);
        }
        let interpreter = question(program, request).await;
        self.remember(program, chosen_by, interpreter)
    }

    /// Which Python uv has for a version.
    async fn ask_uv(&mut self, uv: &Path, asked_for: &str, request: &Request<'_>) -> Option<Interpreter> {
        let chosen_by = format!("uv python find {asked_for}");
        if let Some(known) = self.recall(uv, &chosen_by) {
            return known.interpreter.clone().map(|(interpreter, _)| interpreter);
        }
        let found = answer(uv, &["python", "find", "--no-project", asked_for], request).await;
        let interpreter = match found {
            Some(found) => question(Path::new(found.trim()), request).await,
            None => None,
        };
        self.remember(uv, chosen_by, interpreter)
    }

    fn remember(
        &mut self,
        program: &Path,
        chosen_by: String,
        interpreter: Option<Interpreter>,
    ) -> Option<Interpreter> {
        self.known
            .retain(|known| known.program != program || known.chosen_by != chosen_by);
        let with_stamp = interpreter
            .clone()
            .and_then(|found| Some((found.clone(), Stamp::of(&found.executable)?)));
        if let Some(stamp) = Stamp::of(program) {
            let program = program.to_path_buf();
            self.known.push(Remembered {
                program,
                chosen_by,
                stamp,
                interpreter: with_stamp,
                asked: Timestamp::now(),
            });
            // What cannot be written is asked again.
            let _ = self.save();
        }
        interpreter
    }

    fn save(&self) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let draft = self
            .file
            .with_extension(format!("{}-{number}.draft", std::process::id()));
        let text = serde_json::to_vec_pretty(&self.known)?;
        fs::write(&draft, text)
            .and_then(|()| fs::rename(&draft, &self.file))
            .inspect_err(|_| {
                let _ = fs::remove_file(&draft);
            })
    }
}

async fn question(program: &Path, request: &Request<'_>) -> Option<Interpreter> {
    let text = answer(program, &["-I", "-c", QUESTION], request).await?;
    let mut lines = text.lines();
    let interpreter = Interpreter {
        executable: lines.next()?.into(),
        version: lines.next()?.to_owned(),
        suffix: lines.next().unwrap_or_default().to_owned(),
    };
    (interpreter.executable.is_absolute() && interpreter.version.contains('.')).then_some(interpreter)
}

/// What a program says; `None` when it fails or takes too long.
pub(super) async fn answer(program: &Path, arguments: &[&str], request: &Request<'_>) -> Option<String> {
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&request.variables)
        // Not the caller's folder: pyenv and uv choose by files in it.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .ok()?;
    let mut group = Group::of(&child);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .ok()?
        .ok()?;
    group.ended();
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_names() {
        let python = Interpreter {
            executable: "/p".into(),
            version: "3.12.4".into(),
            suffix: String::new(),
        };
        assert!(python.is("3.12") && python.is("3") && python.is("3.12.4"));
        assert!(!python.is("3.1") && !python.is("3.12.40") && !python.is("3.13") && !python.is(""));
        assert!(python.is_new_enough());
        assert!(
            !Interpreter {
                version: "3.9.18".into(),
                ..python.clone()
            }
            .is_new_enough()
        );
        assert_eq!(python.release(), "3.12");
        assert_eq!(names(Some("3.12")), ["python3.12", "python3", "python"]);
        assert_eq!(names(None)[0], "python3.14");
        assert!(names(Some("3./../x")).iter().all(|name| !name.contains('/')));
    }
}
