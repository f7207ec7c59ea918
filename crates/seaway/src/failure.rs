//! How a command fails: what, why, what to do, and with which exit code.

use std::fmt;

use seaway_lifecycle::LifecycleError;
use seaway_model::DocumentErrors;
use seaway_platform::PlatformError;

/// Exit codes; `docs/reference/exit-codes.md` is made from this table.
pub(crate) const EXIT_CODES: [(u8, &str); 7] = [
    (0, "Done. For `seaway run`, the code of the command itself."),
    (1, "It failed; the message says what, why and what to do."),
    (
        2,
        "The command line or an instance document is wrong; nothing was started.",
    ),
    (
        3,
        "There is no instance, and no entry in a directory, of that name.",
    ),
    (
        4,
        "The name is in use: the instance is coming up or going down, or another owner holds the entry.",
    ),
    (5, "An instance could not become ready; its status says why."),
    (130, "Interrupted (Ctrl-C)."),
];

/// It failed.
pub(crate) const FAILED: u8 = 1;
/// The command line or a document is wrong.
pub(crate) const USAGE: u8 = 2;
/// No such instance.
pub(crate) const NOT_FOUND: u8 = 3;
/// The name is in use.
pub(crate) const CONFLICT: u8 = 4;
/// An instance could not become ready.
pub(crate) const NOT_READY: u8 = 5;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) code: u8,
    /// What and why: the error with its causes.
    pub(crate) error: anyhow::Error,
    /// What to do.
    pub(crate) hint: Option<String>,
}

/// What a command gives back: the exit code, or how it failed.
pub(crate) type Outcome = Result<u8, Failure>;

impl Failure {
    /// A failure in words.
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self {
            code,
            error: anyhow::anyhow!("{message}"),
            hint: None,
        }
    }

    /// The same failure with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            // Many errors already end with their cause.
            if !said.contains(&cause) {
                write!(f, "\n  because: {cause}")?;
                said = cause;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<PlatformError> for Failure {
    fn from(error: PlatformError) -> Self {
        let code = match &error {
            PlatformError::NotFound { .. } => NOT_FOUND,
            PlatformError::Busy { .. }
            | PlatformError::Elsewhere { .. }
            | PlatformError::Occupied { .. }
            | PlatformError::NamespaceEnds(_) => CONFLICT,
            PlatformError::NoRole { .. }
            | PlatformError::NotScalable { .. }
            | PlatformError::NoTask { .. }
            | PlatformError::Unsupported { .. }
            | PlatformError::ClusterSettings { .. }
            | PlatformError::Render(_)
            | PlatformError::Directory(_) => USAGE,
            _ => FAILED,
        };
        Self {
            code,
            hint: error.hint(),
            error: error.into(),
        }
    }
}

impl From<LifecycleError> for Failure {
    fn from(error: LifecycleError) -> Self {
        match error {
            LifecycleError::Platform(error) => error.into(),
            other => Self {
                code: FAILED,
                error: other.into(),
                hint: None,
            },
        }
    }
}

impl From<DocumentErrors> for Failure {
    fn from(errors: DocumentErrors) -> Self {
        Self {
            code: USAGE,
            error: errors.into(),
            hint: None,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self {
            code: FAILED,
            error: error.into(),
            hint: None,
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self {
            code: FAILED,
            error: error.into(),
            hint: None,
        }
    }
}
