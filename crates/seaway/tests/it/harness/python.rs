//! Python of the environment that Seaway made, with packages from PyPI as they are, and scripts that talk with the
//! tests line by line.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use super::{Home, Invocation, PATIENCE, processes::Process};

/// Time in which an environment is made: some hundred packages over a slow line.
const MAKING: Duration = Duration::from_secs(1800);

/// The `python` of the environment that Seaway makes for Dask; makes it when it is not there.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let home = Home::new();
        home.seaway(["up", "dask", "--name", "environment", "--detach"])
            .arguments(["--set", "notebook.enabled=false", "--set", "workers.replicas=0"])
            .within(MAKING)
            .run()
            .succeeded();
        let scheduler = home.status("environment").pid("scheduler-0");
        let process = Process::of(scheduler).expect("the scheduler runs");
        let root = process
            .variable("VIRTUAL_ENV")
            .expect("tasks know their environment")
            .to_owned();
        home.down("environment");
        Path::new(&root).join("bin/python")
    })
}

/// A script of these tests, to be run with that Python.
pub(crate) fn script<'a>(name: &str, arguments: impl IntoIterator<Item = &'a str>) -> Invocation {
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    Invocation::new(python(), std::iter::once(path(name)).chain(arguments)).env("PYTHONUNBUFFERED", "1")
}

fn path(name: &str) -> String {
    format!("{}/tests/it/python/{name}.py", env!("CARGO_MANIFEST_DIR"))
}

/// A script that runs while the test does something else: it says lines and is told lines.
#[derive(Debug)]
pub(crate) struct Conversation {
    child: Child,
    name: String,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
    heard: Vec<String>,
}

impl Conversation {
    /// Starts a script. What it writes to standard error is shown with the test's.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(python())
            .arg(path(name))
            .args(arguments)
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the environment's Python starts");
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("it is a pipe");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let stdin = child.stdin.take().expect("it is a pipe");
        Self {
            child,
            name: name.to_owned(),
            stdin,
            lines,
            heard: Vec::new(),
        }
    }

    /// The next line that it says.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.heard.push(line.clone());
                line
            }
            Err(error) => panic!("`{}` says nothing ({error}) after {:?}", self.name, self.heard),
        }
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}")
            .unwrap_or_else(|error| panic!("`{}` does not listen: {error}", self.name));
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
