//! Names: RFC 1123 labels, so that one name works as a process label, a Service, a Consul id and a file.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

/// Longest instance name. Kubernetes labels end at 63 characters and every object of an instance is called
/// `<instance>-<role>…`, so the instance leaves ten of them (Helm has the same limit for the same reason).
pub const MAX_LENGTH: usize = 53;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing between the quotes.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`MAX_LENGTH`].
    #[error("`{0}…` has {1} characters; a name has at most {MAX_LENGTH}")]
    TooLong(String, usize),
    /// A character outside `a-z`, `0-9`, `-`.
    #[error(
        "`{name}` is not a name: `{character}` is not allowed; {RULE}{}",
        suggestion(name)
    )]
    Character {
        /// The text given.
        name: String,
        /// The first character that is not allowed, escaped when it is not printable.
        character: String,
    },
    /// `-` first or last.
    #[error(
        "`{name}` is not a name: it must begin and end with a letter or a digit{}",
        suggestion(name)
    )]
    Edge {
        /// The text given.
        name: String,
    },
}

const RULE: &str = "names use lower-case letters, digits and `-` (RFC 1123)";

/// The nearest name to a text that is not one, as the tail of a message; empty when nothing is left of it.
fn suggestion(text: &str) -> String {
    let mapped: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let near = mapped.trim_matches('-');
    if near.is_empty() || near.len() > MAX_LENGTH {
        String::new()
    } else {
        format!("; try `{near}`")
    }
}

/// A name of an instance, a role, a port or an endpoint: an RFC 1123 label of at most [`MAX_LENGTH`] characters.
///
/// ```
/// # use seaway_model::Name;
/// assert_eq!("dask-2".parse::<Name>().unwrap().as_str(), "dask-2");
/// assert!("Dask_2".parse::<Name>().unwrap_err().to_string().ends_with("try `dask-2`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(Cow<'static, str>);

impl Name {
    /// A name known at compile time.
    ///
    /// # Panics
    /// At compile time (it is meant for constants) when the text is empty or too long.
    #[must_use]
    pub const fn literal(text: &'static str) -> Self {
        assert!(!text.is_empty() && text.len() <= MAX_LENGTH, "not a name");
        Self(Cow::Borrowed(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let length = text.chars().count();
        if length > MAX_LENGTH {
            return Err(NameError::TooLong(text.chars().take(20).collect(), length));
        }
        if let Some(c) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(NameError::Character {
                name: text.to_owned(),
                character: c.escape_debug().to_string(),
            });
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(NameError::Edge {
                name: text.to_owned(),
            });
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": RULE,
            "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "maxLength": MAX_LENGTH
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn says_what_is_wrong_and_suggests() {
        let message = |text: &str| text.parse::<Name>().unwrap_err().to_string();
        assert_eq!(message(""), "a name cannot be empty");
        assert!(message("My Cluster").contains("`M` is not allowed"));
        assert!(message("My Cluster").ends_with("try `my-cluster`"));
        assert!(message("-a").contains("begin and end"));
        assert!(message(&"a".repeat(54)).contains("54 characters"));
        assert!(message("a\tb").contains("`\\t`"));
    }

    proptest! {
        #[test]
        fn accepts_exactly_rfc_1123_labels(text in "\\PC{0,60}|[a-z0-9-]{0,60}") {
            let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let expected = text.len() <= MAX_LENGTH
                && edge(text.chars().next())
                && edge(text.chars().last())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            prop_assert_eq!(text.parse::<Name>().is_ok(), expected);
        }
    }
}
