//! Running the binary, with a deadline.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{PATIENCE, until};

/// A command to run.
#[derive(Debug)]
pub(crate) struct Invocation {
    command: Command,
    shown: String,
    input: Vec<u8>,
    within: Duration,
}

/// What a command did.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// The command, to be shown when it did something else than it should.
    pub(crate) shown: String,
    /// Its exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A command that runs, and is killed when this is dropped before it ended.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    shown: String,
    stdout: Reader,
    stderr: Reader,
    within: Duration,
}

impl Invocation {
    /// The Seaway that these tests are built for.
    pub(crate) fn seaway<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::new(env!("CARGO_BIN_EXE_seaway"), arguments)
    }

    /// Any program.
    pub(crate) fn new<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let words = std::iter::once(program.as_ref().to_owned()).chain(arguments.iter().cloned());
        let shown = words
            .map(|word| word.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        let mut command = Command::new(program);
        command.args(arguments);
        Self {
            command,
            shown,
            input: Vec::new(),
            within: PATIENCE,
        }
    }

    /// The same with more arguments.
    pub(crate) fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        for argument in arguments {
            self.shown = format!("{} {}", self.shown, argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// The same with a variable set.
    pub(crate) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The same without a variable.
    pub(crate) fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// The same in a folder.
    pub(crate) fn within_folder(mut self, folder: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// The same with this on its standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// The same with another deadline.
    pub(crate) fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("`{}` cannot be started: {error}", self.shown));
        let mut stdin = child.stdin.take();
        let input = self.input;
        // A command that does not read its input must not hold the test up.
        thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&input)));
        Running {
            stdout: Reader::start(child.stdout.take().expect("it is a pipe")),
            stderr: Reader::start(child.stderr.take().expect("it is a pipe")),
            child,
            shown: self.shown,
            within: self.within,
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(self) -> Output {
        self.start().finish()
    }
}

/// Reads a pipe to its end in the background.
#[derive(Debug)]
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn start(mut from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&text);
        let thread = thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(length @ 1..) = from.read(&mut piece) {
                into.lock()
                    .expect("nobody panics with it")
                    .extend_from_slice(&piece[..length]);
            }
        });
        Self { text, thread }
    }

    /// What was read until now.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().expect("nobody panics with it")).into_owned()
    }
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids fit")
    }

    /// What it wrote to its standard output until now.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to its standard error until now.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    }

    /// Waits for its end, and for that of whatever it started with its output. Gives back why not, if not.
    fn wait(&mut self) -> Result<(), String> {
        until(self.within, || {
            if self.has_ended() {
                Ok(())
            } else {
                Err("it does not end".to_owned())
            }
        })?;
        until(Duration::from_secs(10), || {
            if self.stdout.thread.is_finished() && self.stderr.thread.is_finished() {
                Ok(())
            } else {
                Err("it ended, and something that it left holds its output".to_owned())
            }
        })
    }

    /// What it did until now.
    fn output(&mut self) -> Output {
        let status = self.child.try_wait().ok().flatten();
        Output {
            shown: self.shown.clone(),
            code: status.and_then(|status| status.code()),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }

    /// Waits for its end, whatever that is, for a report of a failure: it may not become a failure itself.
    pub(crate) fn finish_quietly(mut self) -> String {
        match self.wait() {
            Ok(()) => self.stdout.text() + &self.stderr.text(),
            Err(why) => format!("`{}`: {why}", self.shown),
        }
    }

    /// Waits for its end. Its output must end with it: what it leaves running may not hold on to its pipes.
    pub(crate) fn finish(mut self) -> Output {
        let ended = self.wait();
        let output = self.output();
        if let Err(why) = ended {
            panic!("{why}: {output}");
        }
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            // With what it started, such as the other commands of a pipe.
            let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            shown,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "`{shown}` ended with {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

impl Output {
    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        self.with_code(0)
    }

    /// Fails the test unless the command ended with this code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }
}
