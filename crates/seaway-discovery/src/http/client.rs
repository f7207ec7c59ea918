//! The HTTP client of a directory: no redirects, no retries of its own, and trust as the document wants it.

use std::{path::PathBuf, time::Duration};

use reqwest::{Client, redirect};

use super::{
    answer,
    tls::{self, Trust},
};
use crate::{Error, Result};

const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// A client whose requests take no longer than this to connect, and that keeps so many connections.
pub(crate) fn client(
    timeout: Duration,
    connections: usize,
    loopback: bool,
    trust: &Trust<'_>,
) -> Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("seaway/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(timeout.min(LONGEST_CONNECT))
        .pool_max_idle_per_host(connections);
    if loopback {
        // A proxy is never right for this machine, and would see what is meant to stay on it.
        builder = builder.no_proxy();
    }
    tls::configure(builder, trust)?
        .build()
        .map_err(|error| build_error(&error, trust))
}

/// Why no client came about: only the certificates are not ours.
fn build_error(error: &reqwest::Error, trust: &Trust<'_>) -> Error {
    let (what, path) = match (trust.certificate_file, trust.ca_file) {
        (Some(path), _) => ("client certificate", path.to_owned()),
        (None, Some(path)) => ("CA certificates", path.to_owned()),
        (None, None) => ("system's CA certificates", PathBuf::from("/etc/ssl")),
    };
    Error::Credential {
        what,
        path,
        reason: answer::chain(error),
    }
}
