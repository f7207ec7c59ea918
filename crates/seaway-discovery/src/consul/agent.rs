//! The way to a Consul agent: requests, answers, and what is wrong with them in words.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{
    Client, Method, StatusCode, Url,
    header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use crate::{
    Error, Result,
    clock::ServerClock,
    http::{
        answer::{self, Answer},
        client,
        secret::{Secret, Secrets},
        tls::Trust,
    },
    retry::{self, RETRIES},
};

/// How many requests are under way at once, each with a connection that is kept for the next one. Consul serves no more
/// than 200 connections of one client.
const CONNECTIONS: usize = 8;

/// A list has one and a half times the size of its entries, which have a kilobyte or two.
const LARGEST_ANSWER: usize = 64 << 20;

static TOKEN: HeaderName = HeaderName::from_static("x-consul-token");
static INDEX: HeaderName = HeaderName::from_static("x-consul-index");

/// Where the ACL token comes from.
pub(super) enum Token {
    None,
    /// A file, read again for every request.
    File(PathBuf),
    /// The value of a variable.
    Value(Secret),
}

/// A Consul agent.
pub(super) struct Agent {
    /// The URL without a `/` at its end; there is nothing secret in it.
    pub(super) url: Url,
    pub(super) token: Token,
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) datacenter: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) timeout: Duration,
    pub(super) loopback: bool,
    /// The directory, in words.
    pub(super) directory: String,
    /// Set when the agent turns out to know no namespaces.
    pub(super) no_namespaces: AtomicBool,
    pub(super) client: OnceLock<Client>,
    /// One for each request that may be under way.
    pub(super) turns: Semaphore,
    pub(super) clock: ServerClock,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// A request to be sent, again if need be.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Its parts need no encoding.
    pub(super) path: &'a str,
    pub(super) query: &'a [(&'static str, String)],
    pub(super) body: Option<String>,
    /// The ACL rule it needs.
    pub(super) permission: &'a str,
    /// Whether Consul answers only when something has changed.
    pub(super) waits: bool,
    pub(super) deadline: Instant,
}

/// An answer that is no sign of trouble.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) bytes: Vec<u8>,
    /// What an error shows of it.
    pub(super) text: String,
    /// What was asked for was last changed then, as Consul counts.
    pub(super) index: Option<u64>,
}

impl Agent {
    pub(super) fn turns() -> Semaphore {
        Semaphore::new(CONNECTIONS)
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let trust = Trust {
            encrypted: self.url.scheme() == "https",
            ca_file: self.ca_file.as_deref(),
            certificate_file: self.certificate_file.as_deref(),
            key_file: self.key_file.as_deref(),
        };
        let client = client::client(self.timeout, CONNECTIONS, self.loopback, &trust)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The token, as its file has it now.
    fn token(&self) -> Result<Option<Secret>> {
        match &self.token {
            Token::None => Ok(None),
            Token::Value(secret) => Ok(Secret::token(secret.text()).ok()),
            Token::File(path) => Secret::read(path).map(Some),
        }
    }

    /// Sends a request until it is answered, or there is no hope, or no time.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Reply> {
        retry::retry(RETRIES, request.deadline, || self.attempt(request)).await
    }

    async fn attempt(&self, request: &Request<'_>) -> Result<Reply> {
        loop {
            let namespace = self
                .namespace
                .as_deref()
                .filter(|_| !self.no_namespaces.load(Ordering::Relaxed));
            let reply = self.once(request, namespace).await;
            if let (
                Some(namespace),
                Err(Error::Http {
                    status: 400, body, ..
                }),
            ) = (namespace, &reply)
                && body.contains("Enterprise")
            {
                if !self.no_namespaces.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "{} has no namespaces, as only the enterprise edition has them; `{namespace}` is left out",
                        self.directory
                    );
                }
                continue;
            }
            return reply;
        }
    }

    /// Waits until another request may be under way. One that takes long by intention holds up no other.
    async fn turn(&self, request: &Request<'_>) -> Result<Option<SemaphorePermit<'_>>> {
        if request.waits {
            return Ok(None);
        }
        match timeout_at(request.deadline, self.turns.acquire()).await {
            Ok(turn) => Ok(turn.ok()),
            Err(_) => Err(Error::Timeout {
                method: answer::static_method(request.method.as_str()),
                url: self.url.to_string(),
                after: self.timeout,
            }),
        }
    }

    async fn once(&self, request: &Request<'_>, namespace: Option<&str>) -> Result<Reply> {
        let _turn = self.turn(request).await?;
        let client = self.client()?;
        let token = self.token()?;
        let mut url = self.url.clone();
        url.set_path(&format!(
            "{}{}",
            self.url.path().trim_end_matches('/'),
            request.path
        ));
        let shown = url.to_string();
        if !request.query.is_empty() || namespace.is_some() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(request.query);
            query.extend_pairs(namespace.map(|namespace| ("ns", namespace)));
        }
        let timeout = request.deadline.saturating_duration_since(Instant::now());
        let mut builder = client.request(request.method.clone(), url).timeout(timeout);
        if let Some(body) = &request.body {
            builder = builder
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        if let Some(token) = &token
            && let Ok(mut value) = HeaderValue::from_str(token.text())
        {
            value.set_sensitive(true);
            builder = builder.header(&TOKEN, value);
        }
        let secrets: Vec<String> = token.iter().map(|token| token.text().to_owned()).collect();
        let secrets = Secrets::of(&secrets);
        let method = request.method.as_str();
        let failed = |error| answer::transport_error(error, method, &shown, self.timeout, &secrets);
        let sent = Timestamp::now();
        let response = builder.send().await.map_err(failed)?;
        let header = |name: &HeaderName| response.headers().get(name)?.to_str().ok();
        if let Some(date) = header(&DATE) {
            self.clock.observe(sent, Timestamp::now(), date);
        }
        let index = header(&INDEX).and_then(|index| index.parse().ok());
        let answer = Answer::read_up_to(LARGEST_ANSWER, response, &secrets)
            .await
            .map_err(failed)?;
        if answer.cut_off {
            return Err(Error::Connect {
                url: shown,
                reason: format!("its answer is larger than {} MiB", LARGEST_ANSWER >> 20),
            });
        }
        match answer.status.as_u16() {
            403 => return Err(self.forbidden(request.permission, &answer.shown)),
            // These are answers: there is nothing, somebody was quicker, the agent does not know the check.
            404 | 409 => {}
            500 if says_unknown(&answer.shown) => {}
            _ => return Ok(reply(answer.success(method, &shown)?, index)),
        }
        Ok(reply(answer, index))
    }

    pub(super) fn forbidden(&self, permission: &str, said: &str) -> Error {
        let reason = if said.contains("ACL not found") {
            format!("it does not know the token ({said})")
        } else if matches!(self.token, Token::None) {
            format!("{said}, and there is no token: see `tokenFile`")
        } else {
            said.to_owned()
        };
        Error::Forbidden {
            directory: self.directory.clone(),
            permission: format!("use the ACL rule `{permission}`"),
            reason,
        }
    }
}

fn reply(answer: Answer, index: Option<u64>) -> Reply {
    Reply {
        status: answer.status,
        bytes: answer.bytes,
        text: answer.shown,
        index,
    }
}

impl Reply {
    /// Whether the agent does not know the check or the service.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == StatusCode::NOT_FOUND || says_unknown(&self.text)
    }
}

/// Versions before 1.11 answer 500 where later ones answer 404.
fn says_unknown(text: &str) -> bool {
    [
        "does not have associated TTL",
        "nknown check",
        "nknown service",
        "does not exist",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}
