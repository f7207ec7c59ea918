//! Any HTTP server: one request announces and renews an entry, another withdraws it.
//!
//! The owner travels in the header `Seaway-Owner` of every request. A server that keeps entries apart by owner
//! answers 409 to an announcement while it holds a live entry of another owner; when the body of that answer is the
//! entry, the error names its owner. To a server that knows nothing of owners the last announcement is the right
//! one. Withdrawing is done when the server says so or has nothing there (404, 410).
//!
//! Redirects are not followed: an announcement that ends as a `GET` somewhere else has announced nothing, and a
//! token is for the server it was given for.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod secret;
pub(crate) mod tls;

use std::{fmt, net::IpAddr, path::PathBuf, sync::OnceLock, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, Method, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use seaway_model::{
    Name, Period,
    discovery::{self, HttpFormat, HttpMethod},
};
use tokio::time::Instant;

use self::{
    answer::Answer,
    secret::{Secret, Secrets},
    tls::Trust,
};
use crate::{
    Directory, Entry, EntryError, Error, Result,
    file::{self, absolute},
    retry, route,
};

/// Header with the identity of the entry's owner.
pub const OWNER_HEADER: &str = "seaway-owner";

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What stands for the instance's name in a URL.
const PLACEHOLDER: &str = "{name}";

/// An HTTP server.
pub struct HttpDirectory {
    url: Template,
    withdraw_url: Template,
    method: HttpMethod,
    withdraw_method: HttpMethod,
    format: HttpFormat,
    token_file: Option<PathBuf>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    retries: u32,
    lease: Option<Duration>,
    /// Made by the first request, since it needs memory and reads the certificates.
    client: OnceLock<Client>,
}

impl fmt::Debug for HttpDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only what is safe to show: a URL can have a password in it.
        f.debug_struct("HttpDirectory")
            .field("url", &self.url.shown)
            .finish_non_exhaustive()
    }
}

/// A URL with a place for the name in it.
struct Template {
    text: String,
    /// The URL without user, password and query, the placeholder still in it.
    shown: String,
    encrypted: bool,
    loopback: bool,
    password: bool,
}

/// One request to be sent, again if need be.
struct Request<'a> {
    method: Method,
    url: Url,
    /// The URL as errors show it.
    shown: String,
    entry: Option<&'a Entry>,
    body: Option<String>,
    deadline: Instant,
}

impl HttpDirectory {
    /// The directory a document asks for. Nothing is contacted yet.
    pub fn open(spec: &discovery::HttpDirectory) -> Result<Self> {
        let url = Template::parse("url", &spec.url)?;
        let withdraw_url = match &spec.withdraw_url {
            Some(text) => Template::parse("withdrawUrl", text)?,
            None => Template::parse("url", &spec.url)?,
        };
        for (field, template) in [("url", &url), ("withdrawUrl", &withdraw_url)] {
            let secret = spec.token_file.is_some() || template.password;
            if secret && !template.encrypted && !template.loopback {
                let reason = format!(
                    "the token or password would travel in the clear to {}; use https, or a server on this machine",
                    template.shown
                );
                return Err(configuration(field, reason));
            }
        }
        if spec.key_file.is_some() && spec.certificate_file.is_none() {
            return Err(configuration("keyFile", "it needs `certificateFile` beside it"));
        }
        let lease = spec.lease.map(Period::duration);
        if let Some(lease) = lease {
            file::check_lease("http", lease)?;
        }
        Ok(Self {
            url,
            withdraw_url,
            method: spec.method,
            withdraw_method: spec.withdraw_method,
            format: spec.format,
            token_file: absolute(spec.token_file.as_deref())?,
            certificate_file: absolute(spec.certificate_file.as_deref())?,
            key_file: absolute(spec.key_file.as_deref())?,
            ca_file: absolute(spec.ca_file.as_deref())?,
            timeout: spec.timeout.map_or(DEFAULT_TIMEOUT, Period::duration),
            retries: spec.retries.unwrap_or(retry::RETRIES),
            lease,
            client: OnceLock::new(),
        })
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let trust = Trust {
            encrypted: self.url.encrypted || self.withdraw_url.encrypted,
            ca_file: self.ca_file.as_deref(),
            certificate_file: self.certificate_file.as_deref(),
            key_file: self.key_file.as_deref(),
        };
        let loopback = self.url.loopback && self.withdraw_url.loopback;
        let client = client::client(self.timeout, 1, loopback, &trust)?;
        Ok(self.client.get_or_init(|| client))
    }

    fn request<'a>(
        &self,
        method: Method,
        template: &Template,
        name: &Name,
        entry: Option<&'a Entry>,
    ) -> Result<Request<'a>> {
        let url = template.with_name(name)?;
        let with_body = entry.filter(|_| method != Method::GET && method != Method::DELETE);
        let body = with_body.map(|entry| self.body(entry)).transpose()?;
        Ok(Request {
            shown: shown(&url),
            url,
            method,
            entry,
            body,
            deadline: retry::deadline(self.timeout),
        })
    }

    fn body(&self, entry: &Entry) -> Result<String> {
        let wrong = |reason| Error::Entry {
            place: format!("the entry of `{}`", entry.name),
            reason,
        };
        match self.format {
            HttpFormat::Json => {
                let leased = entry.with_lease(self.lease);
                serde_json::to_string(&leased).map_err(|error| wrong(EntryError::Malformed(error)))
            }
            HttpFormat::Text => {
                let lines = entry
                    .endpoints
                    .iter()
                    .map(|endpoint| [endpoint.name.as_str(), "=", &endpoint.url(), "\n"].concat());
                Ok(lines.collect())
            }
        }
    }

    /// Sends a request until it is answered, or there is no hope, or no time.
    async fn send(&self, request: &Request<'_>) -> Result<Answer> {
        retry::retry(self.retries, request.deadline, || self.attempt(request)).await
    }

    async fn attempt(&self, request: &Request<'_>) -> Result<Answer> {
        let client = self.client()?;
        let token = self.token_file.as_deref().map(Secret::read).transpose()?;
        let timeout = self
            .timeout
            .min(request.deadline.saturating_duration_since(Instant::now()));
        let mut builder = client
            .request(request.method.clone(), request.url.clone())
            .timeout(timeout);
        if let Some(entry) = request.entry {
            builder = builder.header(OWNER_HEADER, entry.owner.as_str());
        }
        if let Some(body) = &request.body {
            let form = match self.format {
                HttpFormat::Json => "application/json",
                HttpFormat::Text => "text/plain; charset=utf-8",
            };
            builder = builder.header(CONTENT_TYPE, form).body(body.clone());
        }
        if let Some(token) = &token {
            builder = builder.header(AUTHORIZATION, token.bearer());
        }
        builder = builder.header(
            ACCEPT,
            HeaderValue::from_static("application/json, text/plain;q=0.9, */*;q=0.1"),
        );
        let secrets = Secrets::new(token, &request.url);
        let failed = |error| {
            answer::transport_error(error, request.method.as_str(), &request.shown, timeout, &secrets)
        };
        let response = builder.send().await.map_err(failed)?;
        Answer::read(response, &secrets)
            .await
            .map_err(failed)?
            .judge(request.method.as_str(), &request.shown)
    }

    async fn announce(&self, entry: &Entry) -> Result<()> {
        let request = self.request(method(self.method), &self.url, &entry.name, Some(entry))?;
        let answer = self.send(&request).await?;
        if let Some(present) = answer.holder(entry) {
            return Err(Error::Held {
                until: present.believed_until(),
                name: present.name,
                owner: present.owner,
                directory: self.describe(),
            });
        }
        answer.success(request.method.as_str(), &request.shown).map(drop)
    }
}

#[async_trait]
impl Directory for HttpDirectory {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn describe(&self) -> String {
        let clear = if self.url.encrypted {
            ""
        } else {
            " (not encrypted)"
        };
        format!("HTTP server {}{clear}", self.url.shown)
    }

    fn lease(&self) -> Option<Duration> {
        self.lease
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.announce(entry).await
    }

    async fn renew(&self, entry: &Entry) -> Result<()> {
        self.announce(entry).await
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let request = self.request(
            method(self.withdraw_method),
            &self.withdraw_url,
            &entry.name,
            Some(entry),
        )?;
        let answer = self.send(&request).await?;
        let nothing_there = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if nothing_there || answer.holder(entry).is_some() {
            return Ok(());
        }
        answer.success(request.method.as_str(), &request.shown).map(drop)
    }

    async fn own_address(&self) -> Result<IpAddr> {
        // A name may stand in the host; which one does not matter for the way there.
        let url = self.url.with_name(&Name::literal("name"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(443);
        route::own_address_towards(&self.url.shown, host, port).await
    }

    /// Asks with `GET` where the entry is announced; only where each name has an address of its own.
    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        if self.format != HttpFormat::Json || !self.url.text.contains(PLACEHOLDER) {
            let what = "be asked for an entry, unless its format is JSON and `{name}` is in its `url`";
            return Err(Error::Unsupported {
                directory: self.kind(),
                what,
            });
        }
        let request = self.request(Method::GET, &self.url, name, None)?;
        let answer = self.send(&request).await?;
        if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            return Ok(None);
        }
        let answer = answer.success("GET", &request.shown)?;
        let wrong = |reason| Error::Entry {
            place: request.shown.clone(),
            reason,
        };
        let entry = Entry::from_json(&answer.bytes).map_err(wrong)?;
        if entry.name != *name {
            return Err(wrong(EntryError::Name {
                found: entry.name,
                expected: name.clone(),
            }));
        }
        Ok(Some(entry))
    }
}

impl Template {
    fn parse(field: &'static str, text: &str) -> Result<Self> {
        // A name that no real one is longer than, to see whether the URL is one.
        let example = Name::literal("name");
        // Neither the text nor the parser's words are shown: a URL that is none may still hold a password.
        let url = with_name(text, &example).ok_or_else(|| configuration(field, "it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(configuration(
                field,
                format!("`{}` URLs cannot be used; use https or http", url.scheme()),
            ));
        }
        let Some(host) = url.host_str() else {
            return Err(configuration(field, "it names no host"));
        };
        if text.replace(PLACEHOLDER, "").contains(['{', '}']) {
            return Err(configuration(field, "the only placeholder is `{name}`"));
        }
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        Ok(Self {
            // The placeholder is put back for people; it is in the path, or in the host's name.
            shown: shown_template(text, &url),
            encrypted: url.scheme() == "https",
            loopback: address.map_or_else(
                |_| host == "localhost" || host.ends_with(".localhost"),
                |ip| ip.is_loopback(),
            ),
            password: !url.username().is_empty() || url.password().is_some(),
            text: text.to_owned(),
        })
    }

    fn with_name(&self, name: &Name) -> Result<Url> {
        with_name(&self.text, name)
            .ok_or_else(|| configuration("url", "it is not a URL with this name in it"))
    }
}

/// The URL of a name. A name has only letters, digits and `-`, which stand for themselves everywhere in a URL, so
/// there is nothing to encode.
fn with_name(text: &str, name: &Name) -> Option<Url> {
    Url::parse(&text.replace(PLACEHOLDER, name.as_str())).ok()
}

/// A URL that may be shown: its user, password, query and fragment are left out.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{host}{port}{}{query}", url.scheme(), url.path())
}

/// The same with the placeholder in its place.
fn shown_template(text: &str, example: &Url) -> String {
    // Parsed with a mark that is as harmless as a name and stands nowhere else.
    let mut mark = "name".to_owned();
    while text.contains(&mark) && mark.len() < 40 {
        mark.push('x');
    }
    Url::parse(&text.replace(PLACEHOLDER, &mark))
        .map_or_else(|_| shown(example), |url| shown(&url).replace(&mark, PLACEHOLDER))
}

fn configuration(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Configuration {
        directory: "http",
        field,
        reason: reason.into(),
    }
}

const fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}
