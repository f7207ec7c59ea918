//! Requests to the API server: tried again while that helps, within a time, and errors that name what is missing.

use std::{
    error::Error as StdError,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use kube::client::Body;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

use super::{Settings, Target, configuration};
use crate::{
    EntryError, Error, Result,
    clock::ServerClock,
    http::answer,
    retry::{self, RETRIES},
};

/// The largest answer that is read: a list of some thousand entries.
const LARGEST_ANSWER: usize = 32 << 20;

/// How many requests are under way at once. Each has a connection of its own, and a thousand entries whose renewals fall
/// into one moment must not open a thousand; but a server that takes half a second for each must not fall behind them.
const AT_ONCE: usize = 64;

/// How a body is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The whole object.
    Json,
    /// What we want to be so, whoever else owns other parts of it.
    Apply,
    /// A few fields.
    Merge,
}

impl Form {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            // JSON is YAML.
            Self::Apply => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
        }
    }
}

/// A client made from what the files said when it was made.
pub struct Session {
    client: kube::Client,
    /// URL of the API server, without a `/` at its end.
    pub url: String,
    /// Its host, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The namespace that is used where nothing else is said.
    pub namespace: String,
    secrets: Vec<String>,
}

/// The way to the API server.
pub struct Connection {
    /// Which cluster, and who we are there.
    pub settings: Settings,
    session: Mutex<Option<Arc<Session>>>,
    turns: Semaphore,
    pub(crate) clock: ServerClock,
    /// Whether to go on trying for as long as an operation may take, once the API server has answered.
    patient: bool,
    answered: AtomicBool,
}

/// An answer of the API server that is one of success, or of a status that was expected.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    bytes: Vec<u8>,
}

/// What the API server says when it refuses.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

impl Answer {
    /// The object in it.
    pub fn read<T: DeserializeOwned>(&self, place: &str) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| Error::Entry {
            place: place.to_owned(),
            reason: EntryError::Malformed(error),
        })
    }
}

impl Connection {
    /// A connection that is made when it is first used.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            session: Mutex::new(None),
            turns: Semaphore::new(AT_ONCE),
            clock: ServerClock::default(),
            patient: false,
            answered: AtomicBool::new(false),
        }
    }

    /// The same connection that waits for an API server that has answered before and is away, such as one that is
    /// started anew.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The client; made at the first use, and made anew after credentials were refused.
    pub async fn session(&self) -> Result<Arc<Session>> {
        let mut kept = self.session.lock().await;
        if let Some(session) = &*kept {
            return Ok(Arc::clone(session));
        }
        // Somebody else in this process may have chosen already; that is just as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (config, secrets) = self.settings.read().await?;
        let namespace = self
            .settings
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let uri = config.cluster_url.clone();
        let secure = uri.scheme_str() == Some("https");
        let session = Arc::new(Session {
            url: uri.to_string().trim_end_matches('/').to_owned(),
            host: uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            namespace,
            secrets,
            client: kube::Client::try_from(config)
                .map_err(|error| configuration("credentials", answer::chain(&error)))?,
        });
        *kept = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Asks for something, until it is answered, or there is no hope, or no time. The statuses in `expected` are no
    /// errors.
    pub async fn send(
        &self,
        method: Method,
        target: &Target,
        body: Option<(Form, &Value)>,
        expected: &[StatusCode],
    ) -> Result<Answer> {
        let deadline = retry::deadline(self.settings.timeout);
        let waits = self.patient && self.answered.load(Ordering::Relaxed);
        let times = if waits { u32::MAX } else { RETRIES };
        retry::retry(times, deadline, || self.attempt(&method, target, body, expected)).await
    }

    /// Waits until something happens to what is watched, or the time in the request is up.
    pub async fn watch(&self, target: &Target) -> Result<()> {
        self.follow(target, || ControlFlow::Break(())).await
    }

    /// Tells whenever something happens to what is watched, until it is told to stop or the time in the request is up.
    pub async fn follow(
        &self,
        target: &Target,
        mut happened: impl FnMut() -> ControlFlow<()> + Send,
    ) -> Result<()> {
        let session = self.session().await?;
        let path = target.path(&session.namespace);
        let request = Request::builder()
            .uri(&path)
            .body(Body::empty())
            .map_err(|error| configuration("server", error.to_string()))?;
        let shown = format!("{}/… (watch)", session.url);
        let response = session
            .client
            .send(request)
            .await
            .map_err(|error| transport_error(&error, &shown))?;
        let (parts, mut body) = response.into_parts();
        if !parts.status.is_success() {
            let bytes = Limited::new(body, LARGEST_ANSWER).collect().await;
            let bytes = bytes.map_or_else(|_| Vec::new(), |bytes| bytes.to_bytes().to_vec());
            return Err(session.refusal(&Method::GET, target, &shown, &parts, &bytes));
        }
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Ok(()) };
            // A bookmark says only that time has passed. One that is cut in the middle makes us look once too often.
            if frame
                .data_ref()
                .is_some_and(|data| !data.starts_with(br#"{"type":"BOOKMARK""#))
                && happened().is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What an error of the client means that was not met by [`send`](Self::send). `what` is the resource and the part
    /// of it that was asked for, for people.
    #[must_use]
    pub fn explain(&self, error: &kube::Error, what: &str) -> Error {
        match error {
            kube::Error::Api(status) if status.code == 403 => Error::Forbidden {
                directory: self.settings.describe(),
                permission: format!("use {what}"),
                reason: status.message.clone(),
            },
            kube::Error::Api(status) => Error::Http {
                method: "GET",
                url: what.to_owned(),
                status: status.code,
                reason: StatusCode::from_u16(status.code)
                    .ok()
                    .and_then(|status| status.canonical_reason())
                    .unwrap_or("(no standard status)"),
                body: status.message.clone(),
                retry_after: None,
            },
            error => transport_error(error, what),
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        target: &Target,
        body: Option<(Form, &Value)>,
        expected: &[StatusCode],
    ) -> Result<Answer> {
        let first = self.once(method, target, body, expected).await;
        if matches!(&first, Err(Error::Http { status: 401, .. })) {
            // A token or a certificate may have been rotated since we read it.
            *self.session.lock().await = None;
            return self.once(method, target, body, expected).await;
        }
        first
    }

    async fn once(
        &self,
        method: &Method,
        target: &Target,
        body: Option<(Form, &Value)>,
        expected: &[StatusCode],
    ) -> Result<Answer> {
        let session = self.session().await?;
        let path = target.path(&session.namespace);
        let shown = format!(
            "{}{}",
            session.url,
            path.split_once('?').map_or(path.as_str(), |(path, _)| path)
        );
        let mut builder = Request::builder()
            .method(method.clone())
            .uri(&path)
            .header(header::ACCEPT, "application/json");
        let bytes = match body {
            Some((form, value)) => {
                builder = builder.header(header::CONTENT_TYPE, form.content_type());
                value.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = builder
            .body(Body::from(bytes))
            .map_err(|error| configuration("server", error.to_string()))?;
        let within = self.settings.timeout;
        let late = |_| Error::Timeout {
            method: static_method(method),
            url: shown.clone(),
            after: within,
        };
        let work = async {
            // Until the whole answer is there. It is never closed.
            let _turn = self.turns.acquire().await.ok();
            let sent = Timestamp::now();
            let response = session
                .client
                .send(request)
                .await
                .map_err(|error| transport_error(&error, &shown))?;
            let (parts, body) = response.into_parts();
            let received = Timestamp::now();
            let bytes = Limited::new(body, LARGEST_ANSWER)
                .collect()
                .await
                .map_err(|error| Error::Connect {
                    url: shown.clone(),
                    reason: answer::chain(&*error),
                })?;
            Ok((parts, (sent, received), Vec::from(bytes.to_bytes())))
        };
        let (parts, (sent, received), bytes) = timeout(within, work).await.map_err(late)??;
        self.answered.store(true, Ordering::Relaxed);
        if let Some(date) = parts
            .headers
            .get(header::DATE)
            .and_then(|date| date.to_str().ok())
        {
            self.clock.observe(sent, received, date);
        }
        if parts.status.is_success() || expected.contains(&parts.status) {
            return Ok(Answer {
                status: parts.status,
                bytes,
            });
        }
        Err(session.refusal(method, target, &shown, &parts, &bytes))
    }
}

impl Session {
    /// The client behind it, for what is more than one request and one answer: streams, exec, port-forward.
    #[must_use]
    pub const fn client(&self) -> &kube::Client {
        &self.client
    }

    fn refusal(
        &self,
        method: &Method,
        target: &Target,
        shown: &str,
        parts: &http::response::Parts,
        bytes: &[u8],
    ) -> Error {
        let message = match serde_json::from_slice::<Refusal>(bytes) {
            Ok(refusal) if !refusal.message.is_empty() => refusal.message,
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        let message = answer::shown_without(message.as_bytes(), &self.secrets);
        match parts.status {
            StatusCode::FORBIDDEN => Error::Forbidden {
                directory: format!("namespace `{}` of {}", self.namespace, self.url),
                permission: target.permission(method),
                reason: message,
            },
            StatusCode::NOT_FOUND if message.starts_with("namespaces ") => configuration(
                "namespace",
                format!("there is no namespace `{}` on {}", self.namespace, self.url),
            ),
            status => Error::Http {
                method: static_method(method),
                url: shown.to_owned(),
                status: status.as_u16(),
                reason: status.canonical_reason().unwrap_or("(no standard status)"),
                body: message,
                retry_after: answer::retry_after(&parts.headers),
            },
        }
    }
}

/// What took the place of an answer.
fn transport_error(error: &kube::Error, url: &str) -> Error {
    let url = url.to_owned();
    if let Some(error) = find::<kube::client::AuthError>(error) {
        return configuration("credentials", answer::chain(error));
    }
    let reason = answer::chain(error);
    match answer::tls_problem(error) {
        Some(problem) => Error::Tls { url, reason, problem },
        None => Error::Connect { url, reason },
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn static_method(method: &Method) -> &'static str {
    match *method {
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "GET",
    }
}
