//! What can go wrong with a directory, for people: what failed, why, and what to do next.

use std::{io, path::PathBuf, time::Duration};

use jiff::Timestamp;
use seaway_model::Name;
use thiserror::Error;

use crate::{EntryError, Owner};

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be done in a directory.
///
/// The message of each is complete: it has the reason in it, so nothing is lost where only the message is shown. No
/// message holds a token, a password or the query of a URL.
#[derive(Debug, Error)]
pub enum Error {
    /// A live entry of the same name belongs to another owner.
    #[error("`{name}` is held by {owner} in the {directory}{}", until_text(*until))]
    Held {
        /// Name of the entry.
        name: Name,
        /// Who holds it.
        owner: Owner,
        /// Until when it is believed; `None` when it does not expire.
        until: Option<Timestamp>,
        /// Which directory, in words.
        directory: String,
    },
    /// This kind of directory cannot do that.
    #[error("{} directory cannot {what}", with_article(directory))]
    Unsupported {
        /// Kind of directory.
        directory: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
    /// Something in the document cannot be right.
    #[error("`{field}` of the {directory} directory: {reason}")]
    Configuration {
        /// Kind of directory.
        directory: &'static str,
        /// Field of the document.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused to work with a file or a folder.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// What was tried: `write`, `create the folder`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Another process kept the lock of an entry for too long.
    #[error("another process has kept {} locked for {} s", path.display(), after.as_secs())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// What was read back is not an entry.
    #[error("cannot use {place}: {reason}")]
    Entry {
        /// Where it stands.
        place: String,
        /// Why it is none.
        reason: EntryError,
    },
    /// Standard output does not take the line.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// A token, a certificate, a key or an authority cannot be used.
    #[error("cannot use the {what} in {}: {reason}", path.display())]
    Credential {
        /// What it is: `token`, `CA certificates`.
        what: &'static str,
        /// The file it should be in.
        path: PathBuf,
        /// Why it cannot be used; never its content.
        reason: String,
    },
    /// The server answered, but not with success.
    #[error("{method} {url} was answered with {status} {reason}{}", body_text(body))]
    Http {
        /// Method of the request.
        method: &'static str,
        /// URL without user, password and query.
        url: String,
        /// Status code.
        status: u16,
        /// What the status code means.
        reason: &'static str,
        /// First 512 bytes of the answer, control characters escaped, secrets blotted out.
        body: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The server knows us, but does not let us do this.
    #[error("not allowed to {permission} in {directory}: {reason}")]
    Forbidden {
        /// Which directory, in words.
        directory: String,
        /// What is missing: verb and resource (`patch services`), or a command.
        permission: String,
        /// What the server said.
        reason: String,
    },
    /// Something that is not Seaway's stands where the entry should be.
    #[error("{what} in {directory} is not Seaway's{}", holder_text(holder))]
    Occupied {
        /// What stands there: "Service `x`".
        what: String,
        /// Which directory, in words.
        directory: String,
        /// Who made it, as far as that is known.
        holder: String,
    },
    /// A server that does not speak HTTP refused a command.
    #[error("{directory} refused {command}: {reason}")]
    Refused {
        /// Which directory, in words.
        directory: String,
        /// What was asked of it.
        command: &'static str,
        /// What the server said.
        reason: String,
    },
    /// No answer in time.
    #[error("{method} {url} was not answered within {} ms", after.as_millis())]
    Timeout {
        /// Method of the request.
        method: &'static str,
        /// URL without user, password and query.
        url: String,
        /// How long the last attempt waited.
        after: Duration,
    },
    /// The server was reached but no trusted connection came about.
    #[error("no trusted connection to {url}: {reason}")]
    Tls {
        /// URL without user, password and query.
        url: String,
        /// The causes, from the outermost to the innermost.
        reason: String,
        /// What kind of problem it is.
        problem: TlsProblem,
    },
    /// The server was not reached, or the connection broke.
    #[error("cannot reach {url}: {reason}")]
    Connect {
        /// URL without user, password and query.
        url: String,
        /// The causes, from the outermost to the innermost.
        reason: String,
    },
    /// The time given for an operation was up.
    #[error("the {directory} did not finish within {} ms", after.as_millis())]
    Deadline {
        /// Which directory, in words.
        directory: String,
        /// The time it was given.
        after: Duration,
    },
}

/// Kinds of problem with TLS, as far as something different is to be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsProblem {
    /// The server's certificate comes from an authority that is not trusted.
    UnknownAuthority,
    /// The server's certificate has expired or is not valid yet.
    Expired,
    /// The server's certificate is for another host.
    WrongHost,
    /// The server refused us: it wants a client certificate, or another one.
    ClientCertificate,
    /// Anything else, such as a server that does not speak TLS.
    Other,
}

/// The kind of a directory with its article: one says `aitch`.
fn with_article(kind: &str) -> String {
    let article = if kind == "http" { "an" } else { "a" };
    format!("{article} {kind}")
}

fn until_text(until: Option<Timestamp>) -> String {
    until.map_or_else(
        || ", without end".to_owned(),
        |until| format!(", until {until} if it is not renewed"),
    )
}

fn holder_text(holder: &str) -> String {
    if holder.is_empty() {
        String::new()
    } else {
        format!("; {holder} made it")
    }
}

fn body_text(body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!(": {body}")
    }
}

impl Error {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Held {
                until: Some(until), ..
            } => {
                return Some(format!(
                    "give the instance another name, take the other one down, or wait until {until}"
                ));
            }
            Self::Held { until: None, .. } => "give the instance another name, or take the other one down",
            Self::File { reason, .. } => file_hint(reason.kind())?,
            Self::Locked { .. } => {
                "look which process holds it with `fuser`, and end that process if it hangs"
            }
            Self::Entry {
                reason: EntryError::Version(_),
                ..
            } => "use the version of Seaway that wrote it",
            Self::Entry { .. } => "remove it if nobody needs it",
            Self::Credential {
                what: "kubeconfig", ..
            } => {
                "name the file with `--kubeconfig`, `kubeconfig` in the document or KUBECONFIG; `kubectl config view` shows \
                 what is in it"
            }
            Self::Credential { .. } => {
                "the file must be readable and in PEM form; a token file holds one line"
            }
            Self::Http { status, .. } => http_hint(*status)?,
            Self::Occupied { .. } => "use another name, or remove it if nobody needs it",
            Self::Refused { reason, .. } => crate::redis::hint(reason)?,
            Self::Forbidden { .. } => "have this permission given to us",
            Self::Timeout { .. } => {
                "check that the server is up and not overloaded, or give it a longer `timeout`"
            }
            Self::Tls { problem, .. } => match problem {
                TlsProblem::UnknownAuthority => "give the authority's certificate as `caFile`",
                TlsProblem::Expired => {
                    "have the server's certificate renewed, and check the clock of this machine"
                }
                TlsProblem::WrongHost => "use a host name that stands in the server's certificate",
                TlsProblem::ClientCertificate => {
                    "give a client certificate that the server trusts as `certificateFile` and `keyFile`"
                }
                TlsProblem::Other => "check that the server speaks TLS 1.2 or 1.3 on this port",
            },
            Self::Connect { .. } => {
                "check the host name and the port, that the server is up, and what is between"
            }
            Self::Unsupported { .. }
            | Self::Configuration { .. }
            | Self::Output(_)
            | Self::Deadline { .. } => {
                return None;
            }
        };
        Some(hint.to_owned())
    }

    /// Whether another owner holds the entry, as far as the directory says so.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::Held { .. } | Self::Occupied { .. } | Self::Http { status: 409, .. }
        )
    }

    /// Its kind in one word, for counting.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Held { .. } => "held",
            Self::Unsupported { .. } => "unsupported",
            Self::Configuration { .. } => "configuration",
            Self::File { .. } | Self::Locked { .. } => "file",
            Self::Entry { .. } => "entry",
            Self::Output(_) => "output",
            Self::Credential { .. } => "credential",
            Self::Http { status, .. } => match status {
                401 => "unauthorized",
                403 => "forbidden",
                404 | 410 => "not_found",
                409 => "conflict",
                422 | 400 => "invalid",
                429 => "throttled",
                500..=599 => "server_error",
                _ => "http",
            },
            Self::Occupied { .. } => "occupied",
            Self::Forbidden { .. } => "forbidden",
            Self::Refused { .. } => "refused",
            Self::Timeout { .. } | Self::Deadline { .. } => "timeout",
            Self::Tls { .. } => "tls",
            Self::Connect { .. } => "unreachable",
        }
    }

    /// When the directory wants to be asked again, if it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Http { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// An error of the file system, with what was tried and on what.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, reason: io::Error) -> Self {
        Self::File {
            action,
            path: path.into(),
            reason,
        }
    }
}

fn file_hint(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::PermissionDenied => "give yourself the right to write there, or choose another folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, or choose another folder"
        }
        io::ErrorKind::ReadOnlyFilesystem => "choose a folder that can be written to",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "something that is not a folder stands where the folder should be; choose another one"
        }
        _ => return None,
    })
}

fn http_hint(status: u16) -> Option<&'static str> {
    Some(match status {
        300..=399 => "redirects are not followed; put the address the server means into `url`",
        400 | 415 | 422 => "the server does not take this form; see its documentation and `format`",
        401 => {
            "the server does not know us; check `tokenFile` or `certificateFile`, and whether they have expired"
        }
        403 => {
            "the server knows us but does not allow it; have the permission given to this token or certificate"
        }
        404 | 410 => "there is nothing at this address; check `url`",
        405 => "the server does not take this method; see `method` and `withdrawMethod`",
        409 => "the server holds another entry of this name; give the instance another name",
        429 => "the server has too much to do; announce less often with a longer `lease`",
        500..=599 => "the server has a problem of its own; its log says more",
        _ => return None,
    })
}
