//! What must not be told, and how it is blotted out.

use std::{fmt, fs, path::Path};

use reqwest::{Url, header::HeaderValue};

use crate::{Error, Result};

const BLOT: &str = "[redacted]";

/// Shorter texts are no secrets; blotting them out would only make an answer unreadable.
const SHORTEST: usize = 4;

/// A token. It is shown nowhere: its `Debug` says nothing and it has no `Display`.
pub(crate) struct Secret {
    text: String,
    bearer: HeaderValue,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(BLOT)
    }
}

impl Secret {
    /// The token in a file's text, or why there is none.
    pub(crate) fn token(text: &str) -> std::result::Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the file is empty");
        }
        let bearer = HeaderValue::from_str(&format!("Bearer {text}"));
        let mut bearer =
            bearer.map_err(|_| "it has characters that no token has, such as a line break in the middle")?;
        bearer.set_sensitive(true);
        Ok(Self {
            text: text.to_owned(),
            bearer,
        })
    }

    /// The token, as its file has it now.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: &str| Error::Credential {
            what: "token",
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
        Self::token(&text).map_err(wrong)
    }

    /// The token itself, to be put into a header that is marked as sensitive.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value of the `Authorization` header, marked as sensitive.
    pub(super) fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }
}

/// Everything secret about one request.
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    pub(crate) fn new(token: Option<Secret>, url: &Url) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        secrets.extend(token.map(|token| token.text));
        secrets.push(url.username().to_owned());
        secrets.extend(url.password().map(str::to_owned));
        secrets.extend(url.query().map(str::to_owned));
        secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
        Self::of(&secrets)
    }

    /// These texts.
    pub(crate) fn of(secrets: &[String]) -> Self {
        let mut secrets = secrets.to_vec();
        // As a JSON string shows them.
        let quoted = secrets
            .iter()
            .map(|secret| secret.replace('\\', "\\\\").replace('"', "\\\""));
        let quoted: Vec<String> = quoted.collect();
        secrets.extend(quoted);
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // The longest first, so that no part of it is taken for another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    /// The text without the secrets. When it was cut off, a secret's beginning at its end goes too.
    pub(crate) fn blot(&self, text: &str, cut_off: bool) -> String {
        let mut text = self
            .0
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, BLOT));
        if cut_off {
            for secret in &self.0 {
                let beginning = secret
                    .char_indices()
                    .rev()
                    .map(|(end, _)| &secret[..end])
                    .find(|beginning| !beginning.is_empty() && text.ends_with(beginning));
                if let Some(beginning) = beginning {
                    text.truncate(text.len() - beginning.len());
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(token: &str, url: &str) -> Secrets {
        Secrets::new(Some(Secret::token(token).unwrap()), &url.parse().unwrap())
    }

    #[test]
    fn every_secret_goes() {
        let secrets = secrets("sesame\"1\n", "https://me:swordfish@host/a?key=open%20up&n=1");
        let text =
            r#"{"t":"sesame\"1","raw":sesame"1,"p":"swordfish","k":"open up","q":"key=open%20up&n=1"}"#;
        let blotted = secrets.blot(text, false);
        for secret in ["sesame", "swordfish", "open"] {
            assert!(!blotted.contains(secret), "{blotted}");
        }
    }

    #[test]
    fn half_a_secret_at_the_end_goes_too() {
        let secrets = secrets("correct-horse", "https://host/");
        assert_eq!(secrets.blot("no such token: correct-ho", true), "no such token: ");
        assert_eq!(
            secrets.blot("no such token: correct-ho", false),
            "no such token: correct-ho"
        );
    }

    #[test]
    fn tokens_are_one_line() {
        assert_eq!(Secret::token(" \n").unwrap_err(), "the file is empty");
        assert!(Secret::token("a\nb").unwrap_err().contains("line break"));
        assert_eq!(format!("{:?}", Secret::token("sesame").unwrap()), "[redacted]");
        assert!(!format!("{:?}", Secret::token("sesame").unwrap().bearer()).contains("sesame"));
    }
}
