//! Answers of a server, and what takes their place when there is none: made safe to show.

use std::{error::Error as StdError, io, sync::Arc, time::Duration};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{
    Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use rustls::{AlertDescription, CertificateError};

use super::secret::Secrets;
use crate::{Entry, Error, Result, TlsProblem};

/// How much of an answer is read; an entry has a few kilobytes.
const LARGEST_ANSWER: usize = 1 << 20;

/// How much of an answer an error shows.
const SHOWN: usize = 512;

/// The longest wait a server can ask for; a slip of its clock is not to silence us for years.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// An answer of the server.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) bytes: Vec<u8>,
    /// What an error shows of it.
    pub(crate) shown: String,
    /// Whether it went on.
    pub(crate) cut_off: bool,
    retry_after: Option<Duration>,
}

impl Answer {
    pub(super) async fn read(response: Response, secrets: &Secrets) -> Result<Self, reqwest::Error> {
        Self::read_up_to(LARGEST_ANSWER, response, secrets).await
    }

    /// The same, of an answer that may be larger or smaller than an entry.
    pub(crate) async fn read_up_to(
        largest: usize,
        mut response: Response,
        secrets: &Secrets,
    ) -> Result<Self, reqwest::Error> {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let mut bytes = Vec::new();
        let mut cut_off = false;
        while let Some(chunk) = response.chunk().await? {
            let room = largest - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(&chunk[..room]);
                cut_off = true;
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        // Only errors show their answer.
        let shown = if status.is_success() {
            String::new()
        } else {
            shown(&bytes, secrets, cut_off)
        };
        Ok(Self {
            status,
            bytes,
            shown,
            cut_off,
            retry_after,
        })
    }

    /// The answer, unless it says that the same request may do better later.
    pub(crate) fn judge(self, method: &str, url: &str) -> Result<Self> {
        match self.status.as_u16() {
            429 | 500..=599 => self.success(method, url),
            _ => Ok(self),
        }
    }

    /// The answer, if it is one of success.
    pub(crate) fn success(self, method: &str, url: &str) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(Error::Http {
            method: static_method(method),
            url: url.to_owned(),
            status: self.status.as_u16(),
            reason: self.status.canonical_reason().unwrap_or("(no standard status)"),
            body: self.shown,
            retry_after: self.retry_after,
        })
    }

    /// The entry of another owner that stands in the way of this one, if the server says which.
    pub(super) fn holder(&self, entry: &Entry) -> Option<Entry> {
        if self.status != StatusCode::CONFLICT {
            return None;
        }
        Entry::from_json(&self.bytes)
            .ok()
            .filter(|present| present.name == entry.name && present.owner != entry.owner)
    }
}

pub(crate) fn static_method(method: &str) -> &'static str {
    match method {
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "GET",
    }
}

/// The beginning of a text from outside, on one line and without what could deceive a terminal.
fn shown(bytes: &[u8], secrets: &Secrets, cut_off: bool) -> String {
    let text = secrets.blot(&String::from_utf8_lossy(bytes), cut_off);
    let text = text.trim();
    let mut end = text.len().min(SHOWN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut shown: String = text[..end]
        .chars()
        .flat_map(|c| {
            let plain = matches!(c, '"' | '\'' | '\\').then_some(c);
            plain
                .into_iter()
                .chain(c.escape_debug().filter(move |_| plain.is_none()))
        })
        .collect();
    if end < text.len() || cut_off {
        shown.push('…');
    }
    shown
}

/// The same for a text that these secrets may stand in.
pub(crate) fn shown_without(bytes: &[u8], secrets: &[String]) -> String {
    shown(bytes, &Secrets::of(secrets), false)
}

/// How long the server wants to be left alone: seconds, or an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = DateTimeParser::new().parse_timestamp(text).ok()?;
        // A time that has passed means: now.
        Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The causes of an error from the outermost to the innermost, each once.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

/// What took the place of an answer.
pub(crate) fn transport_error(
    error: reqwest::Error,
    method: &str,
    url: &str,
    after: Duration,
    secrets: &Secrets,
) -> Error {
    if error.is_timeout() {
        return Error::Timeout {
            method: static_method(method),
            url: url.to_owned(),
            after,
        };
    }
    // Its own URL has everything in it that ours leaves out.
    let error = error.without_url();
    let reason = secrets.blot(&chain(&error), false);
    let url = url.to_owned();
    match tls_problem(&error) {
        Some(problem) => Error::Tls { url, reason, problem },
        None => Error::Connect { url, reason },
    }
}

/// What is wrong with TLS, if that is what is wrong.
pub(crate) fn tls_problem(error: &(dyn StdError + 'static)) -> Option<TlsProblem> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(problem(error));
        }
        // Shared by those who want to clone it.
        if let Some(error) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
            return tls_problem(&**error);
        }
        // The error inside an I/O error is not its source: it is passed over unless it is asked for.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(problem) = inner.and_then(|inner| tls_problem(inner)) {
            return Some(problem);
        }
        next = error.source();
    }
    None
}

fn problem(error: &rustls::Error) -> TlsProblem {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // A bad signature is what an authority with the right name and another key looks like, such as one
            // that was made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsProblem::UnknownAuthority,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::WrongHost
            }
            _ => TlsProblem::Other,
        },
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure,
        ) => TlsProblem::ClientCertificate,
        _ => TlsProblem::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_made_safe_to_show() {
        let none = Secrets::new(None, &"https://host/".parse().unwrap());
        let text = "it's \"no\"\n\u{1b}[31mred\u{202e}\\ \u{9b}";
        assert_eq!(
            shown(text.as_bytes(), &none, false),
            "it's \"no\"\\n\\u{1b}[31mred\\u{202e}\\ \\u{9b}"
        );
        let long = shown("ä".repeat(400).as_bytes(), &none, false);
        assert_eq!(long, format!("{}…", "ä".repeat(256)));
        assert_eq!(shown(b"\xff\xfe", &none, false), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn both_forms_of_retry_after() {
        let wait = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait(&u64::MAX.to_string()), Some(LONGEST_WAIT));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        let later = Timestamp::now() + Duration::from_secs(90);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&later)
            .unwrap();
        let seconds = wait(&date).unwrap().as_secs();
        assert!((88..=90).contains(&seconds), "{seconds}");
    }
}
