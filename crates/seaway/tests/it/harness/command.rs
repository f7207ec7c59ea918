//! Running the binary, with a deadline.

use std::{
    ffi::{OsStr, OsString},
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
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
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
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
            .spawn()
            .unwrap_or_else(|error| panic!("`{}` cannot be started: {error}", self.shown));
        let mut stdin = child.stdin.take();
        let input = self.input;
        // A command that does not read its input must not hold the test up.
        thread::spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(&input)));
        Running {
            stdout: child.stdout.take().map(read_all),
            stderr: child.stderr.take().map(read_all),
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

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what can be shown.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Running {
    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids fit")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be waited for")
            .is_some()
    }

    /// Waits for its end, whatever that is, for a report of a failure: it may not become a failure itself.
    pub(crate) fn finish_quietly(mut self) -> String {
        let ended = until(self.within, || {
            self.child.try_wait().ok().flatten().ok_or_else(String::new)
        });
        if ended.is_err() {
            return format!("`{}` does not end", self.shown);
        }
        let text =
            |reader: Option<JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
        text(self.stdout.take()) + &text(self.stderr.take())
    }

    /// Waits for its end. Its output must end with it: what it leaves running may not hold on to its pipes.
    pub(crate) fn finish(mut self) -> Output {
        let ended = until(self.within, || {
            self.child
                .try_wait()
                .ok()
                .flatten()
                .ok_or_else(|| "it runs".to_owned())
        });
        let readers_ended = ended.is_ok()
            && until(Duration::from_secs(10), || {
                let ended = [&self.stdout, &self.stderr]
                    .iter()
                    .all(|r| r.as_ref().is_none_or(JoinHandle::is_finished));
                if ended { Ok(()) } else { Err(String::new()) }
            })
            .is_ok();
        if ended.is_err() {
            let _ = self.child.kill();
        }
        assert!(
            readers_ended || ended.is_err(),
            "`{}` ended, and something still holds its output",
            self.shown
        );
        let status: Option<ExitStatus> = self.child.wait().ok();
        let text =
            |reader: Option<JoinHandle<String>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
        let output = Output {
            shown: std::mem::take(&mut self.shown),
            code: status.and_then(|status| status.code()),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
        };
        assert!(ended.is_ok(), "does not end within {:?}: {output}", self.within);
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
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
