//! Where the agent is and who we are: from the document, then from the variables of Consul's own tools.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{OnceLock, atomic::AtomicBool},
    time::Duration,
};

use reqwest::Url;
use seaway_model::{Period, discovery};

use super::agent::{Agent, Token};
use crate::{
    Defaults, Error, Result,
    clock::ServerClock,
    file,
    http::secret::Secret,
    variables::{
        CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY, CONSUL_HTTP_ADDR, CONSUL_HTTP_SSL,
        CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_NAMESPACE,
    },
};

const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn agent(spec: &discovery::ConsulDirectory, defaults: &Defaults) -> Result<Agent> {
    let variables = &defaults.variables;
    let (field, text) = match (&spec.url, variables.get(CONSUL_HTTP_ADDR)) {
        (Some(url), _) => ("url", url.as_str()),
        (None, Some(address)) => (CONSUL_HTTP_ADDR, address),
        (None, None) => ("url", DEFAULT_ADDRESS),
    };
    let encrypt = variables
        .get(CONSUL_HTTP_SSL)
        .is_some_and(|text| matches!(text, "1" | "true" | "TRUE" | "t" | "T" | "True"));
    let url = address(text, encrypt).map_err(|reason| configuration(field, reason))?;
    let path = |given: &Option<PathBuf>, variable: &str| {
        file::absolute(
            given
                .as_deref()
                .or_else(|| variables.get(variable).map(Path::new)),
        )
    };
    let token = match (
        path(&spec.token_file, CONSUL_HTTP_TOKEN_FILE)?,
        variables.get(CONSUL_HTTP_TOKEN),
    ) {
        (Some(path), _) => Token::File(path),
        (None, Some(text)) => {
            Token::Value(Secret::token(text).map_err(|reason| configuration(CONSUL_HTTP_TOKEN, reason))?)
        }
        (None, None) => Token::None,
    };
    let host = url.host_str().unwrap_or_default();
    let loopback = host.trim_matches(['[', ']']).parse::<IpAddr>().map_or_else(
        |_| host == "localhost" || host.ends_with(".localhost"),
        |address| address.is_loopback(),
    );
    let encrypted = url.scheme() == "https";
    let shown = url.as_str().trim_end_matches('/');
    if !matches!(token, Token::None) && !encrypted && !loopback {
        let reason =
            format!("the token would travel in the clear to {shown}; use https, or an agent on this machine");
        return Err(configuration(field, reason));
    }
    let certificate_file = path(&spec.certificate_file, CONSUL_CLIENT_CERT)?;
    let key_file = path(&spec.key_file, CONSUL_CLIENT_KEY)?;
    if key_file.is_some() && certificate_file.is_none() {
        return Err(configuration("keyFile", "it needs `certificateFile` beside it"));
    }
    Ok(Agent {
        directory: format!(
            "Consul at {shown}{}",
            if encrypted { "" } else { " (not encrypted)" }
        ),
        ca_file: path(&spec.ca_file, CONSUL_CACERT)?,
        certificate_file,
        key_file,
        token,
        loopback,
        datacenter: spec.datacenter.clone(),
        namespace: spec
            .namespace
            .clone()
            .or_else(|| variables.get(CONSUL_NAMESPACE).map(str::to_owned)),
        timeout: spec.timeout.map_or(DEFAULT_TIMEOUT, Period::duration),
        no_namespaces: AtomicBool::new(false),
        client: OnceLock::new(),
        turns: Agent::turns(),
        clock: ServerClock::default(),
        url,
    })
}

/// Reads `host:port` or a URL. What is wrong is said without showing it.
fn address(text: &str, encrypt: bool) -> Result<Url, String> {
    if text.starts_with("unix:") || text.starts_with('/') {
        return Err(
            "sockets of the file system cannot be used; give the agent's address, such as `127.0.0.1:8500`"
                .into(),
        );
    }
    let url = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("{}://{text}", if encrypt { "https" } else { "http" }))
    };
    let url = url.map_err(|_| "it is neither `host:port` nor a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "`{}` URLs cannot be used; use https or http",
            url.scheme()
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host".into());
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("it cannot have a user, a password or a query; a token belongs into `tokenFile`".into());
    }
    Ok(url)
}

pub(super) fn configuration(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Configuration {
        directory: "consul",
        field,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_that_consul_itself_takes() {
        for (text, encrypt, url) in [
            ("127.0.0.1:8500", false, "http://127.0.0.1:8500/"),
            ("consul:8501", true, "https://consul:8501/"),
            ("http://consul:8500", true, "http://consul:8500/"),
            ("https://consul/prefix", false, "https://consul/prefix"),
            ("[::1]:8500", false, "http://[::1]:8500/"),
            ("consul", false, "http://consul/"),
        ] {
            assert_eq!(address(text, encrypt).unwrap().as_str(), url);
        }
        for (text, reason) in [
            ("unix:///run/consul.sock", "sockets"),
            ("/run/consul.sock", "sockets"),
            ("tcp://h:1", "tcp"),
            ("a b", "neither"),
            ("http://u:sesame@h", "tokenFile"),
            ("http://h?token=sesame", "tokenFile"),
        ] {
            let error = address(text, false).unwrap_err();
            assert!(
                error.contains(reason) && !error.contains("sesame"),
                "{text}: {error}"
            );
        }
    }
}
