//! What can go wrong, for people: what failed, why, and what to do next.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a step could not be done. No message holds a key, a token or a password.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server refused something, or was not reached.
    #[error("{step}: {what}: {source}")]
    Api {
        /// The step.
        step: &'static str,
        /// What it was about: `Role seaway`.
        what: String,
        /// Why.
        source: Box<seaway_discovery::Error>,
    },
    /// Something that is not Seaway's has the name.
    #[error("{step}: {what} is there already, and Seaway's setup did not make it")]
    Occupied {
        /// The step.
        step: &'static str,
        /// What has the name.
        what: String,
    },
    /// What is there cannot be used.
    #[error("{step}: {what} cannot be used: {reason}")]
    Unusable {
        /// The step.
        step: &'static str,
        /// What is there.
        what: String,
        /// Why.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// Somebody decided against it.
    #[error("{step}: {what} was refused: {reason}")]
    Refused {
        /// The step.
        step: &'static str,
        /// What was refused.
        what: String,
        /// Why, as the one who refused says.
        reason: String,
    },
    /// It did not happen in time.
    #[error("{step}: {what} within {} s{}", after.as_secs(), reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Late {
        /// The step.
        step: &'static str,
        /// What did not happen: `no certificate for …`.
        what: String,
        /// How long it was waited for.
        after: Duration,
        /// Why, as far as that is known.
        reason: Option<String>,
        /// What to do.
        hint: String,
    },
    /// What was asked for cannot be.
    #[error("{field}: {reason}")]
    Asked {
        /// What of it.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The system refused to work with a file or a folder.
    #[error("cannot {action} {}: {reason}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A key or a certificate could not be made.
    #[error("{step}: cannot make {what}: {reason}")]
    Crypto {
        /// The step.
        step: &'static str,
        /// What.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Api { step, source, .. } => match &**source {
                seaway_discovery::Error::Forbidden { reason, .. } if reason.contains("not currently held") => {
                    "nobody may grant more than they have: have somebody run this who has these permissions, or may \
                     `escalate` roles"
                        .to_owned()
                }
                seaway_discovery::Error::Forbidden { permission, .. } => {
                    let create = permission
                        .strip_prefix("patch ")
                        .map(|rest| format!(" and `create {rest}`"))
                        .unwrap_or_default();
                    let without = without(step)
                        .map(|option| format!("; where it is there already, `{option}` leaves this step out"))
                        .unwrap_or_default();
                    format!(
                        "have somebody run this who may `{permission}`{create}, or have that allowed to you{without}"
                    )
                }
                source => return source.hint(),
            },
            Self::Occupied { .. } => "give ours another name, or remove the other one if nobody needs it".to_owned(),
            Self::Unusable { hint, .. } | Self::Late { hint, .. } => hint.clone(),
            Self::Refused { .. } => "ask who refused it; the next run asks anew".to_owned(),
            Self::File { .. } => "name a place where you may write".to_owned(),
            Self::Asked { .. } | Self::Crypto { .. } => return None,
        })
    }

    /// Whether the command line is wrong, not the cluster.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Asked { .. })
    }

    /// Whether a permission is missing.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(**source, seaway_discovery::Error::Forbidden { .. }))
    }

    pub(crate) fn api(
        step: &'static str,
        what: impl Into<String>,
    ) -> impl FnOnce(seaway_discovery::Error) -> Self {
        let what = what.into();
        move |source| Self::Api {
            step,
            what,
            source: Box::new(source),
        }
    }
}

/// The option that leaves a step out.
fn without(step: &str) -> Option<&'static str> {
    Some(match step {
        "namespace" => "--no-namespace",
        "account" => "--no-service-account",
        "access" => "--no-access",
        _ => return None,
    })
}
